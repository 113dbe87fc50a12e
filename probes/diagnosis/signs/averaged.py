"""A divergence that is averaged over the classes, too, under an optimizer whose steps shrink with the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.manifest import read_loss
from probes.diagnosis.slope import Fall, fall
from probes.diagnosis.task import shape_of
from probes.diagnosis.view import Curve, RunView

MANY = 10
"""Classes from which the factor is one of ten: as much as a learning rate is worth trying for."""
PROMISE, CERTAIN = 0.5, 10.0
"""Gain of as many steps again, as a share of the level, and standard errors of the fall at the end: not done yet."""


@dataclass(frozen=True)
class Averaged:
    """Number of classes that the divergence is divided by, and how the loss falls at the end."""

    classes: int
    fall: Fall


def averaged_over_classes(view: RunView, loss: Curve) -> Averaged | None:
    """Whether a Kullback-Leibler divergence is the mean of all its terms, and a finite loss not done because of it.

    `torch.nn.KLDivLoss` divides by the number of elements by default, "which is not the divergence" (its
    documentation): by C classes as well as by the examples. Gradient and steps are C times smaller than those of the
    divergence, unless the optimizer scales them by their own size.
    """
    given, shape = read_loss(view.manifest), shape_of(view, "output_shape")
    if given is None or given.name != "KLDivLoss" or given.reduction != "mean" or len(shape) < 2 or shape[1] < MANY:
        return None
    if view.status == "running" or not view.plain:
        return None
    found = fall(loss.steps.astype(np.float64), loss.values)
    if found is None or found.promise < PROMISE or found.certainty < CERTAIN:
        return None
    return Averaged(shape[1], found)
