"""The net gives the same answer to every input.

What it detects
---------------
Batches of different classes for all of which the net predicts one and the same.

Why it matters
--------------
The net does not use its inputs: the answer is that of the biases. What follows the collapse is no training.

Criterion
---------
In the last 3 frames or more, over at least half of the run and after `steps_needed` (100) steps, the largest share
of one class among the predictions is at least `share` (0.99), while that among the targets is lower by `margin`
(0.3). Of yes-or-no scores under BCEWithLogitsLoss the signs are the predictions: they count as constant when the
scores of a batch have one sign, and no more than `rarer` (0.4) of its targets, which differ, are that answer. To give
the more frequent answer always is no fault there: with little to go by, no example may reach one half. Batches of
fewer than 8 examples are not judged, nor, where rewards are logged and loss_fn was not given, what may be the actions
of an agent. While the run goes on it is information, for a plateau may yet be left; a warning once the run has ended.

A variational autoencoder rebuilds every input alike when its code says nothing about it: the divergence (kl) that was
logged beside the reconstruction is, through the latter half, below 1% of where it began and of the reconstruction; or
below a tenth of the one and 1e-4 of the other, which it may have been when it was logged first.

Where neither is known, a net of one output gives the same answer when its outputs vary from example to example by less
than 0.05 of the loss and of its root, and no more than 1.25 times as much as those of the untrained net, though a tenth
of the loss is gone and it has come to rest: whether it is an absolute error or a squared one, next to nothing of it is
explained. The last two weights must follow each other (a second head says nothing of the answers), no rewards be
logged, and two frames lie after 0.15 of a run that has ended after twice `steps_needed`.

Evidence
--------
The shares among predictions and among targets in the last frame.

What to try
-----------
1. Look at what is reported as its cause, if anything is.
2. Check `pos_weight`: no more than negatives over positives.
3. Check that the loss belongs to the task, and that it is given scores, not classes or probabilities.
4. Check that inputs differ as the net sees them.
5. Under an absolute error, look at the median of the targets: of mostly zeros it is 0, whatever the rest. Take a
   squared error or the likelihood of counts (Poisson), or tell first whether there is anything.

When it misleads
----------------
Targets of which nearly all are of one class in each batch are not seen as different.

Example that fires
------------------
```python
def guess(scores, classes):
    return (scores.max(1).values.sigmoid() - classes.float()).square().mean()


model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn=guess)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- Karpathy, A recipe for training neural networks, 2019 (input-independent baseline).
- Bowman et al., Generating sentences from a continuous space, 2016 (the divergence that goes to zero).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.mismatch.called import kind_of_loss
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.rule import Rule
from probes.diagnosis.seen_loss import need_targets
from probes.diagnosis.signal import trailing_run
from probes.diagnosis.signs.latent import GONE, Collapse, collapsed_code
from probes.diagnosis.signs.unvaried import GROWN, LITTLE, Unvaried, unvaried_outputs
from probes.diagnosis.task import shape_of
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

MINIMUM_FRAMES = 3
MINIMUM_EXAMPLES = 8
OUTPUTS, TARGETS = "data/output_min", "data/target_mean"
PREDICTIONS, LABELS = "data/largest_prediction_share", "data/largest_label_share"


def criterion(
    predictions: Floats,
    labels: Floats,
    *,
    share: float = 0.99,
    margin: float = 0.3,
    rarer: float = 0.4,
    steps_needed: float = 100,
) -> int:
    """In how many frames, up to the last without a gap, all predictions are the same.

    Args:
        predictions, labels: share of the most frequent class per frame, [T].
        share: share that is all (one of a hundred may differ).
        margin: how much less uniform the targets are.
        rarer: share of the targets that a constant yes or no may get right, at most (used by the judge).
        steps_needed: steps before which nothing is said (used by the judge).
    """
    return trailing_run((predictions >= share) & (labels <= predictions - margin))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the predictions of the training batches."""
    need_targets(view)
    predictions, labels = view.series(PREDICTIONS), view.series(LABELS)
    sources, signs = (PREDICTIONS, LABELS), predictions is None or labels is None
    if signs:
        predictions, labels = _signs(view, thresholds["rarer"])
        sources = (OUTPUTS, TARGETS)
    if predictions is None or labels is None:
        collapse = collapsed_code(view)
        if collapse is not None:
            return [_collapsed(view, collapse)]
        ended = view.status != "running" and view.last_step >= 2 * thresholds["steps_needed"]
        alike = unvaried_outputs(view) if ended else None
        if alike is not None:
            return [_unvaried(view, alike)]
        raise NotJudged("no predictions were seen, and the loss was not recognised (give loss_fn to watch)")
    steps, mine, theirs = np.intersect1d(predictions.steps, labels.steps, return_indices=True)
    if len(steps) < MINIMUM_FRAMES or view.last_step < thresholds["steps_needed"]:
        needed = int(thresholds["steps_needed"])
        raise NotJudged(f"{len(steps)} frames of predictions in {view.last_step} steps, needs 3 in {needed}")
    shape = shape_of(view, "output_shape")
    if shape and shape[0] < MINIMUM_EXAMPLES:
        raise NotJudged(f"batches of {shape[0]} examples are too small to tell")
    length = criterion(predictions.values[mine], labels.values[theirs], **thresholds)
    if length < MINIMUM_FRAMES or steps[-length] > 0.5 * view.last_step:
        return []
    first, seen = int(steps[-length]), int(steps[-1])
    same, varied = float(predictions.values[mine][-1]), float(labels.values[theirs][-1])
    severity: Severity = "info" if view.status == "running" else "warning"
    return [
        RULE.finding(
            severity,
            f"In the last {length} frames {percent(same)} of the predictions of a batch are one class, of the targets "
            f"only {percent(varied)} {'are that class ' if signs else ''}(step {seen}).",
            (first, view.last_step),
            view,
            evidence=(
                Evidence(sources[0], same, thresholds["share"], ">", seen, note="most frequent class, predictions"),
                Evidence(
                    sources[1], varied, same - thresholds["margin"], "<", seen, note="most frequent class, targets"
                ),
            ),
            suggestions=(
                *(("set pos_weight to no more than negatives over positives, or leave it out",) if signs else ()),
                "check that the loss belongs to the task and is given what it expects: scores and class numbers",
                "check that the inputs differ as the net sees them",
                "try to overfit one small batch (babysit check)",
            ),
        )
    ]


def _unvaried(view: RunView, alike: Unvaried) -> Finding:
    """A net of one output that has found one answer for all."""
    return RULE.finding(
        "warning",
        f"{alike.series} has fallen to {short(alike.loss)} and is at rest, but the output varies from example to "
        f"example by {short(alike.deviation)}, at first by {short(alike.first)}: one answer for all has been found, "
        "and nothing that tells them apart.",
        (alike.since, view.last_step),
        view,
        evidence=(
            Evidence("activation_std", alike.deviation, GROWN * alike.first, "<", note="deviation of the output"),
            Evidence(alike.series, alike.loss, alike.deviation / LITTLE, ">", note="level at the end"),
        ),
        suggestions=(
            "check the loss: an absolute error is least at the median of the targets, and of mostly zeros that is 0 (a "
            "squared error, a Poisson likelihood, or a yes-or-no before the amount)",
            "check that outputs and targets have the same shape: [N, 1] against [N] compares all with all",
            "look at inputs and targets as the net sees them: do they belong together, also after shuffling?",
        ),
    )


def _collapsed(view: RunView, collapse: Collapse) -> Finding:
    """A variational autoencoder that rebuilds every input alike."""
    return RULE.finding(
        "info" if view.status == "running" else "warning",
        f"{collapse.series} went from {short(collapse.start)} to {short(collapse.end)}, beside a reconstruction of "
        f"{short(collapse.reconstruction)}: the code says nothing about the input (posterior collapse), and what is "
        "rebuilt from it is the same for every input.",
        (int(collapse.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(collapse.series, collapse.end, GONE * collapse.start, "<", note="divergence, now and at first"),
            Evidence(collapse.series, collapse.end, GONE * collapse.reconstruction, "<", note="and the reconstruction"),
        ),
        suggestions=(
            "sum both terms over one example alike (a mean over pixels makes the divergence weigh hundreds of times "
            "more), or weigh the divergence less",
            "raise the weight of the divergence from zero over the first epochs, or leave some nats free",
        ),
    )


def _signs(view: RunView, rarer: float) -> tuple[Curve | None, Curve | None]:
    """Per frame of a binary cross-entropy on scores: 1.0 where all have one sign and few targets are that answer (0.0
    elsewhere), and the share of the targets that are; (None, None) for any other loss.
    """
    if kind_of_loss(view) != "BCEWithLogitsLoss":
        return None, None
    series = [view.series(f"data/{name}") for name in ("output_min", "output_max", "target_min", "target_max")]
    mean = view.series("data/target_mean")
    if mean is None or any(curve is None for curve in series):
        return None, None
    known = [curve for curve in series if curve is not None]
    steps = mean.steps
    for curve in known:
        steps = np.intersect1d(steps, curve.steps)
    low, high, none, all_ = (curve.values[np.searchsorted(curve.steps, steps)] for curve in known)
    yes = mean.values[np.searchsorted(mean.steps, steps)]
    right = np.where(low > 0, yes, 1.0 - yes)
    same = ((low > 0) | (high < 0)) & (none < all_) & (right <= rarer)
    return Curve(steps, same.astype(np.float64)), Curve(steps, right)


RULE = Rule(
    slug="constant-predictions",
    family="data and head",
    severity="warning",
    title="All predictions are the same",
    needs="3 frames of predictions and targets (loss_fn given, or the loss recognised); or kl and recon; or one output",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
