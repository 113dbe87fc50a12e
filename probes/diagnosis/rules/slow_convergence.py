"""The loss falls, but so slowly that the run ends, or stands still, far from done.

What it detects
---------------
Two ways to waste most of a run: a schedule that takes the learning rate to nothing while there was much left to
learn, and steps so small that hundreds of them hardly lower a loss that falls all the time.

Why it matters
--------------
The net learns. It would learn the same ten times faster, or ten times as much, with a schedule that lasts or with
larger steps.

Criterion
---------
The run has done at least `steps_needed` (100) steps with at least 10 values of the loss, which has lost less than
`learned` (0.5) of its beginning (measured from the loss of guessing where it began above that); where an accuracy
was logged, it is above always giving the most frequent class by less than 0.8 of the way to 1 (0.6 for small
steps). Either

- *the rate ran out*: over the last 40% of the steps the learning rate was below `spent` (0.05) of its highest, and
  its mean over the run below `mean_rate` (0.12; 0.2 where the last 40% had less than a tenth of `spent`) of that; the
  loss no longer falls (over that time by less than 2% of its level), but fell all the while there was a rate: laid out
  along the learning rate summed up instead of along the steps, its fall in the last 40% is at least `pace` (0.5) times
  the mean, or the rate was gone before the weights could go anywhere (less than 30 steps at the full rate). Where the
  rate was below a thousandth of its highest for half of the run, a loss that has lost up to 0.8 counts as well, if it
  was on its way when the rate was taken: until the rate was halved it fell (2 standard errors) at half of `pace` or
  more, and as much training again, along the summed-up rate, would have halved it (5 standard errors). If that fall was
  as fast as ever (0.9 times the mean), only an accuracy of 0.9 of the way to 1 excuses it;
- or *small steps*: after twice `steps_needed`, the loss has lost less than `barely` (0.3; `learned`, where an accuracy
  is known to be less than 0.6 of the way to 1), falls at the end at 0.7 times the mean pace or faster (0.6 there),
  certainly (5 standard errors there or, with 2 there, of a line through the whole run; on the validation loss, where
  single batches are too noisy to tell), and a step
  changes the weights by less than `small_step` (5e-4) of their size in the median (1e-3 is usual), while the learning
  rate is not being raised.

Such a score of validation as Dice, IoU, F1 or R^2 stands in for an accuracy that was not logged, when it is below 0.6;
with none of these, the R^2 that a mean squared error and the variance of the targets tell.

Or, after twice `steps_needed`, the loss of a run that has ended falls in a straight line: in the last third of the
steps at 0.9 times the pace of the third before and more, for certain (10 standard errors), so that as many steps again
would gain a fifth of its level, at a rate that is not lowered and steps below a fifth of `small_step` in the median.
However much of it went at first, the rest waits for these steps. Not where the validation loss promises less than half
of that, nor at an accuracy of 0.6 of the way to 1.

Or the steps are small for a known reason: `KLDivLoss` with its default reduction divides by the number of classes (10
or more), too, under plain gradient descent, and the loss of a run that has ended was falling for certain (10 standard
errors), so that as many steps again would gain half of its level. Or what is logged, and backpropagated, is a constant
part (less than a tenth) of the mean of the loss that was recognised at the outputs: under plain gradient descent at a
rate above 0.003 a step is less than a thousandth of the weights times that rate, and a run that has ended, at no
accuracy to speak of, lost less than a fifth of its loss.

Or the targets lie far from zero for what they vary by: a squared error that began at twice their variance or more took
a tenth of the run and more to come below it, more than a tenth of the variance is left at the end, and at a rate that
was not lowered the loss falls through the latter half of the run as it did (0.7 times the mean there and more, 5
standard errors), so that half as much training again would gain half of its level.

A loss that was below half of guessing from the beginning, and a net of which some weights are frozen, are fine-tuned
with small steps on purpose: not reported. A run that goes on gets information only, for small steps.

Evidence
--------
The learning rate at its highest and at the end, or the size of the steps, and the fall of the loss.

What to try
-----------
1. The rate ran out: decay it over the whole run (cosine to the last step), or not at all; count whether the scheduler
   is stepped every batch where it was meant to be stepped every epoch.
2. Small steps: raise the learning rate by factors of three, until the loss falls fast or begins to bounce.
3. Look at what is reported as its cause, if anything is.

When it misleads
----------------
Where the targets can hardly be predicted, a loss that stays high is the best there is: with a rate that was gone early
nobody can tell.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.93)
train(model, optimizer, schedule=decay, steps=250)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 250)
train(model, optimizer, schedule=decay, steps=250)
```

References
----------
- CS231n, Neural Networks part 3 (annealing the learning rate; ratio of updates to weights about 1e-3).
- Google Research, Deep learning tuning playbook, 2023 (decay over the whole of the training budget).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.diagnosis.beginning import need_beginning
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.gradients import step_size
from probes.diagnosis.numbers import percent, round_rate, short
from probes.diagnosis.outcome import reached_at_end
from probes.diagnosis.progress import guessing_loss
from probes.diagnosis.rates import highest_rates, mean_rates
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import closing, level, opening, trailing_run
from probes.diagnosis.signs.averaged import PROMISE, Averaged, averaged_over_classes
from probes.diagnosis.signs.distant import FAR, LATE, Distant, distant_targets
from probes.diagnosis.signs.scaled import PART, STARVED, Scaled, divided_again
from probes.diagnosis.slope import Fall, fall, is_certain, is_straight
from probes.diagnosis.task import falls_short
from probes.diagnosis.tracks import training_loss, validation_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

MINIMUM_VALUES = 10
MUCH, IDLE, NOTHING = 0.8, 0.5, 1e-3
"""Fall of the loss that needs no more, share of the run without a rate, and the rate that is none, of its highest."""
HALVES, AS_EVER = 0.5, 0.9
"""Promise of a loss that as much training again would halve, and fall over the mean one that has not slowed down."""
GONE = 5.0 / 3.0
"""Times the mean rate that is let pass where the rate was next to nothing for the last 40% of the steps."""
TINY, SURE, FIFTH = 0.2, 10.0, 0.2
"""Size of steps, of those that are small, fall over its standard error, and promise, of a loss in a straight line."""
POOR = 0.6
"""Accuracy, as a share of the way from always giving the most frequent class to 1, that small steps may end at."""
GOOD_STEP = 1e-3
"""Step size that the suggested rate aims at (CS231n)."""


@dataclass(frozen=True)
class Slow:
    """Which of the three, the loss at both ends, and the number it rests on.

    Attributes:
        measure: sum of the learning rate over its highest, in steps ("rate"), or the median step size (else).
        enough: accuracy, as a share of the way from always giving the most frequent class to 1, that excuses it.
    """

    kind: Literal["rate", "steps", "straight"]
    start: float
    end: float
    share: float
    measure: float
    enough: float


def criterion(
    loss: Curve,
    rates: Floats | None,
    size: float | None,
    guessing: float | None = None,
    highest: float | None = None,
    poor: bool = False,
    *,
    learned: float = 0.5,
    barely: float = 0.3,
    spent: float = 0.05,
    mean_rate: float = 0.12,
    pace: float = 0.5,
    small_step: float = 5e-4,
    steps_needed: float = 100,
) -> Slow | None:
    """Whether a run converges slowly.

    Args:
        loss: the training loss, finite, [T].
        rates: the mean learning rate of the steps up to each value of the loss, [T]; None when unknown.
        size: median step size over the run (update over weights); None when unknown or small on purpose.
        guessing: the loss of guessing, None when unknown.
        highest: the highest learning rate of any step; None: the highest of ``rates``.
        poor: whether an accuracy is known that is far from right (less than `POOR` of the way to 1).
        learned: fall of the loss that is enough, as a share of its beginning.
        barely: the same for small steps, which may just need more time.
        spent: rate that is as good as none, as a share of the highest.
        mean_rate: mean rate as a share of the highest (cosine 0.5, three steps of a tenth 0.37).
        pace: fall at the end of the summed-up rate, over the mean (0 when the loss had converged).
        small_step: step size, as a share of the weights (1e-3 is usual, CS231n).
        steps_needed: fewest steps.
    """
    steps, values = loss.steps, loss.values
    if len(values) < MINIMUM_VALUES or steps[-1] < steps_needed:
        return None
    start, end = opening(values), closing(values)
    reference = start if guessing is None else min(start, guessing)
    share = (reference - end) / reference if reference > 0 else 1.0
    if guessing is not None and start < 0.5 * guessing:
        return None
    if size is not None and 0 < size < TINY * small_step and steps[-1] >= 2 * steps_needed and _straight(loss, rates):
        return Slow("straight", start, end, share, size, POOR)
    if share >= MUCH:
        return None
    if rates is not None and rates.max() > 0:
        shares = rates / max(rates.max(), highest or 0.0)
        done = _ran_out(loss, shares, spent, mean_rate, pace)
        if done is not None and (share < learned or _cut_short(loss, shares, done.along, pace)):
            as_ever = done.along is not None and done.along.pace >= AS_EVER and done.along.certainty >= 5.0
            return Slow("rate", start, end, share, done.trained, 0.9 if as_ever else 0.8)
    if share >= learned:
        return None
    trend = fall(steps.astype(np.float64), values)
    slow = trend is not None and trend.pace >= (0.6 if poor else 0.7)
    slow = slow and trend is not None and is_certain(trend, steps.astype(np.float64), values, 5.0)
    little = poor or share < barely
    if slow and size is not None and 0 < size < small_step and little and steps[-1] >= 2 * steps_needed:
        return Slow("steps", start, end, share, size, POOR)
    return None


def _straight(loss: Curve, rates: Floats | None) -> bool:
    """Whether the loss falls in a straight line to the end, far from done, at a rate that is not lowered."""
    along = loss.steps.astype(np.float64)
    trend = fall(along, loss.values)
    steady = rates is not None and bool(rates[int(0.6 * len(rates)) :].min() >= AS_EVER * rates.max() > 0)
    certain = trend is not None and trend.certainty >= SURE and trend.promise >= FIFTH
    return steady and certain and is_straight(along, loss.values, AS_EVER)


@dataclass(frozen=True)
class _Spent:
    """Steps at the full rate that a schedule amounts to, and how the loss fell along them."""

    trained: float
    along: Fall | None


def _ran_out(loss: Curve, rates: Floats, spent: float, mean_rate: float, pace: float) -> _Spent | None:
    """What the whole schedule amounts to, when it was gone while the loss still fell."""
    tail = loss.steps >= loss.steps[0] + 0.6 * (loss.steps[-1] - loss.steps[0])
    gone = 0.1 * spent > rates[tail].max()
    if rates[tail].max() >= spent or rates.mean() >= mean_rate * (GONE if gone else 1.0):
        return None
    rest = loss.values[tail]
    third = max(3, len(rest) // 3)
    if level(rest[:third]) - level(rest[-third:]) > 0.02 * abs(level(rest)):
        return None
    gaps = np.diff(loss.steps, prepend=loss.steps[0] - float(np.median(np.diff(loss.steps))))
    trained = np.cumsum(rates * gaps)
    along = fall(trained, loss.values)
    if float(trained[-1]) < 30.0 or (
        along is not None and along.pace >= (0.6 if gone else 1.0) * pace and along.certainty >= 3.0
    ):
        return _Spent(float(trained[-1]), along)
    return None


def _cut_short(loss: Curve, rates: Floats, along: Fall | None, pace: float) -> bool:
    """Whether half of the run had no rate, and the loss was on its way down when it was taken."""
    idle = trailing_run(rates < NOTHING)
    if idle < IDLE * len(rates) or along is None or along.promise < HALVES or along.certainty < 5.0:
        return False
    top = int(np.argmax(rates))
    full = top + int(np.argmax(rates[top:] < 0.5))
    before = fall(loss.steps[:full].astype(np.float64), loss.values[:full])
    return before is not None and before.pace >= 0.5 * pace and before.certainty >= 2.0


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the one training loss beside the learning rate and the size of the steps."""
    name, curve = training_loss(view)
    loss = curve.finite
    needed = int(thresholds["steps_needed"])
    if len(loss) < MINIMUM_VALUES or view.last_step < needed:
        raise NotJudged(f"{len(loss)} values of {name} in {view.last_step} steps, needs {MINIMUM_VALUES} in {needed}")
    need_beginning(view, loss.steps, name)
    if len(loss) < 0.9 * len(curve):
        raise NotJudged(f"{len(curve) - len(loss)} of {len(curve)} values of {name} are not finite")
    known, size = mean_rates(view, loss), _size(view)
    if known is None and size is None:
        raise NotJudged("neither the learning rate nor the size of the steps was recorded")
    guessing = guessing_loss(view)
    rates, highest = known if known is not None else (None, None)
    _, reached, common = reached_at_end(view, POOR)
    poor = reached is not None and falls_short(reached, common, POOR)
    found = criterion(loss, rates, size, guessing, highest, poor, **thresholds)
    if found is not None and found.kind == "straight" and not _goes_on(view):
        found = None
    if found is None and (held := _validation(view)) is not None and size is not None:
        name, loss = held
        found = criterion(loss, None, size, guessing, None, poor, **thresholds)
    if found is None:
        name, loss = training_loss(view)[0], curve.finite
        averaged = averaged_over_classes(view, loss)
        if averaged is not None:
            return [_divided(view, name, loss, averaged)]
        distant = distant_targets(view, loss)
        if distant is not None:
            return [_far_off(view, name, loss, distant)]
        scaled = divided_again(view, loss) if reached is None or poor else None
        return [] if scaled is None else [_scaled(view, name, loss, scaled)]
    if reached is not None and not falls_short(reached, common, found.enough):
        return []
    return [_report(view, name, loss, found, thresholds)]


def _validation(view: RunView) -> tuple[str, Curve] | None:
    """The validation loss, which is over all examples and shows a slow fall that noise hides in single batches."""
    try:
        name, curve = validation_loss(view)
    except NotJudged:
        return None
    return (name, curve) if len(curve.finite) == len(curve) else None


def _goes_on(view: RunView) -> bool:
    """Whether a run is over, and its validation loss, where there is one, would gain from more of it, too."""
    held = _validation(view)
    trend = fall(held[1].steps.astype(np.float64), held[1].values) if held is not None and len(held[1]) else None
    return view.status != "running" and (held is None or (trend is not None and trend.promise >= 0.5 * FIFTH))


def _size(view: RunView) -> float | None:
    """The median step size; None when unknown, while the rate is being raised, and in fine-tuning."""
    if view.warming_up or any(not parameter.trainable for parameter in view.parameters):
        return None
    try:
        size = level(step_size(view).values)
    except NotJudged:
        return None
    return size if np.isfinite(size) else None


def _far_off(view: RunView, name: str, loss: Curve, found: Distant) -> Finding:
    """A regression that spent its steps on the mean of its targets."""
    start = float(loss.values[0])
    return RULE.finding(
        "warning",
        f"{name} began at {short(start)}, {short(start / found.variance)} times the variance of the targets "
        f"({short(found.variance)}), came below that at step {found.since} of {view.last_step}, and is at "
        f"{short(found.fall.end)}, still falling: the mean of the targets was learned first, and the rest late.",
        (int(loss.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(name, start / found.variance, FAR, ">", note="first value, over the variance of the targets"),
            Evidence(name, found.since / view.last_step, LATE, ">", note="part of the run before it was below that"),
            Evidence(name, found.fall.promise, note="gain of half as many steps again, of the level"),
        ),
        suggestions=(
            "scale the targets: subtract their mean over the training data and divide by their standard deviation "
            f"(about {short(float(np.sqrt(found.variance)))}), and scale the answers back",
            "or begin with the mean of the targets as the bias of the last layer",
            "train on, until the loss no longer falls",
        ),
    )


def _divided(view: RunView, name: str, loss: Curve, found: Averaged) -> Finding:
    """Steps that are as many times too small as there are classes."""
    rate = view.learning_rate(view.last_step)
    faster = f"{short(rate * found.classes)} instead of {short(rate)}" if rate else f"{found.classes} times higher"
    return RULE.finding(
        "warning",
        f"KLDivLoss averages over the {found.classes} classes as well as over the examples: gradient and steps are "
        f"{found.classes} times smaller than those of the divergence. {name} went from {short(found.fall.start)} to "
        f"{short(found.fall.end)} in {view.last_step} steps, and falls still.",
        (int(loss.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(name, found.fall.promise, PROMISE, ">", note="gain of as many steps again, of the level"),
            Evidence(name, found.fall.pace, note="fall at the end over the mean fall of the run"),
        ),
        suggestions=(
            'use KLDivLoss(reduction="batchmean"), which is the mean divergence of an example',
            f"or keep it, and take a learning rate of {faster}, or Adam",
        ),
    )


def _scaled(view: RunView, name: str, loss: Curve, found: Scaled) -> Finding:
    """Steps that are as many times too small as the mean loss was divided by."""
    rate = view.learning_rate(view.last_step) or 0.0
    return RULE.finding(
        "warning",
        f"{name} is the mean {found.loss} of the outputs divided by {short(found.times)}: gradient and steps are as "
        f"many times smaller (a step changes the weights by {short(found.size)} of their size). It went from "
        f"{short(opening(loss.values))} to {short(closing(loss.values))} in {view.last_step} steps.",
        (int(loss.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(name, 1.0 / found.times, PART, "<", note="logged loss over the mean seen at the outputs"),
            Evidence("update_norm", found.size, STARVED * rate, "<", note="median size of a step"),
        ),
        suggestions=(
            "backpropagate the mean over the batch as it is: divide neither by the batch size nor by the number of "
            "examples or batches",
            f"or raise the learning rate {short(found.times)} times, or take Adam, which does not depend on the scale",
        ),
    )


def _report(view: RunView, name: str, loss: Curve, found: Slow, thresholds: dict[str, float]) -> Finding:
    went = f"{name} went from {short(found.start)} to {short(found.end)} in {view.last_step} steps"
    fell = Evidence(name, found.share, thresholds["learned"], "<", note="fall of the loss")
    every = np.arange(1, int(loss.steps[-1]) + 1)
    rates = highest_rates(view, Curve(every, np.zeros(len(every))))
    if found.kind == "rate" and rates is not None:
        highest, last = float(rates.max()), float(rates[-1])
        gone = int(every[int(np.argmax(rates)) + int(np.argmax(rates[int(np.argmax(rates)) :] < 0.1 * highest))])
        return RULE.finding(
            "warning",
            f"The learning rate fell from {short(highest)} to {short(last)}, below a tenth of it by step {gone}:"
            f" all steps together count as {short(found.measure)} at the full rate. {went} and then stood still.",
            (gone, view.last_step),
            view,
            evidence=(
                Evidence("optimizer/lr", last, thresholds["spent"] * highest, "<", note="learning rate at the end"),
                Evidence("optimizer/lr", found.measure, note="steps at the highest rate that the schedule amounts to"),
                fell,
            ),
            suggestions=(
                f"let the schedule last for the whole run: decay over {view.last_step:,} steps, not {gone:,}",
                "check that the scheduler is not stepped every batch where every epoch was meant",
                f"train with the constant rate {short(highest)} first, and see how far the loss falls",
            ),
        )
    factor = min(max(GOOD_STEP / found.measure, 3.0), 100.0)
    rate = view.learning_rate(view.last_step)
    return RULE.finding(
        "info" if view.status == "running" else "warning",
        f"{went}, falling all the time: a step changes the weights by only {short(found.measure)} of their size.",
        (int(loss.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence("update_norm", found.measure, thresholds["small_step"], "<", note="median size of a step"),
            fell,
        ),
        suggestions=(
            f"raise the learning rate from {short(rate)} to about {round_rate(rate * factor)}"
            if rate
            else f"raise the learning rate by a factor of {short(factor)}",
            f"or train longer: at this pace the loss falls by {percent(found.share)} in {view.last_step:,} steps",
            "try momentum, or an adaptive optimizer such as Adam",
        ),
    )


RULE = Rule(
    slug="slow-convergence",
    family="loss",
    severity="warning",
    title="The loss falls too slowly",
    needs="10 values of one training loss over 100 steps, and the learning rate or the size of the steps",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
