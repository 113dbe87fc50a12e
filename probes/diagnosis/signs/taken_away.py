"""A schedule that has taken the learning rate away, while there was much left to learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.outcome import answers_short
from probes.diagnosis.progress import Progress
from probes.diagnosis.rates import highest_rates, mean_rates
from probes.diagnosis.signal import trailing_run
from probes.diagnosis.slope import fall
from probes.diagnosis.tracks import training_loss, validation_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

HALF, NEARLY_ALL = 0.5, 0.95
"""Fall of the loss above which a rate may well fade away, and above which even one of zero does no harm."""
TENTH, THOUSANDTH, ROUNDING = 0.1, 1e-3, 1e-6
"""Parts of the highest rate whose steps tell a decay by equal factors, and the relative error of their products."""
FROM_THE_START = 2.0
"""Steps to a thousandth over steps to a tenth: 3 by equal factors, near 1 for a rate that was held for long."""
ALL_BUT_GONE = 1e-4
"""Part of the highest rate from which a decay by equal factors adds no more than that part to what was trained."""
ANYWHERE, FEW = 30.0, 100.0
"""Steps at the full rate before which weights cannot go anywhere, and below which a training is short."""
CERTAIN, PACE, SLOWER, HALVES = 5.0, 0.5, 0.25, 0.5
"""Standard errors of a fall along the summed-up rate, the fall over the mean one of a loss that was on its way, and of
one that was if as much training again would gain this part of its level."""
EXCUSED = 0.9
"""Accuracy, on the way from the most frequent class to 1, that needs no more."""


@dataclass(frozen=True)
class Taken:
    """What is left of the rate.

    Attributes:
        peak, last: the rate at its highest and now.
        since: the step since which it is below the part of the highest that does nothing.
        limit: fall of the loss below which this is a fault.
        trained: sum of the rate over its highest: what all steps together count for.
        only: whether the loss can be said to have come down "only".
        regular: whether the rate was divided by equal factors from the start.
    """

    peak: float
    last: float
    since: int
    limit: float
    trained: float
    only: bool
    regular: bool


def taken_away(view: RunView, learned: Progress, faded: float, idle: float) -> Taken | None:
    """What a schedule left, where it took the rate away too early; None where it did not.

    The rate is below ``faded`` of its highest for ``idle`` of the run so far, up to its end, and the loss has fallen by
    less than half. By less than `NEARLY_ALL` where the rate was exactly zero in a run that has ended; or where it fell
    by equal factors from the start, as no rate does that waits for the loss, if all steps together count for less than
    `ANYWHERE`, or the loss fell along the summed-up rate to the end of it.

    Such a decay is known in advance: at `ALL_BUT_GONE` of the highest it adds nothing any more. From there on it is
    told without waiting, where it counts for less than `FEW` steps in all and the loss was on its way.
    """
    steps = np.arange(1, view.last_step + 1)
    rates = highest_rates(view, Curve(steps, np.zeros(len(steps))))
    peak = float(np.nanmax(rates, initial=0.0)) if rates is not None else 0.0
    if rates is None or peak <= 0 or learned.share >= NEARLY_ALL:
        return None
    low = rates < faded * peak
    length = trailing_run(low)
    if not length or bool(low.all()):
        return None
    since, trained = int(steps[-length]), float(rates.sum() / peak)
    regular = _by_equal_factors(rates / peak)
    if view.last_step - since < idle * view.last_step:
        gone = regular and rates[-1] <= ALL_BUT_GONE * peak * (1.0 + ROUNDING) and trained < FEW
        if not gone or learned.share >= HALF or not _was_on_its_way(view):
            return None
        return Taken(peak, float(rates[-1]), since, HALF, trained, True, True)
    # A rate of exactly zero is no schedule that waits for the loss, as those that divide it are.
    none = view.status == "finished" and not rates[-length:].any()
    if not none and learned.share >= HALF and not (regular and (trained < ANYWHERE or _was_on_its_way(view))):
        return None
    limit = NEARLY_ALL if none or learned.share >= HALF else HALF
    return Taken(peak, float(rates[-1]), since, limit, trained, learned.share < HALF and not none, regular)


def _by_equal_factors(rates: Floats) -> bool:
    """Whether ``rates`` [T], over their highest, were divided again and again from there on, and never raised."""
    top = int(np.argmax(rates))
    tenth, thousandth = (
        int(np.argmax(rates[top:] <= part * (1.0 + ROUNDING)) or len(rates)) for part in (TENTH, THOUSANDTH)
    )
    return thousandth < len(rates) and thousandth >= FROM_THE_START * tenth and not (np.diff(rates[top:]) > 0).any()


def _was_on_its_way(view: RunView) -> bool:
    """Whether the training or the validation loss fell along the summed-up rate to its end, far from done."""
    if answers_short(view, EXCUSED) is False:
        return False
    for track in (training_loss, validation_loss):
        try:
            loss = track(view)[1].finite
        except NotJudged:
            continue
        known = mean_rates(view, loss)
        if known is None:
            continue
        along = np.cumsum(known[0] * np.diff(loss.steps, prepend=0))
        found = fall(along, loss.values)
        if found is None or found.certainty < CERTAIN:
            continue
        if found.pace >= PACE or (found.pace >= SLOWER and found.promise >= HALVES):
            return True
    return False
