"""The learning rate is so low that the weights hardly move, and hardly anything is learned.

What it detects
---------------
A run that moves its weights by a few percent of their size in all, with a loss that is still near its beginning.

Why it matters
--------------
The net may be all right: at this rate the training would take a hundred times as long.

Criterion
---------
The size of the steps (norm of all updates over norm of all weights) is summed over the run, between frames along
straight lines. After `steps_needed` (200) steps this sum, the most that the weights can have travelled, is below
`travel` (0.03) and the mean step below `step` (1e-4: the slow end in CS231n), while the training loss has fallen by
less than `learned` (0.2), measured from that of guessing where it began above it. What weight decay takes in a step is
no part of the size of a step; with it, plain gradient descent moves no more than the gradient accounts for. From 0.1
times `steps_needed` on it is told already when the mean step is below 0.4 times `step` and the loss has fallen by less
than a tenth of `learned`. Not while the learning rate is still being raised in a run that goes on (a warm-up that
outlasts the run is a rate that is too low), unless the warm-up is linear and, at its pace, will come to the rate that
the optimizer was made with after 100,000 steps or more; and not for a loss that was below half of guessing from the
beginning (fine-tuning), or that of answers which follow targets that move with the net (see `loss-diverging`). Where
the loss has fallen by less than a quarter of `learned`, but falls to the end beyond doubt (5 standard errors, at half
of the mean pace or more), three times `travel` is as little: so it is with an optimizer whose steps grow smaller with
time. In a run that is over, in which the loss of guessing or the variance of the targets is known and was where it
began, up to 0.6 of the loss may be gone, if it stopped halfway: along the learning rate summed up it fell to the end (5
standard errors) at half of the mean pace or more, so that as much training again would have gained half of its level,
and no accuracy is above 0.65 of the way from the most frequent class to 1. Not for plain gradient descent at a rate
above 0.003 whose gradient is below a thousandth of the weights: it is not the rate that is missing. Weights that do not
move at all are told by `parameters-not-updated`. Where no one training loss was logged, as of a generator and a
discriminator, the fall of a distance between generated and real examples counts here and below (Fréchet, FID, KID,
MMD), from its value before the first step, or from that of always giving the mean, where a score beside it tells.

Or all weights began next to nothing (standard deviation times root of the fan-in up to 0.3: a linear classifier, say),
where steps of their own size are small ones, and the loss of a run of `steps_needed` steps that is over has fallen by
less than 0.03 from that of guessing, but beyond doubt (5 standard errors of a straight line), and in proportion to the
learning rate summed up: in its last two fifths at 0.6 to 1.5 times the mean pace. So it falls near the initial weights
alone. The answers must have become better than the most frequent class by 0.05.

Or some weights were left random: those of parameter groups at a hundredth of the highest rate or less have moved by
less than 2% of their size in `steps_needed` steps or more, and lie, with their biases, within the bound of
1 / sqrt(inputs) that PyTorch draws them from, and reach 0.9 of it, while the loss has fallen by less than half.
Pretrained weights go beyond. Information while the run goes on.

Or the gradient is clipped, in almost every frame, to a norm that is a tenth or less of what the weight decay adds to it
(median of the frames): in a run of `steps_needed` steps that is over, and whose loss has fallen by less than `learned`,
the steps shrink the weights and do little else.

Or the schedule has taken the rate away: for at least `idle` (0.5) of a run of `steps_needed` steps, up to its end, the
rate of every parameter was below `faded` (1e-3) of the highest, and the training loss has fallen by less than half; by
less than 0.95 where the rate was exactly zero, in a run that has ended. Also by less than 0.95, from half of
`steps_needed` on, where the rate fell by equal factors from the start (it took twice as long to a thousandth as to a
tenth, and was never raised), which no rate does that waits for the loss, and all steps together count for less than 30
at the full rate, or no accuracy is above 0.9 of the way from the most frequent class to 1 and either the rate was below
a millionth of the highest for `idle` of the run, too, where steps change no float32, or the training or validation loss
was on its way: along the learning rate summed up it fell to the end (5 standard errors) at half of the mean pace, or at
a quarter where as much training again would have gained half of its level. What such a decay leaves is known
in advance: from 1e-4 of the highest rate on it is told at once, where it counts for less than 100 steps in all, the
loss has fallen by less than half and was on its way.

Evidence
--------
The sum of the steps, their mean, the learning rate and the fall of the loss.

What to try
-----------
1. Raise the learning rate by factors of ten, until the loss falls fast or the steps reach 1e-3.
2. Let a sweep find it: `babysit check` with `learning-rate-range`.
3. Check the schedule: does it decay too early, or is the warm-up longer than the run?
4. Check whether the gradient is clipped at a tiny norm.

When it misleads
----------------
Nets with very large fixed weights travel little for their size. Weights whose gradient vanishes do not move either:
then that is reported as the cause.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=1e-5), steps=250)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.02), steps=250)
```

References
----------
- CS231n, Neural Networks part 3: ratio of weights to updates, about 1e-3.
- Smith, Cyclical learning rates for training neural networks, 2017 (range test).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.achieved import achieved
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.gradients import clipped_norm
from probes.diagnosis.numbers import names, percent, round_rate, short
from probes.diagnosis.outcome import MOST, answers_poorly
from probes.diagnosis.progress import Progress
from probes.diagnosis.rule import Rule
from probes.diagnosis.signs.driven import driven_sizes
from probes.diagnosis.signs.endless import endless_warmup
from probes.diagnosis.signs.followed import follows_targets
from probes.diagnosis.signs.graded import MOVED, SLOW, Graded, graded
from probes.diagnosis.signs.in_proportion import LITTLE, InProportion, falls_in_proportion
from probes.diagnosis.signs.on_its_way import far_from_done
from probes.diagnosis.signs.taken_away import HALF, taken_away
from probes.diagnosis.signs.throttled import DROWNED, Throttled, throttled
from probes.diagnosis.slope import fall
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Curve, NotJudged, RunView

GOOD_STEP = 1e-3
"""Step size that the suggested rate aims at (CS231n)."""
MINIMUM_FRAMES = 4
EARLY = 0.1
"""Share of the steps needed after which steps that are far too small are told already."""
STARVED, USUAL_RATE = 1e-3, 0.003
"""Gradient over weights of plain gradient descent that is next to none (usual: 0.01 to 1), at a rate that is usual."""
FARTHER, BARELY = 3.0, 0.25
"""Times the travel that is let pass, and part of the fall that is enough, of a loss that falls all the way."""
PACE, CERTAIN = 0.5, 5.0
"""Fall at the end over the mean one, and over its standard error, of a loss that is on its way."""
TENFOLD = 10.0
"""Factor by which a rate is to be raised that is too low, and not known by how much."""
SHORTEST = 0.5
"""Share of the steps needed from which a schedule that is known in advance is judged."""


def criterion(
    sizes: Curve,
    share: float,
    falling: bool = False,
    halfway: bool = False,
    *,
    travel: float = 0.03,
    step: float = 1e-4,
    learned: float = 0.2,
    steps_needed: float = 200,
    faded: float = 1e-3,
    idle: float = 0.5,
) -> tuple[float, float] | None:
    """(sum of all steps, mean step) when the weights hardly move and little is learned; None otherwise.

    Args:
        sizes: step size per frame, all finite, [T].
        share: fall of the training loss, as a share of its reference.
        falling: whether it falls to the end, beyond doubt and hardly slower than in the mean: it is on its way.
        halfway: whether it fell along the learning rate summed up to its end, in a run that is over, and is far from
            done: then more of it may be gone.
        travel: sum of all steps, in sizes of the weights (a small net that learns well travels 0.3 to 3).
        step: mean step; 1e-3 is usual.
        learned: fall of the loss above which the rate is none too low.
        steps_needed: steps before which nothing is said.
        faded: share of its highest value below which a rate does nothing (used by the judge).
        idle: share of the run that such a rate may last (used by the judge).
    """
    span = float(sizes.steps[-1] - sizes.steps[0])
    early = sizes.steps[-1] < steps_needed
    limit = MOST if halfway else learned
    if span < 0.5 * (EARLY if early else 1.0) * steps_needed or share >= (0.1 * learned if early else limit):
        return None
    total = float(np.trapezoid(sizes.values, sizes.steps))
    farthest = travel * (FARTHER if falling and share < BARELY * learned else 1.0)
    if not 0.0 < total < farthest or total / span >= step * (0.4 if early else 1.0):
        return None
    return total, total / span


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the step size of the whole net beside the fall of the training loss."""
    learned = achieved(view)
    if learned is None:
        raise NotJudged("no training loss was logged")
    away = _taken_away(view, learned, thresholds)
    if away is not None:
        return [away]
    left = graded(view) if view.last_step >= thresholds["steps_needed"] and learned.share < HALF else None
    if left is not None:
        return [_left_random(view, left, learned)]
    long = view.status != "running" and view.last_step >= thresholds["steps_needed"]
    clipped_away = throttled(view) if long and learned.share < thresholds["learned"] else None
    if clipped_away is not None:
        return [_clipped_away(view, clipped_away, learned, thresholds["learned"])]
    straight = falls_in_proportion(view, learned) if long else None
    if straight is not None:
        return [_in_proportion(view, straight, learned)]
    whole = driven_sizes(view)
    sizes = whole.finite
    needed = int(EARLY * thresholds["steps_needed"])
    if len(sizes) < MINIMUM_FRAMES or len(sizes) < len(whole) or view.last_step < needed:
        raise NotJudged(f"{len(sizes)} frames of step sizes in {view.last_step} steps, needs 4 in {needed}")
    halfway = learned.share >= thresholds["learned"] and bool(criterion(sizes, 0.0, False, False, **thresholds))
    halfway = halfway and _halfway(view, learned)
    found = criterion(sizes, learned.share, _falls_to_the_end(view), halfway, **thresholds)
    fine_tuned = learned.guessing is not None and learned.start < 0.5 * learned.guessing
    fine_tuned = fine_tuned or (found is not None and follows_targets(view))
    warms = view.warming_up
    endless = endless_warmup(view) if warms else None
    if found is None or _starved(view, sizes) or (warms and not endless and view.status == "running") or fine_tuned:
        return []
    total, mean = found
    place = int(np.argmax(sizes.values))
    highest, rate = float(sizes.values[place]), view.learning_rate(int(sizes.steps[place]))
    advice = ["let a sweep find the rate: babysit check, learning-rate-range", "check that the schedule decays late"]
    factor = min(max(GOOD_STEP / highest, 10.0), 1000.0)
    better = f"raise the learning rate by a factor of {short(factor)}"
    clipped = clipped_norm(view)
    if clipped is not None:
        better = f"clip the gradient norm at 1, not at {short(clipped)}: it is clipped in almost every step"
    elif endless and rate:
        better = f"shorten the warm-up, which ends at step {endless:,} at this pace: is it given in epochs, or steps?"
    elif warms and rate:
        better = f"end the warm-up within the first tenth of the run: the rate had come to {short(rate)} at its end"
    elif rate:
        better = f"raise the learning rate from {short(rate)} to about {round_rate(rate * factor)}"
    evidence = [
        Evidence("update_norm", mean, thresholds["step"], "<", note="mean of all updates over norm of all weights"),
        Evidence("update_norm", total, thresholds["travel"], "<", note="sum of the steps, in sizes of the weights"),
        Evidence(
            learned.series, learned.share, MOST if halfway else thresholds["learned"], "<", note="fall of the loss"
        ),
    ]
    if rate:
        evidence.append(Evidence("optimizer/lr", rate, step=int(sizes.steps[place]), note="highest learning rate"))
    return [
        RULE.finding(
            "warning",
            f"In {view.last_step} steps the weights have moved by at most {percent(total)} of their size "
            f"({short(mean)} a step), and {learned.series} went from {short(learned.start)} to {short(learned.end)}.",
            (int(sizes.steps[0]), view.last_step),
            view,
            evidence=tuple(evidence),
            suggestions=(better, *advice),
        )
    ]


def _falls_to_the_end(view: RunView) -> bool:
    try:
        loss = training_loss(view)[1].finite
    except NotJudged:
        return False
    trend = fall(loss.steps.astype(np.float64), loss.values)
    return trend is not None and trend.pace >= PACE and trend.certainty >= CERTAIN


def _halfway(view: RunView, learned: Progress) -> bool:
    """Whether a run that is over learned from the level of guessing on, stopped halfway, and had far to go."""
    known = learned.guessing if learned.guessing is not None else learned.variance
    if view.status == "running" or known is None or learned.start < 0.5 * known or learned.share >= MOST:
        return False
    return answers_poorly(view) is not False and far_from_done(view)


def _starved(view: RunView, sizes: Curve) -> bool:
    """Whether the steps of plain gradient descent are small for want of a gradient, not of a rate."""
    if not view.plain or clipped_norm(view) is not None:
        return False
    rates = [view.learning_rate(int(step)) or 0.0 for step in sizes.steps]
    slopes = [size / rate for size, rate in zip(sizes.values, rates, strict=True) if rate > 0]
    return bool(slopes) and max(rates) > USUAL_RATE and float(np.median(slopes)) < STARVED


def _left_random(view: RunView, left: Graded, learned: Progress) -> Finding:
    """The finding on weights that a rate graded by depth leaves as they were drawn."""
    return RULE.finding(
        "info" if view.status == "running" else "warning",
        f"{names(left.weights)} have a learning rate of at most {short(left.rate)}, where others have "
        f"{short(left.highest)}: in {view.last_step} steps they moved by at most {percent(left.moved)} of their size, "
        f"and are random as at first. {learned.series} went from {short(learned.start)} to {short(learned.end)}.",
        (0, view.last_step),
        view,
        layers=left.weights,
        evidence=(
            Evidence("optimizer/lr", left.rate, SLOW * left.highest, "<", note="highest rate of these weights"),
            Evidence("update_ratio", left.moved, MOVED, "<", note="sum of the steps, in sizes of the weights"),
            Evidence(learned.series, learned.share, HALF, "<", note="fall of the loss"),
        ),
        suggestions=(
            f"give all layers the rate {short(left.highest)}: rates graded by depth are for pretrained nets",
            "load the pretrained weights before training, and check that the names of the file were found",
        ),
    )


def _clipped_away(view: RunView, found: Throttled, learned: Progress, limit: float) -> Finding:
    """The finding on a gradient that clipping has left nothing of beside the weight decay."""
    return RULE.finding(
        "warning",
        f"The gradient is clipped at a norm of {short(found.norm)} in almost every step, and the weight decay adds "
        f"{short(found.pull)} times as much to it: the steps shrink the weights, and hardly follow the loss. "
        f"{learned.series} went from {short(learned.start)} to {short(learned.end)} in {view.last_step} steps.",
        (0, view.last_step),
        view,
        evidence=(
            Evidence("grad_norm", found.norm, note="norm of the gradient in almost every frame"),
            Evidence("weight_norm", found.pull, DROWNED, ">", note="decay times weights, over that norm"),
            Evidence(learned.series, learned.share, limit, "<", note="fall of the loss"),
        ),
        suggestions=(
            f"clip the gradient norm at 1, not at {short(found.norm)}",
            "look at the norms before clipping, and clip only what lies far above the usual",
            f"take AdamW, whose decay ({short(found.decay)} now) is not weighed against the gradient",
        ),
    )


def _in_proportion(view: RunView, found: InProportion, learned: Progress) -> Finding:
    """The finding on steps that never left the neighbourhood of the initial weights."""
    rates = view.series("optimizer/lr")
    highest = float(rates.finite.values.max()) if rates is not None and len(rates.finite) else None
    raised = f" from {short(highest)} at its highest to about {round_rate(TENFOLD * highest)}" if highest else ""
    return RULE.finding(
        "warning",
        f"{learned.series} went from {short(learned.start)} to {short(learned.end)} in {view.last_step} steps, about "
        "that of guessing, and in proportion to the learning rate summed up, as fast at the end as at the beginning: "
        "all steps together did not come far.",
        (0, view.last_step),
        view,
        evidence=(
            Evidence(learned.series, found.share, LITTLE, "<", note="fall of the loss"),
            Evidence(learned.series, found.certainty, CERTAIN, ">", note="that fall, in standard errors of a line"),
        ),
        suggestions=(
            f"raise the learning rate{raised}, and again until the loss falls fast",
            "let a sweep find the rate: babysit check, learning-rate-range",
            "check that a warm-up ends within the first tenth of the run",
        ),
    )


def _taken_away(view: RunView, learned: Progress, thresholds: dict[str, float]) -> Finding | None:
    """The finding when the schedule left the latter part of the run without a rate, long before it had learned."""
    if view.last_step < SHORTEST * thresholds["steps_needed"]:
        return None
    taken = taken_away(view, learned, thresholds["faded"], thresholds["idle"])
    if taken is None or (view.last_step < thresholds["steps_needed"] and not taken.regular):
        return None
    return RULE.finding(
        "warning",
        f"Since step {taken.since} of {view.last_step} the learning rate is below {percent(thresholds['faded'])} of "
        f"its highest ({short(taken.peak)}; now {short(taken.last)}), while {learned.series} went from "
        f"{short(learned.start)} to {short(learned.end)}{' only' if taken.only else ''}: all steps together count as "
        f"{short(taken.trained)} at the full rate, and the rest of the run does nothing.",
        (taken.begins, view.last_step),
        view,
        evidence=(
            Evidence(
                "optimizer/lr",
                taken.last,
                thresholds["faded"] * taken.peak,
                "<",
                taken.since,
                note="learning rate, of its highest",
            ),
            Evidence(learned.series, learned.share, taken.limit, "<", note="fall of the loss"),
            Evidence("optimizer/lr", taken.trained, note="steps at the highest rate that the schedule amounts to"),
        ),
        suggestions=(
            "let the schedule decay later: does it count epochs, and is it stepped after every batch?",
            f"keep the rate near {short(taken.peak)} until the loss no longer falls",
        ),
    )


RULE = Rule(
    slug="learning-rate-too-low",
    family="updates",
    severity="warning",
    title="The learning rate is too low",
    needs="4 frames of update and weight norms over 20 steps, and one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
