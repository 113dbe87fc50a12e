"""What batch normalisation uses in evaluation, by the momentum of its running averages: too little, or too old."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.manifest import read_mode_dependent
from probes.diagnosis.view import RunView

NEWEST = 0.9
"""Weight of the newest batch from which the averages are those of that batch alone."""
OLDEST = 0.25
"""Share of the initial values (mean 0, variance 1) that says that the averages have not come."""
MINIMUM_STEPS = 100


@dataclass(frozen=True)
class IllAveraged:
    """Layers whose running averages are no averages of the data, the momentum of the first, and what they are.

    Attributes:
        late: whether they have not come yet; else they are those of the newest batch.
    """

    layers: tuple[str, ...]
    momentum: float
    what: str
    late: bool


def ill_averaged(view: RunView) -> IllAveraged | None:
    """The normalisations whose momentum m makes the averages those of one batch, or leaves them near where they began.

    After n steps the newest batch weighs m, and the initial values (1 - m)^n (PyTorch counts so; Keras and TensorFlow
    call 1 - m the momentum).
    """
    if view.last_step < MINIMUM_STEPS:
        return None
    momenta = _momenta(view)
    last = {name: m for name, m in momenta.items() if m >= NEWEST}
    late = {name: m for name, m in momenta.items() if 0.0 <= m < 1.0 and (1.0 - m) ** view.last_step > OLDEST}
    found = last or late
    if not found:
        return None
    momentum = next(iter(found.values()))
    share = momentum if last else (1.0 - momentum) ** view.last_step
    what = f"the newest batch makes up {share:.0%}" if last else f"{share:.0%} are still where they began"
    return IllAveraged(tuple(found), momentum, what, not last)


def _momenta(view: RunView) -> dict[str, float]:
    """Module -> momentum of its running averages, where it keeps any that are weighted so."""
    modules = read_mode_dependent(view.manifest) or ()
    return {module.name: module.momentum for module in modules if module.momentum is not None}
