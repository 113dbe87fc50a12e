"""Whether a net begins as it was drawn, or with weights that were trained before: told by its biases and scales.

A trained net has biases that are neither all alike nor all within the bound that they are drawn within, or scales of a
normalisation that differ from unit to unit.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from probes.diagnosis.manifest import ParameterInfo
from probes.diagnosis.view import RunView

_ROUNDING = 1e-4


def begins_as_drawn(view: RunView, modules: Collection[str] | None = None) -> bool:
    """Whether every bias and scale known before the first update, or every one of ``modules``, is as initialised; False
    where none is known.

    As initialised is one value for all units, or values within 1 / sqrt(inputs of a unit), as PyTorch draws the biases
    of dense layers and convolutions; for recurrent modules 1 / sqrt(units) (documentation of `torch.nn`, *Variables*).
    """
    low, high = view.layers("weight_min"), view.layers("weight_max")
    if low is None or high is None or low.steps[0] != 0 or high.steps[0] != 0 or view.start_step > 0:
        return False
    weights: dict[str, list[ParameterInfo]] = {}
    for parameter in view.parameters:
        if parameter.is_weight and parameter.numel:
            weights.setdefault(parameter.module, []).append(parameter)
    seen = 0
    for parameter in view.parameters:
        if (
            len(parameter.shape) != 1
            or parameter.numel < 2
            or (modules is not None and parameter.module not in modules)
        ):
            continue
        if parameter.name not in low.layers or parameter.name not in high.layers:
            continue
        least, most = (float(table.pick([parameter.name]).values[0, 0]) for table in (low, high))
        if not np.isfinite([least, most]).all():
            return False
        bounds = [1.0 / math.sqrt(weight.numel / weight.shape[0]) for weight in weights.get(parameter.module, [])]
        bound = max(bounds, default=0.0) * (1.0 + _ROUNDING)
        if least != most and max(abs(least), abs(most)) > bound:
            return False
        seen += 1
    return seen > 0
