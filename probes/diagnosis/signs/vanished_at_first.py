"""Gradients that vanish through depth from the first step on, while the loss stays where it began.

They grow once the last layers have learned enough to send something back, and the net learns at last: a run that ends
before it has come far owes the steps that it lost to them (Glorot and Bengio, Understanding the difficulty of training
deep feedforward neural networks, 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.progress import Progress
from probes.diagnosis.signal import level
from probes.diagnosis.view import Curve, Floats, Mask, Steps

FRAMES, STEPS, LASTS = 3, 20, 0.05
"""Frames, steps and part of the run in which gradients vanish, at least."""
STAYS, HALF = 0.05, 0.5
"""Fall of the loss meanwhile that is none, and fall by the end of the run that is enough."""
LONG = 0.25
"""Part of the run that must be lost to them where the loss has not fallen since either: they need not be the cause."""


@dataclass(frozen=True)
class VanishedAtFirst:
    """The last of the first frames in which gradients vanish, and how many powers of ten they fall in the median."""

    row: int
    step: int
    decades: float


def vanished_at_first(
    steps: Steps, shows: Mask, decades: Floats, loss: Curve, learned: Progress, last_step: int, untold: float
) -> VanishedAtFirst | None:
    """Whether gradients vanished from the first frame on, for long enough, and little was learned after that.

    Gradients that vanish to the end are another matter: what is learned by them tells whether they do harm.

    Args:
        steps: the frames, [T].
        shows: those in which gradients fall through depth, as a trend, [T].
        decades: by how many powers of ten, [T].
        loss: the training loss, finite.
        learned: its progress over the whole run.
        last_step: the end of the run, which is over.
        untold: the loss of what no input tells (the shares of uneven classes), which the last biases learn alone; that
            of the beginning where it is not known.
    """
    rows = 0 if shows.all() else int(np.argmin(shows))
    nothing = learned.share < STAYS
    if rows < FRAMES or learned.share >= HALF or (nothing and rows == len(shows)):
        return None
    end = int(steps[rows - 1])
    if nothing and end < LONG * last_step:
        return None
    meanwhile = loss.values[loss.steps <= end]
    if end < max(STEPS, LASTS * last_step) or len(meanwhile) < FRAMES:
        return None
    began = min(learned.reference, untold)
    if level(meanwhile[-max(FRAMES, len(meanwhile) // 4) :]) < (1.0 - STAYS) * began:
        return None
    return VanishedAtFirst(rows - 1, end, float(np.median(decades[:rows])))
