"""What wrong targets cost: the cross-entropy of a net that knows the right class, where some targets are another."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.task import classes_of_targets, last_module
from probes.diagnosis.view import Floats, RunView

_ALIKE = (0.88, 1.15)
"""Share of that cost between which a loss is taken for it: mixed examples cost half, wrong targets 0.92 to 1."""


def cost_of_wrong_targets(right: Floats, classes: int) -> Floats:
    """Mean cross-entropy when a share ``right`` [T] of the targets is the predicted class, and the rest any other.

    H(r) + (1 - r) ln(C - 1), in nats: the most that can be left open about a target at this accuracy (Fano's
    inequality; Cover and Thomas, Elements of Information Theory, 2.10), reached where nothing tells which targets
    are wrong. Pictures that are mixed (mixup, CutMix) or made hard by augmentation leave less open, and cost less.
    """
    r = np.clip(right, 1e-9, 1 - 1e-9)
    return np.asarray(-r * np.log(r) - (1 - r) * np.log1p(-r) + (1 - r) * math.log(max(1, classes - 1)))


def costs_as_wrong_targets(loss: Floats, right: Floats, classes: int) -> bool:
    """Whether a training loss [T] is that of wrong targets, at the accuracies ``right`` [T] in training."""
    ratio = float(np.median(loss / np.maximum(cost_of_wrong_targets(right, classes), 1e-9)))
    return _ALIKE[0] <= ratio <= _ALIKE[1]


def classes_of(view: RunView) -> int | None:
    """Number of classes: of the targets seen, else the width of the last layer; None when neither is known."""
    seen = classes_of_targets(view)
    if seen is not None:
        return seen
    last = last_module(view)
    width = last.output_shape[1] if last is not None and len(last.output_shape) in (2, 4) else 0
    return width if width >= 2 else None
