"""Which modules drop units, and whether what they drop is the answers themselves."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.manifest import read_mode_dependent
from probes.diagnosis.view import RunView

LEAST = 0.2
"""Share below which zeros among the gradients of the answers have other usual reasons (padding, ignored targets)."""
MINIMUM_FRAMES, MINIMUM_TOSSES = 4, 150
ERRORS, NEAR = 3.0, 0.03
"""Standard errors, and share beside them, by which the zeros may miss what a module drops."""


def shares_dropped(view: RunView) -> dict[str, float]:
    """Module -> share of the units that it drops, from the description of the model."""
    modules = read_mode_dependent(view.manifest) or ()
    return {module.name: module.dropped for module in modules if module.dropped is not None}


def dropped_answers(view: RunView) -> tuple[str, float] | None:
    """(last layer, share) when a dropout stands behind the last layer with weights; None otherwise.

    What is dropped gets no gradient. The share of exact zeros among the gradients of the last layer's outputs, over
    `MINIMUM_FRAMES` frames and `MINIMUM_TOSSES` outputs, is then what one of the model's modules drops, to `ERRORS`
    standard errors of so many coin tosses and `NEAR`, in all of them about alike.
    """
    shares = sorted({share for share in shares_dropped(view).values() if LEAST <= share < 1.0})
    zeros = view.layers("activation_grad_zero_fraction")
    weights = [parameter.module for parameter in view.parameters if parameter.is_weight]
    if not shares or zeros is None or not weights or weights[-1] not in zeros.layers:
        return None
    column = zeros.pick([weights[-1]])
    values = column.values[column.measured[:, 0], 0]
    values = values[np.isfinite(values)]
    size = next((math.prod(m.output_shape) for m in view.modules if m.name == weights[-1]), 0)
    if len(values) < MINIMUM_FRAMES or size * len(values) < MINIMUM_TOSSES or not (values > 0.0).all():
        return None
    for share in shares:
        single = math.sqrt(share * (1.0 - share) / size)
        alike = bool((np.abs(values - share) < ERRORS * single + NEAR).all())
        if alike and abs(float(values.mean()) - share) < ERRORS * single / math.sqrt(len(values)) + NEAR:
            return weights[-1], share
    return None
