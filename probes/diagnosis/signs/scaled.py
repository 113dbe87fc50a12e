"""A loss that was divided once more, under an optimizer whose steps shrink with the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.gradients import clipped_norm, step_size
from probes.diagnosis.manifest import read_loss
from probes.diagnosis.seen_loss import logged_over_seen
from probes.diagnosis.signal import closing, level, opening
from probes.diagnosis.view import Curve, NotJudged, RunView

PART = 0.1
"""Logged loss over the recognised mean: a part of it that learning rates are not chosen for."""
ALIKE = 0.25
"""Scatter of that part about its median, as a share of it: a factor, and no other loss."""
STARVED, USUAL_RATE = 1e-3, 0.003
"""Steps over rate and weights that are next to none (usual: 0.01 to 1), at a rate that is usual."""
LEARNED = 0.2
"""Fall of the loss above which it was not kept from learning."""


@dataclass(frozen=True)
class Scaled:
    """Class of the recognised loss, times that its mean is larger than what was logged, and the median step size."""

    loss: str
    times: float
    size: float


def divided_again(view: RunView, loss: Curve) -> Scaled | None:
    """Whether the finite training loss of a run that has ended is a constant small part of the recognised mean, and so
    are the steps: what is divided was backpropagated, and nothing was learned.

    A loss that was divided for the log alone, or for gradients that are summed up again, leaves steps of the usual
    size. So does an optimizer that scales them by their own size.
    """
    known = read_loss(view.manifest)
    if known is None or not known.recognised or view.status == "running" or clipped_norm(view) is not None:
        return None
    if not view.plain:
        return None
    parts = logged_over_seen(view, loss)
    part = float(np.median(parts)) if len(parts) >= 3 else 0.0
    if not 0.0 < part < PART or float(np.median(np.abs(parts / part - 1.0))) > ALIKE:
        return None
    start, end = opening(loss.values), closing(loss.values)
    if not start > 0 or (start - end) / start >= LEARNED:
        return None
    try:
        size, rate = level(step_size(view).values), view.learning_rate(view.last_step)
    except NotJudged:
        return None
    if rate is None or rate <= USUAL_RATE or not 0.0 < size < STARVED * rate:
        return None
    return Scaled(known.name, 1.0 / part, size)
