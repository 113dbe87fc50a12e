"""A validation score that rises as fast as ever at the end of a run: the net has just begun to answer well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signal import noise
from probes.diagnosis.task import scores
from probes.diagnosis.tracks import share_right
from probes.diagnosis.view import Curve, Floats, RunView

FEWEST, FEWEST_LATE = 5, 3
"""Validations in all, and over the last part of the run."""
LATE = 0.6
"""Part of the run after which its end begins."""
CLEAR, LEAST = 3.0, 0.1
"""Rise over that end in standard deviations of the noise, and in all."""


@dataclass(frozen=True)
class Rising:
    """A score at its first and last validation, and its rise at the end over the mean one."""

    series: str
    start: float
    end: float
    pace: float


def still_rising(view: RunView, good: float, pace: float) -> Rising | None:
    """The first validation score below ``good`` that rises to the end at ``pace`` times its mean rise; else None."""
    for name in scores(view):
        curve = view.series(name)
        if curve is None:
            continue
        found = _rising(Curve(curve.steps, share_right(curve.values)), pace)
        if found is not None and found[1] < good:
            return Rising(name, *found)
    return None


def _rising(curve: Curve, pace: float) -> tuple[float, float, float] | None:
    """(first value, last value, rise at the end over the mean one) of a score that rises as fast as ever."""
    steps, values = curve.steps.astype(np.float64), curve.values
    if len(values) < FEWEST or not np.isfinite(values).all():
        return None
    first = min(int(np.searchsorted(steps, LATE * steps[-1])), len(values) - FEWEST_LATE)
    late: Floats = values[first:]
    rise = float(late[-1] - late[0])
    if rise < max(LEAST, CLEAR * noise(values)) or (np.diff(late) < 0).any():
        return None
    mean = float(values[-1] - values[0]) / float(steps[-1] - steps[0])
    found = rise / float(steps[-1] - steps[first]) / mean if mean > 0 else 0.0
    return (float(values[0]), float(values[-1]), found) if found >= pace else None
