"""The course of the training loss: where it began, its best level, where it is now, and how noisy it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signal import block_medians, closing, noise, opening
from probes.diagnosis.view import Floats, Steps


@dataclass(frozen=True)
class Course:
    """Summary of a training loss of T finite values.

    Attributes:
        start: level of the first values (at most 5 of them, at most a tenth).
        best: lowest of the medians of at most 50 blocks of at least 5 values.
        end: level of the last tenth (at least 3 values).
        noise: standard deviation of a single value around its level.
        end_error: standard error of ``end`` (1.25 sigma / sqrt(n), that of a median of normal values).
        values: how many values there are.
    """

    start: float
    best: float
    end: float
    noise: float
    end_error: float
    values: int


def course(steps: Steps, values: Floats, began: float | None = None) -> Course | None:
    """The course of a loss [T]; None with fewer than 5 finite values.

    Args:
        began: the level where it began, when these values do not hold the beginning.
    """
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(values) < 5:
        return None
    sigma = noise(values)
    # At least five values a block: the lowest single value of a noisy loss is no level.
    _, blocks = block_medians(steps, values, max(1, min(50, len(values) // 5)))
    last = max(3, int(0.1 * len(values)))
    return Course(
        start=opening(values) if began is None else began,
        best=float(blocks.min()),
        end=closing(values),
        noise=sigma,
        end_error=1.25 * sigma / float(np.sqrt(last)),
        values=len(values),
    )
