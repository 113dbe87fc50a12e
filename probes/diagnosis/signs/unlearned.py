"""Whether a training loses again, on the very examples it is trained on, what it had learned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signal import block_medians, noise, trailing_run
from probes.diagnosis.tracks import accuracy
from probes.diagnosis.view import Curve, RunView

BLOCKS, FEWEST, FEWEST_VALIDATIONS = 20, 100, 8
"""Blocks of the training accuracy whose medians are compared, and fewest values of it and of that of validation."""
LOST, ERRORS = 0.1, 5.0
"""Accuracy that is lost, and its standard errors (1.25 sigma / sqrt(n) of a median of n normal values)."""
LASTING = 0.25
"""Part of the run, at its end, in which what was lost is not found again."""


@dataclass(frozen=True)
class Unlearned:
    """The name of the training accuracy, the step of its best level, that level, the best since the loss of it, and the
    same two of validation.
    """

    series: str
    step: int
    best: float
    end: float
    validation: str
    best_validation: float
    end_validation: float


def unlearned(view: RunView) -> Unlearned | None:
    """What was unlearned: training *and* validation accuracy fell by more than `LOST`, and stay below; None otherwise.

    A task that gets harder (curriculum, augmentation) lowers the training accuracy alone, overfitting that of
    validation alone.
    """
    own, other = accuracy(view, validation=False), accuracy(view, validation=True)
    if own is None or other is None:
        return None
    training, validation = own[1].finite, other[1].finite
    if len(training) < FEWEST or len(validation) < FEWEST_VALIDATIONS:
        return None
    found, beside = _fall(training), _fall(validation)
    if found is None or beside is None:
        return None
    return Unlearned(own[0], found[0], found[1], found[2], other[0], beside[1], beside[2])


def _fall(curve: Curve) -> tuple[int, float, float] | None:
    """(step of the best level, that level, the best of the last part of the run) of an accuracy that fell for good."""
    steps, levels = block_medians(curve.steps, curve.values, BLOCKS)
    best = int(np.argmax(levels))
    error = 1.25 * noise(curve.values) / math.sqrt(max(1.0, len(curve) / BLOCKS))
    below = levels < levels[best] - max(LOST, ERRORS * error)
    last = math.ceil(LASTING * len(levels))
    if trailing_run(below) < last:
        return None
    return int(steps[best]), float(levels[best]), float(levels[-last:].max())
