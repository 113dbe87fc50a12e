"""A gradient that is clipped to a norm next to which the weight decay that is added to it is all there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.gradients import clipped_norm, total_norm
from probes.diagnosis.view import RunView

ADDED = ("SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "Adamax")
"""Optimizers that add the decay to the gradient, after it was clipped."""
DROWNED = 10.0
"""Decay times weights over the norm of the clipped gradient from which the gradient is a tenth of a step or less."""


@dataclass(frozen=True)
class Throttled:
    """Norm at which the gradient is clipped, the largest decay, and its pull over that norm (median of the frames)."""

    norm: float
    decay: float
    pull: float


def throttled(view: RunView) -> Throttled | None:
    """What clipping leaves of the gradient, where the pull of the decay is `DROWNED` times that or more; else None."""
    norm, table = clipped_norm(view), view.layers("weight_norm")
    if norm is None or table is None:
        return None
    pulls = np.zeros(len(table))
    decay = 0.0
    for group in view.optimizers:
        if group.weight_decay > 0 and group.type in ADDED:
            pulls += (group.weight_decay * total_norm(table.pick(list(group.parameters))).values) ** 2
            decay = max(decay, group.weight_decay)
    pull = float(np.median(np.sqrt(pulls))) / norm
    return Throttled(norm, decay, pull) if np.isfinite(pull) and pull >= DROWNED else None
