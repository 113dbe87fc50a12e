"""What in a model computes something else in training than in evaluation, and the series that tell its mode."""

from __future__ import annotations

from collections.abc import Mapping

from probes.diagnosis.manifest import read_mode_dependent
from probes.diagnosis.numbers import names, percent
from probes.diagnosis.view import RunView

TRAINING, EVALUATION = "system/training_mode", "system/evaluation_mode"
"""Series: mode of the passes that train (1 is training), and share of the others that ran in training mode."""


def mode_dependent(view: RunView) -> dict[str, float | None]:
    """Module -> share of the units it drops, None for batch normalisation."""
    known = read_mode_dependent(view.manifest)
    if known is not None:
        return {module.name: module.dropped for module in known}
    return {
        module.name: 0.5 if "Dropout" in module.type else None
        for module in view.modules
        if "Dropout" in module.type or "BatchNorm" in module.type
    }


def largest_dropped(dependent: Mapping[str, float | None]) -> float:
    """The largest share of the units that a module drops, 0 where none drops any."""
    return max((dropped for dropped in dependent.values() if dropped is not None), default=0.0)


def described(dependent: Mapping[str, float | None]) -> str:
    """What they are, in words."""
    drops = [name for name, dropped in dependent.items() if dropped is not None]
    norms = [name for name, dropped in dependent.items() if dropped is None]
    parts = []
    if drops:
        parts.append(f"dropout (of up to {percent(largest_dropped(dependent))}: {names(drops)})")
    if norms:
        parts.append(f"batch normalisation ({names(norms)})")
    return " and ".join(parts)
