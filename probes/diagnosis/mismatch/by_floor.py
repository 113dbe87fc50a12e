"""Judge the training loss against the floor of a double softmax, where the loss function is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from probes.diagnosis.beginning import need_beginning
from probes.diagnosis.finding import Evidence
from probes.diagnosis.manifest import ModuleInfo
from probes.diagnosis.mismatch.bounds import entropy, floor_of
from probes.diagnosis.mismatch.called import SQUASHED
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.signal import closing
from probes.diagnosis.tracks import training_loss, validation_loss
from probes.diagnosis.view import Floats, NotJudged, RunView


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


def by_loss(view: RunView, last: ModuleInfo | None, thresholds: Mapping[str, float]) -> Mismatch | None:
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
        return None
    need_beginning(view, curve.steps, name)
    try:
        validation = validation_loss(view)[1].finite.values
    except NotJudged:
        validation = np.empty(0)
    lowest = float(min(losses.min(), validation.min() if len(validation) else np.inf))
    sure, how = _confidence(view, last, classes, module)
    if not criterion(losses, lowest, classes, sure, **thresholds):
        return None
    end, floor = closing(losses), floor_of(classes)
    squash = f"a {last.type} at the end of the model" if module else "a softmax in the model's forward"
    return Mismatch(
        f"{name} began at {short(float(losses[0]))} (ln {classes} = {short(math.log(classes))}) and rests at "
        f"{short(end)}, never below {short(lowest)}, although {how}. That is what a cross-entropy of probabilities "
        f"does: with {classes} classes it cannot fall below {short(floor)}. There seems to be {squash} before a "
        "loss with a softmax of its own.",
        int(curve.steps[0]),
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
