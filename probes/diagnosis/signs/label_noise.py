"""What wrong targets cost: the cross-entropy of a net that knows the right class, where some targets are another."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.task import classes_of_targets, last_module
from probes.diagnosis.view import Floats, RunView

_ALIKE = (0.88, 1.15)
"""Share of that cost between which a loss is taken for it: mixed examples cost half, wrong targets 0.92 to 1."""

CERTAIN = 3.0
"""Standard errors beyond which a difference of mean accuracies is none of chance."""
ONE_CLASS = 0.9
"""Share of the most frequent class in a batch that holds one class, or nearly."""
LEAST_KNOWN = 0.5
"""Accuracy above chance, of chance (an accuracy of 0.15 among ten classes), from which a net knows something."""


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


def lost_to_wrong_targets(held: Floats, right: Floats, error: float, classes: int) -> float | None:
    """Share of what a net knows of held-out targets that its training targets do not show; None when it is not certain.

    Where a share e of the targets is any other class, drawn at random, a net that is right about a share a of the true
    ones is right about a (1 - k) + k / C of these, with k = e C / (C - 1): k is known from both accuracies, while the
    net still learns as well as at its end (Angluin and Laird, Learning from noisy examples, 1988, for two classes).

    Args:
        held: accuracies on held-out examples, [T].
        right: accuracies in training at the same times, [T].
        error: standard error of the difference of their means.
        classes: number of classes C.
    """
    known = float(np.mean(held)) - 1.0 / classes
    ahead = float(np.mean(held - right))
    if ahead <= CERTAIN * error or known <= max(LEAST_KNOWN / classes, CERTAIN * error):
        return None
    return ahead / known


def batches_are_mixed(view: RunView) -> bool:
    """Whether batches hold more than one class, as far as was seen: of sorted examples a net knows the last."""
    shares = view.series("data/largest_label_share")
    known = shares.finite.values if shares is not None else np.empty(0)
    return not len(known) or float(np.median(known)) < ONE_CLASS


def classes_of(view: RunView) -> int | None:
    """Number of classes: of the targets seen, else the width of the last layer; None when neither is known."""
    seen = classes_of_targets(view)
    if seen is not None:
        return seen
    last = last_module(view)
    width = last.output_shape[1] if last is not None and len(last.output_shape) in (2, 4) else 0
    return width if width >= 2 else None
