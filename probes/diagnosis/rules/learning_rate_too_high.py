"""Steps are so large that they destroy what the net has learned, or keep it from learning.

What it detects
---------------
Updates that change the weights by a large part of their own size, together with a training loss that jumps
up and does not recover, becomes NaN, or does not fall at all.

Why it matters
--------------
The learning rate is the first thing to set right. Too high, the loss bounces or explodes, units die, and no
other setting can be judged.

Criterion
---------
The *step size* of a frame is the norm of all weight updates over the norm of all weights (matrices and
kernels; biases left out), less what weight decay alone takes from the weights (lr * decay / (1 - momentum)
for SGD, lr * decay for AdamW): that is another fault. About 1e-3 is usual, up to 0.05 is healthy, more is common
in the first few steps only.

- *A blow*: a step size above `blow` (0.2), after which the loss rises to more than 1.5 times its level
  before (or, after a step size above five times `blow`, to NaN: what turns NaN without having risen has another
  cause), and ends above its level before; or more than doubles, and 50 values later is still
  above 0.7 of it; or a step size above twice `blow`, and 100 values later the loss has not fallen by a
  tenth, in a net of more than one layer (a single one has no features that a step could ruin): critical.
- *No progress*: the median step size is above `restless` (0.03), and after 100 steps the loss has not fallen by more
  than a tenth, or it is above its best level by more than half of what had been gained: a warning.
- *Unsettled*: that median, of the frames after the tenth step, is above 0.02, twenty times the usual, in a net of
  several layers with weights of a usual size at first, and the loss has come to rest with 0.05 to 0.3 of it gone, and a
  poor accuracy (where none is known, above `restless`): a warning, after 100 steps (500 in a run that goes on).

- *Tossed about*: in a run that has ended and came to little (as in an overrun, below), the loss lay above where it
  began for `TOSSED` (a quarter) of the run or more, in a row from within its first tenth on (medians of twenty blocks,
  by 3 standard errors), came down by 0.05 or more in the end, and the median step size up there was above 0.02, or
  until the loss had risen above 0.05: a warning, after 100 steps. Where nothing was learned in the end, the
  loss must have lain above 1.25 times its beginning, and come back to within 1.05 times it as the rate fell to less
  than half. Where one of these medians was above three times the beginning, it is enough that the net stays mediocre,
  as after an overshot. Not with dropout above 0.5, which raises the training loss by itself.
- *An overrun*: with Adam or one of its kin, a step size in the first ten steps above `overrun` (1), where some weights
  began at a usual size (standard deviation times root of the fan-in above 0.3, lookup tables left out; torch's default
  is 0.6): the initialisation is gone; and after 100 steps (200 in a run that goes on) less than 0.6 of the loss is gone
  (0.5 where no accuracy is known) and the accuracy is poor: a warning.
- *An overshot*: a step size in the first ten steps above `overrun`, in a net of several layers with weights of a usual
  size, and a loss that rose to more than 3 times its first value within 20 steps, where the accuracy (of validation, if
  there is one) stays below 0.8 of the way from guessing to 1 (or, where none is known, less than 0.7 of the loss is
  gone): a warning, after 20 steps (50 in a run that goes on).
- *Overgrown*: in the first ten steps the weights (lookup tables left out) have grown to more than twice their size, and
  in the first hundred the outputs lost all but a twentieth of what they varied across the examples
  (`batch_variation` of the last module): the net has forgotten its inputs. After as many steps, and with as little
  to show for them, as an overrun, of weights some of which began at a usual size: a warning.

- *Outgrown*: with Adam or one of its kin, the weights (lookup tables left out, some of them of a usual size at first)
  have grown to more than 5 times their size in the first 100 steps, those of no layer to less than 3 times: nothing is
  left of the initialisation; and the loss has come to rest with less than 0.7 of it gone, and a poor accuracy where one
  is known: a warning. Without one training loss, as of a generator and a discriminator, with any optimizer, in a run
  that is over: less than half of a distance between generated and real examples is gone (Fréchet, FID, KID, MMD).
- *Forgotten moments*: each step of an optimizer of Adam's kind is as long as its very first one (the learning rate for
  every weight with a gradient, within 2%, in all of at least 4 frames after the tenth step), although the gradient
  changes: it is made anew at each step. A warning while 5% of the loss or more are left.

- *Raised too far*: in a run that has ended, the rate is at its end, near its highest, more than 3 times what it was
  where the loss was best, and for the last quarter of the run or more the loss lies above that best level by 0.3 of
  what had been gained and 6 times its noise, and ends at twice that level: a warning.

Nothing is said where something other than the optimizer keeps the weights small: beside these any step is large.
A run whose loss falls well is never reported for the size of its steps alone. In a net of a single layer, whose loss
rests at that of guessing, steps are large against weights that the best answer makes small: no progress is not said.
Nor is it in a run that goes on while the loss falls beyond doubt (5 standard errors of a line through all of it, or
through its last two fifths), in these at half of its mean pace or more and by 2 standard errors, or while weights that
began next to nothing grow, and the steps have halved against them.

Evidence
--------
The step size and the learning rate at that frame, the loss before and after.

What to try
-----------
1. Lower the learning rate to the value suggested, which brings the step size to about 1e-2.
2. Raise it from near zero over the first few hundred steps (warm-up).
3. Lower momentum, or clip the gradient norm.

When it misleads
----------------
Weights that begin at zero have no size of their own: their first step is infinitely large, and is left out.
Very large initial weights hide large steps.

Example that fires
------------------
```python
hidden = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))
train(model, torch.optim.SGD(model.parameters(), lr=20.0))
```

Example that stays quiet
------------------------
```python
hidden = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.2))
```

References
----------
- Karpathy, CS231n, Neural Networks part 3 (ratio of updates to weights, about 1e-3).
- Bengio, Practical recommendations for gradient-based training of deep architectures, 2012.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.diagnosis.achieved import achieved_if_known
from probes.diagnosis.beginning import begins_late
from probes.diagnosis.course import course
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.gradients import step_size, without_decay
from probes.diagnosis.numbers import round_rate, short
from probes.diagnosis.outcome import answers_poorly, came_to_little, validated_short
from probes.diagnosis.progress import Progress, guessing_loss, progress_if_known, where_it_began
from probes.diagnosis.rates import highest_rates
from probes.diagnosis.rule import Rule
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signal import at_rest, block_medians, level, longest_run, noise, trailing_run
from probes.diagnosis.signs.divided import divided_by_nothing
from probes.diagnosis.signs.dropped import shares_dropped
from probes.diagnosis.signs.held_small import held_small
from probes.diagnosis.signs.initial import gains_of_weights
from probes.diagnosis.signs.memory import Forgetful, forgetful
from probes.diagnosis.signs.overgrown import DOUBLED, OUTGROWN, outgrown, overgrown
from probes.diagnosis.signs.overshot import JUMP, overshot
from probes.diagnosis.slope import fall
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

GOOD_STEP = 0.01
"""Step size that the suggested rate aims at: ten times the usual 1e-3, for the early phase in which it is
seen.
"""

SMALL_GAIN = 0.3
"""Standard deviation of the initial weights times root of the fan-in, below which there is nothing to overrun."""
MOST_LEFT, MORE_THAN_ENOUGH = 0.7, 0.95
"""Shares of the loss that are gone where weights that outgrew their beginning, and lost moments, did no harm."""
GOOD = 0.8
"""Share of what guessing gets wrong that a classifier gets right which an overshot did no harm."""
RAISED_BY, LOST, DOUBLE, FOURTH, HALF = 3.0, 0.3, 2.0, 0.25, 0.5
"""Rate at the end over that of the best loss; part of the gain that is lost since, loss at the end over its best level,
and part of the run that it lies there; part of the highest rate that is near it."""
CERTAIN, LIKELY = 5.0, 2.0
"""Standard errors of a fall that is beyond doubt, and of one that goes on at the end."""
OVERRUN_STEPS, OVERRUN_FIRST = 100, 10
"""Steps after which a run can have come to little, and in which the initialisation can be overrun."""
FEWEST_LATER = 3
"""Frames after these first steps that show what size of step is usual."""
UNSETTLED, SOMETHING, HARDLY = 0.02, 0.05, 0.3
"""Step size of a run that rests without coming to rest: twenty times the usual; and the shares of the loss between
which it has learned something, but hardly anything."""
BLOCKS, LEAST_IN_A_BLOCK, TOSSED, TOLD = 20, 3, 0.25, 3.0
"""Blocks whose medians tell where a loss lay, values that each needs, the part of them that lies above its beginning in
a run that was tossed about, and standard errors of such a median."""
RAISED, BACK = 1.25, 1.05
"""Times its start to which such a loss rose, and to which it came back, in a run that learned nothing else."""
HEALTHY = 0.05
"""Step size that is healthy still, when weights begin."""
LONG = 500
"""Steps after which the rest of a run that goes on is no plateau."""


@dataclass(frozen=True)
class TooHigh:
    """Which sign, at which frame (index), the step size there, and the loss before and after."""

    kind: Literal["blow", "restless", "tossed", "overrun", "overshot", "overgrown", "outgrown", "raised"]
    frame: int
    size: float
    before: float
    after: float


def criterion(
    sizes: Curve,
    loss: Curve,
    began: float | None = None,
    layers: int = 2,
    *,
    blow: float = 0.2,
    restless: float = 0.03,
    overrun: float = 1.0,
) -> TooHigh | None:
    """Whether steps are too large.

    Args:
        sizes: step size per frame, [T]; NaN where unknown.
        loss: the training loss with NaN and Inf.
        began: where it began, NaN where that is not known; None: its first values tell.
        layers: number of layers with weights.
        blow: step size of a blow, as a share of the weights' own size (usual: 1e-3).
        restless: step size that is too large when it lasts and nothing is learned.
        overrun: first step sizes of an adaptive optimizer that replace the initialisation (used by the judge).
    """
    summary = course(loss.steps, loss.values, began)
    for frame in np.flatnonzero(sizes.values > blow):
        found = _damage(loss, int(sizes.steps[frame]), sizes.values[frame] / blow, layers > 1)
        if found is not None:
            return TooHigh("blow", int(frame), float(sizes.values[frame]), *found)
    if summary is None or loss.steps[-1] < 100 or summary.values < 30 or np.isnan(summary.start):
        return None
    finite = np.isfinite(sizes.values)
    usual = level(sizes.values)
    gain = summary.start - summary.best
    stuck = summary.end > summary.start - 0.1 * abs(summary.start) or summary.end > summary.best + max(
        0.5 * gain, 6.0 * summary.noise
    )
    if finite.sum() >= 5 and usual > restless and stuck and summary.end_error < 0.05 * abs(summary.start):
        return TooHigh("restless", int(np.argmax(sizes.values > restless)), usual, summary.start, summary.end)
    return None


def _damage(loss: Curve, step: int, force: float, deep: bool) -> tuple[float, float] | None:
    """(level before, level after) when the loss was damaged by the update of ``step`` for good; None
    otherwise.

    The loss of the step itself still belongs to the weights before its update.
    """
    cut = int(np.searchsorted(loss.steps, step, side="right"))
    before, after = loss.values[max(0, cut - 10) : cut], loss.values[cut:]
    before = before[np.isfinite(before)]
    if not len(before) or not len(after) or level(before) <= 0:
        return None
    reference, soon = level(before), after[:10]
    rise = float(np.where(np.isfinite(soon), soon, np.inf).max()) / reference
    if not np.isfinite(after[-1]):
        seen = float(np.max(soon[np.isfinite(soon)], initial=0.0)) / reference
        broken = bool(np.isposinf(soon).any()) or seen > 1.5 or force > 5.0
        return (reference, float("nan")) if rise > 1.5 and broken else None
    end = level(after[-max(3, len(after) // 10) :])
    lasting = (
        (rise > 1.5 and end > 0.97 * reference and len(after) >= 5)
        or (rise > 2.0 and end > 0.7 * reference and len(after) >= 50)
        or (deep and force > 2.0 and end > 0.9 * reference and len(after) >= 100)
    )
    return (reference, end) if lasting else None


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the step size of the whole net against the course of the one training loss."""
    sizes = without_decay(view, step_size(view))
    try:
        name, loss = training_loss(view)
    except NotJudged:
        players = _outgrown_players(view)
        if players is None:
            raise
        return [players]
    if len(loss) < 4:
        raise NotJudged(f"{len(loss)} values of {name}, needs 4")
    if divided_by_nothing(view) is not None:
        return []  # no rate is low enough: nonfinite-values tells
    if held_small(view) is not None:
        return []  # steps are large beside weights that are held small: underfitting tells
    anew = forgetful(view)
    if anew is not None:
        return _forgotten(view, anew)
    found = criterion(sizes, loss, _began(view, name, loss.finite), _layers(view), **thresholds)
    if found is not None and found.kind == "restless":
        found = None if _nothing_to_learn(view, found.after) or _settles(view, sizes.finite, found.size) else found
        found = None if view.status == "running" and _on_its_way(loss.finite) else found
    if found is None:
        found = _overrun(view, sizes, thresholds["overrun"]) or _overgrown(view, sizes)
    if found is None:
        found = _overshot(view, sizes, loss, thresholds["overrun"])
    if found is None:
        found = _outgrown(view, sizes, loss.finite) or _raised(view, sizes, loss.finite)
    if found is None:
        found = _unsettled(view, sizes, loss.finite, thresholds["restless"]) or _tossed(view, sizes, loss.finite)
    if found is None:
        return []
    step = int(sizes.steps[found.frame])
    rate = view.learning_rate(step)
    if found.kind == "blow":
        what = f"The update at step {step} is {short(found.size)} times the size of the weights"
        went = f"{name} went from {short(found.before)} to {short(found.after)} and did not recover"
        limit = thresholds["blow"]
    elif found.kind in ("overrun", "overshot"):
        what = f"The update at step {step} is {short(found.size)} times the size of the weights it began with"
        went = f"{name} went from {short(found.before)} to {short(found.after)} only"
        if found.kind == "overshot":
            went = f"{name} soon rose to {short(found.before)}; now it is {short(found.after)}, and the net does poorly"
        limit = thresholds["overrun"]
    elif found.kind == "overgrown":
        what = (
            f"By step {step} the weights had grown to {short(found.size)} times their size, and the outputs were soon"
        )
        what += " nearly the same for all examples"
        went = f"{name} went from {short(found.before)} to {short(found.after)} only"
        limit = DOUBLED
    elif found.kind == "raised":
        what = f"At the end the rate is {short(found.size)} times that of step {step}"
        went = f"{name}, which was at its best then, went from {short(found.before)} to {short(found.after)}"
        limit = RAISED_BY
    elif found.kind == "outgrown":
        what = f"By step {step} the weights had grown to {short(found.size)} times their size"
        went = f"{name} went from {short(found.before)} to {short(found.after)} only, and rests there"
        limit = OUTGROWN
    elif found.kind == "tossed":
        what = f"Steps changed the weights by {short(found.size)} of their size at first"
        went = (
            f"{name}, which began at {short(found.before)}, stayed above that for long; it came to {short(found.after)}"
        )
        limit = UNSETTLED
    else:
        what = f"Each step changes the weights by {short(found.size)} of their size"
        went = f"{name} went from {short(found.before)} to {short(found.after)} only"
        limit = thresholds["restless"] if found.size > thresholds["restless"] else UNSETTLED
    suggestions = []
    if rate and found.kind == "raised":
        suggestions.append(f"raise the learning rate no further than {short(rate)}, and lower it from there on")
    elif rate:
        better = min(rate / 3, max(rate * GOOD_STEP / found.size, rate / 1000))
        suggestions.append(f"lower the learning rate from {short(rate)} to about {round_rate(better)}")
    else:
        suggestions.append(f"lower the learning rate by a factor of {short(max(3.0, found.size / GOOD_STEP))}")
    suggestions.append("raise the learning rate from near zero over the first few hundred steps (warm-up)")
    suggestions.append("lower the momentum, or clip the gradient norm")
    evidence = [
        Evidence("weight_norm", found.size, limit, ">", step, note="weights over what they began with")
        if found.kind in ("overgrown", "outgrown")
        else Evidence("optimizer/lr", found.size, limit, ">", view.last_step, note="rate over that of the best loss")
        if found.kind == "raised"
        else Evidence("update_norm", found.size, limit, ">", step, note="norm of all updates over norm of all weights"),
        Evidence(name, found.after, found.before, ">", note="loss at the end, against before"),
    ]
    if rate:
        evidence.append(Evidence("optimizer/lr", rate, step=step, note="learning rate"))
    return [
        RULE.finding(
            "critical" if found.kind == "blow" else "warning",
            f"{what}{f' (learning rate {short(rate)})' if rate else ''}, and {went}.",
            (step, view.last_step),
            view,
            evidence=tuple(evidence),
            suggestions=tuple(suggestions),
        )
    ]


def _overrun(view: RunView, sizes: Curve, limit: float) -> TooHigh | None:
    """An adaptive optimizer whose first updates were larger than the weights, in a run that came to little."""
    if not view.adaptive or view.last_step < (2 * OVERRUN_STEPS if view.status == "running" else OVERRUN_STEPS):
        return None
    if len(sizes) < 4 or sizes.steps[0] > 2:
        return None
    first = np.where(np.isfinite(sizes.values) & (sizes.steps <= OVERRUN_FIRST), sizes.values, 0.0)
    frame = int(np.argmax(first))
    learned = progress_if_known(view)
    if not first[frame] > limit or learned is None:
        return None
    if not came_to_little(view, learned) or not _something_to_overrun(view):
        return None
    return TooHigh("overrun", frame, float(first[frame]), learned.start, learned.end)


def _overshot(view: RunView, sizes: Curve, loss: Curve, limit: float) -> TooHigh | None:
    """First updates larger than the weights, and a loss that soon rose to several times its start, in a net that stays
    mediocre.
    """
    rise, learned = overshot(loss), progress_if_known(view)
    if view.last_step < (OVERRUN_STEPS // 2 if view.status == "running" else 2 * OVERRUN_FIRST):
        return None
    if rise is None or learned is None or _layers(view) < 2 or not len(sizes) or sizes.steps[0] > 2:
        return None
    first = np.where(np.isfinite(sizes.values) & (sizes.steps <= OVERRUN_FIRST), sizes.values, 0.0)
    frame = int(np.argmax(first))
    if not first[frame] > limit or not _mediocre(view, learned) or not _something_to_overrun(view):
        return None
    return TooHigh("overshot", frame, float(first[frame]), rise * float(loss.values[0]), learned.end)


def _mediocre(view: RunView, learned: Progress) -> bool:
    """Whether a net is far from good at the end, though it may have learned much."""
    short_of_good = validated_short(view, GOOD)
    return learned.share < MOST_LEFT if short_of_good is None else short_of_good


def _something_to_overrun(view: RunView) -> bool:
    """Whether any weights began at a usual size: next to nothing, as the factors of rows begin, is soon doubled."""
    try:
        return bool((gains_of_weights(view) > SMALL_GAIN).any())
    except NotJudged:
        return view.layers("weight_std") is None


def _overgrown(view: RunView, sizes: Curve) -> TooHigh | None:
    """Weights that the first steps doubled, and outputs that forgot the inputs, in a run that came to little."""
    if view.last_step < (2 * OVERRUN_STEPS if view.status == "running" else OVERRUN_STEPS):
        return None
    grown, learned = overgrown(view), progress_if_known(view)
    if grown is None or learned is None or not came_to_little(view, learned) or not _something_to_overrun(view):
        return None
    frame = min(int(np.searchsorted(sizes.steps, grown.step)), len(sizes) - 1)
    return TooHigh("overgrown", frame, grown.growth, learned.start, learned.end)


def _outgrown(view: RunView, sizes: Curve, loss: Curve) -> TooHigh | None:
    """Weights that grew to many times their size within the first steps, in a run that rests far from done."""
    if not view.adaptive or view.last_step < (2 * OVERRUN_STEPS if view.status == "running" else OVERRUN_STEPS):
        return None
    grown, learned = outgrown(view), progress_if_known(view)
    if grown is None or learned is None or not _something_to_overrun(view):
        return None
    if learned.share >= MOST_LEFT or answers_poorly(view) is False or not at_rest(loss.values):
        return None
    frame = min(int(np.searchsorted(sizes.steps, grown.step)), len(sizes) - 1)
    return TooHigh("outgrown", frame, grown.growth, learned.start, learned.end)


def _outgrown_players(view: RunView) -> Finding | None:
    """The finding on weights that outgrew their size at once in a run that is over and generates nothing of use."""
    grown, learned = outgrown(view), achieved_if_known(view)
    if grown is None or learned is None or view.status == "running" or learned.share >= HALF:
        return None
    rate = view.learning_rate(grown.step)
    return RULE.finding(
        "warning",
        f"By step {grown.step} the weights had grown to {short(grown.growth)} times their size"
        f"{f' (learning rate {short(rate)})' if rate else ''}, and {learned.series} went from {short(learned.start)} "
        f"to {short(learned.end)} only.",
        (1, view.last_step),
        view,
        evidence=(
            Evidence("weight_norm", grown.growth, OUTGROWN, ">", grown.step, note="weights over what they began with"),
            Evidence(learned.series, learned.share, HALF, "<", note="part of the distance that is gone"),
        ),
        suggestions=(
            f"lower the learning rate from {short(rate)} to about {round_rate(rate / 30)}"
            if rate
            else "lower the learning rate by a factor of 30",
            "raise the learning rate from near zero over the first few hundred steps (warm-up)",
        ),
    )


def _unsettled(view: RunView, sizes: Curve, loss: Curve, restless: float) -> TooHigh | None:
    """Steps of twenty times the usual size all along, in a net that rests after it has learned hardly anything."""
    later = np.flatnonzero(np.isfinite(sizes.values) & (sizes.steps > OVERRUN_FIRST))
    if view.last_step < (LONG if view.status == "running" else OVERRUN_STEPS) or len(later) < FEWEST_LATER:
        return None
    usual, learned = level(sizes.values[later]), progress_if_known(view)
    if not usual > UNSETTLED or learned is None or not SOMETHING <= learned.share < HARDLY or view.warming_up:
        return None
    poor = answers_poorly(view)
    if poor is False or (poor is None and not usual > restless) or not at_rest(loss.values):
        return None
    if _layers(view) < 2 or not _something_to_overrun(view):
        return None
    return TooHigh("restless", int(later[0]), usual, learned.start, learned.end)


def _tossed(view: RunView, sizes: Curve, loss: Curve) -> TooHigh | None:
    """A loss that large steps held above where it began for a good part of a run that has ended and came to little."""
    if view.status == "running" or view.last_step < OVERRUN_STEPS or len(loss) < BLOCKS * LEAST_IN_A_BLOCK:
        return None
    learned = progress_if_known(view)
    if learned is None or not learned.start > 0 or _layers(view) < 2:
        return None
    if max(shares_dropped(view).values(), default=0.0) > HALF:
        return None  # dropped units raise the loss of training by themselves
    ends, blocks = block_medians(loss.steps, loss.values, BLOCKS)
    if learned.share < SOMETHING and not _came_back_with_the_rate(view, loss, blocks, learned.start):
        return None  # nothing was learned at any rate
    error = 1.25 * TOLD * noise(loss.values) / math.sqrt(len(loss) / BLOCKS)
    start, length = longest_run(blocks > learned.start + error)
    if length < TOSSED * BLOCKS or start > BLOCKS // 10:
        return None
    far = blocks.max() > JUMP * learned.start and _mediocre(view, learned)
    if not (far or came_to_little(view, learned)) or not _something_to_overrun(view):
        return None
    since, until = (0 if start == 0 else int(ends[start - 1])), int(ends[start + length - 1])
    # Weights that were blown up on the way make the same steps look small.
    for first, last, least in ((since, until, UNSETTLED), (0, int(ends[start]), HEALTHY)):
        there = np.flatnonzero((sizes.steps > first) & (sizes.steps <= last) & np.isfinite(sizes.values))
        usual = level(sizes.values[there]) if len(there) >= FEWEST_LATER else 0.0
        if usual > least:
            return TooHigh("tossed", int(there[-1]), usual, learned.start, learned.end)
    return None


def _came_back_with_the_rate(view: RunView, loss: Curve, blocks: Floats, start: float) -> bool:
    """Whether a loss that large steps had raised far above its start came down to it as the rate was taken back."""
    rates = highest_rates(view, loss)
    if rates is None:
        return False
    _, at = block_medians(loss.steps, rates, BLOCKS)
    peak = int(np.argmax(blocks))
    return bool(blocks[peak] > RAISED * start and blocks[-1] < BACK * start and at[-1] < HALF * at[peak])


def _raised(view: RunView, sizes: Curve, loss: Curve) -> TooHigh | None:
    """A rate that was raised on from where the loss was best, in a run that ended far above that."""
    summary = course(loss.steps, loss.values)
    rates = highest_rates(view, loss)
    if view.status != "finished" or summary is None or rates is None or view.last_step < OVERRUN_STEPS:
        return None
    ends, blocks = block_medians(np.arange(len(loss)), loss.values, 20)
    best = int(ends[int(np.argmin(blocks))])
    if not rates[-1] > RAISED_BY * rates[best] > 0 or rates[-1] < HALF * rates.max() or not loss.values.min() > 0:
        return None
    lost = summary.best + max(LOST * (summary.start - summary.best), 6.0 * summary.noise)
    if summary.end < max(DOUBLE * summary.best, lost) or trailing_run(blocks > lost) < FOURTH * len(blocks):
        return None
    frame = min(int(np.searchsorted(sizes.steps, loss.steps[best])), len(sizes) - 1)
    return TooHigh("raised", frame, float(rates[-1] / rates[best]), summary.best, summary.end)


def _on_its_way(loss: Curve) -> bool:
    """Whether the loss falls to the end, at half of its mean pace or more, and falls beyond doubt, there or in all."""
    steps = loss.steps.astype(np.float64)
    late, whole = fall(steps, loss.values), fall(steps, loss.values, part=1.0)
    if late is None or whole is None or late.pace < HALF or late.certainty < LIKELY:
        return False
    return max(late.certainty, whole.certainty) >= CERTAIN


def _settles(view: RunView, sizes: Curve, usual: float) -> bool:
    """Whether weights that began next to nothing grow to a size of their own, and steps get small against them."""
    return view.status == "running" and sizes.values[-1] < 0.5 * usual and not _something_to_overrun(view)


def _nothing_to_learn(view: RunView, end: float) -> bool:
    """Whether a single layer has come to answer the same to all, which takes no weights: small ones change much."""
    guessing = guessing_loss(view) or (math.log(2.0) if _of_two(view) else None)
    return _layers(view) == 1 and guessing is not None and end < 1.05 * guessing


def _of_two(view: RunView) -> bool:
    loss = loss_as_logged(view)
    return loss is not None and loss.name == "BCEWithLogitsLoss"


def _forgotten(view: RunView, anew: Forgetful) -> list[Finding]:
    """The finding on an optimizer that is made anew at each step."""
    learned = progress_if_known(view)
    return [
        RULE.finding(
            "info" if learned is not None and learned.share > MORE_THAN_ENOUGH else "warning",
            f"Each step of {anew.type} moves every weight by its whole learning rate ({short(anew.rate)}), as only "
            f"its first step should (so in all {anew.frames} frames since step {anew.since}): it is made anew, or "
            "loses its moments, at each step.",
            (anew.since, view.last_step),
            view,
            evidence=(Evidence("update_norm", anew.rate, step=anew.since, note="root mean square of a step"),),
            suggestions=(
                "make the optimizer once, before the loop, and only call its step() in it",
                "do not clear its state between steps",
                f"if steps by the sign of the gradient are meant, lower the rate to about {round_rate(anew.rate / 10)}",
            ),
        )
    ]


def _layers(view: RunView) -> int:
    """Number of modules with weights; 2 when none is known."""
    return len({p.module for p in view.parameters if p.is_weight and p.trainable}) or 2


def _began(view: RunView, name: str, loss: Curve) -> float | None:
    """Where a loss began that was watched from a later step on (NaN: not known); None when its first values tell."""
    if not begins_late(view, loss.steps) or not len(loss):
        return None
    try:
        return where_it_began(view, name, loss)
    except NotJudged:
        return float("nan")


RULE = Rule(
    slug="learning-rate-too-high",
    family="updates",
    severity="critical",
    title="The learning rate is too high",
    needs="frames of update and weight norms, and one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
