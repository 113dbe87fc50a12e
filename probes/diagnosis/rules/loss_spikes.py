"""The training loss jumps far above its level again and again.

What it detects
---------------
Single values, or a few in a row, that lie far above everything around them and above where the loss began, at least
three times, long after the loss had fallen.

Why it matters
--------------
One such batch can undo hundreds of steps: its gradient is large, and it points elsewhere. The usual reasons are a few
broken examples (inputs of another scale, wrong labels, blank pictures) and a learning rate at the edge of what the
net bears.

Criterion
---------
The local level is the running median over 15 values, the usual spread the distance from the median to the 90th
percentile of the values over their level. A *spike* lies above its level by more than `spread` (8) times that, by
more than twice the level, by more than the fourth power of that 90th percentile (noise with a long tail, of a few
examples in a batch, does not get there), and above `height` (1.0) times where the loss began or the loss of guessing
(ln C), when the level was below 0.7 of that. Spikes less than 4 values apart count as one. The first tenth of the
run is left out, and of a long run all but the last 20,000 values.

A finding when there are at least `repeats` (3) spikes, one of them in the last third, in at most a tenth of the
values, and of those since the first: a loss may become rough in the course of a training. A warning when they cost
something: the level of the three values after the spike is, in the median over the spikes, above that of ten values
before by more than `harm` (1.0) of it and by a tenth of where the loss began; or when the net is a classifier, for
there the loss of a fair batch does not rise above that of guessing. Else information: a regression with a few far
targets shows such spikes and learns.

Evidence
--------
The highest spike, the number of spikes, and the level after them against the level before.

What to try
-----------
1. Look at the batches of the steps named: inputs and targets as the net sees them.
2. Clip the gradient norm (`torch.nn.utils.clip_grad_norm_`), at about the usual norm.
3. Lower the learning rate to a third.

When it misleads
----------------
Tasks that get harder in stages, and rewards that change, show jumps of their own.

Example that fires
------------------
```python
count = [0]

def broken(x, y):
    count[0] += 1
    return (x, (y + 3) % 10) if count[0] % 30 == 0 else (x, y)

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
train(model, torch.optim.Adam(model.parameters(), lr=0.003), transform=broken, steps=300)
```

Example that stays quiet
------------------------
```python
count = [0]

def broken_once(x, y):
    count[0] += 1
    return (x, (y + 3) % 10) if count[0] == 150 else (x, y)

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
train(model, torch.optim.Adam(model.parameters(), lr=0.003), transform=broken_once, steps=300)
```

References
----------
- Chowdhery et al., PaLM: scaling language modeling with pathways, 2022 (section 5.1: spikes, and batches skipped).
- Google Research, Deep learning tuning playbook, 2023 (training instability, gradient clipping).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import round_rate, short
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import running_median
from probes.diagnosis.signs.swings import last_part, scale_of_loss
from probes.diagnosis.task import batch_size, classifies
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Floats, NotJudged, RunView

MINIMUM_VALUES = 50
TINY_BATCH = 8
WINDOW = 15
RARE = 0.1
"""Share of the values up to which jumps are spikes: beyond, they are what the noise has become."""
LAST_VALUES = 20_000
"""A long series is judged by its last values: what ended long ago does no harm, and running medians take time."""


@dataclass(frozen=True)
class Spikes:
    """Where each spike is highest (indices), the highest value, the level around it, and what comes after.

    Attributes:
        aftermath, rise: level after a spike over that before, and less that before; medians over the spikes.
    """

    places: tuple[int, ...]
    highest: int
    level: float
    aftermath: float
    rise: float


def criterion(
    values: Floats,
    scale: float,
    *,
    spread: float = 8.0,
    height: float = 1.0,
    repeats: float = 3,
    harm: float = 1.0,
) -> Spikes | None:
    """The spikes of a loss, when they come again and again.

    Args:
        values: the finite values of the loss, [T].
        scale: where the loss began, or the loss of guessing.
        spread: height of a spike over its level, in usual spreads (the 90th percentile of a normal noise lies at
            1.3 standard deviations: 8 of them are ten standard deviations).
        height: height of a spike, as a share of ``scale``.
        repeats: fewest spikes.
        harm: rise of the level after a spike over that before, as a share (used by the judge).
    """
    if len(values) < MINIMUM_VALUES or not scale > 0 or not values.min() >= 0:
        return None
    level = np.maximum(running_median(values, WINDOW), 1e-12 * scale)
    relative = values / level
    usual = max(float(np.percentile(relative, 90)) - 1.0, 0.0)
    high = (
        (relative > 1.0 + spread * usual)
        & (relative > max(3.0, (1.0 + usual) ** 4))
        & (values > np.maximum(height * scale, level + 0.3 * scale))
        & (level < 0.7 * scale)
    )
    high[: len(values) // 10] = False
    at = np.flatnonzero(high)
    groups = [group for group in np.split(at, np.flatnonzero(np.diff(at) >= 4) + 1) if len(group)]
    if len(groups) < repeats or len(at) > RARE * len(values) or at[-1] < 2 * len(values) // 3:
        return None
    later = len(at) - len(groups[0])
    if later > RARE * (len(values) - 1 - at[0]):
        return None
    places = tuple(int(group[np.argmax(values[group])]) for group in groups)
    ends = np.array([_aftermath(values, int(group[0]), int(group[-1])) for group in groups])
    before, after = ends[:, 0], ends[:, 1]
    highest = max(places, key=lambda place: float(values[place]))
    return Spikes(
        places, highest, float(level[highest]), float(np.median(after / before)), float(np.median(after - before))
    )


def _aftermath(values: Floats, first: int, last: int) -> tuple[float, float]:
    """Level of ten values before a spike, and of the three after it; alike at the ends of the series."""
    before, after = values[max(0, first - 10) : first], values[last + 1 : last + 4]
    if not len(after) or not len(before) or not np.median(before) > 0:
        return 1.0, 1.0
    return float(np.median(before)), float(np.median(after))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the one training loss."""
    name, curve = training_loss(view)
    loss = curve.finite
    if len(loss) < MINIMUM_VALUES:
        raise NotJudged(f"{len(loss)} finite values of {name}, needs {MINIMUM_VALUES}")
    batch = batch_size(view)
    if batch is not None and batch < TINY_BATCH:
        raise NotJudged(f"batches of {batch}: single examples that are hard look like spikes")
    scale = scale_of_loss(view, name, loss)
    loss = last_part(loss, min(1.0, LAST_VALUES / len(loss)))
    found = criterion(loss.values, scale, **thresholds)
    if found is None:
        return []
    steps = [int(loss.steps[place]) for place in found.places]
    shown = ", ".join(str(step) for step in steps[-3:])
    peak = float(loss.values[found.highest])
    harmful = found.aftermath > 1.0 + thresholds["harm"] and found.rise > 0.1 * scale
    cost = (
        f" and was {short(found.aftermath)} times its level right after (median)"
        if harmful
        else ", and came back at once"
    )
    rate = view.learning_rate(steps[-1])
    return [
        RULE.finding(
            "warning" if harmful or classifies(view) else "info",
            f"{name} jumped {len(steps)} times since step {steps[0]} (last at steps {shown}), up to {short(peak)} "
            f"from a level of {short(found.level)}{cost}.",
            (steps[0], steps[-1]),
            view,
            active=True,
            evidence=(
                Evidence(name, peak, scale * thresholds["height"], ">", int(loss.steps[found.highest]), note="highest"),
                Evidence(name, float(len(steps)), thresholds["repeats"], ">", note="spikes"),
                Evidence(name, found.aftermath, 1.0 + thresholds["harm"], ">", note="level after over level before"),
            ),
            suggestions=(
                f"look at the batches of steps {shown}: inputs of another scale, wrong labels, broken examples?",
                "clip the gradient norm: torch.nn.utils.clip_grad_norm_",
                f"lower the learning rate from {short(rate)} to about {round_rate(rate / 3)}"
                if rate
                else "lower the learning rate to a third",
            ),
        )
    ]


RULE = Rule(
    slug="loss-spikes",
    family="loss",
    severity="warning",
    title="The loss jumps again and again",
    needs="50 values of one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
