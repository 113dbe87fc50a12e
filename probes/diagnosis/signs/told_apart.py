"""How much of what tells the examples apart a fitted net answers: from its outputs and what its squared error leaves.

Outputs that are fitted are uncorrelated with what is left, so the variance of the targets across the examples is that
of the outputs and the squared error together, whatever mean the targets have. Targets that belong to other inputs, or
a net through which nothing comes, leave outputs that are alike for all examples, though the loss has fallen from its
start to that of always answering the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signal import at_rest, closing
from probes.diagnosis.signs.spread import spread_across
from probes.diagnosis.task import last_module
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Curve, NotJudged, RunView

LITTLE = 0.05
"""Share of what tells the examples apart that is next to nothing: hard tasks leave a tenth or more."""
FRAMES, SINCE, VALUES = 2, 0.2, 30
"""Frames since that share of the run (at steps 1, 2, 5, 10 and so on the last two may lie a fifth of it back),
and values of the loss, that tell it.
"""
SAME = 0.05
"""Difference of two standard deviations of one tensor, of which one may be that of a sample."""
PLAUSIBLE = 1.5
"""Squared error, of the variance of the targets, above which the loss is no mean, or holds more than that."""


@dataclass(frozen=True)
class Apart:
    """Name and level of the loss, spread of the outputs across the examples, share answered, and since which frame."""

    series: str
    loss: float
    spread: float
    share: float
    since: int


def little_told_apart(view: RunView) -> Apart | None:
    """The share of what tells the examples apart that is answered, when a loss at rest shows that it is `LITTLE`."""
    seen = loss_as_logged(view)
    if seen is None or seen.reduction != "mean":
        return None
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    loss, targets = curve.finite.values, view.series("data/target_std")
    spread = _spread(view)
    if spread is None or targets is None or len(loss) < VALUES or not at_rest(loss):
        return None
    left = _least_squared_error(seen.name, closing(loss))
    variance = float(np.median(targets.finite.values)) ** 2 if len(targets.finite) else 0.0
    if left is None or not 0.0 < left <= PLAUSIBLE * variance:
        return None
    across = max(float(np.median(spread.values)), float(spread.values[-1]))
    share = across**2 / (across**2 + left)
    return Apart(name, closing(loss), across, share, int(spread.steps[0])) if share < LITTLE else None


def _least_squared_error(name: str, loss: float) -> float | None:
    """The least mean squared error that goes with a mean loss; None for other losses.

    A Huber loss with a delta of 1 is at most half the squared error; of absolute errors the mean square is at least the
    square of the mean (Jensen's inequality).
    """
    if name == "MSELoss":
        return loss
    if name in ("HuberLoss", "SmoothL1Loss"):
        return 2.0 * loss
    return loss**2 if name == "L1Loss" else None


def _spread(view: RunView) -> Curve | None:
    """Standard deviation of the outputs across the examples at the later frames; None where the last module is not
    seen to give the outputs that the loss compares.
    """
    last, outputs = last_module(view), view.series("data/output_std")
    across = spread_across(view, last.name) if last is not None else None
    deviation = view.layer("activation_std", last.name) if last is not None else None
    if across is None or deviation is None or outputs is None:
        return None
    whole = outputs.finite
    steps = np.intersect1d(whole.steps[whole.steps >= SINCE * view.last_step], across.steps)
    if len(steps) < FRAMES:
        return None
    own, total, spread = (curve.values[np.isin(curve.steps, steps)] for curve in (deviation, whole, across))
    return Curve(steps, spread) if bool((np.abs(own - total) <= SAME * total).all()) else None
