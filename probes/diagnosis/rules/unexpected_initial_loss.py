"""The first loss is far above that of guessing: the net begins sure of wrong answers, or the loss is summed.

What it detects
---------------
A cross-entropy, or a mean squared error, that begins several times above what a net without any knowledge should have.

Why it matters
--------------
A freshly initialised classifier should be unsure: its cross-entropy is about the logarithm of the number of
classes. A much larger one means that scores are far too large (initialisation, inputs that are not
normalised), or that the loss is summed over the batch, which multiplies the gradient by the batch size.

Criterion
---------
The loss function is a mean cross-entropy over C classes (as recorded by the probe, when it was given the
loss; or recognised by the gradient that it sends back to the outputs, when the logged loss is what outputs and targets
give, to a tenth), and the first value of the training loss, logged at the first step, is above `factor` (3) times ln C;
for binary cross-entropy above `factor` times ln 2, plus one. A loss below is no finding: a pretrained net
begins there. A warning; only information when the bad beginning is overcome: the loss has since fallen below ln C,
and more than half of ln C is gone, or the answers are not poor where an accuracy is known (then 0.6 of it will do as
well); or it has fallen by half, where it is no mean. Not overcome is also a binary cross-entropy whose scores, in the
last 3 frames, lie on one side of 0, while there are targets of both kinds: a bias that began far off took the weights
along when it was brought down.

Or the loss is a mean squared error, and its first value is above `squared` (100) times the mean square of the targets,
which always answering 0 costs: outputs ten times as large as the targets. A warning from 30 steps on until the loss is
below that; else information.

Evidence
--------
The first loss, ln C, and their ratio.

What to try
-----------
1. When the ratio is about the batch size: average the loss (`reduction="mean"`).
2. Normalise the inputs to mean 0 and standard deviation 1.
3. Initialise smaller, the last layer above all.

When it misleads
----------------
A net that was trained on other labels begins sure of wrong answers. Where the score of the right class is below those
of nearly all others in the first frame, and there are more than two, nothing is said: a margin is taken off it
(ArcFace, CosFace), which raises the first loss on purpose. A loss with further terms (a penalty on
the weights) begins higher by those.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
loss_fn = nn.CrossEntropyLoss(reduction="sum")
train(model, torch.optim.SGD(model.parameters(), lr=1e-4), loss_fn=loss_fn, steps=20)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn=nn.CrossEntropyLoss())
```

References
----------
- Karpathy, CS231n, Neural Networks part 3: look for correct loss at chance performance.
- Karpathy, A recipe for training neural networks, 2019 (verify loss at init).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from probes.diagnosis.beginning import need_beginning
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.manifest import BINARY_CROSS_ENTROPIES, read_loss
from probes.diagnosis.numbers import short
from probes.diagnosis.outcome import came_to_little
from probes.diagnosis.progress import progress
from probes.diagnosis.rule import Rule
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signal import closing
from probes.diagnosis.task import classes_of_targets, outputs_of_last_weights, shape_of
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Curve, NotJudged, RunView

OVERCOME = 0.5
SOME_STEPS, FEWEST_TARGETS = 30, 64
"""Steps in which outputs that begin too large may come down: the targets of some tasks are small by nature; and
targets seen, of which the mean square is known."""
BELOW = 0.85
"""Share of the other scores above that of the right class, in the first frame, that chance does not give (one half)."""
FRAMES = 3
"""Frames at the end whose scores tell whether both answers are given."""


def criterion(first: float, classes: int, *, factor: float = 3.0, squared: float = 100.0) -> bool:
    """Whether the ``first`` cross-entropy is far above that of guessing among ``classes``.

    Args:
        factor: ratio to ln(classes); the default initialisations stay below 1.5, also with a few large
            scores.
        squared: ratio of a mean squared error to that of answering 0: outputs ten times as large as the targets, where
            the default initialisations stay below 3 (used by the judge).
    """
    guessing = math.log(classes)
    return first > factor * guessing + (1.0 if classes == 2 else 0.0)


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the value of the training loss at the first step."""
    name, loss = training_loss(view)
    zero = _of_answering_zero(view)
    if zero is not None:
        return _judge_squares(view, name, loss, zero, thresholds["squared"])
    classes = _classes(view)
    step, first = int(loss.steps[0]), float(loss.values[0])
    need_beginning(view, loss.steps, name)
    if step > 1:
        raise NotJudged(f"the first {name} was logged at step {step}, after {step - 1} updates")
    if not math.isfinite(first):
        raise NotJudged(f"the first {name} is not finite")
    if not criterion(first, classes, **thresholds):
        return []
    outranked = view.series("data/label_outranked")
    if classes > 2 and outranked is not None and len(outranked.finite) and outranked.finite.values[0] > BELOW:
        raise NotJudged("the score of the right class begins below the others, as where a margin is taken off it")
    guessing = math.log(classes)
    learned = progress(view)
    # A summed loss has another level of guessing: there the fall itself shows that the net has learned.
    overcome = learned is not None and (
        (learned.end < guessing and not came_to_little(view, learned))
        or (learned.guessing is None and learned.share >= OVERCOME)
    )
    one_sided = classes == 2 and _one_answer(view)
    overcome = overcome and not one_sided
    severity: Severity = "info" if overcome else "warning"
    ratio = first / guessing
    return [
        RULE.finding(
            severity,
            f"The first {name} is {short(first)}, {short(ratio)} times that of guessing among {classes} classes "
            f"(ln {classes} = {short(guessing)})."
            + (" To this day all scores lie on one side of 0, and targets on both." if one_sided else ""),
            (step, step),
            view,
            active=severity == "warning",
            evidence=(
                Evidence(name, first, thresholds["factor"] * guessing, ">", step, note="first value"),
                Evidence(name, guessing, note=f"ln {classes}: the loss of guessing"),
            ),
            suggestions=(
                f"if the batch size is about {ratio:.0f}: average the loss over the batch (reduction='mean')",
                "normalise the inputs to mean 0 and standard deviation 1",
                "initialise smaller, the last layer above all",
            ),
        )
    ]


def _judge_squares(view: RunView, name: str, loss: Curve, zero: float, squared: float) -> list[Finding]:
    """The finding on a mean squared error that begins far above that of answering 0, and is not below it yet."""
    need_beginning(view, loss.steps, name)
    step, first = int(loss.steps[0]), float(loss.values[0])
    if step > 1 or not math.isfinite(first):
        raise NotJudged(f"the first {name} was logged at step {step}, or is not finite")
    if first <= squared * zero:
        return []
    end = closing(loss.finite.values)
    severity: Severity = "info" if end < zero or view.last_step < SOME_STEPS else "warning"
    return [
        RULE.finding(
            severity,
            f"The first {name} is {short(first)}, {short(first / zero)} times that of answering 0 "
            f"({short(zero)}, the mean square of the targets), and after {view.last_step} steps it is {short(end)}.",
            (step, step),
            view,
            active=severity == "warning",
            evidence=(
                Evidence(name, first, squared * zero, ">", step, note="first value"),
                Evidence(name, zero, note="mean square of the targets: the loss of answering 0"),
            ),
            suggestions=(
                "initialise smaller, the last layer above all: torch.nn's defaults begin near 0",
                "normalise the inputs to mean 0 and standard deviation 1",
            ),
        )
    ]


def _of_answering_zero(view: RunView) -> float | None:
    """The mean square of the targets, where the loss is a mean squared error and they were seen; None otherwise."""
    loss = loss_as_logged(view)
    mean, spread = (view.series(f"data/target_{what}") for what in ("mean", "std"))
    if loss is None or loss.name != "MSELoss" or loss.reduction != "mean" or mean is None or spread is None:
        return None
    _, mine, theirs = np.intersect1d(mean.finite.steps, spread.finite.steps, return_indices=True)
    squares = mean.finite.values[mine] ** 2 + spread.finite.values[theirs] ** 2
    if len(squares) * math.prod(shape_of(view, "target_shape")) < FEWEST_TARGETS:
        return None
    return float(squares.mean()) or None


def _one_answer(view: RunView) -> bool:
    """Whether the scores of a binary cross-entropy still lie on one side of 0 where targets of both kinds are seen."""
    names = ("output_min", "output_max", "target_min", "target_max")
    curves = [view.series(f"data/{name}") for name in names]
    known = [curve.finite.values[-FRAMES:] for curve in curves if curve is not None]
    if len(known) < len(names) or min(len(values) for values in known) < FRAMES:
        return False
    low, high, no, yes = known
    return bool((no == 0.0).all() and (yes == 1.0).all() and ((high < 0.0).all() or (low > 0.0).all()))


def _classes(view: RunView) -> int:
    """Number of classes of the cross-entropy in use; raises `NotJudged` when the loss is another or
    unknown.
    """
    loss = read_loss(view.manifest)
    if loss is None:
        raise NotJudged("the loss function is not known (give loss_fn to watch)")
    if loss_as_logged(view) is None:
        raise NotJudged(f"what is logged is more than the {loss.name} that the outputs go into, or other than it")
    binary = loss.name in BINARY_CROSS_ENTROPIES
    if not (binary or loss.name in ("CrossEntropyLoss", "NLLLoss")) or (binary and loss.weighted):
        raise NotJudged(f"the expected first value of {loss.name} is not known")
    if binary:
        return 2
    classes = classes_of_targets(view) or outputs_of_last_weights(view)
    if classes < 2:
        raise NotJudged("the number of classes is not known")
    return classes


RULE = Rule(
    slug="unexpected-initial-loss",
    family="initialisation",
    severity="warning",
    title="The first loss is far above that of guessing",
    needs="the loss function (given, or recognised by its gradient), and the training loss of the first step",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
