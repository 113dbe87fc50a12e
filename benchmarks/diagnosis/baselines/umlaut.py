"""UMLAUT (Schoop et al., "UMLAUT: Debugging Deep Learning Programs using Program Structure and Model Behavior", CHI
2021).

Heuristics and limits as in the paper and in the authors' repository https://github.com/BerkeleyHCI/umlaut
(umlaut/heuristics.py). Those that read the program's text or the type of its images have no counterpart in a run log.
"""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.diagnosis.baselines.flag import Flag, epochs, seen
from probes.diagnosis.view import RunView


def judge(view: RunView) -> list[Flag]:
    """Every heuristic that speaks at any epoch of the run."""
    fired = [
        (_inputs(view), Flag("Input Not Normalized", ("unnormalized-inputs",))),
        (_nan_loss(view), Flag("NaN In Loss", ("nonfinite-values",))),
        (_softmax(view), Flag("Missing Softmax Before Loss", ("loss-output-mismatch",))),
        (_rate(view, high=True), Flag("Learning Rate High", ("learning-rate-too-high",))),
        (_rate(view, high=False), Flag("Learning Rate Low", ("learning-rate-too-low",))),
        (_overfitting(view), Flag("Possible Overfitting", ("overfitting", "no-generalization"))),
        (_overconfident(view), Flag("Overconfident Validation Accuracy", ("validation-anomaly",))),
        (_linear_layers(view), Flag("Missing Activation Functions", ("underfitting",))),
    ]
    return [flag for yes, flag in fired if yes]


def _inputs(view: RunView) -> bool:
    """Any input below -1 or above 1."""
    low, high = view.layers("input_min"), view.layers("input_max")
    return (low is not None and bool((seen(low) < -1).any())) or (high is not None and bool((seen(high) > 1).any()))


def _nan_loss(view: RunView) -> bool:
    loss = view.series("train/loss")
    return loss is not None and bool(np.isnan(loss.values).any())


def _softmax(view: RunView) -> bool:
    """Keras: the output is no softmax although the loss takes probabilities. PyTorch's cross-entropy takes scores, so
    here: a softmax before it.
    """
    loss = view.manifest.get("loss")
    name = str(loss.get("class", "")) if isinstance(loss, dict) else ""
    return name.endswith("CrossEntropyLoss") and bool(view.modules) and view.modules[-1].activation == "softmax"


def _rate(view: RunView, *, high: bool) -> bool:
    """A learning rate above 0.01 or below 1e-7."""
    rate = view.learning_rate(0)
    return rate is not None and (rate > 0.01 if high else rate < 1e-7)


def _overfitting(view: RunView) -> bool:
    """From one epoch to the next the validation loss rose while the training loss did not."""
    by_epoch = epochs(view)
    return bool(((np.diff(by_epoch.val_loss) > 0) & (np.diff(by_epoch.loss) <= 0)).any())


def _overconfident(view: RunView, first_epoch: int = 3) -> bool:
    """From the fourth epoch on: validation accuracy above 0.95, or above training accuracy."""
    by_epoch = epochs(view)
    val, train = by_epoch.val_accuracy[first_epoch:], by_epoch.accuracy[first_epoch:]
    return bool(((val > 0.95) | (val > train)).any())


def _linear_layers(view: RunView) -> bool:
    """Two dense layers without an activation between them."""
    types = [module.type for module in view.modules if module.type not in ("Dropout", "Identity", "Flatten")]
    return any(a == b == "Linear" for a, b in itertools.pairwise(types))
