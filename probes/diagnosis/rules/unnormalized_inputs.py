"""The inputs are far from mean 0 and standard deviation 1, and the net does not cope.

What it detects
---------------
Inputs, as the net sees them, that are large, far off zero, of very unlike scales, or all the same, in a run that
learns little.

Why it matters
--------------
The first layer's outputs and gradients grow with the inputs, its steps with their square: a learning rate that suits
the other layers is far too high for it, or far too low where inputs are small (bytes divided by 255 twice). Inputs far
from zero move all weights of a unit together, and features on small scales are not seen beside large ones.

Criterion
---------
Over the frames, for each channel (median of the frames), one of

- *large*: the root mean square, sqrt(mean^2 + std^2), is above `size` (5);
- *off zero*: the mean is above `offset` (5) standard deviations, and above 1;
- *unlike*: the largest standard deviation of a channel is above `spread` (100) times that of a quarter of those that
  vary (a few channels that hardly vary, such as the rim of a picture, are no loss);
- *constant*: no channel varies at all;
- *faint*: none of these, no channel has a standard deviation of `SMALL` (0.05), and of what the first layer with
  weights gives less than 0.15 (of the standard deviation, `batch_variation`) is across the examples, over three frames
  or more and in the latter half of them (batches with an outlier, by which a channel varies 10 times as much as
  usual, do not count): the rest is its biases.

Not judged when the first layer is a normalisation. A warning when, after 100 steps, the training loss has fallen by
less than `learned` (0.3), measured from that of guessing where it began above it; for large or constant inputs also
when, after 20 steps, it has fallen by less than 0.02; for faint ones only when it has fallen by less than 0.1 in a run
that has ended, or in 500 steps. Large inputs make the first loss large too, so that a fall from there says little: they
are a warning also when the validation accuracy is poor and no better than at first, when a run that has ended, or whose
loss has come to rest in 1,000 steps, still gets wrong more than a third of what guessing gets wrong (and less than 0.6
of the loss is gone, where that of guessing is known), when such a run gets more than a fifth wrong and its loss is
still above 1.5 ln C for C outputs (sure, and wrong), and when the first bounded activation is `saturated` (0.9) at the
ends of its range, so that all but the signs of its sums is lost (and the accuracy is poor or, where there is none, less
than 0.9 of the loss is gone). Inputs above 30, which the first weights feel a thousand times as strongly as normalised
ones, are a warning also when the loss is no number any more, and when a run that has ended is not known to have come
out well: its answers (or, where no accuracy is known, its loss) keep a fifth or more of what guessing gets wrong; or
what guessing gives is not known. Not so where a normalisation comes before the second layer with weights, or the
outputs of the first such layer, a dense one or a convolution, are of a usual size (root mean square below `size`; they
must be known to be larger where guessing is not known): the net takes the scale out by itself. Only information
otherwise. Pixels in [0, 1] are no finding.

The examples that a discriminator reads are no inputs of the model. Where the losses of a generator and a discriminator
were logged, and the model's inputs are in order, the first layer of the discriminator (a dense one or a convolution)
tells the least that they can be: the outputs without the bias are at most the inputs times the Frobenius norm of the
weights. A root mean square above `size` (median of 3 frames and more) is a warning after 100 steps when the
discriminator has won (see `loss-not-decreasing`), or a distance between generated and real examples has fallen by less
than `learned` (Fréchet, FID, KID, MMD), else information.

Evidence
--------
Mean and standard deviation of the worst channel, and the fall of the loss.

What to try
-----------
1. Subtract the mean and divide by the standard deviation, per channel, both taken from the training data.
2. Use the same numbers for validation.
3. Start the net with a normalisation layer.

When it misleads
----------------
Nets that are made for raw inputs (pretrained on them, or dividing by 255 within a layer of their own) do not need
normalised ones; when such a net fails for another reason, the inputs are suspected too.

Example that fires
------------------
```python
inputs = inputs * 64 + 128
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), steps=150)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), steps=150)
```

References
----------
- LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, section 4.3.
- CS231n, Neural Networks part 2: data preprocessing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.diagnosis.achieved import achieved_if_known
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.outcome import MOST, answers_poorly, validated_short
from probes.diagnosis.progress import Progress, progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import at_rest
from probes.diagnosis.signs.broken import broken_loss
from probes.diagnosis.signs.critics_input import CriticsInput, critics_input
from probes.diagnosis.signs.faint import DROWNED, Faint, faint_inputs
from probes.diagnosis.signs.rivals import discriminator_has_won
from probes.diagnosis.task import accuracy_at_end, outputs_of_last_weights
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import Floats, NotJudged, RunView

MINIMUM_STEPS = 100
MANY = 0.25
"""Share of the channels that must lie far off zero: a few do no harm."""
MANY_STEPS, NEARLY_ALL = 1000, 0.9
"""Steps after which a loss at rest in a run that goes on has settled; share of the loss of a run that lost nothing."""
OFTEN, WORSE = 0.8, 1.5
"""Accuracy of a classifier that is often wrong; loss at the end, in losses of guessing, of one that is sure of it."""
FAR, WELL = 30.0, 0.8
"""Root mean square of inputs that the first weights feel a thousand times as strongly as normalised ones (its square);
and share right of what guessing gets wrong, or gone of its loss, short of which they are blamed."""
EARLY_STEPS, NOTHING = 20, 0.02
"""Steps after which inputs that are large or constant are told already, when nothing at all was learned."""
PATIENCE, HARDLY = 500, 0.1
"""Steps of a run that goes on after which inputs that hardly vary did harm, and the fall of the loss that is none."""


@dataclass(frozen=True)
class Abnormal:
    """What is wrong with the inputs, and the worst channel (index)."""

    kind: Literal["large", "off zero", "unlike", "constant"]
    channel: int


def criterion(
    mean: Floats,
    std: Floats,
    *,
    size: float = 5.0,
    offset: float = 5.0,
    spread: float = 100.0,
    learned: float = 0.3,
    saturated: float = 0.9,
) -> Abnormal | None:
    """What is wrong with inputs of these channels, or None.

    Args:
        mean, std: of each channel, [C].
        size: root mean square (normalised inputs: 1; pixels in [0, 1]: at most 1; bytes: about 140).
        offset: mean in standard deviations (pixels in [0, 1]: about 1 to 3 in bright pictures).
        spread: ratio of the largest standard deviation to the lower quartile of those above 0.
        learned: share of the loss that is gone, above which the inputs did no harm (used by the judge).
        saturated: share of the outputs of the first bounded activation at the ends of their range (Debugger: half);
            used by the judge.
    """
    if not (std > 0).any():
        return Abnormal("constant", int(np.argmax(np.abs(mean))))
    root = np.sqrt(mean**2 + std**2)
    if root.max() > size:
        return Abnormal("large", int(np.argmax(root)))
    off = np.where((np.abs(mean) > 1) & (std > 0), np.abs(mean) / np.where(std > 0, std, 1.0), 0.0)
    if off.max() > offset and float((off > offset).mean()) >= MANY:
        return Abnormal("off zero", int(np.argmax(off)))
    if std.max() > spread * _low(std):
        return Abnormal("unlike", int(np.argmax(std)))
    return None


def _low(std: Floats) -> float:
    """The lower quartile of the standard deviations above 0: a quarter of the channels vary no more than that."""
    return float(np.quantile(std[std > 0], 0.25, method="lower"))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the medians over the frames."""
    means, stds = view.need_layers("input_mean"), view.need_layers("input_std")
    first = next((module for module in view.modules if module.output_shape), None)
    if first is not None and "Norm" in first.type:
        raise NotJudged("the net begins with a normalisation layer")
    whole = np.isfinite(means.values).all(axis=1) & means.measured.all(axis=1) & stds.measured.all(axis=1)
    if not whole.any():
        raise NotJudged("no frame with finite inputs")
    mean, std = np.median(means.values[whole], axis=0), np.median(stds.values[whole], axis=0)
    found = criterion(mean, std, **thresholds)
    if found is not None and found.kind == "constant" and bool((np.ptp(means.values[whole], axis=0) > 0).any()):
        found = None  # batches of one example do not vary in themselves, but from one to the next
    learned = progress_if_known(view)
    other = critics_input(view) if found is None else None
    if other is not None and other.least > thresholds["size"]:
        return [_of_the_critic(view, other, thresholds)]
    if found is None:
        faint = faint_inputs(view)
        return [] if faint is None else [_faint(view, faint, learned)]
    severity: Severity = "info"
    if learned is not None and view.last_step >= MINIMUM_STEPS and not learned.share >= thresholds["learned"]:
        severity = "warning"
    early = EARLY_STEPS <= view.last_step < MINIMUM_STEPS
    if learned is not None and early and found.kind in ("large", "constant") and not learned.share >= NOTHING:
        severity = "warning"
    if found.kind == "large" and view.last_step >= MINIMUM_STEPS and _large_did_harm(view, learned, thresholds):
        severity = "warning"
    far = found.kind == "large" and math.hypot(mean[found.channel], std[found.channel]) > FAR
    broken = broken_loss(view) if far else None
    harmful = far and view.last_step >= MINIMUM_STEPS and _not_known_to_do_well(view, learned, thresholds["size"])
    if broken is not None or harmful:
        severity = "warning"
    channel, step = means.layers[found.channel], int(means.steps[whole][0])
    middle, width = float(mean[found.channel]), float(std[found.channel])
    where = "" if len(means.layers) == 1 else f" of channel {channel}"
    message = f"The inputs have mean {short(middle)} and standard deviation {short(width)}{where}."
    if found.kind == "unlike":
        message = f"The inputs' standard deviations reach from {short(_low(std))} or less to {short(width)}."
    if found.kind == "constant":
        message = f"The inputs do not vary: every number is {short(middle)}."
    evidence = [
        Evidence("input_mean", middle, step=step, layer=channel, note="mean over the batch"),
        Evidence("input_std", width, step=step, layer=channel, note="standard deviation over the batch"),
    ]
    if broken is not None:
        message += f" {broken.series} is no number from step {broken.step} on."
    elif learned is not None:
        message += f" {learned.series} went from {short(learned.start)} to {short(learned.end)}."
        gone = f"fall of the loss ({percent(max(learned.share, 0.0))})"
        evidence.append(Evidence(learned.series, learned.share, thresholds["learned"], "<", note=gone))
    advice = [
        f"normalise the inputs: (x - {short(middle)}) / {short(width)}, for each channel with its own numbers",
        "use the same numbers for the validation inputs",
        "or start the net with a normalisation layer (BatchNorm, LayerNorm)",
    ]
    if found.kind == "constant":
        advice = ["look at a batch as the net gets it: reading or preprocessing makes all inputs the same"]
    return [
        RULE.finding(
            severity, message, (step, view.last_step), view, evidence=tuple(evidence), suggestions=tuple(advice)
        )
    ]


def _of_the_critic(view: RunView, other: CriticsInput, thresholds: dict[str, float]) -> Finding:
    """What a discriminator is shown, beside what became of the generator."""
    learned, won = achieved_if_known(view), discriminator_has_won(view)
    harmed = won is not None or (learned is not None and not learned.share >= thresholds["learned"])
    evidence = [
        Evidence(
            "activation_std", other.least, thresholds["size"], ">", other.step, other.layer, "least size of the inputs"
        )
    ]
    message = (
        f"The examples that {other.layer} reads have a root mean square of {short(other.least)} at least, as its "
        "outputs tell: what is real differs by its scale alone from what a generator makes at first."
    )
    if learned is not None:
        message += f" {learned.series} went from {short(learned.start)} to {short(learned.end)}."
        evidence.append(
            Evidence(learned.series, learned.share, thresholds["learned"], "<", note="fall of the distance")
        )
    return RULE.finding(
        "warning" if harmed and view.last_step >= MINIMUM_STEPS else "info",
        message,
        (other.step, view.last_step),
        view,
        layers=(other.layer,),
        evidence=tuple(evidence),
        suggestions=(
            "scale the real examples to the range of the generator's outputs: to [-1, 1] for a tanh",
            "use the same numbers for the validation examples",
        ),
    )


def _faint(view: RunView, faint: Faint, learned: Progress | None) -> Finding:
    """Inputs that hardly vary, beside what was learned from them."""
    late = view.last_step >= (PATIENCE if view.status == "running" else MINIMUM_STEPS)
    harmed = late and learned is not None and not learned.share >= HARDLY
    message = (
        f"The inputs hardly vary (no channel has a standard deviation above {short(faint.deviation)}), and of what "
        f"{faint.layer} makes of them only {percent(faint.variation)} of the variation is across the examples."
    )
    evidence = [
        Evidence("input_std", faint.deviation, note="standard deviation over the batch, largest of the channels"),
        Evidence("batch_variation", faint.variation, DROWNED, "<", layer=faint.layer, note="across the examples"),
    ]
    if learned is not None:
        message += f" {learned.series} went from {short(learned.start)} to {short(learned.end)}."
        gone = f"fall of the loss ({percent(max(learned.share, 0.0))})"
        evidence.append(Evidence(learned.series, learned.share, HARDLY, "<", note=gone))
    advice = [
        "normalise the inputs: subtract the mean and divide by the standard deviation, for each channel with its own",
        "check that they are not scaled twice (bytes are divided by 255 once; ToTensor does it already)",
    ]
    if faint.outlier is not None:
        advice.insert(0, f"a few values are as large as {short(faint.outlier)}: clip outliers before scaling by range")
    else:
        advice.append("where they are scaled by their minimum and maximum: look for outliers, which set that range")
    return RULE.finding(
        "warning" if harmed else "info",
        message,
        (0, view.last_step),
        view,
        layers=(faint.layer,),
        evidence=tuple(evidence),
        suggestions=tuple(advice),
    )


def _large_did_harm(view: RunView, learned: Progress | None, thresholds: dict[str, float]) -> bool:
    """Whether inputs that make the first loss large as well did harm, though much of that loss is gone."""
    if _guesses(view):
        return True
    if learned is None or not _settled(view):
        return False
    if _worse_than_guessing(view, learned):
        return True
    poor = answers_poorly(view)
    if poor and (learned.guessing is None or learned.share < MOST):
        return True
    lossy = learned.share < NEARLY_ALL if poor is None else poor
    return lossy and _only_signs_pass(view, thresholds["saturated"])


def _not_known_to_do_well(view: RunView, learned: Progress | None, size: float) -> bool:
    """Whether a run that has ended keeps a fifth or more of what guessing gets wrong, in validation where an accuracy
    is known, else of its loss; or whether what guessing gives is not known, and the scale is seen to go on.

    The first loss tells nothing: such inputs make it large, and to come down from there is no knowledge.
    """
    if view.status == "running" or learned is None or _scale_is_taken_out(view):
        return False
    passed_on = _passes_the_scale_on(view, size)
    short_of = validated_short(view, WELL)
    if short_of is None and learned.guessing is None and learned.variance is None:
        return passed_on is True
    return passed_on is not False and (learned.share < WELL if short_of is None else short_of)


def _passes_the_scale_on(view: RunView, size: float) -> bool | None:
    """Whether the outputs of the first layer with weights are as large as its inputs; None where that is not known:
    they were not recorded, or are no plain sums (a recurrence bounds them).
    """
    first = next((parameter.module for parameter in view.parameters if parameter.is_weight), "")
    of_sums = next((module.type for module in view.modules if module.name == first), "").startswith(("Linear", "Conv"))
    mean, std = view.layer("activation_mean", first), view.layer("activation_std", first)
    if not of_sums or mean is None or std is None or len(mean) != len(std):
        return None
    return float(np.median(np.hypot(mean.values, std.values))) > size


def _scale_is_taken_out(view: RunView) -> bool:
    """Whether a normalisation is called before the second of the modules that have weights."""
    weighted = {parameter.module for parameter in view.parameters if parameter.is_weight}
    passed = 0
    for module in view.modules:
        if module.output_shape and "Norm" in module.type:
            return True
        passed += module.name in weighted
        if passed > 1:
            return False
    return False


def _worse_than_guessing(view: RunView, learned: Progress) -> bool:
    """Whether a classifier that is often wrong ends with a loss far above ln C for its C outputs: sure, and wrong."""
    reached, outputs = accuracy_at_end(view), outputs_of_last_weights(view)
    return reached is not None and outputs >= 2 and reached < OFTEN and learned.end > WORSE * math.log(outputs)


def _settled(view: RunView) -> bool:
    """Whether the run has ended, or its loss has come to rest after many steps."""
    return view.status != "running" or (view.last_step >= MANY_STEPS and at_rest(training_loss(view)[1].finite.values))


def _only_signs_pass(view: RunView, limit: float) -> bool:
    """Whether the first bounded activation is saturated in the latter half of its frames."""
    table = view.layers("saturated_fraction")
    columns = np.flatnonzero(table.measured.any(axis=0)) if table is not None else np.empty(0, dtype=np.int64)
    if table is None or not len(columns):
        return False
    values = table.values[table.measured[:, columns[0]], columns[0]]
    return len(values) >= 3 and bool((values[len(values) // 2 :] > limit).all())


def _guesses(view: RunView) -> bool:
    """Whether the validation accuracy, over many values, stays where it began and is poor."""
    track = accuracy(view, validation=True)
    values = track[1].finite.values if track is not None else np.empty(0)
    if len(values) < 5:
        return False
    return bool(float(np.median(values[-3:])) < min(0.6, float(values[0]) + 0.1))


RULE = Rule(
    slug="unnormalized-inputs",
    family="data and head",
    severity="warning",
    title="The inputs are not normalised",
    needs="a frame of the inputs' mean and standard deviation",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
