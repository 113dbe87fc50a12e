"""One class is seen far more often than the others, and the net does badly on data where it is not.

What it detects
---------------
Training targets of which one class makes up most, beside a validation score that falls behind training.

Why it matters
--------------
Always answering the frequent class is right most of the time: loss and accuracy look good long before anything
else is learned, and the rare classes, often those that matter, are not learned at all.

Criterion
---------
Of at least `seen` (30) targets, the most frequent class makes up half or more, by two standard errors, and `ratio` (5)
times its fair share 1/C or, with few classes, as much as `share` (0.8) whenever that is less, and the others are rarer
by `ratio` (median of the others). It is a warning when it harms: the validation accuracy, over its last values, is
below the training accuracy by more than 0.1, or, in a run that has ended, not above the share of the most frequent
class. It is one, too, when, in a run that has ended, the predictions are all of one class in the latter half, and the
validation accuracy is the share of that class and stays there. Half of the targets, by two standard errors, is then
enough with few classes, too, where the accuracy (5 values or more) ends within three standard errors of that share, or
0.03, and is no higher over the latter half than it has been before. It is none where the net gives the frequent class
less often than it comes: then the rare ones have more weight on purpose. Otherwise, or without a validation accuracy,
it is information. Where rewards are logged and loss_fn was not given, the targets may be the actions of an agent, and
nothing is said.

Under BCEWithLogitsLoss with fewer than a tenth of the targets 1 it is a warning, when the run has ended, that none of
them is ever found: no score of the last frames is above 0, and the accuracy is that of always saying no. Of several
answers per example (tags, pixels) that takes 30 targets that are 1 in the last 3 frames. A single answer may be a risk
that is ranked and need not reach one half: it takes at least 8 validations since the first tenth of the run that do not
differ in a single example, no score above 0 in the latter half, and no other measure of validation beside loss and
accuracy.

Evidence
--------
The share of the most frequent class, and both accuracies.

What to try
-----------
1. Weight the loss by class (`weight=` of the cross-entropy), or sample all classes alike (WeightedRandomSampler).
2. Get more examples of the rare classes, or augment them.
3. Watch a score that does not reward the frequent class: balanced accuracy, F1, area under the curve.

When it misleads
----------------
Data that is sorted by class shows one class at a time. Targets are counted in the batches of the frames alone.

Example that fires
------------------
```python
rows = torch.cat([(targets[:1400] == 0).nonzero()[:, 0], torch.arange(10)])
data, validation = (inputs[rows], targets[rows]), (inputs[1400:], targets[1400:])
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), data=data, validation=validation)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- He and Garcia, Learning from imbalanced data, 2009.
- Amazon SageMaker Debugger, rule ClassImbalance (ratio of the rarest to the most frequent class below 0.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent
from probes.diagnosis.progress import label_counts
from probes.diagnosis.rule import Rule
from probes.diagnosis.seen_loss import need_targets
from probes.diagnosis.signal import closing
from probes.diagnosis.signs.rare import NeverSaid, never_flagged, never_said
from probes.diagnosis.tracks import accuracy
from probes.diagnosis.view import Floats, NotJudged, RunView

LESS = 0.05
"""How much less often than it comes a class must be given, or an answer be right, to be so on purpose."""


def criterion(
    counts: Sequence[int], *, ratio: float = 5.0, share: float = 0.8, seen: float = 30
) -> tuple[int, float] | None:
    """(most frequent class, its share) when it is seen far more often than the others; None otherwise.

    Args:
        counts: targets seen of each class, [C].
        ratio: times its fair share, and times the median of the others.
        share: share that is far too much with few classes, whatever the ratio.
        seen: targets below which chance decides (used by the judge).
    """
    numbers = np.asarray(counts, dtype=np.float64)
    top = int(numbers.argmax())
    part = float(numbers[top] / numbers.sum())
    others = float(np.median(np.delete(numbers, top)))
    error = float(np.sqrt(part * (1.0 - part) / numbers.sum()))
    if part - 2.0 * error < 0.5 or part < min(ratio / len(numbers), share) or numbers[top] < ratio * others:
        return None
    return top, part


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the targets that were seen, and the accuracies."""
    need_targets(view)
    silent = never_said(view) or never_flagged(view)
    if silent is not None:
        return [_never_said(view, silent)]
    counts = label_counts(view)
    if len(counts) < 2 or sum(counts) < thresholds["seen"]:
        raise NotJudged(f"{sum(counts)} targets of classes were seen, needs {int(thresholds['seen'])}")
    found, alone_at_the_end = criterion(counts, **thresholds), _only_the_share(view)
    if found is None and alone_at_the_end:
        # Half and more is too much, too, where it is all that the net ever answers.
        found = criterion(counts, **{**thresholds, "share": 0.5})
    if found is None:
        return []
    top, part = found
    fitted, held = accuracy(view, validation=False), accuracy(view, validation=True)
    message = f"{percent(part)} of the targets that were seen are of class {top} of {len(counts)}."
    evidence = [Evidence("data/largest_label_share", part, 1 / len(counts), ">", note=f"share of class {top}")]
    harm = False
    if held is not None and len(held[1].finite) >= 2:
        score = closing(held[1].finite.values)
        message += f" {held[0]} is {score:.2f}."
        evidence.append(Evidence(held[0], score, part, "<", note="validation accuracy, last values"))
        harm = score <= part and score < 0.9 and view.status != "running"
        if fitted is not None and len(fitted[1].finite):
            own = closing(fitted[1].finite.values)
            evidence.append(Evidence(fitted[0], own, note="training accuracy, last values"))
            harm |= own - score > 0.1
            # So wrong on its own examples, too, it does not go for the frequent class: the rare ones have more weight.
            harm &= own > part - LESS
        predicted, labelled = _shares(view)
        if predicted is not None and labelled is not None:
            # Weighted for the rare classes, a net gives them more often than they come: right less often on purpose.
            harm &= predicted > labelled - LESS
            alone = predicted >= 0.99 and abs(score - part) < 0.03 and _flat(held[1].finite.values)
            harm |= alone and view.status != "running"  # a plateau that may yet be left
            if alone_at_the_end:
                harm, message = True, message + " All answers are one class, and validation gets no further."
    return [
        RULE.finding(
            "warning" if harm else "info",
            message,
            (min(1, view.last_step), view.last_step),
            view,
            evidence=tuple(evidence),
            suggestions=(
                "weight the loss by class (weight= of CrossEntropyLoss), or sample all classes alike "
                "(torch.utils.data.WeightedRandomSampler)",
                "get more examples of the rare classes, or augment them",
                "watch balanced accuracy or F1 in place of accuracy",
            ),
        )
    ]


def _never_said(view: RunView, silent: NeverSaid) -> Finding:
    """Rare events, tags or pixels of which none is ever found."""
    return RULE.finding(
        "info" if view.status == "running" else "warning",  # a plateau that may yet be left
        f"{percent(silent.share)} of the targets are 1, and no score is above 0 (the highest of the last frames is "
        f"{silent.highest:.2f}): not one of them is found. {silent.series} is {silent.accuracy:.3f}, that of always "
        "saying no.",
        (silent.since, view.last_step),
        view,
        evidence=(
            Evidence("data/output_max", silent.highest, 0.0, "<", note="highest score of the last frames"),
            Evidence("data/target_mean", silent.share, note="share of the targets that are 1"),
            Evidence(silent.series, silent.accuracy, 1.0 - silent.share, "=", note="accuracy, and that of saying no"),
        ),
        suggestions=(
            f"weight what is rare: pos_weight of up to {(1.0 - silent.share) / silent.share:.0f} (BCEWithLogitsLoss), "
            "a Dice or focal loss",
            "lower the threshold: choose it on validation examples, in place of one half",
            "watch recall, F1 or Dice in place of accuracy",
        ),
    )


def _shares(view: RunView) -> tuple[float | None, float | None]:
    """Share of the most frequent class among predictions and among targets of a batch, in the latter half."""
    curves = [view.series(f"data/largest_{what}_share") for what in ("prediction", "label")]
    halves = [curve.finite.values[len(curve.finite) // 2 :] if curve is not None else np.empty(0) for curve in curves]
    predicted, labelled = (float(np.median(half)) if len(half) >= 2 else None for half in halves)
    return predicted, labelled


def _only_the_share(view: RunView) -> bool:
    """Whether a run has ended in which all answers of the latter half are one class, and the validation accuracy, the
    share of it, is no higher there than it has been before.
    """
    held, counts = accuracy(view, validation=True), np.asarray(label_counts(view), dtype=np.float64)
    predicted, labelled = _shares(view)
    values = held[1].finite.values if held is not None else np.empty(0)
    if len(values) < 5 or predicted is None or labelled is None or counts.sum() <= 0 or view.status == "running":
        return False
    part = float(counts.max() / counts.sum())
    error = float(np.sqrt(part * (1.0 - part) / counts.sum()))
    half, end = len(values) // 2, closing(values)
    stays = max(end, float(values[half:].mean())) <= float(values[:half].max())
    return predicted >= 0.99 and predicted > labelled + LESS and abs(end - part) < max(0.03, 3.0 * error) and stays


def _flat(values: Floats) -> bool:
    """Whether a score stays where it is over at least 5 values."""
    half = values[len(values) // 2 :]
    return len(values) >= 5 and bool(np.ptp(half) <= 0.005)


RULE = Rule(
    slug="class-imbalance",
    family="data and head",
    severity="warning",
    title="One class is seen far too often",
    needs="30 targets of classes, as the probe sees them where loss_fn is given or the loss is recognised",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
