"""Weights grow far beyond the size they began with, and the training gets worse, or its loss has no bottom.

What it detects
---------------
A weight matrix or kernel that keeps growing, many times over, while the loss is worse for it or falls below anything
that it can mean.

Why it matters
--------------
Weights settle where the loss no longer asks for larger ones. When they grow on and on, either the steps throw them
about, or the loss rewards size itself: one without a lower bound (raw scores in `NLLLoss`, targets outside of the
range of the loss, a wrong sign), or a critic that nothing holds. It ends in saturation, dead units or overflow.

Criterion
---------
After `steps_needed` (30) steps, a weight's norm is `factor` (10) times as large as at its beginning and as the usual
size for its shape (standard deviation sqrt(2 / fan-in), He initialisation), whichever is larger, so that weights that
began small or at zero may grow to it; and it is growing still: 1.2 times as large as at half of the run.

It is a warning when the training loss is no better than `learned` (0.5) of its beginning or of guessing, or not
finite; or when it ends below zero, by more than it began above it, or by ten times as much as it began below it;
when the loss swings by more than half of its beginning in the latter half of the run (from its 10th to its 90th
percentile, and above the lowest so far: a fall is no swing); or when the growth is a hundred times `factor`.
Otherwise it is information. Without one training loss, as of a generator and a discriminator, it is a warning when a
distance between generated and real examples (Fréchet, FID, KID, MMD) is no better than `learned` of its beginning, or
of that of always giving the mean, where a score beside it tells.
Weights that are not finite count by their last finite frame.

Evidence
--------
The norm of the weight at the beginning, at half of the run and at the end, and the loss.

What to try
-----------
1. Check the loss: can it fall below zero? Does it belong to the outputs, and are the targets in its range?
2. Lower the learning rate by a factor of ten.
3. Weight decay of 1e-4, or gradient clipping at norm 1.

When it misleads
----------------
Classes that can be separated without error make the weights grow with the logarithm of the steps: slowly, and to no
harm. A loss that may be negative on purpose (a likelihood of densities) is reported only when weights grow with it.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.2), loss_fn=nn.NLLLoss(), steps=60)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.5), steps=400)
```

References
----------
- Soudry, Hoffer, Nacson, Gunasekar and Srebro, The implicit bias of gradient descent on separable data, 2018.
- He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015 (the usual size).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from probes.diagnosis.achieved import achieved_if_known
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import names, round_rate, short
from probes.diagnosis.progress import progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Floats, NotJudged, RunView, Steps

MINIMUM_FRAMES = 4
STILL = 1.2
SWINGS = 20
"""Values in the latter half of a loss that swings are told by."""
ANY_NET = 100.0
"""Times `factor` that are no healthy growth, whatever the loss does meanwhile."""


def criterion(
    steps: Steps,
    norms: Floats,
    usual: float,
    *,
    factor: float = 10.0,
    learned: float = 0.5,
    steps_needed: float = 30,
) -> tuple[int, float] | None:
    """(index of the first frame beyond, growth) of a weight that keeps growing; None when it does not.

    Args:
        steps, norms: finite norms of one weight, [T].
        usual: the norm that is usual for its shape.
        factor: growth over beginning and usual size (healthy weights stay below 8, most below 2).
        learned: fall of the training loss above which growth does no harm (used by the judge).
        steps_needed: steps before which nothing is said (used by the judge).
    """
    base = max(float(norms[0]), usual)
    if base <= 0 or len(norms) < MINIMUM_FRAMES:
        return None
    growth = float(norms[-1]) / base
    half = float(norms[int(np.searchsorted(steps, 0.5 * steps[-1], side="right")) - 1])
    if growth < factor or float(norms[-1]) < STILL * half:
        return None
    return int(np.flatnonzero(norms >= factor * base)[0]), growth


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge every weight matrix and kernel; the harm is told by the one training loss."""
    table = view.need_layers("weight_norm", MINIMUM_FRAMES)
    if view.last_step < thresholds["steps_needed"]:
        raise NotJudged(f"{view.last_step} steps, needs {int(thresholds['steps_needed'])}")
    shapes = {p.name: p.shape for p in view.parameters if p.is_weight and p.trainable}
    if not shapes:
        raise NotJudged("the manifest describes no weight matrix or kernel")
    found: dict[str, tuple[int, float, float, float]] = {}
    for column, name in enumerate(table.layers):
        shape = shapes.get(name)
        if shape is None:
            continue
        kept = table.measured[:, column] & np.isfinite(table.values[:, column])
        steps, norms = table.steps[kept], table.values[kept, column]
        usual = math.sqrt(math.prod(shape) * 2.0 / max(1, math.prod(shape[1:])))
        grown = criterion(steps, norms, usual, **thresholds) if len(norms) else None
        if grown is not None:
            found[name] = (int(steps[grown[0]]), grown[1], float(norms[0]), float(norms[-1]))
    if not found:
        return []
    most = max(found, key=lambda name: found[name][1])
    harm = _harm(view, thresholds["learned"])
    first = min(entry[0] for entry in found.values())
    _, growth, start, end = found[most]
    rate = view.learning_rate(view.last_step)
    lower = (
        f"lower the learning rate from {short(rate)} to {round_rate(rate / 10)}" if rate else "lower the learning rate"
    )
    return [
        RULE.finding(
            "warning" if harm or growth > ANY_NET * thresholds["factor"] else "info",
            f"The norm of {most} has grown from {short(start)} to {short(end)}, {short(growth)} times what it began "
            f"with or what is usual for its shape, and grows still{f'; {harm}' if harm else ''}."
            + (f" So have {names([n for n in found if n != most])}." if len(found) > 1 else ""),
            (first, view.last_step),
            view,
            layers=tuple(found),
            evidence=(
                Evidence("weight_norm", end, end / growth * thresholds["factor"], ">", layer=most, note="norm now"),
                Evidence("weight_norm", start, layer=most, note="norm at the beginning"),
            ),
            suggestions=(
                "check the loss: can it fall below zero? Are the outputs and the targets what it expects?",
                lower,
                "add weight decay (1e-4), or clip the gradient to norm 1",
            ),
        )
    ]


def _harm(view: RunView, learned: float) -> str:
    """What the loss suffers, in words; "" when it does not, or cannot be told."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        came = achieved_if_known(view)
        little = came is not None and came.share < learned
        return f"{came.series} went from {short(came.start)} to {short(came.end)}" if came and little else ""
    if not np.isfinite(curve.values[-1]):
        return f"{name} is {short(float(curve.values[-1]))}"
    fell = progress_if_known(view)
    if fell is None:
        return ""
    if fell.end < 0 and -fell.end > (fell.start if fell.start > 0 else -10.0 * fell.start):
        return f"{name} has fallen from {short(fell.start)} to {short(fell.end)}, without a bottom"
    half = curve.finite.values[len(curve.finite) // 2 :]
    swing = _swing(half) if len(half) >= SWINGS else 0.0
    if fell.start > 0 and swing > 0.5 * fell.start:
        return f"{name} swings by {short(swing)} to the end"
    if fell.start > 0 and fell.share < learned:
        return f"{name} went from {short(fell.start)} to {short(fell.end)}"
    return ""


def _swing(values: Floats) -> float:
    """How far a loss [T] swings: from its 10th to its 90th percentile, as far as it rises again after it fell."""
    again = float(np.percentile(values - np.minimum.accumulate(values), 90))
    return min(float(np.subtract(*np.percentile(values, [90, 10]))), again)


RULE = Rule(
    slug="weights-growing",
    family="updates",
    severity="warning",
    title="Weights grow without end",
    needs="4 frames of weight norms over 30 steps, and the training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
