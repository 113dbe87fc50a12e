"""DeepDiagnosis (Wardat et al., "DeepDiagnosis: Automatically Diagnosing Faults and Recommending Actionable Fixes in
Deep Learning Programs", ICSE 2022).

Its eight symptoms with the thresholds of the authors' repository https://github.com/DeepDiagnosis/ICSE2022
(callback/callbacks.py). It stops at the first symptom it meets; here all are listed, in the order of its checks.
"""

from __future__ import annotations

import numpy as np

from benchmarks.diagnosis.baselines.flag import Flag, epochs, nonfinite, seen, weights_of
from probes.diagnosis.view import Floats, RunView


def judge(view: RunView) -> list[Flag]:
    """The symptoms seen at any moment of the run."""
    fired = [
        (_out_of_range(view), Flag("Out of Range", ("loss-output-mismatch", "unexpected-initial-loss"))),
        (
            nonfinite(view, "grad_nonfinite", "weight_nonfinite", "activation_nonfinite"),
            Flag("Exploding Tensor", ("nonfinite-values", "exploding-gradients")),
        ),
        (_dead_node(view), Flag("Dead Node", ("dead-units", "constant-predictions", "missing-gradients"))),
        (_saturated(view), Flag("Saturated Activation", ("saturated-activations",))),
        (
            _unchanged(epochs(view).loss, 5) or _unchanged(epochs(view).accuracy, 20),
            Flag("Loss Not Decreasing / Accuracy Not Increasing", ("loss-not-decreasing", "constant-predictions")),
        ),
        (
            _unchanged_weights(view),
            Flag("Unchanged Weight", ("parameters-not-updated", "missing-gradients", "learning-rate-too-low")),
        ),
        (_vanishing(view), Flag("Vanishing Gradient", ("vanishing-gradients", "missing-gradients"))),
    ]
    return [flag for yes, flag in fired if yes]


def _out_of_range(view: RunView) -> bool:
    """The outputs of a linear last layer span more than ten times the range of the targets, or are raw scores for
    a cross-entropy; targets lie outside what the last activation can give. PyTorch's cross-entropy wants raw scores, so
    that part of the criterion is turned round: a softmax before it.
    """
    outputs = [module for module in view.modules if module.name]
    last = outputs[-1].activation if outputs else None
    loss = view.manifest.get("loss")
    name = str(loss.get("class", "")) if isinstance(loss, dict) else ""
    if name.endswith("CrossEntropyLoss"):
        return last == "softmax"
    ends = [view.series(f"data/{which}") for which in ("output_min", "output_max", "target_min", "target_max")]
    if any(curve is None for curve in ends):
        return False
    out_low, out_high, low, high = (float(curve.values[0]) for curve in ends if curve is not None)
    if last in (None, "linear"):
        return abs(out_high - out_low) > 10 * abs(high - low)
    bounds = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf), "elu": (-1.0, np.inf)}
    floor, ceiling = bounds.get(str(last), (-np.inf, np.inf))
    return low < floor or high > ceiling


def _dead_node(view: RunView, threshold: float = 0.7) -> bool:
    """At the end 70% of the outputs of a ReLU are zero."""
    table = view.layers("zero_fraction")
    if table is None:
        return False
    names = [module.name for module in view.modules if module.activation == "relu"]
    picked = table.pick(names)
    return bool(picked.layers) and bool((seen(picked)[-1] >= threshold).any())


def _saturated(view: RunView, threshold: float = 0.5) -> bool:
    """More than half of the inputs of a sigmoid or tanh beyond +-5 (here: outputs in the outer 5% of the range)."""
    table = view.layers("saturated_fraction")
    return table is not None and bool((seen(table) > threshold).any())


def _unchanged(values: Floats, window: int) -> bool:
    """Every ``window`` epochs: the mean of the last ones equals their maximum, so that none differs."""
    finite = values[np.isfinite(values)]
    return any(
        bool(np.mean(part) == np.max(part))
        for end in range(window, len(finite) + 1, window)
        for part in (finite[end - window : end],)
    )


def _unchanged_weights(view: RunView, window: int = 5) -> bool:
    """The mean of a weight, or of its gradient, is the same at five looks in a row."""
    for kind in ("weight_mean", "grad_mean"):
        table = weights_of(view, kind)
        if table is not None and any(_unchanged(column, window) for column in seen(table).T):
            return True
    return False


def _vanishing(view: RunView, threshold: float = 1e-7) -> bool:
    """Mean absolute gradient of a weight below 1e-7 (of a normal distribution: 0.8 of the root mean square)."""
    table = weights_of(view, "grad_norm")
    if table is None:
        return False
    sizes = {p.name: p.numel for p in view.parameters}
    root = np.sqrt([max(sizes[name], 1) for name in table.layers])
    return bool((0.8 * seen(table) / root < threshold).any())
