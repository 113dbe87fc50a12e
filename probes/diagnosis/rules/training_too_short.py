"""The training ended while the loss was falling as fast as ever, and far from done.

What it detects
---------------
A run that is over, whose loss fell at the end at the mean pace of the whole run or faster, at a level that is still
poor: as it was left, at the end of a schedule of a few steps, or within the warm-up.

Why it matters
--------------
Such a net is not bad, it is unfinished: one epoch where ten are needed. To judge its settings by this result is to
compare how they start.

Criterion
---------
A straight line through the last 40% of the steps gives the fall at the end, judged from 8 values of the loss and 20
steps on. A finding when that fall is at least `pace` (0.9) times the mean fall per step of the whole run, is certain
(5 standard errors, there or, where these steps are too few to tell, of a line through the whole run, with 2 there; or 5
there and 0.97 times the mean since the first tenth of the run, for what the first steps gain tells nothing), and as
many steps again would gain more than `promise` (0.05) of the level at the end, and the level is poor:

- where an accuracy was logged: it is above always giving the most frequent class by less than `good` (0.65) of the
  way to 1, and the loss has lost less than 0.6 of its beginning; alike where no accuracy was, but a score of
  validation (Dice, IoU, F1, R^2 and the like) is below `good`, or, with none of these, the R^2 that a mean squared
  error and the variance of the targets tell;
- else: after 40 steps and more, the loss has lost less than `learned` (0.3) of its beginning, or of the loss of
  guessing where it began above that.

A loss that falls faster and faster at a steady rate (at 1.2 times the mean pace and more, by 2 standard errors above
it; the rate of the last 40% is 0.9 of its highest or more) has not come to its steepest part yet: while less than
`learned` of it is gone, only an accuracy of 0.9 of the way to 1 excuses it.

A run of 20 to `few` (100) steps at a steady rate that was validated once, after the last of them, is a single epoch,
and no trial: with an accuracy as poor as above, or none and weights that begin as they were drawn, it is told already
when its loss, of which less than 0.6 is gone, fell over its last two thirds at 0.35 times the mean pace or more (5
standard errors, there or over the whole run with 2 there): the noise of few steps hides what the last of them gain.

One of so few steps that was validated 8 times and more, as one of hardly a step in each epoch is, need not promise
anything: at an accuracy as poor, it is enough that its loss began at that of guessing, has lost less than 0.12, falls
over the last 40% at 0.6 times the mean pace or more (5 standard errors, there or over the whole run with 2 there), and
that the validation loss, where there is one, has fallen beyond its noise.

Any other run of fewer than 50 steps at a steady rate is a trial: a finding only when less than 0.12 of the loss is
gone, or when it was validated 8 times and more, which nobody does in a trial: then each step was meant to be an epoch;
5 times are enough where the loss falls faster and faster. One of fewer than 20 steps (of 40 and fewer, in a single
epoch with so poor an accuracy) is told when its loss began at that of guessing (as many classes as the last layer has
outputs) and has fallen from there (3 standard errors of a straight line through all of it), by less than that; by less
than half, where an accuracy is known to be below 0.9 of the way to 1.

Where no accuracy was logged, another score may tell, in a run that was validated 5 times and more at a steady rate: one
of validation that is below `good` rises over its last 40%, and never falls there, at
`pace` times its mean rise or faster, by 3 times its noise and a tenth in all, while the loss falls for certain, so that
as many steps again would gain 0.3 of its level.

A schedule of fewer than `few` (100) steps that ends near zero is meant to be the whole training, and lets no loss fall
at its end. There the fall along the learning rate summed up must be 0.3 times the mean one or more, and promise 0.1.
The level is poor by the same measure of accuracy, and also at a better accuracy where more than 0.4 of the loss is left
while it falls as fast as ever (`pace`, for certain), so that as much again would halve it; where more than 0.2 of the
loss is left and it fell in each step of the latter half, 7 and more, it is that of all examples at once (single batches
gain once more as the rate goes, which is no sign that more training would): then it is enough that as much again would
take all of it, at such a pace, or halve it (5 standard errors) in a run that was validated 8 times and more, at an
accuracy below 0.9 of the way to 1, if one is known; without an accuracy, when less than half of the loss is gone and
the fall still goes on at 0.6 times the mean pace. Where such a schedule has at most 20 steps in all, it is enough that
the loss has fallen along it (3 standard errors of a straight line through all of 4 values and more) and half of it is
left; or that the validation loss, measured before the first step and after the last, has fallen by a fiftieth of
guessing (by a twentieth, where it did not begin there), half of it is left and an accuracy, where one is known, is
poor. Such a schedule is over, too, when the last step down of the rate was as large as what remains of it. Of
`steps_needed` (3) steps and more it is judged.

A run that ends while its learning rate is still being raised has ended within its warm-up: a finding when the loss
was falling at the end at 0.6 times the mean pace or more (2 standard errors, and promise) and less than 0.9 of it is
gone. A loss that slows down under a rate that rises has come a good part of its way. Where the noise hides the pace at
the end, a fall over the whole run (3 standard errors; or by a fiftieth of guessing in validation, from before the
first step to after the last) of less than 0.4 of the loss is enough at a poor accuracy; and so is a loss that was
nowhere below its beginning, or guessing, by a twentieth, and ended within a twentieth of that: nothing was learned yet.

A loss that rose above its beginning (the median of a tenth of the run, by 3 standard errors) and fell with the learning
rate at the end of a schedule is not falling because it was trained for too short a time: not a finding.

Without one training loss, as of a generator and a discriminator, a distance between generated and real examples is
judged (Fréchet, FID, KID, MMD), with its value before the first step, when it has fallen by a tenth or more: a finding
when the run ended within its warm-up (a rate that was never lowered, has doubled, and was being raised), it is at its
lowest, and has lost less than 0.4 of that value, or of that of always giving the mean, where a score beside it tells;
or when it has lost less than half, and over 8 values and more falls to the end of the learning rate summed up at 0.6
times the mean pace or more (5 standard errors), so that as much again would gain a tenth of its level.

Only for runs that ended by themselves: one that goes on is never too short, and one that crashed has other troubles. A
loss that was below half of guessing from the beginning (fine-tuning) is let be, and so is a run whose validation loss
did not fall any more from the second third of the training to the last (of the learning rate summed up, for a
schedule): more steps would not help it. Beside a cause of the slow fall, such as saturated activations, this is
information only.

Evidence
--------
The fall at the end against the mean fall, what as many steps again would gain, and the level or the accuracy.

What to try
-----------
1. Train on, from the last checkpoint, at least twice as long, until the loss no longer falls.
2. If the time is short: raise the learning rate, so that the same steps go further.
3. Check the number of epochs, and that the loop was not left early.

When it misleads
----------------
A short trial run is short on purpose. A learning rate that is far too low looks the same when its steps were not
recorded.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 44)
train(model, optimizer, schedule=cosine, steps=44, batch=32)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.2), steps=300, batch=32)
```

References
----------
- Hoffer, Hubara, Soudry, Train longer, generalize better, 2017.
- Karpathy, A recipe for training neural networks, 2019 (leave it training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.diagnosis.beginning import need_beginning
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.outcome import reached_at_end
from probes.diagnosis.progress import begins_at_guessing, guessing_loss, variance_of_targets
from probes.diagnosis.rates import highest_rates, summed_rates
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import block_medians, closing, level, noise, opening
from probes.diagnosis.signs.drawing_nearer import FAR, FAR_IN_WARM_UP, Nearer, drawing_nearer
from probes.diagnosis.signs.drawn import begins_as_drawn
from probes.diagnosis.signs.rising import Rising, still_rising
from probes.diagnosis.slope import Fall, fall, is_certain
from probes.diagnosis.task import falls_short
from probes.diagnosis.tracks import accuracy, training_loss, validation_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView, Steps

MINIMUM_VALUES, FEWEST_VALUES, FEWEST_RATES = 8, 4, 3
CERTAIN = 5.0
LEAST_STEPS, SURE_STEPS = 20, 40
TRIAL, BARELY = 50, 0.12
"""Steps of a trial, and the fall of its loss that shows a net on its way."""
BRIEF_PACE, BRIEF_PROMISE, LEARNED = 0.3, 0.1, 0.05
"""Fall at the end over the mean one, promise, and fall in all, from which a run of few steps was going somewhere."""
HALVES, ALL, MUCH = 0.5, 1.0, 0.8
"""Promise of a loss that as much training again would halve, or take; the first is also the share of it that a handful
of steps leaves, and the last one the part of it that is gone where little is left to wish for."""
FEWEST_FALLS = 7
"""Steps in each of which a loss falls, that are no chance: one in 128 where batches decide."""
STRAIGHT = 0.97
"""Fall at the end, over the mean one since the first tenth, of a loss that goes down in a straight line: one that
settles to what is left has slowed down by more, though the first steps may have hidden it.
"""
EXCUSED = 0.9
"""Accuracy, as a share of the way to 1, that any training may end at."""
SEEN, GLIMPSED = 3.0, 2.0
"""Standard errors of a fall in a handful of steps, and in a warm-up: for what is said, any fall will do."""
SOME, MOST = 0.4, 0.6
"""Fall of the loss of a run that has not come far within its warm-up, and of one with far to go after its one epoch."""
RAISED, ON_ITS_WAY, DONE = 2.0, 0.6, 0.9
"""Rise of the rate over a run that makes it a warm-up, fall at the end over the mean one of a loss that has not slowed
down, and the part of the loss that is all one can wish for."""
GAINED = 0.02
"""Fall of a validation loss that began at guessing which a handful of steps are known to have gained."""
FASTER, EPOCHS = 1.2, 5
"""Fall at the end over the mean one of a loss that falls faster and faster, and validations that make it no trial."""
STEADY = 0.9
"""Rate at the end of a run, of its highest, that was not lowered."""
CLEAR = 0.3
"""Promise of a loss whose fall goes on beside answers that become better as fast as ever."""
RESTS = 0.01
"""Fall of the validation loss over a third of the run, as a share of its level, that is none."""

TWO_THIRDS, NOT_AT_REST = 0.67, 0.35
"""Last part of a run of few steps, and its pace, over the mean one, that no such run has which has come to something
(0.25 and less)."""

Kind = Literal["steady", "epoch", "few", "schedule", "handful", "warm-up", "begun", "nothing"]


@dataclass(frozen=True)
class Unfinished:
    """How the loss falls at the end, the share of its beginning that is gone, and what ended the run.

    Attributes:
        kind: "steady": nothing did; "epoch": the only one was over; "few": epochs of hardly a step were; "schedule": a
            brief one was over; "handful": the same, and only the validation loss shows it; "warm-up": the rate was
            still being raised; "begun": the same, and the fall is seen over the whole run or in validation only;
            "nothing": the same, and there was none.
    """

    fall: Fall
    share: float
    kind: Kind = "steady"


def criterion(
    steps: Steps,
    values: Floats,
    accuracy: float | None = None,
    common: float = 0.0,
    guessing: float | None = None,
    rates: Floats | None = None,
    validated: int = 0,
    untouched: bool = False,
    once: bool = False,
    *,
    pace: float = 0.9,
    promise: float = 0.05,
    good: float = 0.65,
    learned: float = 0.3,
    few: float = 100,
    steps_needed: float = 3,
) -> Unfinished | None:
    """Whether a run ended too early.

    Args:
        steps, values: the loss, finite, [T].
        accuracy: the best-known accuracy at the end, 0 to 1; None when none was logged.
        common: accuracy of always giving the most frequent class.
        guessing: the loss of guessing, None when unknown.
        rates: learning rate at each step of the loss, [T]; None when unknown.
        validated: how often a validation loss, or only an accuracy, was logged.
        untouched: whether the loss began at that of guessing.
        once: whether it was validated after the last step, and before that not since the first.
        pace: fall at the end over the mean fall (healthy runs slow down: 0.6 and less).
        promise: gain of as many steps again, as a share of the level at the end.
        good: accuracy that is good enough, as a share of the way from ``common`` to 1.
        learned: fall of the loss that is enough where no accuracy is known, as a share of its beginning.
        few: steps below which a schedule is brief.
        steps_needed: fewest steps.
    """
    if len(values) < FEWEST_VALUES or steps[-1] < steps_needed:
        return None
    poorly = accuracy is not None and falls_short(accuracy, common, good)
    excused = accuracy is not None and not falls_short(accuracy, common, EXCUSED)
    known = rates if rates is not None and np.isfinite(rates).all() and rates.max() > 0 else None
    if known is not None and steps[-1] < few and _ends_low(known):
        along = np.cumsum(known / known.max())
        brief = _brief(along, values, accuracy is not None, poorly, guessing, pace)
        if brief is None and validated >= MINIMUM_VALUES and not excused:
            brief = _still_falling(along, values, guessing)
        if brief is None and steps[-1] <= LEAST_STEPS:
            brief = _handful(along, values, guessing)
        if brief is not None:
            return brief
    once = once and (poorly or accuracy is None) and is_steady(known)
    if (
        (steps[-1] < LEAST_STEPS or (once and steps[-1] <= 2 * LEAST_STEPS))
        and len(values) >= MINIMUM_VALUES
        and untouched
        and not excused
    ):
        first = _handful(steps.astype(np.float64), values, guessing)
        learns = accuracy is None and first is not None and first.share >= BARELY
        if first is not None and not learns:
            return Unfinished(first.fall, first.share)
    if steps[-1] < LEAST_STEPS or len(values) < MINIMUM_VALUES:
        return None
    found = fall(steps.astype(np.float64), values)
    if untouched and poorly and validated >= MINIMUM_VALUES and steps[-1] < few and is_steady(known):
        begun = _hardly_begun(steps.astype(np.float64), values, guessing)
        if begun is not None:
            return begun
    found = None if found is None or found.promise < promise or _fine_tuned(found, guessing) else found
    if known is not None and _rises(known):
        if found is not None and found.certainty >= GLIMPSED:
            left = closing(values) / _reference(found, guessing)
            early = left > 1.0 - DONE and found.pace >= ON_ITS_WAY
            return Unfinished(found, 1.0 - left, "warm-up") if early else None
        begun = _begun(steps, values, guessing) if found is not None and poorly else None
        begun = _nothing_yet(values, guessing) if begun is None and poorly else begun
        if begun is not None:
            return begun
    epoch = _epoch(steps.astype(np.float64), values, guessing) if once and steps[-1] < few else None
    if epoch is not None:
        return epoch
    if found is None:
        return None
    share = _gone(found, guessing)
    as_since_settled = found.settled >= STRAIGHT and found.certainty >= CERTAIN
    if (found.pace < pace and not as_since_settled) or not is_certain(found, steps.astype(np.float64), values, CERTAIN):
        return None
    if known is not None and _ends_low(known) and _rose(values, _reference(found, guessing)):
        return None  # it was thrown about by a high rate, and calms down
    swift = share < learned and is_steady(known) and _falls_faster(found)
    if accuracy is not None:
        poor = (share < 0.6 and poorly) or (swift and not excused)
    else:
        poor = LEARNED < share < learned and steps[-1] >= SURE_STEPS
    if steps[-1] < TRIAL and share >= BARELY and validated < (EPOCHS if swift else MINIMUM_VALUES):
        poor = False  # a trial of a few steps, which learns
    return Unfinished(found, share) if poor else None


def _brief(
    along: Floats, values: Floats, measured: bool, poorly: bool, guessing: float | None, pace: float
) -> Unfinished | None:
    """A schedule of few steps from beginning to end, over which the loss falls as long as there is a rate."""
    found = fall(along, values) if len(values) >= MINIMUM_VALUES else None
    if found is None or found.pace < BRIEF_PACE or found.promise < BRIEF_PROMISE or found.certainty < 1.0:
        return None
    share = _gone(found, guessing)
    if measured:
        as_ever = found.pace >= pace and found.promise >= HALVES and is_certain(found, along, values, CERTAIN)
        poor = share < 0.6 and (poorly or as_ever)
        poor |= _falls_in_every_step(values) and as_ever and found.promise >= ALL and share < MUCH
    else:
        poor = share < 0.5 and found.pace >= 2.0 * BRIEF_PACE and found.certainty >= CERTAIN
    poor &= share > LEARNED and not _fine_tuned(found, guessing)
    return Unfinished(found, share, "schedule") if poor else None


def _epoch(along: Floats, values: Floats, guessing: float | None) -> Unfinished | None:
    """A loss of few steps at a steady rate that still falls over the last two thirds, and has far to go yet."""
    found = fall(along, values, part=TWO_THIRDS)
    if found is None or found.pace < NOT_AT_REST or _fine_tuned(found, guessing):
        return None
    share = 1.0 - closing(values) / _reference(found, guessing)
    certain = is_certain(found, along, values, CERTAIN)
    return Unfinished(found, share, "epoch") if certain and share < MOST else None


def _hardly_begun(along: Floats, values: Floats, guessing: float | None) -> Unfinished | None:
    """A loss that is near that of guessing yet, and falls from the first of few steps to the last."""
    end = fall(along, values)
    if end is None or end.pace < ON_ITS_WAY or not is_certain(end, along, values, CERTAIN):
        return None
    share = _gone(end, guessing)
    return Unfinished(end, share, "few") if share < BARELY else None


def _begun(steps: Steps, values: Floats, guessing: float | None) -> Unfinished | None:
    """A loss that fell over a warm-up as a whole, and has far to go yet, where noise hides its pace at the end."""
    whole = fall(steps.astype(np.float64), values, part=1.01)
    if whole is None or whole.certainty < SEEN or _fine_tuned(whole, guessing):
        return None
    left = closing(values) / _reference(whole, guessing)
    return Unfinished(whole, 1.0 - left, "begun") if left > 1.0 - SOME else None


def _still_falling(along: Floats, values: Floats, guessing: float | None) -> Unfinished | None:
    """A schedule of few steps in every one of which the loss of all examples falls, far from done."""
    found = fall(along, values) if _falls_in_every_step(values) else None
    if found is None or found.pace < BRIEF_PACE or found.promise < HALVES or found.certainty < CERTAIN:
        return None
    share = _gone(found, guessing)
    return Unfinished(found, share, "schedule") if LEARNED < share < MUCH and not _fine_tuned(found, guessing) else None


def _nothing_yet(values: Floats, guessing: float | None) -> Unfinished | None:
    """A loss that was nowhere below where it began by a twentieth, and is not above it now: nothing was learned yet."""
    start = opening(values) if guessing is None else min(opening(values), guessing)
    share = 1.0 - closing(values) / start if start > 0 else 1.0
    _, levels = block_medians(np.arange(len(values)), values, 10)
    if abs(share) >= LEARNED or levels.min() <= (1.0 - LEARNED) * start:
        return None
    return Unfinished(Fall(start, closing(values), 0.0, 0.0, 0.0, 0.0, 0.0), share, "nothing")


def _falls_in_every_step(values: Floats) -> bool:
    """Whether a loss [T] fell in every step of its latter half, `FEWEST_FALLS` or more: it is that of all examples at
    once, for batches are not alike.
    """
    falls = np.diff(values[len(values) // 2 :])
    return len(falls) >= FEWEST_FALLS and bool((falls < 0).all())


def _handful(along: Floats, values: Floats, guessing: float | None) -> Unfinished | None:
    """A schedule of so few steps that a fall of the loss is all that can be asked of it."""
    found = fall(along, values, part=1.01)
    if found is None or found.certainty < SEEN or _fine_tuned(found, guessing):
        return None
    share = _gone(found, guessing)
    return Unfinished(found, share, "schedule") if share < HALVES else None


def is_steady(rates: Floats | None) -> bool:
    """Whether the rate [T] is known, and was not lowered in the last 40% of its values."""
    return rates is not None and bool(rates[int(0.6 * len(rates)) :].min() >= STEADY * rates.max() > 0)


def _falls_faster(found: Fall) -> bool:
    """Whether a loss falls at the end faster than in the mean of the run, beyond its noise."""
    return found.pace >= FASTER and found.pace * (1.0 - GLIMPSED / found.certainty) > 1.0


def _rose(values: Floats, reference: float) -> bool:
    """Whether a tenth of the loss [T] lay above ``reference``, where it began, beyond the noise of its median (1.25
    sigma / sqrt(n)).
    """
    _, levels = block_medians(np.arange(len(values)), values, 10)
    return bool(levels.max() > reference + 1.25 * SEEN * noise(values) / np.sqrt(max(1.0, len(values) / 10)))


def _ends_low(rates: Floats) -> bool:
    """Whether a schedule [T] is over: the rate is low at its end, or the next step down of a handful leaves none."""
    if 5.0 * rates[-1] < rates.max():
        return True
    return FEWEST_RATES <= len(rates) <= LEAST_STEPS and bool(rates[-1] <= (rates[-2] - rates[-1]) * (1 + 1e-6))


def _seen_in_validation(
    held: Curve, last_step: int, fresh: bool, guessing: float | None, handful: bool
) -> Unfinished | None:
    """A validation loss that fell from before the first step to after the last of a ``handful``, or of a warm-up that
    the run ended in, and has far to go yet.

    The same examples are seen before and after: no noise of batches hides what a few steps gained.
    """
    if len(held) < 2 or held.steps[0] > 0 or held.steps[-1] < last_step:
        return None
    start, end = float(held.values[0]), float(held.values[-1])
    if not start > 0 or not end > 0 or end > (1.0 - (GAINED if fresh else LEARNED)) * start:
        return None
    gain = (start - end) / last_step
    found = Fall(start, end, gain, 1.0, 1.0, gain * last_step / end, float("inf"))
    share = _gone(found, guessing)
    if share >= (HALVES if handful else SOME) or _fine_tuned(found, guessing):
        return None
    return Unfinished(found, share, "handful" if handful else "begun")


def _rises(rates: Floats) -> bool:
    """Whether the rate [T] was never lowered, and is being raised at the end."""
    falls = np.diff(rates) < -1e-9 * rates.max()
    return not falls.any() and rates[-1] > RAISED * rates[0] and rates[-1] > rates[int(0.9 * len(rates))]


def _gone(found: Fall, guessing: float | None) -> float:
    """The share of the beginning, or of guessing where it began above that, that is gone."""
    return 1.0 - found.end / _reference(found, guessing)


def _reference(found: Fall, guessing: float | None) -> float:
    return found.start if guessing is None else min(found.start, guessing)


def _fine_tuned(found: Fall, guessing: float | None) -> bool:
    return guessing is not None and found.start < 0.5 * guessing


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the one training loss of a run that is over."""
    if view.status != "finished":
        raise NotJudged(f"the run is {view.status}: only one that has ended by itself can be too short")
    try:
        name, curve = training_loss(view)
    except NotJudged:
        nearer = drawing_nearer(view)
        if nearer is None:
            raise
        return [_drawing_nearer(view, nearer)]
    loss = curve.finite
    if len(loss) < FEWEST_RATES or view.last_step < thresholds["steps_needed"]:
        needed = int(thresholds["steps_needed"])
        raise NotJudged(f"{len(loss)} values of {name} in {view.last_step} steps, needs {FEWEST_RATES} in {needed}")
    need_beginning(view, loss.steps, name)
    if len(loss) < 0.9 * len(curve):
        raise NotJudged(f"{len(curve) - len(loss)} of {len(curve)} values of {name} are not finite")
    measure, reached, common = reached_at_end(view, thresholds["good"])
    rates = highest_rates(view, loss)
    held = _validated(view)
    guessing = guessing_loss(view)
    guessing = variance_of_targets(view) if guessing is None else guessing
    fresh = begins_at_guessing(view, loss.values)
    once = _once(view, held) and (reached is not None or begins_as_drawn(view))  # fine-tuning is short
    times = len(_validations(view, held))
    found = criterion(loss.steps, loss.values, reached, common, guessing, rates, times, fresh, once, **thresholds)
    handful = view.last_step <= LEAST_STEPS
    if found is None and rates is not None and (_ends_low(rates) if handful else _rises(rates)):
        poorly = falls_short(reached, common, thresholds["good"]) if reached is not None else handful
        found = _seen_in_validation(held, view.last_step, fresh, guessing, handful) if poorly else None
        name = validation_loss(view)[0] if found is not None else name
    rising = _better_and_better(view, loss, rates, thresholds) if found is None and measure != "accuracy" else None
    if rising is not None:
        found = rising[0]
    if found is None:
        return []
    scheduled = found.kind in ("schedule", "handful")
    if _rests(
        held.values,
        _trained(view, held) if scheduled else held.steps.astype(np.float64),
        handful or found.kind == "few",
    ):
        return []
    trend = found.fall
    went = f"{name} went from {short(trend.start)} to {short(trend.end)}"
    if rising is not None:
        score = rising[1]
        went += f", and {score.series} from {short(score.start)} to {short(score.end)}, rising as fast as ever,"
    if reached is not None:
        went += f", with {'a' if measure == 'validation score' else 'an'} {measure} of {percent(max(reached, 0.0))},"
    only, along = (" only", ", by the sum of the learning rate") if scheduled else ("", "")
    raised = found.kind in ("warm-up", "begun", "nothing")
    if raised:
        along += ", while its learning rate was still being raised: it ended within the warm-up"
    late = found.kind == "steady" and rising is None and trend.pace < thresholds["pace"]
    asked = STRAIGHT if late else _asked(found.kind, thresholds["pace"])
    evidence = [
        Evidence(
            name,
            trend.settled if late else trend.pace,
            None if rising is not None or found.kind in ("begun", "nothing") else asked,
            ">",
            note="fall at the end over the mean fall of the run" + (" since its first tenth" if late else ""),
        ),
        Evidence(
            name,
            trend.promise,
            None if found.kind in ("nothing", "few") else BRIEF_PROMISE if scheduled else thresholds["promise"],
            ">",
            note="gain of as many steps again, of the level",
        ),
        Evidence(name, found.share, note="share of the beginning that is gone"),
    ]
    if reached is not None:
        evidence.append(Evidence("accuracy", reached, thresholds["good"], "<", note=f"{measure} at the end"))
    rate = view.learning_rate(view.last_step)
    faster = f"if the time is short, try a learning rate of {short(3 * rate)} instead of {short(rate)}" if rate else ""
    if rising is not None:
        least, note = thresholds["pace"], "rise at the end over the mean one"
        evidence.append(Evidence(rising[1].series, rising[1].pace, least, ">", note=note))
    if raised:
        faster = (
            f"if the time is short, end the warm-up within the first tenth of it: after {view.last_step // 10} steps"
        )
    if late:
        along += " since its first tenth"
    pace = trend.settled if late else trend.pace
    as_seen = {
        "handful": ", before and after: it had begun to fall, and the schedule was over.",
        "begun": f", and was falling{along}.",
        "nothing": f", and had not begun to fall{along}.",
    }.get(found.kind, f", and was still falling, at {short(pace)} times the mean pace of the run{along}.")
    return [
        RULE.finding(
            "warning",
            f"{went} in {view.last_step} steps{only}{as_seen}",
            (int(loss.steps[int(0.6 * len(loss))]), view.last_step),
            view,
            evidence=tuple(evidence),
            suggestions=(
                f"train on until the loss no longer falls: {5 * view.last_step:,} steps instead of {view.last_step:,}",
                "check the number of epochs, and that the loop was not left early",
                faster or "if the time is short, try a learning rate three times higher",
            ),
        )
    ]


def _drawing_nearer(view: RunView, nearer: Nearer) -> Finding:
    """The finding on a generator that came nearer to the real examples to the end."""
    how = (
        f"still falling, at {short(nearer.pace or 0.0)} times the mean pace of the run by the sum of the learning rate"
    )
    if nearer.warming:
        how = "falling while its learning rate was still being raised: it ended within the warm-up"
    evidence = [Evidence(nearer.series, nearer.share, FAR_IN_WARM_UP if nearer.warming else FAR, "<", note="part gone")]
    if nearer.pace is not None:
        evidence.append(Evidence(nearer.series, nearer.pace, ON_ITS_WAY, ">", note="fall at the end over the mean one"))
    return RULE.finding(
        "warning",
        f"{nearer.series} went from {short(nearer.start)} to {short(nearer.end)} in {view.last_step} steps only, and "
        f"was {how}.",
        (int(0.6 * view.last_step), view.last_step),
        view,
        evidence=tuple(evidence),
        suggestions=(
            f"train on until it no longer falls: {5 * view.last_step:,} steps instead of {view.last_step:,}",
            "check the number of epochs, and that a batch is not most of the examples",
        ),
    )


def _asked(kind: Kind, pace: float) -> float:
    """The fall at the end, over the mean one, from which a run of this kind is unfinished."""
    asked = {
        "schedule": BRIEF_PACE,
        "handful": BRIEF_PACE,
        "warm-up": ON_ITS_WAY,
        "epoch": NOT_AT_REST,
        "few": ON_ITS_WAY,
    }
    return asked.get(kind, pace)


def _better_and_better(
    view: RunView, loss: Curve, rates: Floats | None, thresholds: dict[str, float]
) -> tuple[Unfinished, Rising] | None:
    """A loss that falls beside a validation score that rises as fast as ever, from a poor level."""
    along = loss.steps.astype(np.float64)
    if not is_steady(rates) or len(loss) < MINIMUM_VALUES or view.last_step < LEAST_STEPS:
        return None
    found = fall(along, loss.values)
    if found is None or found.promise < CLEAR or not is_certain(found, along, loss.values, CERTAIN):
        return None
    score = still_rising(view, thresholds["good"], thresholds["pace"])
    return None if score is None else (Unfinished(found, _gone(found, guessing_loss(view))), score)


def _validated(view: RunView) -> Curve:
    """The finite validation loss; empty when there is none."""
    try:
        return validation_loss(view)[1].finite
    except NotJudged:
        return Curve(np.empty(0, dtype=np.int64), np.empty(0))


def _validations(view: RunView, held: Curve) -> Steps:
    """The steps at which it was validated: by its loss ``held`` or, where none was logged, by an accuracy."""
    track = accuracy(view, validation=True)
    return held.steps if len(held) or track is None else track[1].steps


def _once(view: RunView, held: Curve) -> bool:
    """Whether the only validation since the first step came after the last one: by its loss ``held``, or accuracy."""
    steps = _validations(view, held)
    later = steps[steps > 0]
    return len(later) == 1 and int(later[0]) >= view.last_step


def _trained(view: RunView, held: Curve) -> Floats:
    """How much was trained up to each validation, [T]: the learning rate summed up; the steps where it is unknown."""
    summed = summed_rates(view, held)
    return held.steps.astype(np.float64) if summed is None else summed


def _rests(validation: Floats, trained: Floats, handful: bool) -> bool:
    """Whether the validation loss [T] did not fall from the second third of the training, ``trained`` [T], to the last.

    What a ``handful`` of steps can gain may be less than a hundredth, but is seen beyond the noise.
    """
    if len(validation) < 6:
        return False
    third = (trained[-1] - trained[0]) / 3.0
    last = trained > trained[0] + 2.0 * third
    before, end = level(validation[(trained > trained[0] + third) & ~last]), level(validation[last])
    return before - end <= (SEEN * noise(validation) if handful else RESTS * before)


RULE = Rule(
    slug="training-too-short",
    family="loss",
    severity="warning",
    title="The training was too short",
    needs="3 values of one training loss over 3 steps, of a run that is over",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
