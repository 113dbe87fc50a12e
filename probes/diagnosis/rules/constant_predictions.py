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
(0.3). Batches of fewer than 8 examples are not judged. While the run goes on it is information, for a plateau may
yet be left; a warning once the run has ended.

Evidence
--------
The shares among predictions and among targets in the last frame.

What to try
-----------
1. Look at what is reported as its cause, if anything is.
2. Check that the loss belongs to the task, and that it is given scores, not classes or probabilities.
3. Check that inputs differ as the net sees them.

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
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.numbers import percent
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import trailing_run
from probes.diagnosis.view import Floats, NotJudged, RunView

MINIMUM_FRAMES = 3
MINIMUM_EXAMPLES = 8
PREDICTIONS, LABELS = "data/largest_prediction_share", "data/largest_label_share"


def criterion(
    predictions: Floats, labels: Floats, *, share: float = 0.99, margin: float = 0.3, steps_needed: float = 100
) -> int:
    """In how many frames, up to the last without a gap, all predictions are the same.

    Args:
        predictions, labels: share of the most frequent class per frame, [T].
        share: share that is all (one of a hundred may differ).
        margin: how much less uniform the targets are.
        steps_needed: steps before which nothing is said (used by the judge).
    """
    return trailing_run((predictions >= share) & (labels <= predictions - margin))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the predictions of the training batches."""
    predictions, labels = view.series(PREDICTIONS), view.series(LABELS)
    if predictions is None or labels is None:
        raise NotJudged("no predictions were seen (give loss_fn to watch)")
    steps, mine, theirs = np.intersect1d(predictions.steps, labels.steps, return_indices=True)
    if len(steps) < MINIMUM_FRAMES or view.last_step < thresholds["steps_needed"]:
        needed = int(thresholds["steps_needed"])
        raise NotJudged(f"{len(steps)} frames of predictions in {view.last_step} steps, needs 3 in {needed}")
    data = view.manifest.get("data")
    shape = data.get("output_shape") if isinstance(data, Mapping) else None
    if isinstance(shape, (list, tuple)) and shape and int(shape[0]) < MINIMUM_EXAMPLES:
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
            f"only {percent(varied)} (step {seen}).",
            (first, view.last_step),
            view,
            evidence=(
                Evidence(PREDICTIONS, same, thresholds["share"], ">", seen, note="most frequent class, predictions"),
                Evidence(LABELS, varied, same - thresholds["margin"], "<", seen, note="most frequent class, targets"),
            ),
            suggestions=(
                "check that the loss belongs to the task and is given what it expects: scores and class numbers",
                "check that the inputs differ as the net sees them",
                "try to overfit one small batch (babysit check)",
            ),
        )
    ]


RULE = Rule(
    slug="constant-predictions",
    family="data and head",
    severity="warning",
    title="All predictions are the same",
    needs="3 frames of predictions and targets, as a given loss_fn lets the probe see them",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
