"""Judge the outputs that the loss was called with."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.manifest import ModuleInfo
from probes.diagnosis.mismatch.bounds import floor_of
from probes.diagnosis.mismatch.by_gradient import stays_wrong
from probes.diagnosis.mismatch.by_scale import unscaled
from probes.diagnosis.mismatch.by_tags import shared_out
from probes.diagnosis.mismatch.called import (
    REGRESSION,
    SQUASHED,
    Outputs,
    data_number,
    number_of_classes,
)
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import short
from probes.diagnosis.progress import progress_if_known
from probes.diagnosis.signs.rivals import are_rivals
from probes.diagnosis.task import accuracy_at_end, shape_of
from probes.diagnosis.view import RunView

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
    "state": (-1.0, 1.0),
    "signed": (-1.0, 1.0),
    "unit": (0.0, 1.0),
}
"""Activation -> the range of its outputs; "signed" and "unit" are functions that no module holds."""

STATES = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
"""Modules whose outputs are a state that a tanh bounds (of an RNN with ReLU, and of a projected LSTM, it does not)."""

TO_ONE = ("tanh", "softsign", "hardtanh", "state", "signed")
"""Activations that end at -1 and 1 (a hardtanh may end elsewhere)."""

BEYOND, FLATTER = 1.1, 0.8
"""Largest output of the last module, over the bound of what the loss is given, that was squashed on the way; standard
deviation behind over before, as a share of the largest that was: what is only scaled keeps it."""

ENDING = {
    "state": "tanh (the state of a recurrent module)",
    "signed": "squashing function",
    "unit": "squashing function",
}
"""What an ending is called in a message, where not by its name."""

OF_SIGNS = ("SoftMarginLoss", "soft_margin_loss", "HingeEmbeddingLoss", "hinge_embedding_loss")
"""Losses of two classes that are called -1 and 1."""

ONE_SIDED: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("relu", "relu6", "softplus"), (0.0, math.inf)),
    **dict.fromkeys(("log_sigmoid", "log_softmax"), (-math.inf, 0.0)),
}
"""Activation -> the range of its outputs, which ends where yes and no are equally likely."""

OFTEN = 1.25
"""Standard deviations from their mean within which targets lie often: one in ten normal ones is beyond it on a side. To
ask for one alone would leave targets that were divided by their deviation on the edge of a tanh."""

SPREAD = 0.5
"""Range of the outputs of one batch, within [0, 1], that shows a squashing function, where no module does."""


def by_outputs(
    view: RunView, kind: str, last: ModuleInfo | None, outputs: Outputs, thresholds: Mapping[str, float]
) -> Mismatch | None:
    """What is wrong with the outputs that a loss of this ``kind`` was called with, or None."""
    slug = _ending(view, last, outputs)
    seen = outputs.last - outputs.first >= thresholds["steps_needed"] and len(outputs) >= 4
    # The outputs of a model that does not learn may stay anywhere: what is squashed comes to reach both ends.
    kept = seen and float((outputs.high - outputs.low).max()) > SPREAD
    shape = shape_of(view, "output_shape")
    if kind == "CrossEntropyLoss" and len(shape) >= 2 and shape[1] == 1:
        return _one_output(view, outputs, "CrossEntropyLoss of a single score is 0 whatever the score is")
    if kind == "BCELoss" and bool((outputs.low > 1.0 - 1e-6).all()):
        return _one_output(view, outputs, "all outputs are 1, as a softmax of a single score always is")
    if kind == "BCELoss":
        return shared_out(view, outputs)
    if kind == "CrossEntropyLoss":
        classes = number_of_classes(view)
        if classes is None:
            return None
        if outputs.normalised(classes):
            return _squashed(kind, outputs, "probabilities (they are 0 to 1, with a mean of 1/C)", classes)
        if outputs.within(0.0, 1.0) and (slug in (*SQUASHED, "unit") or kept):
            return _squashed(kind, outputs, "values between 0 and 1, as after a sigmoid", classes)
        if slug in TO_ONE and outputs.within(-1.0, 1.0):
            return _squashed(kind, outputs, f"values between -1 and 1, after a {ENDING.get(slug, slug)}", classes, 2.0)
        # Without a module for it, a ReLU is told by outputs that end at exactly zero in every frame.
        rectified = slug == "relu" or (seen and bool((outputs.low == 0.0).all()))
        if rectified and outputs.within(0.0, math.inf) and (_poor(view) or (seen and stays_wrong(view))):
            return _squashed(kind, outputs, "values from 0 up, after a ReLU", classes, math.inf)
        return unscaled(view, outputs, thresholds["steps_needed"])
    elif kind in ("NLLLoss", "KLDivLoss", "kl_div"):
        if bool((outputs.high > 1e-3).any()):
            what = "probabilities" if outputs.within(0.0, 1.0) else "raw scores"
            return _mismatch(
                outputs,
                f"{kind} is given {what} (outputs up to {short(float(outputs.high.max()))}), where it expects "
                "logarithms of probabilities, which are never above 0: it falls without end, and means nothing.",
                (
                    "use CrossEntropyLoss on raw scores, or end the model in log_softmax"
                    if kind == "NLLLoss"
                    else "give it log_softmax of the scores first, then the probabilities of the targets",
                ),
                Evidence("data/output_max", float(outputs.high.max()), 0.0, ">", note="highest output"),
            )
    elif kind == "BCEWithLogitsLoss":
        if outputs.within(0.0, 1.0) and (slug in (*SQUASHED, "unit") or kept):
            return _squashed(kind, outputs, "values between 0 and 1, as after a sigmoid", None)
        if slug in TO_ONE and outputs.within(-1.0, 1.0):
            return _squashed(kind, outputs, f"values between -1 and 1, after a {ENDING.get(slug, slug)}", None, 2.0)
        if slug is not None and slug in ONE_SIDED and outputs.within(*ONE_SIDED[slug]):
            return _one_sided(outputs, slug)
        low, high = data_number(view, "target_min"), data_number(view, "target_max")
        if low is not None and high is not None and (low < -1e-6 or high > 1.0 + 1e-6):
            return _mismatch(
                outputs,
                f"BCEWithLogitsLoss is given targets from {short(low)} to {short(high)}, where it expects 0 to 1: it "
                "has no minimum there, and falls without end.",
                ("map the targets to 0 and 1", "for several classes use CrossEntropyLoss with the class numbers"),
                Evidence("data/target_max", high, 1.0, ">", note="highest target"),
                Evidence("data/target_min", low, 0.0, "<", note="lowest target"),
            )
    elif kind in OF_SIGNS:
        return _signs_wanted(view, kind, outputs)
    elif kind in REGRESSION:
        return _broadcast(view, kind, outputs) or _unreachable(view, kind, slug, outputs, seen, thresholds["reach"])
    return None


def _ending(view: RunView, last: ModuleInfo | None, outputs: Outputs) -> str | None:
    """The activation that the outputs come from: that of the last module, if it is one; "state" where they are a
    recurrent state, which has their width and bounds, on both sides of 0; "signed" or "unit" where they were squashed.
    """
    if last is None or last.activation is not None:
        return last.activation if last is not None else None
    ours = shape_of(view, "output_shape")
    if last.type in STATES:
        same = bool(ours) and ours[-1] == last.output_shape[-1]
        projected = any(p.module == last.name and "weight_hr" in p.name for p in view.parameters)
        bounded = outputs.within(*BOUNDS["state"]) and float(outputs.low.min()) < 0.0
        return "state" if same and bounded and not projected else None
    bound = next((slug for slug in ("unit", "signed") if outputs.within(*BOUNDS[slug])), None)
    of_its_shape = len(ours) >= 2 and ours[1:] == last.output_shape[1:]
    return bound if bound is not None and of_its_shape and _is_squashed(view, last.name) else None


def _is_squashed(view: RunView, last: str) -> bool:
    """Whether the outputs of the module ``last`` went through a function that is no module: they go `BEYOND` the bounds
    of what the loss is given, in two frames or more and the last, and vary the less behind it the larger they are.

    A discriminator answers for real and for generated examples, and the loss is given the one or the other.
    """
    if are_rivals(view):
        return False
    largest, before = view.layer("activation_max_abs", last), view.layer("activation_std", last)
    behind = view.series("data/output_std")
    if largest is None or before is None or behind is None:
        return False
    beyond = largest.values > BEYOND
    steps = np.intersect1d(before.steps[before.values > 0], behind.finite.steps)
    if len(steps) < 3 or beyond.sum() < 2 or not beyond[-1]:
        return False
    own, given = (curve.values[np.isin(curve.steps, steps)] for curve in (before, behind.finite))
    ratio = given / own
    return bool((ratio[-2:] < FLATTER * ratio.max()).all())


def _signs_wanted(view: RunView, kind: str, outputs: Outputs) -> Mismatch | None:
    """Labels of 0 and 1 for a loss that multiplies the score with the label, or asks whether it is -1."""
    low, high = data_number(view, "target_min"), data_number(view, "target_max")
    if low is None or high is None or low < 0.0 or not high > low or len(outputs) < 2:
        return None
    return _mismatch(
        outputs,
        f"{kind} is given targets from {short(low)} to {short(high)}, where it expects -1 and 1: what a target of 0 "
        "costs does not depend on the output, so that the best answer is always the other class.",
        ("give it 2 * target - 1", "for targets of 0 and 1 use BCEWithLogitsLoss"),
        Evidence("data/target_min", low, 0.0, ">", note="lowest target"),
        Evidence("data/target_max", high, note="highest target"),
    )


def _one_output(view: RunView, outputs: Outputs, what: str) -> Mismatch:
    """A softmax over a single score: a constant."""
    return _mismatch(
        outputs,
        f"The outputs have the shape {list(shape_of(view, 'output_shape'))}: {what}, so that nothing can be learned.",
        (
            "for two classes use one score and BCEWithLogitsLoss, or two scores and CrossEntropyLoss",
            "mind the axis: the scores of the classes lie along axis 1",
        ),
        Evidence("data/output_min", float(outputs.low.min()), note="lowest output"),
        Evidence("data/output_max", float(outputs.high.max()), note="highest output"),
    )


def _one_sided(outputs: Outputs, slug: str) -> Mismatch:
    """Scores that all say yes, or all say no."""
    yes = ONE_SIDED[slug][0] == 0.0
    seen = Evidence("data/output_min", float(outputs.low.min()), 0.0, ">", note="lowest output")
    if not yes:
        seen = Evidence("data/output_max", float(outputs.high.max()), 0.0, "<", note="highest output")
    return _mismatch(
        outputs,
        f"BCEWithLogitsLoss is given the outputs of a {slug}, which are never {'below' if yes else 'above'} 0: it "
        f"applies its own sigmoid to them, so that no answer is {'less' if yes else 'more'} likely than one half, and "
        f"a target of {'0' if yes else '1'} costs 0.693 at least.",
        (
            "remove the activation after the last layer: return raw scores, and take the sigmoid for predictions only",
            "for probabilities that the model computes itself use BCELoss",
        ),
        seen,
    )


def _squashed(kind: str, outputs: Outputs, what: str, classes: int | None, span: float = 1.0) -> Mismatch:
    """The outputs went through an activation that the loss does not expect."""
    limit = ""
    if classes is not None and math.isfinite(span):
        floor = floor_of(classes, span)
        limit = f" With {classes} classes this loss cannot fall below {short(floor)}."
    elif classes is None:
        no = "0.693" if span == 1.0 else "0.313"  # -ln(sigmoid(1)) = 0.313; of an output of 0 it is ln 2
        limit = f" This loss cannot fall below 0.313 for a target of 1, nor below {no} for a target of 0."
    wanted = "one score for each class" if kind == "CrossEntropyLoss" else "a score"
    return _mismatch(
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


def _broadcast(view: RunView, kind: str, outputs: Outputs) -> Mismatch | None:
    """Outputs and targets of shapes that combine to a table of all pairs."""
    ours, theirs = shape_of(view, "output_shape"), shape_of(view, "target_shape")
    if not ours or not theirs or ours == theirs:
        return None
    try:
        combined = np.broadcast_shapes(ours, theirs)
    except ValueError:
        return None
    if math.prod(combined) <= max(math.prod(ours), math.prod(theirs)):
        return None
    return _mismatch(
        outputs,
        f"{kind} is given outputs of shape {list(ours)} and targets of shape {list(theirs)}: they are combined to "
        f"{list(combined)}, so that every output is compared with every target, and the best answer is their mean.",
        ("give both the same shape: outputs.squeeze(-1), or targets.unsqueeze(-1)",),
        Evidence("data/output_mean", math.prod(combined), math.prod(ours), ">", note="elements that are compared"),
    )


def _unreachable(
    view: RunView, kind: str, slug: str | None, outputs: Outputs, seen: bool, reach: float
) -> Mismatch | None:
    """Targets beyond what the last activation can give."""
    low, high = data_number(view, "target_min"), data_number(view, "target_max")
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
    if not far or not (center + OFTEN * spread > bounds[1] or center - OFTEN * spread < bounds[0]):
        return None
    span = f"{short(bounds[0])} to {short(bounds[1])}" if math.isfinite(bounds[1]) else f"{short(bounds[0])} and more"
    advice = ("remove the activation after the last layer", "or scale the targets into its range")
    if slug == "state":
        advice = ("put a linear layer after the recurrent one, and give that more units", advice[1])
    return _mismatch(
        outputs,
        f"The targets reach from {short(low)} to {short(high)} (mean {short(center)}, standard deviation "
        f"{short(spread)}), but the last {ENDING.get(slug or '', slug)} gives only {span}: {kind} cannot become small.",
        advice,
        Evidence("data/target_max", high, bounds[1] if above >= below else None, ">", note="highest target"),
        Evidence("data/target_min", low, bounds[0] if below > above else None, "<", note="lowest target"),
        Evidence("data/output_max", float(outputs.high.max()), note="highest output"),
        Evidence("data/output_min", float(outputs.low.min()), note="lowest output"),
    )


def _poor(view: RunView) -> bool:
    """Whether a classifier is far from right, by its accuracy where one is known."""
    learned = progress_if_known(view)
    if learned is None:
        return False
    if learned.share < 0.5:
        return True
    reached = accuracy_at_end(view)
    return reached is not None and reached < 0.7 and learned.share < 0.8


def _mismatch(outputs: Outputs, message: str, suggestions: tuple[str, ...], *evidence: Evidence) -> Mismatch:
    return Mismatch(message, outputs.first, suggestions, evidence)
