"""A loss against targets that come from the net itself: it begins at nothing, while all answers are alike, and rises to
the noise of what there is to learn.

Temporal differences are the usual case (Sutton and Barto, Reinforcement learning, 2018, chapters 6 and 9): an untrained
net agrees with its own next answer, and a trained one differs from it by what a single step of chance is worth.
"""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.manifest import read_loss
from probes.diagnosis.seen_loss import SEEN
from probes.diagnosis.signal import level
from probes.diagnosis.signs.drawn import begins_as_drawn
from probes.diagnosis.tracks import split_of
from probes.diagnosis.view import Floats, RunView

LEFT_OPEN = 0.25
"""Part of the variance of all targets seen that answers may leave open, and follow them: an R^2 of 0.75."""
FROM_THE_FIRST = 0.01
"""Squared error of an untrained net, of its squared targets, with which they are its own answers."""
GROWN = 10.0
"""Level of the last quarter of a rise, over that of the quarter before, up to which it is one that has ended."""
FEWEST, FIRST = 4, 3
"""Frames that tell how targets vary, and first ones that tell what an untrained net makes of them."""
SQUARED, ABSOLUTE = "MSELoss", ("L1Loss", "SmoothL1Loss", "HuberLoss")
_WORDS = frozenset({"td", "q"})
"""Words of what is logged beside a loss by temporal differences."""


def has_levelled(since: Floats) -> bool:
    """Whether the values ``since`` a rise [T] do not grow without bound any more: what diverges does."""
    half, last = len(since) // 2, 3 * len(since) // 4
    return half < last and level(since[last:]) <= GROWN * level(since[half:last])


def learns_by_differences(view: RunView) -> bool:
    """Whether something is logged that goes by a word of temporal differences."""
    names = (split_of(name)[1].replace("-", "_").replace("/", "_").split("_") for name in view.series_names)
    return any(_WORDS & set(words) for words in names)


def follows_targets(view: RunView) -> bool:
    """Whether a training loss is one of answers that follow targets which move with the net: by what is logged beside
    temporal differences; by a squared error (or absolute one) at the outputs that in the last frames leaves open less
    than a quarter of the variance of the targets of all frames; or by one that was next to nothing in the first frames,
    beside the targets, before anything was learned.
    """
    if learns_by_differences(view):
        return True
    seen, squares = view.series(SEEN), _squares(view)
    kind = read_loss(view.manifest)
    if kind is None or kind.name not in (SQUARED, *ABSOLUTE) or seen is None or squares is None:
        return False
    errors = seen.finite.values if kind.name == SQUARED else seen.finite.values**2
    variance = variance_over_frames(view)
    if variance is not None and len(errors) >= FIRST and level(errors[-FIRST:]) < LEFT_OPEN * variance:
        return True
    first = level(errors[:FIRST]) < FROM_THE_FIRST * float(np.mean(squares[:FIRST]))
    return len(errors) >= FIRST and first and begins_as_drawn(view)


def variance_over_frames(view: RunView) -> float | None:
    """The variance of the targets of all frames together; None where fewer than `FEWEST` saw any.

    By the law of total variance: batches of one do not vary within themselves.
    """
    squares, means = _squares(view), view.series("data/target_mean")
    if squares is None or means is None or len(squares) < FEWEST:
        return None
    return float(np.mean(squares) - np.mean(means.finite.values) ** 2)


def guessed_over_frames(view: RunView, name: str) -> float | None:
    """The loss ``name`` of always answering the mean of all targets seen; None where that is not known.

    A Huber loss (delta 1) is half of the square up to a deviation of 1, and half less than it beyond.
    """
    variance = variance_over_frames(view)
    if variance is None or not variance > 0:
        return None
    if name == SQUARED:
        return variance
    if name not in ABSOLUTE:
        return None
    deviation = math.sqrt(variance)
    return deviation if name == "L1Loss" else 0.5 * variance if deviation < 1.0 else deviation - 0.5


def _squares(view: RunView) -> Floats | None:
    """The mean square of the targets of each frame, [T]."""
    means, spreads = view.series("data/target_mean"), view.series("data/target_std")
    if means is None or spreads is None or len(means.finite) != len(spreads.finite) or not len(means.finite):
        return None
    return np.asarray(means.finite.values**2 + spreads.finite.values**2)
