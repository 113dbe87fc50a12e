"""The training loss rises for good: training makes the net worse.

What it detects
---------------
The level of the training loss at the end lies far above where it began, or has lost most of what had been
gained, and stays there.

Why it matters
--------------
Minimising should lower the loss on the very examples it is computed on. When it rises for good, the steps
lead away
from the minimum: every further step costs time and makes the weights worse.

Criterion
---------
- *Above the start*: the last `patience` values (10, or a twentieth of all when that is more, but no more than 100) all
  lie above `factor` (1.5) times the initial level, or the last 12 do at three times that level (their median);
- or *lost again*: the loss had fallen by 30% or more, and the level of the last tenth of its values lies above the best
  one by more than `lost` (0.6) of that gain and by more than 6 times its noise, and so does the running median of the
  last `patience` values, or of a twentieth of all when that is more (but no more than 500);
- or *unlearned*: the training accuracy was higher by 0.1, and by 5 standard errors, than it comes to anywhere in the
  last quarter of the run (medians of 20 blocks), and so was that of validation: what a net of large scores loses may
  look small beside the loss that it began with. A warning.

A rise is one for good when it has lasted three times as long as any before it from which the loss came back: a loss
whose level wanders (other tasks, other parts of a stream) rises again and again. That is not asked of a rise above the
start whose latter half lies above 1.5 times the highest value before it.

Not told is a loss of answers that follow targets which move with the net, while it does not grow without bound (the
last quarter of its values since the rise is at no more than 10 times the level of the quarter before): temporal
differences (`td`, `q`) are logged beside it, or a squared or absolute error leaves open less than a quarter of the
variance of the targets of all frames, or was next to nothing at first, beside the targets (a hundredth of their
squares), in a net that began as it was drawn. Such a loss begins at nothing, while all answers are alike.

While a run goes on, a loss that was lost and falls again is not told: the second half of the values since lies nearer
to the best level, by a quarter or more, than the first half does (new classes, a restart of the learning rate). Nor is
a rise, up to 3 times the start, since which the loss falls beyond doubt (5 standard errors of a straight line, 1 of one
through the latter half: a curriculum that became harder). And in its first 100 steps it is not told while another
series of training, a term of the loss say, has fallen to less than 0.7 of its beginning.

Without one training loss, as of a generator and a discriminator, a distance between generated and real examples is
judged (Fréchet, FID, KID, MMD), in a run that is over, from 5 values and one before the first step on: a warning when
it lies above twice that first one through the last quarter of its values.

Only losses whose first values are all positive are judged: a loss that begins around zero or below has no
scale to measure a rise by.

Evidence
--------
The level at the end against the initial and the best level, and the step since which it has been above.

What to try
-----------
1. Lower the learning rate; look at the schedule if it rises at a certain step.
2. Check that gradients are cleared each step (`optimizer.zero_grad()`), and that the loss is minimised, not
   maximised.
3. Clip the gradient norm.

When it misleads
----------------
A loss whose meaning changes during training (a curriculum, a growing weight of one of its terms, the critic
of an agent whose rewards grow) may rise although all is well.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.02, maximize=True))
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.5))
```

References
----------
- Bengio, Practical recommendations for gradient-based training of deep architectures, 2012 (section 3.1.1).
- Karpathy, CS231n, Neural Networks part 3: babysitting the learning process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.diagnosis.course import course
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent, round_rate, short
from probes.diagnosis.progress import where_it_began
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import block_medians, closing, longest_run, opening, running_median, trailing_run
from probes.diagnosis.signs.driven_apart import TWICE, DrivenApart, driven_apart
from probes.diagnosis.signs.followed import follows_targets, has_levelled
from probes.diagnosis.signs.recovering import recovers
from probes.diagnosis.signs.unlearned import Unlearned, unlearned
from probes.diagnosis.tracks import TRAIN_SPLITS, split_of, training_loss
from probes.diagnosis.view import Curve, Floats, Mask, NotJudged, RunView

MINIMUM_VALUES = 12
FAR, FAR_VALUES = 3.0, 12
"""Level over the initial one, and values in a row, that are a disaster however long the run has been."""
LOST_SHARE = 0.05
"""Part of all values that must lie above what is left of the gain, besides the level of the last tenth."""
LONG_RISE, LONG_LOSS = 100, 500
"""Values above the start, or with most of the gain lost, that are enough in the longest of runs."""
CAME_BACK = 3.0
"""Length of a rise for good over that of the longest one before, from which the loss came back."""
NEW = 1.5
"""Level over the highest value before a rise, from which no earlier rise compares with it: this one goes on and on."""
RETURNS = 0.75
"""Height over the best level in the second half of a rise, over that in the first, of a loss on its way back."""
EARLY_STEPS, FALLEN = 100, 0.7
"""Steps in which a term of the loss may grow before it falls, and what is left of another term that learns."""


@dataclass(frozen=True)
class Divergence:
    """What sort of rise, since which value (index), from which level, to which, and the limit it is above."""

    kind: Literal["above the start", "lost again"]
    since: int
    reference: float
    end: float
    limit: float


def criterion(
    loss: Curve, began: float | None = None, *, factor: float = 1.5, patience: float = 10, lost: float = 0.6
) -> Divergence | None:
    """Whether a training loss rises for good.

    Args:
        loss: the finite values of the loss.
        began: where it began, when its first values do not tell.
        factor: level over the initial level (noise and warm-up stay below 1.5 in healthy runs).
        patience: values in a row that must lie above.
        lost: share of the gain that is lost again (a restart of the learning rate loses less than half).
    """
    summary = course(loss.steps, loss.values, began)
    if summary is None or not loss.values[:10].min() > 0:
        return None
    start, best, end = summary.start, summary.best, summary.end
    limit = factor * start
    above = trailing_run(loss.values > limit)
    far = above >= FAR_VALUES and float(np.median(loss.values[-FAR_VALUES:])) > FAR * start
    long = far or above >= max(patience, min(0.05 * summary.values, LONG_RISE))
    if long and (_is_new(loss.values, above) or above >= CAME_BACK * _longest_before(loss.values > limit, above)):
        return Divergence("above the start", len(loss) - above, start, end, limit)
    gain = start - best
    limit = best + max(lost * gain, 6.0 * summary.noise)
    if gain < 0.3 * start or not end > limit:
        return None
    # Single values of a noisy loss are no level: medians of blocks tell since when.
    ends, blocks = block_medians(np.arange(len(loss)), loss.values, 400)
    high = running_median(blocks, 9) > limit
    above = trailing_run(high)
    fallen = int(np.argmin(high))
    if above < CAME_BACK * _longest_before(high[fallen:], above):
        return None
    values = len(loss) - (int(ends[-above - 1]) + 1 if above < len(blocks) else 0) if above else 0
    if values >= max(patience, min(LOST_SHARE * summary.values, LONG_LOSS)):
        return Divergence("lost again", len(loss) - values, best, end, limit)
    return None


def _is_new(values: Floats, trailing: int) -> bool:
    """Whether the latter half of the last ``trailing`` values lies far above anything that the loss came back from."""
    before = values[: len(values) - trailing]
    return len(before) > 0 and float(np.median(values[-(trailing + 1) // 2 :])) > NEW * float(before.max())


def _longest_before(high: Mask, trailing: int) -> int:
    """The longest run in ``high`` [T] before the last ``trailing`` entries."""
    return longest_run(high[: len(high) - trailing])[1]


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the one training loss."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        apart = driven_apart(view)
        if apart is None:
            raise
        return [_apart(view, apart)]
    loss = curve.finite
    if len(loss) < MINIMUM_VALUES:
        raise NotJudged(f"{len(loss)} finite values of {name}, needs {MINIMUM_VALUES}")
    lost = unlearned(view)
    found = criterion(loss, where_it_began(view, name, loss), **thresholds)
    if found is None and lost is not None:
        return [_unlearned(view, name, lost)]
    if found is None or _a_term_falls(view, name):
        return []
    if has_levelled(loss.values[found.since :]) and follows_targets(view):
        return []
    if found.kind == "lost again" and view.status == "running" and _falls_again(loss.values[found.since :], found):
        return []
    critical = found.end > FAR * found.reference and found.kind == "above the start"
    since = int(loss.steps[found.since])
    if not critical and recovers(view, loss, since):
        return []
    rate = view.learning_rate(since)
    was = "its initial level" if found.kind == "above the start" else "its best level"
    return [
        RULE.finding(
            "critical" if critical else "warning",
            f"{name} is at {short(found.end)}, above {was} of {short(found.reference)}, since step {since}, "
            "and does not come back.",
            (since, view.last_step),
            view,
            evidence=(
                Evidence(
                    name,
                    found.end,
                    found.limit,
                    ">",
                    note="level at the end",
                ),
            ),
            suggestions=(
                f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}"
                if rate
                else "lower the learning rate by a factor of ten",
                "check that gradients are cleared at each step: optimizer.zero_grad()",
                "check that the loss is minimised: its sign, and that it falls as predictions get better",
                f"go back to a checkpoint from before step {since}",
            ),
        )
    ]


def _apart(view: RunView, apart: DrivenApart) -> Finding:
    """The finding on a generator that was made worse than it was drawn."""
    return RULE.finding(
        "warning",
        f"{apart.series} is at {short(apart.end)} in the end, where the untrained generator had {short(apart.start)}: "
        f"what it makes is farther from the real examples, since step {apart.since}, and does not come back.",
        (apart.since, view.last_step),
        view,
        evidence=(Evidence(apart.series, apart.end, TWICE * apart.start, ">", note="level at the end"),),
        suggestions=(
            "check the signs: the generator's loss falls as the discriminator takes its outputs for real",
            "check that no optimizer was made with maximize=True",
            "lower the learning rate of the generator by a factor of ten",
        ),
    )


def _unlearned(view: RunView, name: str, lost: Unlearned) -> Finding:
    """The finding on accuracies that were reached, and are lost for good: the scale of a loss may hide it."""
    rate = view.learning_rate(lost.step)
    return RULE.finding(
        "warning",
        f"{lost.series} was {percent(lost.best)} about step {lost.step} and comes to {percent(lost.end)} at most in "
        f"the last quarter, {lost.validation} to {percent(lost.end_validation)} after "
        f"{percent(lost.best_validation)}: what had been learned is lost again.",
        (lost.step, view.last_step),
        view,
        evidence=(
            Evidence(lost.series, lost.end, lost.best, "<", note="best of the last quarter, against the best"),
            Evidence(lost.validation, lost.end_validation, lost.best_validation, "<", note="the same of validation"),
        ),
        suggestions=(
            f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}, or as training goes on"
            if rate
            else "lower the learning rate by a factor of ten, or as training goes on",
            f"look at what {name} and the gradient norm did from step {lost.step} on: clip the gradient if it leaps",
            f"go back to a checkpoint from about step {lost.step}",
        ),
    )


def _falls_again(since: Floats, found: Divergence) -> bool:
    """Whether the values ``since`` the rise are on their way back to the best level."""
    half = len(since) // 2
    return float(np.median(since[half:])) - found.reference < RETURNS * (
        float(np.median(since[:half])) - found.reference
    )


def _a_term_falls(view: RunView, name: str) -> bool:
    """Whether, early in a run that goes on, something else that is measured in training falls meanwhile."""
    if view.status != "running" or view.last_step >= EARLY_STEPS:
        return False
    for other in view.series_names:
        if other == name or split_of(other)[0] not in TRAIN_SPLITS:
            continue
        curve = view.series(other)
        values = curve.finite.values if curve is not None else np.empty(0)
        if len(values) >= MINIMUM_VALUES and values.min() > 0 and closing(values) < FALLEN * opening(values):
            return True
    return False


RULE = Rule(
    slug="loss-diverging",
    family="loss",
    severity="critical",
    title="The loss diverges",
    needs="12 values of one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
