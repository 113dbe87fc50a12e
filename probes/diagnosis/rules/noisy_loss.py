"""The batches are no fair sample: too few examples for the size of the steps, or all of one class.

What it detects
---------------
A loss whose single values say little about the net, because of what is in a batch: so few examples that each step
follows one or two of them, with steps so large that nothing is learned beyond; a sample at all, for an optimizer that
needs all examples at once; or many examples of a single class, because they are not shuffled.

Why it matters
--------------
A batch stands for all the examples. When it does not, each step leads somewhere else, and the net follows the last
few examples that it saw instead of learning what they have in common.

Criterion
---------
- *Batch too small* (batches of `tiny` (8) examples at most, from the shapes of the outputs, in classification): in
  the last half of at least 200 values of the loss, single values deviate by more than `deviation` (0.4) of where the
  loss began (or of the loss of guessing, ln C); the level in the last quarter of the run is above `poor` (0.2) of
  that, and not certainly below that of the quarter before (3 standard errors); and the median step changes the
  weights by more than `step` (0.002) of their size. A warning; information while the run goes on.
- *Batches under an optimizer for the whole of the data* (Rprop, which trusts the sign of each gradient alone, and
  LBFGS, which takes the differences of gradients for curvature; in classification): in the last half of at least 100
  values of the loss, single values deviate by more than `sampled` (0.1) of where it began, as those of the whole never
  do, and the level is above `poor` of that and no longer falls, as above. A warning; information while the run goes on.
- *Batches of one class* (known when the loss function is given to the probes): in at least 5 batches of 8 examples or
  more, the most frequent class has `single` (0.95) of a batch in the median, but less than 0.7 of all the targets. A
  warning when the loss also swings from batch to batch by more than 0.15 of where it began (from its 10th to its 90th
  percentile, in the last half), or the accuracy on validation examples stays below 0.85; else information.

Evidence
--------
The noise of single values, the size of the batch and of the steps; or the share of the most frequent class.

What to try
-----------
1. Shuffle: `DataLoader(..., shuffle=True)`.
2. A larger batch (32), or gradients accumulated over several batches.
3. A learning rate as many times lower as the batch is smaller than the one the rate was made for.

When it misleads
----------------
When gradients of several batches are accumulated before a step, the loss of each is noisier than the step. A
regression with a few far targets has a noisy loss with tiny batches whatever the rate. Some methods take batches of
one class on purpose: that is information only as long as the net learns.

Example that fires
------------------
```python
sort = targets[:1400].argsort(stable=True)
place = [0]

def in_order(x, y):
    rows = sort[(place[0] + torch.arange(16)) % 1400]
    place[0] += 16
    return inputs[rows], targets[rows]

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.Adam(model.parameters(), lr=1e-3), transform=in_order, batch=16, steps=500, every=20)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.01), batch=2, steps=1000, every=20)
```

References
----------
- Bengio, Practical recommendations for gradient-based training of deep architectures, 2012 (batch size, order).
- Goyal et al., Accurate, large minibatch SGD, 2017 (learning rate in proportion to the batch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.gradients import step_size
from probes.diagnosis.numbers import percent, round_rate, short
from probes.diagnosis.progress import label_counts, majority_share
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import closing, level
from probes.diagnosis.signs.swings import detrended, last_part, scale_of_loss
from probes.diagnosis.task import batch_size, classifies
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

MINIMUM_VALUES = 200
USUAL_BATCH = 32
WHOLE = ("Rprop", "LBFGS")
"""Optimizers that need the gradient of all examples (Hinton, Neural networks for machine learning, lecture 6e: rprop
does not work with mini-batches; Nocedal and Wright, Numerical Optimization, 2006, chapter 7).
"""


@dataclass(frozen=True)
class Noise:
    """Standard deviation of single values over the scale of the loss, and the level at the end over it."""

    deviation: float
    level: float


def criterion(
    values: Floats,
    scale: float,
    size: float,
    batch: int,
    *,
    tiny: float = 8,
    deviation: float = 0.4,
    poor: float = 0.2,
    step: float = 0.002,
    single: float = 0.95,
    sampled: float = 0.1,
) -> Noise | None:
    """Whether the noise of tiny batches keeps a net from learning.

    Args:
        values: the loss, finite, [T].
        scale: where the loss began, or the loss of guessing.
        size: median step size in the last half (update over weights).
        batch: examples in a batch.
        tiny: largest batch that is tiny.
        deviation: standard deviation of single values, as a share of ``scale`` (one example at a time, at a rate
            that learns: 0.1 to 0.35).
        poor: level at the end, as a share of ``scale``, above which little was learned.
        step: step size, as a share of the weights (1e-3 is usual for large batches, CS231n).
        single: share of the most frequent class in a batch that is of one class (used by the judge).
        sampled: standard deviation, as a share of ``scale``, of a loss under an optimizer that needs all examples at
            once (on these it is below 0.001; used by the judge).
    """
    if len(values) < MINIMUM_VALUES or batch > tiny or scale <= 0 or not size > step:
        return None
    return _rests(values, scale, deviation, poor)


def _rests(values: Floats, scale: float, deviation: float, poor: float) -> Noise | None:
    """The noise and level in the last half of a loss that deviates by so much, is poor, and no longer falls."""
    half = values[len(values) // 2 :]
    spread = float(detrended(half).std())
    quarter = len(half) // 2
    before, after = float(half[:quarter].mean()), float(half[quarter:].mean())
    error = spread * float(np.sqrt(2.0 / quarter))
    if spread < deviation * scale or after < poor * scale or before - after > 3.0 * error:
        return None
    return Noise(spread / scale, after / scale)


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the classes in a batch where they are known, and the one training loss of tiny batches."""
    batch = batch_size(view)
    name, curve = training_loss(view)
    loss = curve.finite
    sorted_batches = _one_class(view, batch, name, loss, thresholds)
    if sorted_batches is not None:
        return sorted_batches
    sampled = _of_the_whole(view, name, loss, thresholds)
    if sampled is not None:
        return [sampled]
    if batch is None:
        raise NotJudged("the size of the batches is not known")
    if batch > thresholds["tiny"]:
        return []
    if not classifies(view):
        raise NotJudged("not known to be classification: a regression has noisy losses in tiny batches as it is")
    if len(loss) < MINIMUM_VALUES:
        raise NotJudged(f"{len(loss)} values of {name}, needs {MINIMUM_VALUES}")
    sizes = step_size(view)
    size = level(last_part(sizes, 0.5).values)
    scale = scale_of_loss(view, name, loss)
    found = criterion(loss.values, scale, size, batch, **thresholds)
    if found is None:
        return []
    rate = view.learning_rate(view.last_step)
    factor = USUAL_BATCH / batch
    return [
        RULE.finding(
            "info" if view.status == "running" else "warning",
            f"In batches of {batch}, single values of {name} deviate by {short(found.deviation * scale)} from a level "
            f"of {short(found.level * scale)} that no longer falls, and each step changes the weights by "
            f"{percent(size)} of their size: the net follows single examples.",
            (int(last_part(loss, 0.5).steps[0]), view.last_step),
            view,
            evidence=(
                Evidence(name, found.deviation, thresholds["deviation"], ">", note="noise, of where the loss began"),
                Evidence(name, found.level, thresholds["poor"], ">", note="level at the end, of where it began"),
                Evidence("update_norm", size, thresholds["step"], ">", note="median size of a step"),
                Evidence("batch size", float(batch), thresholds["tiny"], "<"),
            ),
            suggestions=(
                f"use batches of {USUAL_BATCH}, not {batch}, or accumulate gradients over {short(factor)} batches",
                f"or lower the learning rate from {short(rate)} to about {round_rate(rate / min(factor, 10.0))}"
                if rate
                else "or lower the learning rate by a factor of ten",
                "check that the examples are shuffled every epoch",
            ),
        )
    ]


def _of_the_whole(view: RunView, name: str, loss: Curve, thresholds: dict[str, float]) -> Finding | None:
    """What is said of an optimizer for the whole of the data that is given a sample of it in each step."""
    kind = next((group.type for group in view.optimizers if group.type in WHOLE), None)
    if kind is None or len(loss) < MINIMUM_VALUES // 2 or not classifies(view):
        return None
    scale = scale_of_loss(view, name, loss)
    found = _rests(loss.values, scale, thresholds["sampled"], thresholds["poor"]) if scale > 0 else None
    if found is None:
        return None
    batch = batch_size(view)
    of = f" of {batch} examples" if batch is not None else ""
    return RULE.finding(
        "info" if view.status == "running" else "warning",
        f"{kind} needs the gradient of all examples, and is given that of a batch{of}: single values of {name} deviate "
        f"by {short(found.deviation * scale)} from a level of {short(found.level * scale)} that no longer falls.",
        (int(last_part(loss, 0.5).steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(name, found.deviation, thresholds["sampled"], ">", note="noise, of where the loss began"),
            Evidence(name, found.level, thresholds["poor"], ">", note="level at the end, of where it began"),
        ),
        suggestions=(
            f"give {kind} all examples in every step",
            "or use Adam or SGD, which average over the noise of batches",
        ),
    )


def _one_class(
    view: RunView, batch: int | None, name: str, loss: Curve, thresholds: dict[str, float]
) -> Sequence[Finding] | None:
    """What is said of batches of one class; None when they are not, or the classes in a batch are not known."""
    shares = view.series("data/largest_label_share")
    if shares is None or len(shares.finite) < 5 or len(label_counts(view)) < 2 or (batch is not None and batch < 8):
        return None
    shares, share = shares.finite, level(shares.finite.values)
    common = majority_share(view)
    if share < thresholds["single"] or common >= 0.7 or sum(label_counts(view)) < 100:
        return None
    half = loss.values[len(loss) // 2 :]
    rest = detrended(half) if len(half) > 1 else np.zeros(1)
    scale = scale_of_loss(view, name, loss) if len(loss) else 1.0
    swing = float(np.percentile(rest, 90) - np.percentile(rest, 10)) / scale
    track = accuracy(view, validation=True)
    reached = closing(track[1].finite.values) if track is not None and len(track[1].finite) else None
    harmed = swing > 0.15 or (reached is not None and reached < 0.85)
    evidence = [
        Evidence("data/largest_label_share", share, thresholds["single"], ">", note="most frequent class in a batch"),
        Evidence("data/label_counts", common, 0.7, "<", note="most frequent class of all"),
        Evidence("train/loss", swing, 0.15, ">", note="swing of the loss, of where it began"),
    ]
    if reached is not None:
        evidence.append(Evidence("val/accuracy", reached, 0.85, "<", note="validation accuracy at the end"))
    return [
        RULE.finding(
            "warning" if harmed else "info",
            f"The batches hold one class each: the most frequent class has {percent(share)} of a batch, but "
            f"{percent(common)} of all targets. The examples are not shuffled.",
            (int(shares.steps[0]), view.last_step),
            view,
            evidence=tuple(evidence),
            suggestions=(
                "shuffle the training examples anew every epoch: DataLoader(..., shuffle=True)",
                "check that the sampler does not group the examples by class",
            ),
        )
    ]


RULE = Rule(
    slug="noisy-loss",
    family="loss",
    severity="warning",
    title="The batches are no fair sample",
    needs="200 values of one training loss in batches of known size, or the classes in each batch",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
