"""The validation loss rises, or is stuck far above, while the training loss keeps falling.

What it detects
---------------
The net keeps getting better on the examples it is trained on, and worse on (or no better at) those it is
not: it learns the training examples by heart.

Why it matters
--------------
Every step since the minimum of the validation loss made the model worse at its purpose. The model to keep is
the one at that minimum.

Criterion
---------
The training loss is brought to the steps of the validation loss (median since the one before). At least 4 validation
values are needed, for a rise `points` (5). Either the validation loss *rises*:

- its level at the end (last tenth, at least 3 values) lies above its minimum by more than `rise` (0.15) of
  that minimum, by more than `lost` (0.05) of what training had gained since the start, and by more than 4
  times its own noise (from second differences, so a trend is no noise);
- it does not come back: the end is nearer to the maximum since the minimum than to the minimum;
- meanwhile the training loss fell by 2% or more, or is less than half the validation loss.

Where its last third is all above the start, all that was gained is lost again: then 0.05 of the minimum is rise enough.

Only where all is lost is it told of a loss whose split does not say that it is one of validation ("sampled/loss"): the
only one beside the training loss, by the same word, logged where the net was evaluated. A net that is given its answers
in training (a language model without a causal mask) shows there as well.

Or the training examples are *known by heart*: the training loss is below 1% of its start, the validation loss above
a fifth of that (or of its own, where it was measured before the first step), and training ahead by
`wrong` (0.125, one validation example in eight, or part of the variance) or more. Training has nothing left to say
then, whether the validation loss still creeps or not. *Ahead* is meant of the accuracies or, where neither is known, of
the parts of the variance of the targets that are explained.

Targets between 0 and 1 cost their entropy by a binary cross-entropy in any case. Where the gradient at the last module
has fallen to 0.05 of what it was in the first frame, with a first loss within 1.2 times that of guessing, the answers
have come to the targets, and the training loss is that entropy: both losses and the start (the cost of always answering
the mean) are then taken above it, and training is ahead by the part of what can be learned that validation lacks.

Or there is a *gap*: the validation loss no longer improves, or the run has ended with its schedule (at a rate below a
fifth of its highest: nothing more is to come), and

- the training loss is below 5% of its start, and the validation loss still above `gap` (0.35) of that start;
- or training is ahead by `ahead` (0.4) or more, and the training loss below 0.6 times the validation loss.

A rise of less than half of the minimum (any, with nine in ten validation examples right and a training accuracy that is
ahead by less than 0.08) while the validation accuracy keeps its best level (to 1%, twice its noise, or two examples,
the smallest difference there is being one), and the training accuracy is not ahead by `ahead` (nor known by heart, nor
all lost again), is only information: the net grows overconfident, no worse. So is a gap of the losses alone, with nine
in ten validation examples right, or a training accuracy that is ahead by less than 0.08 (0.2, while the validation
accuracy is at its best and the loss below 0.6 of the start). Debugger takes a ratio (val - train) / train above 0.1,
which holds for most healthy nets whose training loss is small.

Evidence
--------
The validation loss at its minimum and at the end, its noise, and the training loss at both.

What to try
-----------
1. Stop at the minimum (early stopping) and use the checkpoint of that step.
2. More data, or augmentation of what there is.
3. Weight decay, dropout, label smoothing.
4. A smaller net, when the training loss reaches zero with ease.

When it misleads
----------------
In double descent the validation loss rises and falls again: while it is up, it is reported. A validation set
that is tiny, or of another kind than the training data, can rise for other reasons; labels or splits that
are wrong show as a validation loss that never falls at all.

Example that fires
------------------
```python
few = (inputs[:60], targets[:60])
targets = targets.clone()
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
train(model, torch.optim.Adam(model.parameters(), lr=0.01), data=few, label_noise=0.3, steps=300)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.Adam(model.parameters(), lr=0.003), steps=300)
```

References
----------
- Prechelt, Early stopping - but when?, in: Neural Networks: Tricks of the Trade, 1998.
- Amazon SageMaker Debugger, rule Overfit (threshold compared above).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.fractions import fractions
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import variance_of_targets, where_it_began
from probes.diagnosis.rates import schedule_is_over
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import block_medians, closing, noise, running_median
from probes.diagnosis.signs.fitted import entropy_in_training
from probes.diagnosis.tracks import accuracy, loss_beside_training, training_loss, validation_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

WELL_BELOW = 0.6
"""Validation loss, of the start, that is still a good deal better than having learned nothing."""
SMALL_LEAD = 0.08
"""Training accuracy less validation accuracy up to which a gap of the losses is overconfidence, and no more."""
LEARNED_OUT, LEFT = 0.01, 0.2
"""Training loss, of the start, that has nothing left to teach, and validation loss that shows how much was not learned.

Nets that do well in validation are below 0.15 of the start when their training loss has reached a hundredth of it.
"""
GIVEN = 0.1
"""Training loss over the best in validation, of a net that may be given its answers in training."""
FEWEST = 4
"""Validation values that show a gap: the first, and three that say where it has come to."""
ROUNDED = 6
"""Decimals to which accuracies are compared: one example in a million, above the rounding of float32."""
LOST_ALL = 0.05
"""Rise over the minimum that is enough where validation stays above the start."""


@dataclass(frozen=True)
class Overfit:
    """Index of the minimum, validation and training loss there and at the end.

    ``low`` tells whether validation ends well below the start, ``kind`` what is reported; ``gap`` whether there is a
    gap as well when it is a rise, ``heart`` whether the training examples are known by heart, ``lost`` whether all
    that was gained in validation is lost again.
    """

    kind: Literal["rise", "gap"]
    gap: bool
    best: int
    validation_best: float
    validation_end: float
    validation_noise: float
    train_best: float
    train_end: float
    low: bool
    heart: bool = False
    lost: bool = False
    over: bool = False
    kept: float = 0.0

    def above(self, kept: float) -> Overfit:
        """The same where the losses given were those above what they keep in any case, ``kept``."""
        levels = ("validation_best", "validation_end", "train_best", "train_end")
        return replace(self, kept=kept, **{level: getattr(self, level) + kept for level in levels})


def criterion(
    validation: Floats,
    train: Floats,
    start: float,
    lead: float | None = None,
    final: float | None = None,
    untrained: float | None = None,
    *,
    points: float = 5,
    rise: float = 0.15,
    lost: float = 0.05,
    gap: float = 0.35,
    ahead: float = 0.4,
    wrong: float = 0.125,
) -> Overfit | None:
    """Whether a run overfits.

    Args:
        validation: validation loss, [T].
        train: training loss at the same steps, [T].
        start: the loss before anything was learned.
        lead: training accuracy less validation accuracy at the end, or the same of the explained parts of the
            variance; None when it is not known.
        final: training loss at the end of a run that ended with its schedule; None for any other.
        untrained: validation loss before the first step; None where it was not measured then.
        points: fewest validation values that show a rise.
        rise: rise over the minimum, as a share of the minimum (noise of a few percent is usual near
            convergence).
        lost: rise over the minimum, as a share of what was gained from the start to the minimum.
        gap: validation loss at the end, as a share of the start, when training has reached below 5% of it.
        ahead: lead that is a gap by itself (nets that do well on their validation set lead by less than 0.1).
        wrong: lead at which examples that are known by heart were too few, or too much alike.
    """
    smooth = running_median(validation, 3)
    best = int(np.argmin(smooth[: max(1, len(smooth) - 1)]))
    after = validation[best + 1 :]
    low, end = float(smooth[best]), closing(after)
    train_best, train_end = float(running_median(train, 3)[best]), closing(train[best + 1 :])
    jitter = noise(validation)
    verdict = (best, low, end, jitter, train_best, train_end, closing(validation) < WELL_BELOW * start)

    third = len(validation) // 3
    middle = float(np.median(validation[third : 2 * third])) if third else float("nan")
    reached = closing(train) if final is None else final
    stuck = start > 0 and reached < 0.05 * start and closing(validation) > gap * start
    stuck = stuck or (lead is not None and lead >= ahead and reached < 0.6 * closing(validation))
    rests = third >= 2 and closing(validation) > middle - max(jitter, 0.05 * abs(low))
    stuck = stuck and (rests or final is not None)

    all_lost = low < start < float(validation[-max(3, third) :].min())
    left = LEFT * (start if untrained is None else untrained)
    heart = start > 0 and closing(train) < LEARNED_OUT * start and closing(validation) > left
    heart = heart and lead is not None and lead >= wrong
    limit = max((LOST_ALL if all_lost else rise) * abs(low), lost * (start - low), 4.0 * jitter)
    kept_falling = train_end < train_best - 0.02 * abs(train_best) or train_end < 0.5 * end
    if len(validation) >= points and len(after) >= 3 and end - low > limit and kept_falling and train_end < end:
        highest = float(running_median(after, 3).max())
        if end - low >= 0.5 * (highest - low):
            return Overfit("rise", stuck, *verdict, heart, all_lost)

    if stuck or heart:
        end, train_end = closing(validation), closing(train)
        return Overfit("gap", True, best, low, end, jitter, train_best, train_end, verdict[-1], heart, over=not rests)
    return None


def at_steps_of(target: Curve, source: Curve) -> Floats:
    """``source`` at the steps of ``target``: the median since the step before, or the last value when there
    is none.
    """
    ends = np.searchsorted(source.steps, target.steps, side="right")
    result = np.empty(len(target))
    begin = 0
    for index, end in enumerate(ends):
        result[index] = np.median(source.values[begin:end]) if end > begin else source.values[max(int(end) - 1, 0)]
        begin = int(end)
    return result


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the main validation loss against the main training loss."""
    named = True
    try:
        name, validation = validation_loss(view)
    except NotJudged:
        name, validation = loss_beside_training(view)
        named = False
    train_name, train = training_loss(view)
    validation, train = validation.finite, train.finite
    if len(validation) < FEWEST:
        raise NotJudged(f"{len(validation)} finite values of {name}, needs {FEWEST}")
    if len(train) < 2:
        raise NotJudged(f"{len(train)} finite values of {train_name}, needs 2")
    validation = Curve(*block_medians(validation.steps, validation.values, 400))
    aligned = at_steps_of(validation, train)
    start = max(where_it_began(view, train_name, train), float(validation.values[0]))
    led = _lead(view, validation.values, train.values)
    lead = led[0] if led is not None else None
    final = closing(train.values) if schedule_is_over(view) else None
    untrained = float(validation.values[0]) if validation.steps[0] == 0 else None
    shares = fractions(view)
    kept = entropy_in_training(view, shares, train) if shares is not None else None
    if shares is None or kept is None:
        found = criterion(validation.values, aligned, start, lead, final, untrained, **thresholds)
    else:
        kept = min(kept, float(validation.values.min()))
        start = shares.guessing - kept
        lead = min(1.0, (closing(validation.values) - kept) / start) if start > 0.0 else None
        led = (lead, "The part of what can be learned that is learned in training") if lead is not None else None
        final = None if final is None else final - kept
        found = criterion(validation.values - kept, aligned - kept, start, lead, final, **thresholds)
        found = found.above(kept) if found is not None else None
    points = int(thresholds["points"])
    if found is None and len(validation) < points:
        raise NotJudged(f"{len(validation)} finite values of {name}, needs {points} for a rise")
    if found is None or not (named or found.lost):
        return []
    return [_report(view, name, train_name, validation, found, led, thresholds["ahead"])]


def _nearly_all_right(view: RunView) -> bool:
    """Whether nine in ten validation examples are right at the end."""
    track = accuracy(view, validation=True)
    values = track[1].finite.values if track is not None else np.empty(0)
    return len(values) >= 3 and closing(values) >= 0.9


def _severity(view: RunView, found: Overfit, lead: float | None, ahead: float) -> Severity:
    """Information when the accuracy keeps its best level and the rise is moderate; else a warning."""
    if found.heart or found.lost:
        return "warning"
    mild = found.validation_end - found.validation_best <= 0.5 * abs(found.validation_best - found.kept)
    if found.gap and mild and ((lead is not None and lead < SMALL_LEAD) or _nearly_all_right(view)):
        return "info"
    if found.gap and mild and found.low and lead is not None and lead < 0.5 * ahead and _at_its_best(view):
        return "info"
    few_wrong = lead is not None and lead < SMALL_LEAD and _nearly_all_right(view)
    if found.gap or (lead is not None and lead >= ahead) or not (mild or few_wrong):
        return "warning"
    return "info" if _at_its_best(view) else "warning"


def _at_its_best(view: RunView) -> bool:
    """Whether the validation accuracy keeps its best level to the end."""
    track = accuracy(view, validation=True)
    if track is None or len(track[1].finite) < 5:
        return False
    values = track[1].finite.values
    best = float(running_median(values, 3).max())
    apart = np.diff(np.unique(values.round(ROUNDED)))
    example = float(apart.min()) if len(apart) else 0.0
    return closing(values) >= best - max(2.0 * noise(values), 0.01 * abs(best), 2.5 * example)


def _lead(view: RunView, validation: Floats, train: Floats) -> tuple[float, str] | None:
    """By how much training is ahead at the end, and by what: the accuracy; or, where none is known, the part of the
    variance of the targets that is explained, by the losses ``validation`` [T] and ``train`` [S] (where errors are
    far-flung, batches cost more in the mean than in the median, as a whole validation set does). None when neither is.
    """
    own, other = accuracy(view, validation=False), accuracy(view, validation=True)
    variance = variance_of_targets(view)
    if own is None and other is None and variance is not None:
        late = train[-max(3, len(train) // 10) :]
        explained = (closing(validation) - max(closing(train), float(late.mean()))) / variance
        return min(1.0, explained), "The part of the variance that is explained in training"
    if own is None or other is None or len(own[1].finite) < 3 or len(other[1].finite) < 3:
        return None
    return closing(own[1].finite.values) - closing(other[1].finite.values), "The training accuracy"


def _report(
    view: RunView,
    name: str,
    train_name: str,
    validation: Curve,
    found: Overfit,
    led: tuple[float, str] | None,
    ahead: float,
) -> Finding:
    step = int(validation.steps[found.best])
    end = int(validation.steps[-1])
    if found.kind == "rise":
        message = (
            f"{name} rose from its minimum {short(found.validation_best)} at step {step} to "
            f"{short(found.validation_end)} (noise {short(found.validation_noise)}), while {train_name} went "
            f"from {short(found.train_best)} to {short(found.train_end)}."
        )
        first = f"stop at step {step}: use its checkpoint, and early stopping from now on"
    else:
        share = percent(found.train_end / max(found.validation_end, 1e-300))
        went = "stays" if found.heart else "ends" if found.over else "no longer falls,"
        message = (
            f"{name} {went} at {short(found.validation_end)}, while "
            f"{train_name} is at {short(found.train_end)}, {share} of it"
            f"{' (what such targets, fractions, cost in any case)' if found.kept else ''}: the training examples are "
            "known by heart."
        )
        if led is not None and (found.heart or led[0] >= 0.5 * ahead):
            message += f" {led[1]} is ahead by {percent(led[0])}."
        first = f"use the checkpoint of step {step}, where {name} was lowest ({short(found.validation_best)})"
    decay = max((group.weight_decay for group in view.optimizers), default=0.0)
    dropout = any("Dropout" in module.type for module in view.modules)
    more_decay = (
        f"raise the weight decay from {short(decay)} to {short(10 * decay)}"
        if decay
        else "add weight decay (1e-4 to 1e-2)"
    )
    given = ("check that the inputs do not hold the answer (a causal mask, shifted targets): it is missing later",)
    answers = given if found.lost and found.train_end < GIVEN * found.validation_best else ()
    return RULE.finding(
        _severity(view, found, led[0] if led is not None else None, ahead),
        message,
        (step, view.last_step),
        view,
        evidence=(
            Evidence(
                name,
                found.validation_end,
                found.validation_best,
                ">",
                end,
                note="at the end, against its minimum",
            ),
            Evidence(name, found.validation_best, step=step, note="minimum of the validation loss"),
            Evidence(
                train_name,
                found.train_end,
                found.train_best,
                "<",
                end,
                note="training loss at the end, and then",
            ),
        ),
        suggestions=(
            first,
            *answers,
            "use more training data, or augment what there is",
            f"{more_decay}, or {'more' if dropout else 'add'} dropout",
            "use a smaller net: this one has room to learn the training examples by heart",
        ),
    )


RULE = Rule(
    slug="overfitting",
    family="generalisation",
    severity="warning",
    title="The net overfits",
    needs="a training loss, and 4 values of a validation loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
