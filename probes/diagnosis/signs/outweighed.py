"""Several outputs in one squared error, of which the largest alone decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

from probes.diagnosis.outcome import variance_left
from probes.diagnosis.progress import Progress, variance_of_targets
from probes.diagnosis.signs.explained import Unexplained, unexplained
from probes.diagnosis.task import shape_of
from probes.diagnosis.view import RunView

GONE = 0.5
"""Part of the variance of all targets together that is gone: the error of the largest of them."""


@dataclass(frozen=True)
class Outweighed:
    """Number of outputs, variance of all targets together, and the R^2 that says what became of each."""

    outputs: int
    variance: float
    fit: Unexplained


def outweighed(view: RunView, learned: Progress) -> Outweighed | None:
    """Outputs that others outweigh, in a run that is over: most of the variance of all targets is gone from their mean
    squared error, in training and in validation, but R^2, which takes each output against its own variance, never was
    above zero in validation.

    Outputs of one mean and one scale cannot show this: there R^2 is 1 less the loss over the variance.
    """
    outputs = math.prod(shape_of(view, "output_shape")[1:])
    variance, fit = variance_of_targets(view), unexplained(view)
    if view.status == "running" or outputs < 2 or variance is None or fit is None:
        return None
    left = variance_left(view)
    low = learned.end < (1.0 - GONE) * variance and left is not None and left < 1.0 - GONE  # in validation as well
    return Outweighed(outputs, variance, fit) if low else None
