"""Targets far from zero for what they vary by: much of a regression is spent on their mean, and the rest comes late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.progress import variance_of_targets
from probes.diagnosis.rates import highest_rates
from probes.diagnosis.signal import closing
from probes.diagnosis.slope import Fall, fall
from probes.diagnosis.view import Curve, RunView

FAR = 2.0
"""Squared error at the beginning, over the variance of the targets, from which most of it is their mean."""
LATE, LEFT = 0.1, 0.1
"""Part of the run that went by before the loss was below that variance, and part of the variance that is left."""
PACE, CERTAIN, PROMISE = 0.7, 5.0, 0.5
"""Fall at the end over the mean one of the latter half, its standard errors, and what as long a time again would gain
of the level: a loss that has not slowed down."""
STEADY = 0.9


@dataclass(frozen=True)
class Distant:
    """The variance of the targets, the step at which the loss came below it, and how it falls in the latter half."""

    variance: float
    since: int
    fall: Fall


def distant_targets(view: RunView, loss: Curve) -> Distant | None:
    """Whether a finite squared error began far above the variance of the targets, came below it late in a run that
    ended by itself, and still falls, at a steady rate, with much of the variance left.
    """
    variance, rates = variance_of_targets(view), highest_rates(view, loss)
    if variance is None or rates is None or view.status != "finished" or len(loss) < 10:
        return None
    below = np.flatnonzero(loss.values < variance)
    if not len(below) or loss.values[0] < FAR * variance or closing(loss.values) < LEFT * variance:
        return None
    half = loss.steps >= 0.5 * loss.steps[-1]
    since = int(loss.steps[below[0]])
    if since < LATE * view.last_step or half[: below[0]].any() or rates[half].min() < STEADY * rates.max():
        return None
    found = fall(loss.steps[half].astype(np.float64), loss.values[half])
    if found is None or found.pace < PACE or found.certainty < CERTAIN or found.promise < PROMISE:
        return None
    return Distant(variance, since, found)
