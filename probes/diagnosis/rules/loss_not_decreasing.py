"""The training loss has not fallen: nothing is learned.

What it detects
---------------
After a fair number of steps the training loss is where it was at the beginning.

Why it matters
--------------
The training loss is the easiest thing to lower: even a net with bad settings learns some of the examples it
sees. When it does not fall at all, something is broken, and waiting longer will not mend it.

Criterion
---------
After `steps_needed` (100) steps and at least 30 values of the loss, its level over the last fifth is not below that
of the first values by more than `fall` (0.02) of it (and half its error, when the run is over), and none of the
medians of ten blocks of the run was below by more than twice that. Nor may it be falling now, however slowly: its
level over the last fifth must not be below that of the middle fifth by more than its error. In a run that has ended
such a fall counts only when it went below the first values, by more than its error: a loss that rose and ends where
it began has learned nothing. A mean cross-entropy that began above that of guessing (ln C for C classes) is measured
from there: scores that shrink bring it down, and nothing is learned by that; as long as it falls by more than `fall`
from the middle fifth to the last it is on its way. Where the loss function was not seen, in a run that is over, C is
the number of outputs of the last layer, if the accuracy that was logged is 1 / C. When the noise of the loss is too
large to see such a fall (two standard errors of the levels above `blur`, 0.06 of the level), it is not judged.

In a run that has ended, after twice `steps_needed`, with an accuracy that is no better than always giving the most
frequent class (or than 1/C, where the classes were not counted and the loss began at ln C), or, among three classes or
more, less than a tenth of the way from there to 1, 2.5 times `fall` is no learning either; nor is it after ten times
`steps_needed`, measured from the loss of guessing. At an accuracy no better than that class 8 values of the loss, as of
epochs, are enough where its level stays within 0.03 of that of guessing all along; and they are, after twice
`steps_needed`, of any loss that is no more than a tenth below that of guessing, or below the variance of the targets,
and was logged every 10 steps or less often, where no accuracy says otherwise.

Of uneven classes a net finds the shares in its first steps, by its biases. In a run that has ended the loss is measured
from what always giving these costs (their entropy in the labels seen, one for each example, 100 or more and 10 for each
class; without class weights), where the accuracy, in validation if there is one, is within 0.03 of the share of the
most frequent class, and the validation loss, or that of training where there is none, is not below that cost by more
than 0.02 of it, less its standard error. That may be 0.02 of the cost, or 0.015 where one class has more than 0.7 of
all; where one class is always answered the training accuracy tells its share.

A warning; only information in a run that goes on and has done fewer than five times `steps_needed`, for many nets
begin with a plateau, and what keeps a net from learning is told by other rules; or in which the variation across the
examples of the last hidden module is faint (below a quarter of all variation) and has grown in each of the last 4
frames, by a quarter or more in all: a plateau that is being left.

Of a generator and a discriminator (two losses so named) it is said when, over at least 20 values of each, the
discriminator's loss stays below a hundredth of where it began through the latter half of the log, and the generator's
is no lower there than at first: what is made is told from what is real without fail, whatever the generator does.
Losses below zero (a Wasserstein critic's) are left out. Information in a run that goes on, before 1,000 steps.

In a run that is over, after `steps_needed`, it is said of an agent whose rewards (all series that are plainly such, of
20 values or more) end below where they began, by 4 standard errors, with no eighth of the latter half above that; or,
of 80 values or more, when more than half of what had been gained is gone in each eighth of the latter half; or, after
twice `steps_needed`, of as many and of a net that began as it was drawn, when they stay: no eighth of the run is 3
standard errors above the first, nor the latter half 2 above the former, nor the rest above the first twentieth, and a
rise by 0.75 of the spread of single rewards would have been seen (not of a mean of zero, as in a game against itself).
Where
the loss cannot be judged, after twice `steps_needed`, it is said when an accuracy of 5 values or more ends no higher
than it began and at that of guessing among the outputs of the last layer. A triplet loss that began above a usual
margin (0.1, 0.2, 0.3, 0.5, 1) and ends at it, to 0.03 of it, is measured from there if the outputs have become more
alike (variation across the examples below 0.8 of what it was): outputs that are all the same cost just that. A mean
squared error that began above the variance of the targets is measured from there after twice `steps_needed`, where the
frames agree on that variance to a hundredth: always answering the mean costs no more.

In such a run a mean squared, Huber or absolute error that has fallen, and is at rest, is told as well where the
outputs are alike for all examples: their variance across the examples is below 0.05 of itself and the squared error
together (of fitted outputs that is R^2, without the part that any mean explains). The last module must be seen to give
the outputs that are compared, in 2 frames or more since the first fifth of the run, and in the last.

Not a finding when the loss was small from the beginning, as in fine-tuning: below half of that of guessing
among as many classes as the last layer has outputs; or when the accuracy is good (above 0.7), or rises by a
tenth, both beyond always answering the most frequent class.

Evidence
--------
The level of the loss at the beginning and at the end, and its noise.

What to try
-----------
1. Look at what is reported as its cause, if anything is.
2. Try to overfit one small batch (`babysit check`): if that fails, the fault is in model, loss or optimizer,
   not in the data.
3. Raise or lower the learning rate by factors of three.
4. Look at the inputs and targets as the net sees them: do they belong together?

When it misleads
----------------
Some tasks begin with a long plateau (parity, algorithmic tasks, deep plain nets) and then learn suddenly.
Targets that cannot be predicted from the inputs look the same as a broken net.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10))
targets = torch.randint(0, 10, targets.shape)
train(model, torch.optim.SGD(model.parameters(), lr=0.05), steps=150)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.05), steps=400)
```

References
----------
- Karpathy, A recipe for training neural networks, 2019.
- Goodfellow et al., Generative adversarial nets, 2014 (section 3: log(1 - D(G(z))) saturates); Chintala et al., How to
  train a GAN, 2016 (a discriminator's loss of 0 is a failure).
- Amazon SageMaker Debugger, rule LossNotDecreasing (less than 0.1% over 10 steps, which is noise in most
  runs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.beginning import begins_late, need_beginning
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import certain_variance, guessing_loss, majority_share, variance_of_targets
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import block_medians, closing, level, noise, opening
from probes.diagnosis.signs.awakening import is_awakening
from probes.diagnosis.signs.drawn import begins_as_drawn
from probes.diagnosis.signs.rivals import WON, Won, discriminator_has_won
from probes.diagnosis.signs.shares_alone import shares_alone
from probes.diagnosis.signs.standing import (
    Standing,
    gains_are_lost,
    margin_it_stays_at,
    rewards_are_lost,
    rewards_stay,
    stays_at_chance,
)
from probes.diagnosis.signs.told_apart import LITTLE, Apart, little_told_apart
from probes.diagnosis.task import outputs_of_last_weights
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView, Steps

MINIMUM_VALUES = 30
FEW_VALUES, AT_GUESSING, GAP = 8, 0.03, 10
"""Values, as of epochs, that are enough where they stay this near to the loss of guessing, as a share of it."""
PLATEAU = 5
LONG = 10
"""Times the steps needed, after which a fall that small from the loss of guessing is no learning, either."""
AT_CHANCE = 2.5
"""Times the fall that is let pass in a run that has ended with an accuracy that is no better than guessing."""
MUCH = 50
"""Steps before the first value of a loss, after which a small problem may have been learned already."""
LONG_CONTEST = 1000
"""Steps after which a discriminator that is never wrong, in a run that goes on, has won."""
HARDLY = 0.1
"""Accuracy, as a share of the way from the commonest class to 1, that is hardly better than always giving that."""
AT_MOST = 0.05
"""Accuracy, as a share of the way from 1 / C to 1, that is chance over C outputs."""
WELL_BELOW = 0.1
"""Share of the loss of guessing below which a late log shows that something was learned before it."""


@dataclass(frozen=True)
class Standstill:
    """Level at both ends, the fall as a share of the first, and the noise of single values."""

    start: float
    end: float
    fall: float
    noise: float


def criterion(
    steps: Steps,
    values: Floats,
    ended: bool = False,
    guessing: float = math.inf,
    guesses: bool = False,
    *,
    fall: float = 0.02,
    blur: float = 0.06,
    steps_needed: float = 100,
) -> Standstill | None:
    """Whether a loss [T] stands still. Raises `NotJudged` when its noise would hide a fall.

    Args:
        ended: whether the run is over; one that goes on may be on its way down from a rise.
        guessing: the loss of guessing, inf when it is not known.
        guesses: whether the answers are no better than guessing at the end of a run that is over.
        fall: fall of the level, as a share of it, that counts as learning (one part in fifty).
        blur: two standard errors of the levels, as a share of the level, above which nothing can be said.
        steps_needed: steps before which standing still is no finding (used by the judge).
    """
    head = values[: max(5, len(values) // 20)]
    tail = values[-max(6, len(values) // 5) :]
    began, end, sigma = level(head), level(tail), noise(values)
    start = min(began, guessing)
    known = guessing < began  # without an error
    error = 2.5 * sigma * float(np.sqrt((0.0 if known else 1 / len(head)) + 1 / len(tail)))
    if end > 1.5 * began > 0:
        return None  # it rises: loss-diverging tells
    if start <= 0 or error > blur * abs(start):
        raise NotJudged("the loss is too noisy to tell whether it falls")
    _, blocks = block_medians(steps, values, 10)
    drop = (start - end) / abs(start)
    doubt = error / abs(start) / 2 if ended else 0.0  # while the run goes on, it is given the benefit
    if drop > fall + doubt or (start - blocks[1:].min()) / abs(start) > 2 * fall + error / abs(start):
        return None
    middle = values[2 * len(values) // 5 : 3 * len(values) // 5]
    recent = level(middle) - end
    # A plateau that is being left falls slowly at first, but it falls, and below where it began.
    falling = recent > max(2.5 * sigma * float(np.sqrt(1 / len(middle) + 1 / len(tail))), 0.001 * abs(end))
    if falling and not guesses and (not ended or start - end > error or (began > start and recent > fall * abs(end))):
        return None
    return Standstill(began, end, (began - end) / abs(began), sigma)


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the training loss. In a run that is over rewards come first, and an accuracy stands in where it fails."""
    over = view.status != "running"
    lost = rewards_are_lost(view) if over and view.last_step >= thresholds["steps_needed"] else None
    if lost is not None:
        return [_rewards_lost(view, lost)]
    gone = gains_are_lost(view) if over and view.last_step >= thresholds["steps_needed"] else None
    if gone is not None:
        return [_gains_lost(view, gone)]
    long = over and view.last_step >= 2 * thresholds["steps_needed"]
    same = rewards_stay(view) if long and begins_as_drawn(view) else None
    if same is not None:
        return [_rewards_stay(view, same)]
    try:
        return _of_losses(view, thresholds) or _if_told_alike(view, long)
    except NotJudged:
        chance = stays_at_chance(view) if long else None
        found = [_stays_at_chance(view, chance)] if chance is not None else _if_told_alike(view, long)
        if not found:
            raise
        return found


def _of_losses(view: RunView, thresholds: dict[str, float]) -> Sequence[Finding]:
    """Judge the one training loss, unless it was good from the start; or the two of a generator and its rival."""
    won = discriminator_has_won(view)
    if won is not None:
        return [_overwhelmed(view, won)]
    name, curve = training_loss(view)
    loss = curve.finite
    needed = int(thresholds["steps_needed"])
    few = len(loss) < MINIMUM_VALUES and not _guessed_all_along(view, loss, needed)
    seldom = few and _of_epochs(view, loss, needed)
    if (few and not seldom) or view.last_step < needed:
        seen = f"{len(loss)} values of {name} in {view.last_step} steps"
        raise NotJudged(f"{seen}, needs {MINIMUM_VALUES} in {needed}")
    if len(loss) < 0.5 * len(curve):
        raise NotJudged(f"most values of {name} are not finite")
    ended = view.status != "running"
    shares = shares_alone(view) if ended else None
    known = guessing_loss(view) if shares is None else shares.cost
    if known is None:
        need_beginning(view, loss.steps, name)
        if loss.steps[0] > MUCH or seldom:
            _need_variance(view, name, loss)
    elif seldom and closing(loss.values) < (1.0 - WELL_BELOW) * known:
        return []  # what was learned within the first epoch does not show
    long = known is not None and view.last_step >= LONG * needed
    astray = view.last_step >= 2 * needed and (_at_chance(view, opening(loss.values)) or _hardly_beyond_chance(view))
    guesses = ended and (astray or long or (shares is not None and view.last_step >= 2 * needed))
    if guesses:
        thresholds = {**thresholds, "fall": AT_CHANCE * thresholds["fall"]}
    reached = known if known is not None or not ended else _guessing_of_outputs_at_chance(view)
    margin = margin_it_stays_at(view, name, loss.values) if ended and view.last_step >= 2 * needed else None
    reached = margin if reached is None else reached
    variance = certain_variance(view) if ended and reached is None and view.last_step >= 2 * needed else None
    reached = variance if reached is None else reached
    found = criterion(loss.steps, loss.values, ended, math.inf if reached is None else reached, guesses, **thresholds)
    of_scores = margin is None and variance is None
    if found is None or (of_scores and _good_from_the_start(view, found.start)):
        return []
    if shares is None and _learned_by_accuracy(view):
        return []
    if known is not None and begins_late(view, loss.steps) and found.end < (1.0 - WELL_BELOW) * known:
        return []
    guessing = _guessing(view)
    reference = found.start if reached is None else min(found.start, reached)
    at = f", about that of guessing among {round(math.exp(guessing))} classes" if _near(guessing, found.end) else ""
    if shares is not None:
        at = f", about what it costs to give all examples the shares of the classes, {short(shares.cost)}"
    elif margin is not None:
        at = f", about the margin of {short(margin)}: what outputs cost that are all the same"
    elif variance is not None and found.start > variance:
        at = f", about the variance of the targets, {short(variance)}: what it costs to answer their mean always"
    return [
        RULE.finding(
            "warning" if ended or (view.last_step >= PLATEAU * needed and not is_awakening(view)) else "info",
            f"{name} went from {short(found.start)} to {short(found.end)} in {view.last_step} steps (a fall "
            f"of {percent(max(found.fall, 0.0))}){at}.",
            (int(loss.steps[0]), view.last_step),
            view,
            evidence=(
                Evidence(name, found.end, reference * (1 - thresholds["fall"]), ">", note="level at the end"),
                Evidence(name, found.start, note="level at the beginning"),
                Evidence(name, found.noise, note="noise of a single value"),
            ),
            suggestions=(
                "try to overfit one small batch (babysit check): if that fails, the fault is not in the data",
                _rates(view),
                "look at the inputs and targets as the net sees them: do they belong together?",
            ),
        )
    ]


def _rewards_lost(view: RunView, lost: Standing) -> Finding:
    """An agent that has unlearned what its first moves were worth."""
    return RULE.finding(
        "warning",
        f"{lost.series} went from {short(lost.start)} to {short(lost.end)} in {view.last_step} steps, and is below "
        "where it began through the latter half of the run: the agent learns to get less.",
        (0, view.last_step),
        view,
        evidence=(Evidence(lost.series, lost.end, lost.reference, "<", note="mean of the last fifth"),),
        suggestions=(
            "check the sign: a policy gradient raises rewards by minimising -log_prob * return",
            "check that an action is paid for what comes after it: returns are summed from the last step back",
            "check that actions and rewards belong together: the same step, the same environment",
        ),
    )


def _rewards_stay(view: RunView, same: Standing) -> Finding:
    """An agent that gets as much as it got by its first moves, at any time."""
    return RULE.finding(
        "warning",
        f"{same.series} was {short(same.start)} at first and is {short(same.end)} after {view.last_step} steps, and no "
        "higher at any time, beyond the chance of single ones: the agent learns nothing of what it is rewarded for.",
        (0, view.last_step),
        view,
        evidence=(Evidence(same.series, same.end, same.reference, "<", note="mean of the last eighth, and first"),),
        suggestions=(
            "take several episodes for a step, and subtract a baseline from the returns: one game says next to nothing",
            "check that actions and rewards belong together: the same step, the same environment, the action taken",
            "let it explore longer, or reward what leads to the goal: a reward that is never met teaches nothing",
        ),
    )


def _gains_lost(view: RunView, lost: Standing) -> Finding:
    """An agent that came to something and lost it for good."""
    return RULE.finding(
        "warning",
        f"{lost.series} rose from {short(lost.start)} to {short(lost.reference)} in the former half of the run, and is "
        f"at {short(lost.end)}: through all of the latter half the agent is without more than half of what it had "
        "gained. What it does is not what it is rewarded for.",
        (0, view.last_step),
        view,
        evidence=(
            Evidence(lost.series, lost.end, (lost.start + lost.reference) / 2, "<", note="mean of the last eighth"),
            Evidence(lost.series, lost.reference, note="mean of the best eighth"),
        ),
        suggestions=(
            "check that actions and rewards belong together: the log-probability of the action that was taken, not of "
            "one drawn anew; the same step, the same environment",
            "take smaller steps: a lower learning rate, clipped ratios (PPO), a target network that is renewed slowly",
            "check the sign: a policy gradient raises rewards by minimising -log_prob * return",
        ),
    )


def _stays_at_chance(view: RunView, chance: Standing) -> Finding:
    """Answers that are no better than guessing, where no loss can be judged."""
    return RULE.finding(
        "warning",
        f"{chance.series} began at {percent(chance.start)} and is at {percent(chance.end)} after {view.last_step} "
        "steps, as by guessing among the outputs of the last layer: nothing is learned.",
        (0, view.last_step),
        view,
        evidence=(Evidence(chance.series, chance.end, chance.reference, "<", note="level at the end"),),
        suggestions=(
            "try to overfit one small batch (babysit check): if that fails, the fault is not in the data",
            "check the loss: compute it by hand for an answer that is right, and for one that is wrong",
            _rates(view),
        ),
    )


def _if_told_alike(view: RunView, long: bool) -> list[Finding]:
    alike = little_told_apart(view) if long else None
    return [] if alike is None else [_told_alike(view, alike)]


def _told_alike(view: RunView, alike: Apart) -> Finding:
    """A loss that has fallen to that of answering the mean, whatever the input."""
    return RULE.finding(
        "warning",
        f"{alike.series} is at rest at {short(alike.loss)}, and the outputs differ by {short(alike.spread)} from "
        f"example to example: {percent(alike.share)} of what tells the targets of the examples apart is answered. "
        "The loss is that of answering the mean, whatever the input.",
        (alike.since, view.last_step),
        view,
        evidence=(
            Evidence("data/output_std", alike.share, LITTLE, "<", alike.since, note="part of the variance answered"),
            Evidence(alike.series, alike.loss, note="level at the end"),
        ),
        suggestions=(
            "look at inputs and targets as the net sees them: do they belong together, also after shuffling?",
            "try to overfit one small batch (babysit check): if that fails, the fault is not in the data",
            _rates(view),
        ),
    )


def _overwhelmed(view: RunView, won: Won) -> Finding:
    """A generator whose discriminator is never wrong: nothing that it does changes the answer."""
    return RULE.finding(
        "warning" if view.status != "running" or view.last_step >= LONG_CONTEST else "info",
        f"{won.critic} went from {short(won.critic_start)} to {short(won.critic_end)} and stays there: the "
        f"discriminator tells all that is made from what is real, and {won.generator} (at first "
        f"{short(won.generator_start)}, now {short(won.generator_end)}) does not fall. The generator learns nothing.",
        (won.since, view.last_step),
        view,
        evidence=(
            Evidence(won.critic, won.critic_end, WON * won.critic_start, "<", note="level in the latter half"),
            Evidence(won.generator, won.generator_end, won.generator_start, ">", note="level in the latter half"),
        ),
        suggestions=(
            "let the generator maximise log D(G(z)) (the non-saturating loss), not minimise log(1 - D(G(z)))",
            "train the discriminator less: one step for each of the generator's, or a lower learning rate",
            "smooth its targets (0.9 for real), add noise to its inputs, or take a loss that does not saturate "
            "(hinge, Wasserstein with a gradient penalty)",
        ),
    )


def _need_variance(view: RunView, name: str, loss: Curve) -> None:
    """Raises `NotJudged` unless a loss whose first value is a late one is seen to be that of knowing nothing."""
    variance = variance_of_targets(view)
    if variance is None or closing(loss.values) < (1.0 - WELL_BELOW) * variance:
        raise NotJudged(f"the first {name} was logged at step {int(loss.steps[0]):,}: it may have fallen before")


def _rates(view: RunView) -> str:
    rate = view.learning_rate(view.last_step)
    return (
        f"try learning rates of {short(rate / 10)} and {short(rate * 10)} beside {short(rate)}"
        if rate
        else ("try a learning rate ten times higher, and one ten times lower")
    )


def _guessing(view: RunView) -> float:
    """Cross-entropy of guessing among as many classes as the last weight has outputs; NaN when unknown."""
    outputs = outputs_of_last_weights(view)
    return math.log(outputs) if outputs >= 2 else float("nan")


def _guessing_of_outputs_at_chance(view: RunView) -> float | None:
    """ln C for a last layer of C outputs, where the accuracy that was logged is no more than 1 / C; else None."""
    guessing = _guessing(view)
    track = accuracy(view, validation=True) or accuracy(view, validation=False)
    values = track[1].finite.values if track is not None else np.empty(0)
    if not math.isfinite(guessing) or len(values) < 5:
        return None
    chance = math.exp(-guessing)
    return guessing if closing(values) < chance + AT_MOST * (1.0 - chance) else None


def _near(guessing: float, loss: float) -> bool:
    return math.isfinite(guessing) and abs(loss - guessing) < 0.05 * guessing


def _good_from_the_start(view: RunView, start: float) -> bool:
    guessing = _guessing(view)
    return math.isfinite(guessing) and start < 0.5 * guessing


def _fair_share(view: RunView, start: float) -> float:
    """1/C where the loss began at ln C for the C outputs of the last weight: a cross-entropy; 0 otherwise."""
    guessing = _guessing(view)
    return math.exp(-guessing) if _near(guessing, start) else 0.0


def _at_chance(view: RunView, start: float) -> bool:
    """Whether an accuracy over many values is known, and is that of always giving the most frequent class, or less."""
    common = majority_share(view) or _fair_share(view, start)
    track = accuracy(view, validation=True) or accuracy(view, validation=False)
    values = track[1].finite.values if track is not None else np.empty(0)
    if len(values) < 5 or common <= 0:
        return False
    return closing(values) < common + 0.03


def _hardly_beyond_chance(view: RunView) -> bool:
    """Whether, among three classes or more, every accuracy known over many values is hardly better than guessing.

    Of two classes that chance decides between, the best answers may be hardly better.
    """
    known, common = guessing_loss(view), majority_share(view)
    tracks = [accuracy(view, validation=validation) for validation in (False, True)]
    ends = [closing(track[1].finite.values) for track in tracks if track is not None and len(track[1].finite) >= 5]
    if known is None or known < math.log(3) or not ends:
        return False
    return max(ends) < common + HARDLY * (1.0 - common)


def _of_epochs(view: RunView, loss: Curve, needed: int) -> bool:
    """Whether the few values of a run that is over stand for many steps each, as means of epochs do."""
    ended = view.status != "running" and view.last_step >= 2 * needed
    measured = any(accuracy(view, validation=validation) is not None for validation in (True, False))
    if measured and not _at_chance(view, opening(loss.values)):
        return False
    return ended and len(loss) >= FEW_VALUES and float(np.median(np.diff(loss.steps))) >= GAP


def _guessed_all_along(view: RunView, loss: Curve, needed: int) -> bool:
    """Whether few values, as of epochs, tell enough: the loss stays at that of guessing, and so does the accuracy."""
    known = guessing_loss(view)
    if known is None or view.status == "running" or view.last_step < 2 * needed or len(loss) < FEW_VALUES:
        return False
    _, levels = block_medians(loss.steps, loss.values, 3)
    return bool((np.abs(levels / known - 1.0) < AT_GUESSING).all()) and _at_chance(view, opening(loss.values))


def _learned_by_accuracy(view: RunView) -> bool:
    common = majority_share(view)
    for validation in (False, True):
        track = accuracy(view, validation=validation)
        if track is not None:
            values = track[1].finite.values
            # Untrained scores may lie below chance: to rise to it is no learning.
            if len(values) and (
                closing(values) > max(0.7, common + 0.05) or closing(values) > max(values[0], common) + 0.1
            ):
                return True
    return False


RULE = Rule(
    slug="loss-not-decreasing",
    family="loss",
    severity="warning",
    title="The loss does not fall",
    needs="30 values of one training loss over 100 steps",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
