"""A loss that rests at one level for a large part of the run and then falls: a plateau that was left late.

Where weights are too small, alone or for the depth of the net, the gradient is a product of small numbers: the net
stays near the saddle at zero, the longer the smaller they are, and then learns all at once (Saxe, McClelland and
Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks, 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signal import closing, noise
from probes.diagnosis.view import Curve

BLOCKS, FEWEST = 20, 5
"""Parts of the run that are compared, and values of the loss in each of them."""
LASTS = 0.4
"""Part of the run that a plateau takes to be one that was left late."""
FLAT, FELL = 0.02, 0.05
"""Differences of the level, as parts of it, that are none, and that are a fall."""


@dataclass(frozen=True)
class LateStart:
    """The level of the plateau, and the steps between which the loss was there."""

    level: float
    begins: int
    ends: int


def late_start(loss: Curve, lasts: float = LASTS) -> LateStart | None:
    """The plateau of a finite loss that was left late; None where there is none.

    A plateau is a stretch of twentieths of the run, ``lasts`` of it or more, whose means differ from that of the first
    by no more than `FLAT` of it, or than three standard errors; after it the loss ends below by `FELL` of it and by
    five.
    """
    if len(loss) < FEWEST * BLOCKS:
        return None
    parts = np.array_split(loss.values, BLOCKS)
    means = np.asarray([float(part.mean()) for part in parts])
    error = noise(loss.values) / float(np.sqrt(len(loss) / BLOCKS))
    ends = np.cumsum([len(part) for part in parts]) - 1
    for first in range(BLOCKS):  # the level is that of the part in which the plateau begins
        away = np.abs(means[first:] - means[first]) > max(FLAT * abs(means[first]), 3.0 * error)
        length = int(np.argmax(away)) if away.any() else 0  # one that is never left is none
        if length >= lasts * BLOCKS:
            level = float(np.median(means[first : first + length]))
            if level - closing(loss.values) > max(FELL * abs(level), 5.0 * error):
                begins = int(loss.steps[0 if first == 0 else ends[first - 1]])
                return LateStart(level, begins, int(loss.steps[ends[first + length - 1]]))
    return None
