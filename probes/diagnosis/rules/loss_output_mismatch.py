"""The loss is given something else than it expects: probabilities for scores, or targets out of reach.

What it detects
---------------
A model whose last layer does not belong to its loss: a softmax or sigmoid before a loss that applies its own, raw
scores where logarithms of probabilities are wanted, targets that the last activation cannot reach, or outputs and
targets of different shapes.

Why it matters
--------------
A cross-entropy of probabilities cannot fall below ln(1 + (C - 1)/e), 1.46 for ten classes: its largest score is 1.
The gradient passes through two softmaxes and is small where the model is wrong. The training runs, learns slowly, and
looks like a hard problem. A regression whose outputs end at 1 never reaches a target of 5.

Criterion
---------
With the loss given to the probe, what it was called with decides, over at least `frames` (2) frames:

- `CrossEntropyLoss`: all outputs lie within [0, 1], and their mean is 1/C (a softmax) or the last module is a sigmoid;
  or they are the outputs of a tanh. After a ReLU only when the training loss has fallen by less than half.
- `CrossEntropyLoss` of a single score, which is always 0; or `BCELoss` of outputs that are all 1, as a softmax of a
  single score gives.
- `NLLLoss`: outputs above 0, which no logarithm of a probability is.
- `BCEWithLogitsLoss`: all outputs lie within [0, 1] after a sigmoid or softmax, or reach over half of
  it and stay there for `steps_needed` (50) steps or more; or targets outside of [0, 1].
- losses of regression: outputs and targets whose shapes combine to more elements than either has; or targets that lie
  beyond the bounds of the last activation, or of the outputs where these end exactly there, by more than `reach` (0.1)
  of their range and by more than their standard deviation allows.

Without it, the training loss and the last module decide for C classes (C outputs; with no softmax module C is at least
4): the loss began at ln C, to 3% (values of whole epochs may begin lower); no loss of the run is below
ln(1 + (C - 1)/e), and hardly any above ln(C - 1 + e), as a double softmax has it; and after `steps_needed` steps the
model is so sure, as the spread of its outputs tells, that one which is right as often as it is sure would have a loss
lower by `margin` (0.25) or more. (An accuracy does not tell: a model under strong regularisation is right far more
often than it is sure.)

A loss of one's own for classes is reported when its size was not that of a cross-entropy, it has come to rest, and the
accuracy has stayed at chance.

Evidence
--------
Range and mean of the outputs, range of the targets; or the training loss against its floor.

What to try
-----------
1. Cross-entropy: return raw scores from the model, and take softmax only for predictions.
2. Sigmoid outputs: `BCELoss`; raw scores: `BCEWithLogitsLoss`.
3. Regression: no activation after the last layer, or targets scaled into its range.

When it misleads
----------------
A regression on purpose limited to a range (a ReLU for amounts) with a few targets beyond it is not reported: only
when many are. Two softmaxes on purpose, as a temperature, are rare.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1))
train(model, torch.optim.Adam(model.parameters(), lr=0.01), steps=300)
```

Example that stays quiet
------------------------
```python
class NegativeLogLikelihood(nn.Module):
    def forward(self, probabilities, targets):
        return nn.functional.nll_loss(torch.log(probabilities + 1e-9), targets)

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1))
train(model, torch.optim.Adam(model.parameters(), lr=0.01), loss_fn=NegativeLogLikelihood(), steps=300)
```

References
----------
- PyTorch documentation, `torch.nn.CrossEntropyLoss` (expects unnormalised scores), `NLLLoss`, `BCEWithLogitsLoss`.
- CS231n, Linear classification: softmax classifier, cross-entropy of scores.
- Humbatova et al., Taxonomy of real faults in deep learning systems, 2020 (missing or wrong last activation).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.beginning import begins_late, need_beginning
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.manifest import ModuleInfo
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import Progress, majority_share, progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import at_rest, block_medians, closing
from probes.diagnosis.task import accuracy_at_end, batch_size, classes_of_targets, last_module, share_right
from probes.diagnosis.tracks import accuracy, training_loss, validation_loss
from probes.diagnosis.view import Floats, NotJudged, RunView

BOUNDS: Mapping[str, tuple[float, float]] = {
    "softmax": (0.0, 1.0),
    "softmin": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
}
"""Activation -> the range of its outputs."""

PATIENCE = 150
BOTTOMLESS = 3.0
"""Depth below zero, in sizes of the loss at the beginning, from which a loss that falls ever faster has no bottom."""
FELL = 0.3
"""Fall of a loss that no cross-entropy makes while the accuracy on the same examples stays at chance."""
"""Steps of a run that goes on before a loss at rest is held against it."""

SPREAD = 0.5
"""Range of the outputs of one batch, within [0, 1], that shows a squashing function, where no module does."""

SQUASHED = ("softmax", "softmin", "sigmoid", "hardsigmoid")
REGRESSION = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")
CLASSIFICATION = (
    "CrossEntropyLoss", "NLLLoss", "BCEWithLogitsLoss", "BCELoss", "MultiMarginLoss", "MultiLabelSoftMarginLoss",
    "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
)  # fmt: skip
ALIASES = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
}
"""Function of `torch.nn.functional` -> the module that computes the same."""


@dataclass(frozen=True)
class Outputs:
    """What the loss was called with, per frame: lowest, highest and mean output, [T]."""

    low: Floats
    high: Floats
    mean: Floats
    first: int
    last: int

    def __len__(self) -> int:
        return len(self.low)

    def within(self, low: float, high: float) -> bool:
        """Whether every output of every frame lies in [low, high] (half precision rounds by up to 1e-3)."""
        return bool((self.low >= low - 1e-6).all() and (self.high <= high + 1e-3).all())

    def normalised(self, classes: int) -> bool:
        """Whether they can be probabilities of ``classes`` that sum to one: then their mean is 1/C in every frame."""
        return self.within(0.0, 1.0) and bool((np.abs(self.mean * classes - 1.0) < 1e-3).all())


def floor_of(classes: int, span: float = 1.0) -> float:
    """The lowest cross-entropy of C scores that differ by at most ``span``: ln(1 + (C - 1) e^-span)."""
    return math.log1p((classes - 1) * math.exp(-span))


def entropy(sure: float, classes: int) -> float:
    """The largest cross-entropy of a model that gives its choice the probability ``sure`` and is right so often."""
    sure = min(max(sure, 1.0 / classes), 1.0 - 1e-9)
    rest = 1.0 - sure
    return -sure * math.log(sure) - rest * math.log(rest / (classes - 1))


def criterion(
    losses: Floats,
    lowest: float,
    classes: int,
    sure: float,
    *,
    margin: float = 0.25,
    frames: float = 2,
    steps_needed: float = 50,
    reach: float = 0.1,
) -> bool:
    """Whether a training loss is the cross-entropy of probabilities, as far as the loss alone can tell.

    Args:
        losses: training loss, finite, [T].
        lowest: lowest loss of any split.
        classes: number of classes C.
        sure: mean probability that the model gives to its choice, 0 when it is not known.
        margin: loss above that of a model right as often as it is sure, for four classes and more; in proportion to
            the floor for fewer (label smoothing of 0.1 adds 0.2 to 0.5, and leaves the loss below that floor).
        frames: frames of outputs before they are judged (used by the judge).
        steps_needed: steps before which the loss alone is not judged (used by the judge).
        reach: part of the targets' range that must lie beyond the outputs' (used by the judge).
    """
    guessing, floor, ceiling = math.log(classes), floor_of(classes), math.log(classes - 1 + math.e)
    # Values of whole epochs begin lower.
    if not (0.97 if len(losses) >= 100 else 0.6) * guessing < float(losses[0]) < 1.05 * guessing:
        return False
    if lowest < floor - 0.01 or float(np.mean(losses > ceiling + 0.01)) > 0.01:
        return False
    return closing(losses) - entropy(sure, classes) > margin * min(1.0, floor / floor_of(4))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge what the loss was called with, or else the training loss beside the last module."""
    kind, last, outputs = _loss(view), last_module(view), _outputs(view)
    wrong_axis = _over_the_batch(view, kind)
    if wrong_axis is not None:
        return [wrong_axis]
    if outputs is not None and kind:
        if len(outputs) < thresholds["frames"]:
            raise NotJudged(f"{len(outputs)} frames of outputs, needs {int(thresholds['frames'])}")
        found = _by_outputs(view, kind, last, outputs, thresholds)
        if found is not None:
            return [found]
        if kind in CLASSIFICATION or kind in REGRESSION:
            return []
    found = _without_bottom(view)
    if found is not None:
        return [found]
    found = _by_accuracy(view, kind) if kind and kind not in CLASSIFICATION + REGRESSION else None
    if found is not None:
        return [found]
    if kind in REGRESSION:
        return []
    return _by_loss(view, last, thresholds)


def _by_outputs(
    view: RunView, kind: str, last: ModuleInfo | None, outputs: Outputs, thresholds: Mapping[str, float]
) -> Finding | None:
    slug = last.activation if last is not None else None
    seen = outputs.last - outputs.first >= thresholds["steps_needed"] and len(outputs) >= 4
    # The outputs of a model that does not learn may stay anywhere: what is squashed comes to reach both ends.
    kept = seen and float((outputs.high - outputs.low).max()) > SPREAD
    shape = _shape(view, "output_shape")
    if kind == "CrossEntropyLoss" and len(shape) >= 2 and shape[1] == 1:
        return _one_output(view, outputs, "CrossEntropyLoss of a single score is 0 whatever the score is")
    if kind == "BCELoss" and bool((outputs.low > 1.0 - 1e-6).all()):
        return _one_output(view, outputs, "all outputs are 1, as a softmax of a single score always is")
    if kind == "CrossEntropyLoss":
        classes = _classes(view)
        if classes is None:
            return None
        if outputs.normalised(classes):
            return _squashed(view, kind, outputs, "probabilities (they are 0 to 1, with a mean of 1/C)", classes)
        if outputs.within(0.0, 1.0) and (slug in SQUASHED or kept):
            return _squashed(view, kind, outputs, "values between 0 and 1, as after a sigmoid", classes)
        if slug in ("tanh", "softsign", "hardtanh") and outputs.within(-1.0, 1.0):
            return _squashed(view, kind, outputs, f"values between -1 and 1, after a {slug}", classes, 2.0)
        learned = progress_if_known(view)
        if slug == "relu" and outputs.within(0.0, math.inf) and learned is not None and _poor(view, learned):
            return _squashed(view, kind, outputs, "values from 0 up, after a ReLU", classes, math.inf)
    elif kind == "NLLLoss":
        if bool((outputs.high > 1e-3).any()):
            what = "probabilities" if outputs.within(0.0, 1.0) else "raw scores"
            return _finding(
                view,
                outputs,
                f"NLLLoss is given {what} (outputs up to {short(float(outputs.high.max()))}), where it expects "
                "logarithms of probabilities, which are never above 0: it falls without end, and means nothing.",
                ("use CrossEntropyLoss on raw scores, or end the model in log_softmax",),
                Evidence("data/output_max", float(outputs.high.max()), 0.0, ">", note="highest output"),
            )
    elif kind == "BCEWithLogitsLoss":
        if outputs.within(0.0, 1.0) and (slug in SQUASHED or kept):
            return _squashed(view, kind, outputs, "values between 0 and 1, as after a sigmoid", None)
        low, high = _data_number(view, "target_min"), _data_number(view, "target_max")
        if low is not None and high is not None and (low < -1e-6 or high > 1.0 + 1e-6):
            return _finding(
                view,
                outputs,
                f"BCEWithLogitsLoss is given targets from {short(low)} to {short(high)}, where it expects 0 to 1: it "
                "has no minimum there, and falls without end.",
                ("map the targets to 0 and 1", "for several classes use CrossEntropyLoss with the class numbers"),
                Evidence("data/target_max", high, 1.0, ">", note="highest target"),
                Evidence("data/target_min", low, 0.0, "<", note="lowest target"),
            )
    elif kind in REGRESSION:
        return _broadcast(view, kind, outputs) or _unreachable(view, kind, slug, outputs, seen, thresholds["reach"])
    return None


def _one_output(view: RunView, outputs: Outputs, what: str) -> Finding:
    """A softmax over a single score: a constant."""
    return _finding(
        view,
        outputs,
        f"The outputs have the shape {list(_shape(view, 'output_shape'))}: {what}, so that nothing can be learned.",
        (
            "for two classes use one score and BCEWithLogitsLoss, or two scores and CrossEntropyLoss",
            "mind the axis: the scores of the classes lie along axis 1",
        ),
        Evidence("data/output_min", float(outputs.low.min()), note="lowest output"),
        Evidence("data/output_max", float(outputs.high.max()), note="highest output"),
    )


def _squashed(view: RunView, kind: str, outputs: Outputs, what: str, classes: int | None, span: float = 1.0) -> Finding:
    """The outputs went through an activation that the loss does not expect."""
    limit = ""
    if classes is not None and math.isfinite(span):
        floor = floor_of(classes, span)
        limit = f" With {classes} classes this loss cannot fall below {short(floor)}."
    elif classes is None:
        limit = " This loss cannot fall below 0.313 for a target of 1, nor below 0.693 for a target of 0."
    wanted = "one score for each class" if kind == "CrossEntropyLoss" else "a score"
    return _finding(
        view,
        outputs,
        f"{kind} is given {what}, where it expects {wanted}, of any size: it applies its own "
        f"{'softmax' if kind == 'CrossEntropyLoss' else 'sigmoid'} to them.{limit}",
        (
            "remove the activation after the last layer: return raw scores, and apply it for predictions only",
            "or keep it, and use the loss that belongs to it: NLLLoss on log_softmax"
            if kind == "CrossEntropyLoss"
            else "or keep the sigmoid, and use BCELoss",
        ),
        Evidence("data/output_min", float(outputs.low.min()), 0.0, note="lowest output"),
        Evidence("data/output_max", float(outputs.high.max()), 1.0, "<", note="highest output"),
        Evidence("data/output_mean", float(outputs.mean[-1]), note="mean of the outputs"),
    )


def _broadcast(view: RunView, kind: str, outputs: Outputs) -> Finding | None:
    """Outputs and targets of shapes that combine to a table of all pairs."""
    ours, theirs = _shape(view, "output_shape"), _shape(view, "target_shape")
    if not ours or not theirs or ours == theirs:
        return None
    try:
        combined = np.broadcast_shapes(ours, theirs)
    except ValueError:
        return None
    if math.prod(combined) <= max(math.prod(ours), math.prod(theirs)):
        return None
    return _finding(
        view,
        outputs,
        f"{kind} is given outputs of shape {list(ours)} and targets of shape {list(theirs)}: they are combined to "
        f"{list(combined)}, so that every output is compared with every target, and the best answer is their mean.",
        ("give both the same shape: outputs.squeeze(-1), or targets.unsqueeze(-1)",),
        Evidence("data/output_mean", math.prod(combined), math.prod(ours), ">", note="elements that are compared"),
    )


def _unreachable(
    view: RunView, kind: str, slug: str | None, outputs: Outputs, seen: bool, reach: float
) -> Finding | None:
    """Targets beyond what the last activation can give."""
    low, high = _data_number(view, "target_min"), _data_number(view, "target_max")
    mean, std = view.series("data/target_mean"), view.series("data/target_std")
    if low is None or high is None or high <= low or mean is None or std is None:
        return None
    bounds = BOUNDS.get(slug or "")
    if bounds is None and seen and bool((outputs.low == 0.0).all()):
        bounds, slug = (0.0, math.inf), "activation that ends at 0"
    elif bounds is None and seen and outputs.within(0.0, 1.0) and outputs.high[-1] > 0.98:
        bounds, slug = (0.0, 1.0), "activation that ends at 1"
    if bounds is None or not outputs.within(*bounds):
        return None
    center, spread = float(np.median(mean.values)), float(np.median(std.values))
    above, below = high - bounds[1], bounds[0] - low
    far = max(above, below) > reach * (high - low)
    if not far or not (center + spread > bounds[1] or center - spread < bounds[0]):
        return None
    span = f"{short(bounds[0])} to {short(bounds[1])}" if math.isfinite(bounds[1]) else f"{short(bounds[0])} and more"
    return _finding(
        view,
        outputs,
        f"The targets reach from {short(low)} to {short(high)} (mean {short(center)}, standard deviation "
        f"{short(spread)}), but the last {slug} gives only {span}: {kind} cannot become small.",
        ("remove the activation after the last layer", "or scale the targets into its range"),
        Evidence("data/target_max", high, bounds[1] if above >= below else None, ">", note="highest target"),
        Evidence("data/target_min", low, bounds[0] if below > above else None, "<", note="lowest target"),
        Evidence("data/output_max", float(outputs.high.max()), note="highest output"),
        Evidence("data/output_min", float(outputs.low.min()), note="lowest output"),
    )


def _without_bottom(view: RunView) -> Finding | None:
    """A loss that falls through zero and on, faster and faster: nothing holds it."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    values = curve.finite.values
    if len(values) < 20 or view.last_step < 50 or not values[0] > 0 or begins_late(view, curve.steps):
        return None
    start = float(np.abs(values[: max(3, len(values) // 20)]).max())
    _, levels = block_medians(curve.finite.steps, values, 8)
    falls = -np.diff(levels)
    if not levels[-1] < -BOTTOMLESS * start or not (falls > 0).all() or not falls[-3:].min() > falls[:3].max():
        return None
    first = int(curve.steps[int(np.argmax(curve.values < 0))])
    return RULE.finding(
        "warning",
        f"{name} fell through zero at step {first} and is at {short(closing(values))}, after {short(start)} at the "
        "beginning, and falls faster and faster: it has no lowest value, and is no measure of being right.",
        (first, view.last_step),
        view,
        evidence=(Evidence(name, closing(values), -BOTTOMLESS * start, "<", note="level at the end"),),
        suggestions=(
            "check the targets: a binary cross-entropy takes 0 and 1 (not -1 and 1), a cross-entropy class numbers",
            "check what the loss expects: logarithms of probabilities, probabilities or raw scores",
            "check the sign of each of its terms",
        ),
    )


def _over_the_batch(view: RunView, kind: str) -> Finding | None:
    """A negative log-likelihood that begins at ln(batch size), not at ln(classes): a softmax over the wrong axis."""
    batch, classes = batch_size(view), _classes(view)
    if kind not in ("NLLLoss", "nll_loss") or batch is None or classes is None or not batch > 1:
        return None
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    values = curve.finite.values
    if len(values) < 3 or begins_late(view, curve.steps) or curve.steps[0] > 2:
        return None
    begin, wrong, guessing = float(np.median(values[:3])), math.log(batch), math.log(classes)
    if abs(begin - wrong) > 0.04 * wrong or abs(begin - guessing) < 0.15 * guessing:
        return None
    return RULE.finding(
        "warning",
        f"{name} began at {short(begin)}: that is the logarithm of the batch size ({batch}), where guessing among "
        f"{classes} classes gives {short(guessing)}. The log_softmax seems to be taken over the examples of the batch.",
        (int(curve.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(name, begin, wrong, "=", note=f"level at the beginning, against ln {batch}"),
            Evidence(name, guessing, note=f"ln {classes}: the loss of guessing"),
        ),
        suggestions=(
            "use log_softmax(scores, dim=1): over the classes, not dim=0",
            "or CrossEntropyLoss on raw scores",
        ),
    )


def _poor(view: RunView, learned: Progress) -> bool:
    """Whether a classifier is far from right, by its accuracy where one is known."""
    if learned.share < 0.5:
        return True
    reached = accuracy_at_end(view)
    return reached is not None and reached < 0.7 and learned.share < 0.8


def _by_accuracy(view: RunView, kind: str) -> Finding | None:
    """A loss of one's own, of another size than a cross-entropy, that has come to rest with the accuracy at chance."""
    classes = _classes(view)
    accuracy_track = accuracy(view, validation=False)
    track = accuracy_track or accuracy(view, validation=True)
    learned = progress_if_known(view)
    if classes is None or track is None or learned is None or learned.start <= 0 or majority_share(view) > 0.6:
        return None
    name, curve = track
    values = share_right(curve.finite.values)
    losses = training_loss(view)[1].finite.values
    fell = learned.share >= FELL and track is accuracy_track
    short_run = view.last_step < (PATIENCE if view.status == "running" and not fell else 100)
    if len(values) < 5 or len(losses) < 30 or short_run or not (fell or at_rest(losses)):
        return None
    # Single batches of a few examples are right more often by chance: levels of them count.
    _, blocks = block_medians(curve.steps, values, max(5, min(10, len(values) // 5)))
    best = float(np.max(blocks[len(blocks) // 3 :]))
    chance, guessing = max(majority_share(view), 1.0 / classes), math.log(classes)
    if begins_late(view, training_loss(view)[1].steps):
        return None
    # A cross-entropy cannot fall far without the answers on the same examples becoming right.
    if best > chance + (0.05 if fell else 0.1) or (0.5 * guessing < learned.start < 3.0 * guessing and not fell):
        return None
    late = closing(losses)
    if late > 1.5 * learned.start:
        return None  # it rises: loss-diverging tells
    return RULE.finding(
        "warning",
        f"{learned.series} ({kind}) went from {short(learned.start)} to {short(late)} and came to rest there, while "
        f"{name} stayed at {percent(best)}, as by guessing among {classes} classes (whose cross-entropy is "
        f"{short(guessing)}): what this loss rewards is not to be right.",
        (int(curve.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(learned.series, learned.start, guessing, ">", note="level at the beginning, against ln C"),
            Evidence(name, best, chance + (0.05 if fell else 0.1), "<", note="best value, against guessing"),
        ),
        suggestions=(
            "use CrossEntropyLoss on one raw score for each class, with the class numbers as targets",
            "compute the loss by hand for a right and a wrong answer: the right one must be lower",
        ),
    )


def _by_loss(view: RunView, last: ModuleInfo | None, thresholds: Mapping[str, float]) -> list[Finding]:
    """The training loss against the floor of a double softmax, where the loss function is not known."""
    if last is None:
        raise NotJudged("neither what the loss is called with nor the model's last module is known (give loss_fn)")
    module = last.activation in SQUASHED
    classes = last.output_shape[1] if len(last.output_shape) in (2, 4) else (last.output_shape or (0,))[-1]
    if classes < (3 if last.activation == "sigmoid" else 2 if module else 4):
        raise NotJudged("the loss function is not known (give loss_fn to watch)")
    name, curve = training_loss(view)
    losses = curve.finite.values
    if len(losses) < 10 or view.last_step < thresholds["steps_needed"]:
        needed = int(thresholds["steps_needed"])
        raise NotJudged(f"{len(losses)} values of {name} in {view.last_step} steps, needs 10 in {needed}")
    if last.activation not in (*SQUASHED, None):
        return []
    need_beginning(view, curve.steps, name)
    try:
        validation = validation_loss(view)[1].finite.values
    except NotJudged:
        validation = np.empty(0)
    lowest = float(min(losses.min(), validation.min() if len(validation) else np.inf))
    sure, how = _confidence(view, last, classes, module)
    if not criterion(losses, lowest, classes, sure, **thresholds):
        return []
    end, floor = closing(losses), floor_of(classes)
    squash = f"a {last.type} at the end of the model" if module else "a softmax in the model's forward"
    return [
        RULE.finding(
            "warning",
            f"{name} began at {short(float(losses[0]))} (ln {classes} = {short(math.log(classes))}) and rests at "
            f"{short(end)}, never below {short(lowest)}, although {how}. That is what a cross-entropy of probabilities "
            f"does: with {classes} classes it cannot fall below {short(floor)}. There seems to be {squash} before a "
            "loss with a softmax of its own.",
            (int(curve.steps[0]), view.last_step),
            view,
            layers=(last.name,),
            evidence=(
                Evidence(name, end, floor, ">", note="level at the end, against the floor of a double softmax"),
                Evidence(name, lowest, floor, ">", note="lowest loss of any split"),
                Evidence(name, entropy(sure, classes), note="loss of a model right as often as it is sure, at most"),
            ),
            suggestions=(
                "return raw scores from the model: CrossEntropyLoss applies the softmax itself",
                "or use NLLLoss on log_softmax",
                "give loss_fn to watch: then what the loss is called with can be seen",
            ),
        )
    ]


def _confidence(view: RunView, last: ModuleInfo, classes: int, module: bool) -> tuple[float, str]:
    """The probability that the model gives to its choice, from the spread of its outputs; 0 when it is not known."""
    means, spreads = view.layers("activation_mean"), view.layers("activation_std")
    if means is None or spreads is None or last.name not in means.layers or last.name not in spreads.layers:
        return 0.0, ""
    mean, spread = (t.pick([last.name]).values[:, 0] for t in (means, spreads))
    if len(mean) < 2:
        return 0.0, ""
    late, wide = closing(mean), closing(spread)
    if module:
        # Rows of probabilities with one large value p and the others alike: sum of squares = p^2 + (1 - p)^2 / (C - 1).
        squares = classes * (wide * wide + late * late)
        root = max(0.0, (squares - 1.0 / classes) * (classes - 1.0) / classes)
        sure = min(1.0, 1.0 / classes + math.sqrt(root))
        if last.activation in ("sigmoid", "hardsigmoid"):
            # Scores between 0 and 1: sure when they lie at the ends.
            sure = 1.0 - max(0.0, late - wide * wide - late * late) * 4.0
    else:
        # One score above the others by a gap g, another in every example: standard deviation g sqrt((1/C)(1 - 1/C)).
        # Only what differs between the examples counts: classes that are rare lie far below the others in all of them.
        across = view.layers("batch_variation")
        if across is None or last.name not in across.layers:
            return 0.0, ""
        wide *= closing(across.pick([last.name]).values[:, 0])
        gap = wide / math.sqrt((1.0 / classes) * (1.0 - 1.0 / classes))
        sure = 1.0 / (1.0 + (classes - 1) * math.exp(-min(max(gap, 0.0), 700.0)))
        if sure < 0.97:
            return 0.0, ""
    return sure, f"the outputs of {last.name} give the choice a probability of about {percent(sure)}"


def _finding(
    view: RunView, outputs: Outputs, message: str, suggestions: tuple[str, ...], *evidence: Evidence
) -> Finding:
    severity: Severity = "warning"
    return RULE.finding(
        severity, message, (outputs.first, view.last_step), view, evidence=evidence, suggestions=suggestions
    )


def _loss(view: RunView) -> str:
    """Class of the loss, "" when it was not given."""
    loss = view.manifest.get("loss")
    kind = str(loss.get("class", "")) if isinstance(loss, Mapping) else ""
    return ALIASES.get(kind, kind)


def _outputs(view: RunView) -> Outputs | None:
    curves = [view.series(f"data/output_{name}") for name in ("min", "max", "mean")]
    if any(curve is None for curve in curves):
        return None
    low, high, mean = (curve for curve in curves if curve is not None)
    steps = np.intersect1d(np.intersect1d(low.steps, high.steps), mean.steps)
    rows = [curve.values[np.isin(curve.steps, steps)] for curve in (low, high, mean)]
    finite = np.isfinite(rows).all(axis=0)
    if not finite.any():
        return None
    lows, highs, means = (row[finite] for row in rows)
    return Outputs(lows, highs, means, int(steps[finite][0]), int(steps[finite][-1]))


def _classes(view: RunView) -> int | None:
    seen = classes_of_targets(view)
    if seen is not None:
        return seen
    shape = _shape(view, "output_shape")
    return shape[1] if len(shape) >= 2 and shape[1] >= 2 else None


def _shape(view: RunView, key: str) -> tuple[int, ...]:
    data = view.manifest.get("data")
    shape = data.get(key) if isinstance(data, Mapping) else None
    return tuple(int(n) for n in shape) if isinstance(shape, (list, tuple)) else ()


def _data_number(view: RunView, key: str) -> float | None:
    data = view.manifest.get("data")
    value = data.get(key) if isinstance(data, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


RULE = Rule(
    slug="loss-output-mismatch",
    family="data and head",
    severity="warning",
    title="The model's outputs do not belong to the loss",
    needs="the loss function given to the probe, or the training loss of a classifier over 50 steps",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
