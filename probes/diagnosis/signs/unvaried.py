"""A net of one output that tells its examples apart no better than it did untrained, though its loss has fallen.

Where the loss is not known, nor what it compares, the outputs still have the unit of the targets: whether the loss is
an absolute error or a squared one, it or its root is about what the outputs leave. Outputs that vary from example to
example by next to nothing of either explain next to nothing: the loss has fallen as one answer for all was found (the
median of targets that are mostly zero, the mean of targets compared with every output).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from probes.diagnosis.manifest import read_loss
from probes.diagnosis.signal import at_rest, closing, opening
from probes.diagnosis.signs.spread import spread_across
from probes.diagnosis.task import last_module
from probes.diagnosis.tracks import rewards, training_loss
from probes.diagnosis.view import Curve, NotJudged, RunView

LITTLE = 0.05
"""Deviation of the outputs, of the loss and of its root: in an absolute error, 0.002 of the variance explained."""
GROWN = 1.25
"""Times the deviation of the untrained net: one that learns goes beyond, for at first the outputs say nothing."""
FALLEN = 0.1
"""Share of the loss that is gone: without, `loss-not-decreasing` tells."""
FIRST, SINCE, FRAMES, VALUES = 0.05, 0.15, 2, 30
"""Share of the run within which the first frame is untrained, and since which the frames count (the last two may be
2.5 times the steps apart, each); how many of these; values of the loss.
"""


@dataclass(frozen=True)
class Unvaried:
    """Name and level of the loss, deviation of the output across the examples at first and now, since which frame."""

    series: str
    loss: float
    first: float
    deviation: float
    since: int


def unvaried_outputs(view: RunView) -> Unvaried | None:
    """The deviation of the one output across the examples, when it never grew and a loss at rest is far above it."""
    known = read_loss(view.manifest)
    if rewards(view) or (known is not None and known.reduction == "sum"):
        return None
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    loss = curve.finite.values
    if len(loss) < VALUES or not at_rest(loss):
        return None
    start, end = opening(loss), closing(loss)
    deviation = _deviation(view) if 0.0 < end < (1.0 - FALLEN) * start else None
    if deviation is None:
        return None
    late = deviation.steps >= SINCE * view.last_step
    if late.sum() < FRAMES or deviation.steps[0] > FIRST * view.last_step:
        return None
    first, now, most = (float(value) for value in (*deviation.values[[0, -1]], deviation.values[late].max()))
    if now > GROWN * first or most >= LITTLE * min(end, math.sqrt(end)):
        return None
    return Unvaried(name, end, first, now, int(deviation.steps[late][0]))


def _deviation(view: RunView) -> Curve | None:
    """Standard deviation of the one output of the last module across the examples; None where it is not the end of a
    chain: a second head beside another says nothing of the answers.
    """
    last = last_module(view)
    if last is None or math.prod(last.output_shape[1:]) != 1 or not _ends_a_chain(view):
        return None
    return spread_across(view, last.name)


def _ends_a_chain(view: RunView) -> bool:
    """Whether the last two weights that were called follow each other: as wide in as out."""
    called = [module.name for module in view.modules if module.output_shape]
    weights = [p for p in view.parameters if p.is_weight and p.module in called]
    weights.sort(key=lambda parameter: called.index(parameter.module))
    if len(weights) < 2 or any(len(weight.shape) != 2 for weight in weights[-2:]):
        return False
    return weights[-1].shape == (1, weights[-2].shape[0])
