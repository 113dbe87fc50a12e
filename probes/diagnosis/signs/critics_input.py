"""How large the inputs of a discriminator are at least: they are no inputs of the model, and not recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signs.rivals import are_rivals, critics_entrance
from probes.diagnosis.view import RunView

FEWEST = 3


@dataclass(frozen=True)
class CriticsInput:
    """The module that reads them, and the least that their root mean square can be (median of the frames)."""

    layer: str
    least: float
    step: int


def critics_input(view: RunView) -> CriticsInput | None:
    """What the first layer of a discriminator tells of its inputs; None where there is no such layer, or no frames.

    The outputs of a dense layer or a convolution, less its bias, are at most its inputs times the Frobenius norm of its
    weights, ||W x|| <= ||W||_F ||x||: root mean squares y of the outputs and x of the inputs keep
    y sqrt(outputs) <= ||W||_F x sqrt(fan-in).
    """
    first = critics_entrance(view) if are_rivals(view) else None
    if first is None or not (first.type == "Linear" or first.type in ("Conv1d", "Conv2d", "Conv3d")):
        return None
    weight = next((p for p in view.parameters if p.is_weight and p.module == first.name and p.numel), None)
    std, mean = view.layer("activation_std", first.name), view.layer("activation_mean", first.name)
    norm = view.layer("weight_norm", weight.name) if weight is not None else None
    if weight is None or std is None or mean is None or norm is None:
        return None
    steps = np.intersect1d(np.intersect1d(std.steps, mean.steps), norm.steps[norm.values > 0])
    if len(steps) < FEWEST:
        return None
    spread, middle, size = (curve.values[np.isin(curve.steps, steps)] for curve in (std, mean, norm))
    outputs, bias = weight.shape[0], view.layer("weight_norm", f"{first.name}.bias")
    offset = float(bias.values.max()) / math.sqrt(outputs) if bias is not None else 0.0
    least = (np.hypot(spread, middle) - offset) * math.sqrt(outputs / (weight.numel / outputs)) / size
    return CriticsInput(first.name, float(np.median(least)), int(steps[0]))
