"""Inputs that hardly vary: the first layer gives nearly the same for every example, and the rest is its biases.

Bytes divided by 255 twice, or a range that one outlier set: such inputs reach the weights, but next to biases of a
usual size nothing of them is left, and the gradient of the weights is as many times smaller as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import RunView

SMALL = 0.05
"""Standard deviation of inputs that hardly vary, in every channel (normalised: 1; pixels in [0, 1]: about 0.3)."""
DROWNED = 0.15
"""Part of the standard deviation of the first layer's outputs that is across the examples, of signals that are next to
nothing: 2% of the variance (that of normalised inputs is more than half)."""
FRAMES, USUAL, OUTLYING = 3, 10.0, 100.0
"""Fewest frames that show it; standard deviation of a channel, in those of usual batches, up to which a batch is usual;
and distance of an outlier from zero, in usual largest inputs of a batch."""


@dataclass(frozen=True)
class Faint:
    """Inputs that hardly vary.

    Attributes:
        layer: the first layer with weights.
        variation: the part of its variation that is across the examples.
        channel: the channel of the inputs that varies most, and its ``deviation``.
        outlier: the largest input of any batch, when it is far beyond what is usual for its channel; else None.
    """

    layer: str
    variation: float
    channel: int
    deviation: float
    outlier: float | None


def faint_inputs(view: RunView) -> Faint | None:
    """The inputs, when they hardly vary, and the first layer with weights hardly tells the examples apart."""
    stds = view.layers("input_std")
    first = next((parameter.module for parameter in view.parameters if parameter.is_weight), "")
    told = view.layer("batch_variation", first)
    if stds is None or told is None or len(stds) < FRAMES or len(told) < FRAMES:
        return None
    if not stds.measured.all() or not np.isfinite(stds.values).all():
        return None
    deviations = np.median(stds.values, axis=0)
    channel = int(np.argmax(deviations))
    if not 0.0 < deviations[channel] < SMALL:
        return None
    # A batch with an outlier in it is told apart by that: the others count.
    usual = stds.steps[(stds.values <= USUAL * deviations).all(axis=1)]
    parts = told.values[np.isin(told.steps, usual)]
    if len(parts) < FRAMES:
        return None
    variation = max(float(np.median(parts)), float(np.median(parts[len(parts) // 2 :])))
    if not variation < DROWNED:
        return None
    return Faint(first, variation, channel, float(deviations[channel]), _outlier(view))


def _outlier(view: RunView) -> float | None:
    """The largest input of any batch, if it is 100 times the usual largest one of its channel; None otherwise."""
    highest = view.layers("input_max")
    if highest is None or not np.isfinite(highest.values).all():
        return None
    usual, most = np.median(highest.values, axis=0), highest.values.max(axis=0)
    beyond = (usual > 0) & (most > OUTLYING * usual)
    return float(most[beyond].max()) if beyond.any() else None
