"""A generator that came nearer to the real examples to the end of its training, and is still far from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.achieved import achieved_if_known
from probes.diagnosis.generation import generation
from probes.diagnosis.rates import highest_rates, summed_rates
from probes.diagnosis.slope import fall
from probes.diagnosis.view import Curve, RunView

FAR, FAR_IN_WARM_UP = 0.5, 0.4
"""Part of the distance that is gone (`achieved`) in a generator that is no longer far: at the end, and in a warm-up."""
PACE, CERTAIN, PROMISE = 0.6, 5.0, 0.1
"""Fall at the end over the mean one, over its standard error, and gain of as much training again over the level."""
NEARER, RAISED = 0.1, 2.0
"""Part of the first distance that a few steps are known to have gained; rise of the rate that makes it a warm-up."""
FEWEST = 8


@dataclass(frozen=True)
class Nearer:
    """The series, its levels, whether the rate was still being raised, and the fall at the end over the mean one."""

    series: str
    start: float
    end: float
    share: float
    warming: bool
    pace: float | None


def drawing_nearer(view: RunView) -> Nearer | None:
    """What a run that is over had before it; None where it was near, came no nearer at the end, or has no distance."""
    found, learned = generation(view), achieved_if_known(view)
    if found is None or learned is None or learned.series != found.series or view.status != "finished":
        return None
    start, end = float(found.curve.values[0]), float(found.curve.values[-1])
    if not end < (1.0 - NEARER) * start:
        return None
    if _is_raised(view):
        far = end <= (1.0 + NEARER) * float(found.curve.values.min()) and learned.share < FAR_IN_WARM_UP
        return Nearer(found.series, start, end, learned.share, True, None) if far else None
    along = summed_rates(view, found.curve)
    if along is None or learned.share >= FAR or len(found.curve) < FEWEST:
        return None
    last = fall(along, found.curve.values)
    if last is None or last.pace < PACE or last.certainty < CERTAIN or last.promise < PROMISE:
        return None
    return Nearer(found.series, start, end, learned.share, False, last.pace)


def _is_raised(view: RunView) -> bool:
    """Whether the rate was never lowered, and was being raised at the end."""
    steps = np.arange(1, view.last_step + 1)
    rates = highest_rates(view, Curve(steps, np.zeros(len(steps))))
    if rates is None or not len(rates) or not rates.max() > 0:
        return False
    falls = bool((np.diff(rates) < -1e-9 * rates.max()).any())
    return not falls and bool(rates[-1] > RAISED * rates[0] and rates[-1] > rates[int(0.9 * len(rates))])
