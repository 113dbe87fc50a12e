"""What wrong targets cost: the cross-entropy of a net that knows the right class, where some targets are another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.task import classes_of_targets, last_module
from probes.diagnosis.view import Floats, RunView

_ALIKE = (0.88, 1.15)
"""Share of that cost between which a loss is taken for it: mixed examples cost half, wrong targets 0.92 to 1."""

CERTAIN = 3.0
"""Standard errors beyond which a difference of mean accuracies is none of chance."""
ONE_CLASS = 0.9
"""Share of the most frequent class in a batch that holds one class, or nearly."""
LEAST_KNOWN, CLEARLY_KNOWN = 0.5, 0.15
"""Accuracy above chance, of chance and by itself, from which a net knows something: 0.25 among ten classes."""
LOST = 0.4
"""Part of the accuracy above chance that does not show in training, where a third of the targets or more are wrong."""
_SHORT = ((2, 0.5), (3, LOST))
"""Validations with training between them that are enough, and the part that must be lost there: fewer, more."""
_ROUNDING = 1e-9
_CLOSE = 0.93
"""Least share of the cost of wrong targets there: while little is learned, hard examples come near it, too."""
OF_DROPPED = 0.5
"""Of the share that dropout drops: what it may cost by itself (half of the units gone a quarter of the answers)."""


def cost_of_wrong_targets(right: Floats, classes: int) -> Floats:
    """Mean cross-entropy when a share ``right`` [T] of the targets is the predicted class, and the rest any other.

    H(r) + (1 - r) ln(C - 1), in nats: the most that can be left open about a target at this accuracy (Fano's
    inequality; Cover and Thomas, Elements of Information Theory, 2.10), reached where nothing tells which targets
    are wrong. Pictures that are mixed (mixup, CutMix) or made hard by augmentation leave less open, and cost less.
    """
    r = np.clip(right, 1e-9, 1 - 1e-9)
    return np.asarray(-r * np.log(r) - (1 - r) * np.log1p(-r) + (1 - r) * math.log(max(1, classes - 1)))


def costs_as_wrong_targets(loss: Floats, right: Floats, classes: int, least: float = _ALIKE[0]) -> bool:
    """Whether a training loss [T] is that of wrong targets, at the accuracies ``right`` [T] in training; ``least`` is
    the share of it that is enough.
    """
    ratio = float(np.median(loss / np.maximum(cost_of_wrong_targets(right, classes), 1e-9)))
    return least <= ratio <= _ALIKE[1]


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
    if ahead <= CERTAIN * error or known <= max(LEAST_KNOWN / classes, CLEARLY_KNOWN, CERTAIN * error):
        return None
    return ahead / known


@dataclass(frozen=True)
class Lost:
    """Stretches of validations, with the training between them, in which much of what the net knows does not show.

    ``first`` and ``last`` are indices of validations, ``share`` is what was lost in the mean of the first stretch, and
    ``held`` and ``right`` are the accuracies there.
    """

    first: int
    last: int
    share: float
    held: float
    right: float


def lost_for_a_while(
    held: Floats, right: Floats, loss: Floats, errors: Floats, blur: float, classes: int, drops: float, poor: float
) -> Lost | None:
    """Where in a run much of what the net knows did not show in training; None when nowhere.

    While wrong targets are learned by heart, training catches up, and at the end nothing tells them any more: the
    stretches before that do. What the net knows is the lower of the accuracies before and after the training.

    Args:
        held: accuracies in validation, [T].
        right: accuracies in training from each validation to the next, [T - 1].
        loss: training losses there, [T - 1].
        errors: standard errors of ``right``, [T - 1].
        blur: noise of ``held``.
        classes: number of classes.
        drops: largest share that dropout drops.
        poor: accuracy in training above which there is no harm.
    """
    known = np.minimum(held[:-1], held[1:])
    found: Lost | None = None
    for length, least in _SHORT:
        for first in _candidates(known, right, length, least + OF_DROPPED * drops, classes, poor):
            part = slice(first, first + length)
            error = math.sqrt((float(np.mean(np.square(errors[part]))) + blur**2) / length)
            share = lost_to_wrong_targets(known[part], right[part], error, classes)
            level, own = float(np.mean(known[part])), float(np.mean(right[part]))
            if share is None or share < least + OF_DROPPED * drops or own >= poor:
                continue
            if level < 1.0 / classes + CLEARLY_KNOWN + OF_DROPPED * drops:
                continue
            if not costs_as_wrong_targets(loss[part], right[part], classes, _CLOSE):
                continue
            if found is None or first < found.first:
                found = Lost(first, max(first + length, found.last if found else 0), share, level, own)
            else:
                found = Lost(found.first, max(first + length, found.last), found.share, found.held, found.right)
    return found


def _candidates(known: Floats, right: Floats, length: int, least: float, classes: int, poor: float) -> list[int]:
    """Where stretches of ``length`` begin that can be such, by their mean accuracies: thousands of validations are
    looked through at once, and the few that are left one by one.
    """
    if len(right) < length:
        return []
    level, own = (np.convolve(values, np.full(length, 1.0 / length), "valid") for values in (known, right))
    lost = level - own >= least * (level - 1.0 / classes) - _ROUNDING
    return [int(first) for first in np.flatnonzero(lost & (own < poor + _ROUNDING))]


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
