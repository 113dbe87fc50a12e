"""Where a training began, when the log does not hold its beginning: resumed unwatched, or watched from a later step on.

A level that such a log begins with is one that training had reached already. To take it for the beginning makes a
healthy run look as if it had learned nothing since.
"""

from __future__ import annotations

import numpy as np

from probes.diagnosis.signal import opening
from probes.diagnosis.view import Curve, NotJudged, RunView, Steps

LATE_STEPS, LATE_GAPS = 20, 3
"""A series begins late after more steps than these, and than so many of its own usual distances between values."""


def begins_late(view: RunView, steps: Steps) -> bool:
    """Whether a series with values at ``steps`` [T] lacks the beginning of the training.

    Known when the log says so (`RunView.start_step`). Else told by the first step: a loss that is logged every 100
    steps begins at 100, and one that is logged every step and begins at 10,000 is one of a training that went on.
    """
    if view.start_step > 0:
        return True
    if len(steps) < LATE_GAPS:
        return False
    gap = float(np.median(np.diff(steps[:20])))
    return float(steps[0]) > max(LATE_STEPS, LATE_GAPS * gap)


def need_beginning(view: RunView, steps: Steps, what: str) -> None:
    """Raises `NotJudged` when the series ``what`` lacks the beginning of the training."""
    if begins_late(view, steps):
        since = max(view.start_step, int(steps[0]) if len(steps) else 0)
        raise NotJudged(f"{what} is known from step {since:,} on: the beginning of the training was not watched")


def beginning(view: RunView, loss: Curve, name: str, known: float | None) -> float:
    """The level at which the training loss began: that of its first values, or ``known`` when these were not watched.

    Args:
        loss: the loss, finite, at least one value.
        known: the loss of answering without having learned (`guessing_loss`, `variance_of_targets`), or None.

    Raises:
        NotJudged: neither is known.
    """
    if not begins_late(view, loss.steps):
        return opening(loss.values)
    if known is None:
        need_beginning(view, loss.steps, name)
    return max(float(known or 0.0), opening(loss.values))
