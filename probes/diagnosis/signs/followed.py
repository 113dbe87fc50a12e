"""A loss against targets that come from the net itself: it begins at nothing, while all answers are alike, and rises to
the noise of what there is to learn.

Temporal differences are the usual case (Sutton and Barto, Reinforcement learning, 2018, chapters 6 and 9): an untrained
net agrees with its own next answer, and a trained one differs from it by what a single step of chance is worth.
"""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signal import level
from probes.diagnosis.tracks import split_of
from probes.diagnosis.view import Floats, RunView

LEFT_OPEN = 0.25
"""Part of the variance of all targets seen that answers may leave open, and follow them: an R^2 of 0.75."""
GROWN = 2.0
"""Level of the last quarter of a rise, over that of the quarter before, up to which it is one that has ended."""
FEWEST = 4
"""Frames that tell how targets vary."""
_WORDS = frozenset({"td", "q"})
"""Words of what is logged beside a loss by temporal differences."""


def has_levelled(since: Floats) -> bool:
    """Whether the values ``since`` a rise [T] grow no more: what diverges does."""
    half, last = len(since) // 2, 3 * len(since) // 4
    return half < last and level(since[last:]) <= GROWN * level(since[half:last])


def follows_targets(view: RunView, loss: float) -> bool:
    """Whether a training loss of ``loss`` is one of answers that follow targets which move with the net: a mean squared
    error (or absolute one) that leaves open less than a quarter of the variance of the targets of all frames, or
    whatever is logged beside temporal differences.
    """
    for name in view.series_names:
        if _WORDS & set(split_of(name)[1].replace("-", "_").replace("/", "_").split("_")):
            return True
    known = loss_as_logged(view)
    if known is None or known.reduction != "mean":
        return False
    means, spreads = view.series("data/target_mean"), view.series("data/target_std")
    if means is None or spreads is None or min(len(means.finite), len(spreads.finite)) < FEWEST:
        return False
    # The law of total variance: batches of one do not vary within themselves.
    variance = float(np.var(means.finite.values) + np.mean(spreads.finite.values**2))
    if known.name == "MSELoss":
        return loss < LEFT_OPEN * variance
    return known.name in ("L1Loss", "SmoothL1Loss", "HuberLoss") and loss < math.sqrt(LEFT_OPEN * variance)
