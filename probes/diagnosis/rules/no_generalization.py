"""The net learns its training examples and nothing about others: validation stays at chance.

What it detects
---------------
A training loss that falls, beside a validation loss that never gets better than guessing.

Why it matters
--------------
What is learned holds for the training examples alone. From the very first steps a net that finds any rule in the
data gets better on others too; when it never does, there is no rule to find: the labels do not belong to the
inputs, or the two splits do not belong together (other preprocessing, another order of the classes).

Criterion
---------
After `steps_needed` (200) steps (half as many when a tenth of the training loss is gone, a quarter in a run that has
ended when its fall is certain) and at least 5 validations
(3, when a tenth of the training loss is gone and they are all above guessing), the training loss has fallen by
`learned` (0.025) or more of its initial level or of guessing (0.4 times as much with 10 validations, when it is
certain), and no validation loss since the first tenth of the run lies below `chance` (0.95) times that of guessing, or,
where training gained little, has gained more than a third as much (by the last of 4 validations or more since then:
what random labels have in common with others by chance is lost again: where that level is back within 0.02 of guessing,
one of 0.9 in between is let pass, if training gained three times as much).
Guessing is ln C for a mean cross-entropy over C classes. Uneven classes take less: what always giving the shares of the
labels seen costs, a standard error more in validation and one less in training (of one label for each example, 100 or
more and 10 for each class; without class weights). It is ln C also where the loss function is not known but an accuracy
is logged, the last layer has C outputs, and both losses begin within 0.05 of ln C; with other losses it is the first
validation loss, which must then have been taken before the first step. When the validation accuracy is known, it must
not have risen above the share of the most frequent class by more than 0.05 plus what it varies by.

Of targets between 0 and 1 in a binary cross-entropy guessing is always to answer their mean, and all losses are taken
above the entropy of the targets.

Where neither ln C is known nor anything was validated before the first step, the first validation stands in for
guessing when training had made less than a quarter of its fall by then (5 values of its loss or more): no later one is
below it, the level at the end is above it by a twentieth and 3 deviations of its noise, and the validation accuracy has
not risen.

Two validations are enough where the first was taken before the first step, in a net that computes the same in
validation (no batch normalisation): when it lies above 2 times the beginning of the training loss (and 5 deviations of
its noise), every later one above 3 times the first, and the training loss has not risen, the validation inputs are on
another scale. The net, which knew neither at first, must have been about as wrong on both. Where no validation came
before the first step, 4 are enough after the first one when all of them lie above 2 times, and their median above 3
times, that one and the beginning of the training loss (and 5 deviations of its noise), of which more than a tenth is
left.

Where no validation loss was logged, an accuracy of it stands in: none of at least 5 values since the first tenth of the
run is above the share of the most frequent class by more than 0.05 and twice their noise, while training is above it by
`sure_of` (0.4) or more. Its accuracy is taken from the log, or from the mean cross-entropy L: what is answered wrongly
costs ln 2 or more, so that 1 - L / ln 2 or more of the answers are right.

Evidence
--------
The best validation loss against that of guessing, and the fall of the training loss.

What to try
-----------
1. Look at single validation examples with their targets, as the net sees them; then at training examples.
2. Check that shuffling keeps inputs and targets together.
3. Check that both splits get the same preprocessing and the same numbers for the classes.

When it misleads
----------------
Very small or noisy data can look like this with everything in order: then there is too little to learn from.

Example that fires
------------------
```python
targets = torch.cat([targets[:1400].roll(7), targets[1400:]])
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
train(model, torch.optim.Adam(model.parameters(), lr=3e-3), steps=400, log_val=40)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
train(model, torch.optim.Adam(model.parameters(), lr=3e-3), steps=400, log_val=40)
```

References
----------
- Zhang, Bengio, Hardt, Recht and Vinyals, Understanding deep learning requires rethinking generalization, 2017
  (nets fit random labels, at chance on others).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from probes.diagnosis.class_shares import cost_of_shares
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import Progress, majority_share, progress
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import closing, noise
from probes.diagnosis.signs.never_better import HARDLY, NeverBetter, never_better
from probes.diagnosis.signs.prepared import Prepared, prepared_differently
from probes.diagnosis.task import outputs_of_last_weights
from probes.diagnosis.tracks import accuracy, training_loss, validation_loss, validation_losses
from probes.diagnosis.view import NotJudged, RunView

TENTH = 0.1
"""Fall of the training loss that takes more than learning how often each class comes."""
QUARTER = 0.25
"""Part of the steps needed that is enough in a run that has ended, when training learned for certain."""
FEW = 5
"""Values of an accuracy that stands in for a validation loss."""
_SUGGESTIONS = (
    "look at validation and training examples with their targets as the net sees them: do they belong together?",
    "check that shuffling keeps inputs and targets together",
    "check that both splits get the same preprocessing and the same numbering of the classes",
)
LOST_AGAIN, BY_CHANCE = 0.98, 0.9
"""Validation loss, of that of guessing, at which what was gained by chance is lost again; and the least of it."""
LATEST = 4
"""Validations, since the first tenth of the run, of which the last few show where they have come to."""
NEAR = 0.05
"""Distance of a first loss from ln C, as a share of it, that shows a cross-entropy among C classes."""


def criterion(
    share: float,
    best: float,
    guessing: float,
    sure: bool = False,
    late: float | None = None,
    *,
    learned: float = 0.025,
    chance: float = 0.95,
    sure_of: float = 0.4,
    steps_needed: float = 200,
) -> bool:
    """Whether training learns and validation does not.

    Args:
        share: fall of the training loss, as a share of its reference.
        best: lowest validation loss.
        guessing: the validation loss of guessing.
        sure: whether a small fall is certain, beyond the noise of the training loss.
        late: the latest level of the validation loss; None for the lowest.
        learned: fall of the training loss that is none (where less is learned, `loss-not-decreasing` tells).
        chance: best validation loss over that of guessing (in its first steps a net finds how often each class
            comes, and some chance agreement: a few percent).
        sure_of: accuracy in training above the most frequent class's share, where an accuracy is all that is known of
            validation (used by the judge).
        steps_needed: steps before which nothing is said (used by the judge).
    """
    # What a net that learns a rule gains on its training examples it gains, nearly, on others.
    limit = chance if share >= learned else 0.0
    if late is not None and late > LOST_AGAIN * guessing:
        limit = min(limit, max(BY_CHANCE, 1.0 - share / 3.0))
    level = best if late is None else max(best, late)
    return (
        share >= learned * (1.0 if not sure else 0.4)
        and guessing > 0
        and best > limit * guessing
        and level > (1.0 - share / 3.0) * guessing
    )


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the one training loss beside the one validation loss, or its accuracy where there is no such loss."""
    seen = prepared_differently(view)
    if seen is not None:
        return [_prepared(view, seen)]
    if not validation_losses(view) and accuracy(view, validation=True) is not None:
        return _by_accuracy(view, thresholds)
    name, whole = validation_loss(view)
    curve, learned = whole.finite, progress(view)
    if learned is None:
        raise NotJudged("no training loss to compare with")
    shares = cost_of_shares(view)
    if shares is not None:  # what it takes to come down to it, no input tells
        learned = replace(learned, guessing=shares.low)
    after = curve.values[curve.steps > 0.1 * view.last_step]
    needed = int(thresholds["steps_needed"] * (0.5 if learned.share >= TENTH else 1.0))
    if view.status != "running" and _certain(view, learned):
        needed = int(thresholds["steps_needed"] * QUARTER)
    # All above guessing, while the training loss says that a good deal is learned: three validations are enough.
    known = learned.guessing if learned.guessing is not None else _seen_to_guess(view, learned, float(curve.values[0]))
    known = shares.high if shares is not None else known
    clear = learned.share >= TENTH and len(after) >= 3 and known is not None
    clear = clear and float(after.min()) > float(known or 0.0)
    if (len(after) < 5 and not clear) or view.last_step < needed:
        raise NotJudged(f"{len(after)} values of {name} in {view.last_step} steps, needs 5 in {needed}")
    if known is None and curve.steps[0] > 0:
        since = never_better(view, learned, curve, thresholds["learned"])
        if since is not None:
            return [_never_better(view, learned, name, since)]
        raise NotJudged("the validation loss of guessing is not known (none was logged before the first step)")
    guessing = float(curve.values[0]) if known is None else known
    best = float(after.min())
    late = closing(after) if len(after) >= LATEST else None
    sure = len(after) >= 10 and _certain(view, learned)
    chance = shares.common if shares is not None else math.exp(-known) if known is not None else 0.0
    kept = learned.floor  # fractions cost their entropy in any case: it tells nothing of what was learned
    above = late - kept if late is not None else None
    if not criterion(learned.share, best - kept, guessing - kept, sure, above, **thresholds) or _accuracy_rises(
        view, chance
    ):
        return []
    step, without = int(curve.steps[0]), "guessing gives"
    if shares is not None:
        without = "always giving the shares of the classes costs"
    return [
        RULE.finding(
            "warning",
            f"{learned.series} fell from {short(learned.start)} to {short(learned.end)}, but {name} never came below "
            f"{short(best)}; {without} {short(guessing)}.",
            (step, view.last_step),
            view,
            evidence=(
                Evidence(name, best, thresholds["chance"] * guessing, ">", note="best value, against guessing"),
                Evidence(
                    learned.series,
                    learned.share,
                    thresholds["learned"],
                    ">",
                    note=f"fall of the loss ({percent(learned.share)})",
                ),
            ),
            suggestions=_SUGGESTIONS,
        )
    ]


def _by_accuracy(view: RunView, thresholds: Mapping[str, float]) -> Sequence[Finding]:
    """Judge the accuracy in validation beside that in training, which a low cross-entropy proves as well."""
    track, learned = accuracy(view, validation=True), progress(view)
    chance = majority_share(view)
    if track is None or learned is None or not 0.0 < chance < 1.0:
        raise NotJudged("no val/loss was logged, and what guessing gives is not known")
    name, curve = track[0], track[1].finite
    after = curve.values[curve.steps > 0.1 * view.last_step]
    needed = int(thresholds["steps_needed"] * 0.5)
    if len(after) < FEW or view.last_step < needed:
        raise NotJudged(f"{len(after)} values of {name} in {view.last_step} steps, needs {FEW} in {needed}")
    known = 1.0 - learned.end / math.log(2.0) if learned.guessing is not None and not learned.floor else 0.0
    own = accuracy(view, validation=False)
    if own is not None and len(own[1].finite) >= 3:
        known = closing(own[1].finite.values)
    best = float(after.max())
    if known < chance + thresholds["sure_of"] or best > chance + 0.05 + 2.0 * noise(after):
        return []
    return [
        RULE.finding(
            "warning",
            f"{learned.series} fell from {short(learned.start)} to {short(learned.end)}, which takes {percent(known)} "
            f"or more right answers, but {name} never came above {percent(best)}; always giving the most frequent "
            f"class makes {percent(chance)}.",
            (int(curve.steps[0]), view.last_step),
            view,
            evidence=(
                Evidence(name, best, chance + 0.05, "<", note="best value, against the most frequent class"),
                Evidence(learned.series, known, chance + thresholds["sure_of"], ">", note="least accuracy in training"),
            ),
            suggestions=(
                "let the net answer training examples in the way that it is validated: is it given something in "
                "training (the targets themselves, the step before) that it lacks there?",
                *_SUGGESTIONS,
            ),
        )
    ]


def _never_better(view: RunView, learned: Progress, name: str, since: NeverBetter) -> Finding:
    """The finding where the first validation stands in for that of a net that knows nothing."""
    return RULE.finding(
        "warning",
        f"{learned.series} fell from {short(learned.start)} to {short(learned.end)}, nearly all of it since step "
        f"{since.step}, where {name} was {short(since.first)}; it has never been lower than {short(since.best)} since, "
        f"and is at {short(since.end)}.",
        (since.step, view.last_step),
        view,
        evidence=(
            Evidence(name, since.best, since.first, ">", note="best value since, against the first"),
            Evidence(name, since.end, since.first, ">", note="level at the end"),
            Evidence(learned.series, since.gained, HARDLY, "<", since.step, note="share of its fall by then"),
        ),
        suggestions=_SUGGESTIONS,
    )


def _prepared(view: RunView, seen: Prepared) -> Finding:
    """The finding when the validation inputs are not those that the net is trained for."""
    when = "Before the first step" if seen.step == 0 else f"At step {seen.step}"
    other = ": the same net, on other inputs" if seen.step == 0 else ""
    return RULE.finding(
        "warning",
        f"{when} {seen.validation} was {short(seen.start)}, where {seen.train} began at "
        f"{short(seen.train_start)}{other}. It has been {short(seen.least)} or more since, "
        f"while {seen.train} is at {short(seen.train_end)}: they are not prepared as those of the training are.",
        (0, view.last_step),
        view,
        evidence=(
            Evidence(seen.validation, seen.start, seen.train_start, ">", 0, note="before the first step")
            if seen.step == 0
            else Evidence(seen.validation, seen.start, step=seen.step, note="the first validation"),
            Evidence(seen.validation, seen.least, seen.start, ">", note="lowest later value, against the first"),
            Evidence(seen.train, seen.train_end, seen.train_start, "<", note="level now, and at the beginning"),
        ),
        suggestions=(
            "print mean, standard deviation, least and largest value of a training and of a validation batch",
            "prepare both with one function: the same scale, the same mean and deviation (those of the training set)",
        ),
    )


def _certain(view: RunView, learned: Progress) -> bool:
    """Whether the training loss fell by more than its noise accounts for."""
    values = training_loss(view)[1].finite.values
    error = 1.25 * noise(values) / float(np.sqrt(max(3.0, 0.1 * len(values))))
    return learned.reference - learned.end > 4.0 * error


def _seen_to_guess(view: RunView, learned: Progress, first: float) -> float | None:
    """ln C where the loss function is not known: an accuracy is logged, the last weight has C outputs, and both losses
    begin within 5% of it. None where that is not so.
    """
    outputs = outputs_of_last_weights(view)
    if outputs < 2 or not any(accuracy(view, validation=validation) is not None for validation in (False, True)):
        return None
    guessing = math.log(outputs)
    return guessing if max(abs(learned.start - guessing), abs(first - guessing)) < NEAR * guessing else None


def _accuracy_rises(view: RunView, chance: float) -> bool:
    """Whether the validation accuracy says that something was learned; ``chance`` where no labels were counted."""
    track = accuracy(view, validation=True)
    if track is None:
        return False
    values = track[1].finite.values
    if len(values) < 3:
        return False
    return float(np.median(values[-3:])) > (majority_share(view) or chance) + 0.05 + 2.0 * noise(values)


RULE = Rule(
    slug="no-generalization",
    family="generalisation",
    severity="warning",
    title="Nothing is learned for other examples",
    needs="5 values of a validation loss (or accuracy) over 200 steps, and the training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
