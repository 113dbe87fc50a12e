"""What the loss is called with, as the log tells: its kind, the outputs, classes, shapes and targets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.manifest import read_loss
from probes.diagnosis.task import classes_of_targets, shape_of
from probes.diagnosis.view import Floats, RunView

SQUASHED = ("softmax", "softmin", "sigmoid", "hardsigmoid")

REGRESSION = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")

CLASSIFICATION = (
    "CrossEntropyLoss", "NLLLoss", "BCEWithLogitsLoss", "BCELoss", "MultiMarginLoss", "MultiLabelSoftMarginLoss",
    "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
)  # fmt: skip


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


def kind_of_loss(view: RunView) -> str:
    """Class of the loss, "" when it was neither given nor recognised."""
    loss = read_loss(view.manifest)
    return loss.name if loss is not None else ""


def outputs_of(view: RunView) -> Outputs | None:
    """What the loss was called with, in the frames where all of it is finite; None when nothing was recorded."""
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


def number_of_classes(view: RunView) -> int | None:
    """Classes among the targets, or else outputs along axis 1; None when neither is known."""
    seen = classes_of_targets(view)
    if seen is not None:
        return seen
    shape = shape_of(view, "output_shape")
    return shape[1] if len(shape) >= 2 and shape[1] >= 2 else None


def data_number(view: RunView, key: str) -> float | None:
    """The finite number that the manifest holds under ``data``/``key``, or None."""
    data = view.manifest.get("data")
    value = data.get(key) if isinstance(data, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
