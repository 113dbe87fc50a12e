"""A schedule that has taken the learning rate away, while there was much left to learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.outcome import answers_short
from probes.diagnosis.progress import Progress
from probes.diagnosis.rates import highest_rates
from probes.diagnosis.signal import trailing_run
from probes.diagnosis.signs.on_its_way import HALVES, PACE, falls_along_the_rate
from probes.diagnosis.view import Curve, Floats, RunView

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
SLOWER = 0.25
"""Fall over the mean one of a loss that was on its way if as much training again would gain half of its level."""
STANDS_STILL = 1e-6
"""Part of the highest rate whose steps change no weight: a float32 keeps 2^-24 of itself, and steps at the full rate
are a hundredth of it and less."""
EXCUSED = 0.9
"""Accuracy, on the way from the most frequent class to 1, that needs no more."""


@dataclass(frozen=True)
class Taken:
    """What is left of the rate.

    Attributes:
        peak, last: the rate at its highest and now.
        begins: the step since which the schedule takes the rate away: that of the highest rate where it was divided by
            equal factors from there on, else that since which it does nothing.
        since: the step since which it is below the part of the highest that does nothing.
        limit: fall of the loss below which this is a fault.
        trained: sum of the rate over its highest: what all steps together count for.
        only: whether the loss can be said to have come down "only".
        regular: whether the rate was divided by equal factors from the start.
    """

    peak: float
    last: float
    begins: int
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
    `ANYWHERE`, or the loss fell along the summed-up rate to the end of it, or the rate is below `STANDS_STILL` of the
    highest for as long.

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
    begins = int(steps[np.argmax(rates)]) if regular else since
    if view.last_step - since < idle * view.last_step:
        gone = regular and rates[-1] <= ALL_BUT_GONE * peak * (1.0 + ROUNDING) and trained < FEW
        if not gone or learned.share >= HALF or not _was_on_its_way(view):
            return None
        return Taken(peak, float(rates[-1]), begins, since, HALF, trained, True, True)
    # A rate of exactly zero is no schedule that waits for the loss, as those that divide it are.
    none = view.status == "finished" and not rates[-length:].any()
    if not none and learned.share >= HALF:
        spent = regular and (trained < ANYWHERE or _was_on_its_way(view) or _stood_still(view, rates / peak, idle))
        if not spent:
            return None
    limit = NEARLY_ALL if none or learned.share >= HALF else HALF
    return Taken(peak, float(rates[-1]), begins, since, limit, trained, learned.share < HALF and not none, regular)


def _by_equal_factors(rates: Floats) -> bool:
    """Whether ``rates`` [T], over their highest, were divided again and again from there on, and never raised."""
    top = int(np.argmax(rates))
    tenth, thousandth = (
        int(np.argmax(rates[top:] <= part * (1.0 + ROUNDING)) or len(rates)) for part in (TENTH, THOUSANDTH)
    )
    return thousandth < len(rates) and thousandth >= FROM_THE_START * tenth and not (np.diff(rates[top:]) > 0).any()


def _stood_still(view: RunView, rates: Floats, idle: float) -> bool:
    """Whether ``rates`` [T], over their highest, left the weights as they are for ``idle`` of the run, up to its end,
    and no accuracy says that nothing more was wanted.
    """
    return trailing_run(rates < STANDS_STILL) >= idle * len(rates) and answers_short(view, EXCUSED) is not False


def _was_on_its_way(view: RunView) -> bool:
    """Whether the training or the validation loss fell along the summed-up rate to its end, far from done."""
    if answers_short(view, EXCUSED) is False:
        return False
    return any(
        found.pace >= PACE or (found.pace >= SLOWER and found.promise >= HALVES) for found in falls_along_the_rate(view)
    )
