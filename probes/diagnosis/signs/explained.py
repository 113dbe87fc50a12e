"""A coefficient of determination below zero: answers that are worse than always the mean of the targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signal import noise
from probes.diagnosis.tracks import VALIDATION_SPLITS, split_of
from probes.diagnosis.view import RunView

_NAMES = ("r2", "r2_score", "r_squared", "rsquared", "r2score", "explained", "explained_variance", "nse")
"""What it is called (in hydrology: the efficiency of Nash and Sutcliffe)."""
FEWEST = 5


@dataclass(frozen=True)
class Unexplained:
    """The series of R^2 in validation, its highest value since the first tenth of the run, and its last."""

    series: str
    best: float
    end: float
    since: int


def unexplained(view: RunView) -> Unexplained | None:
    """An R^2 of a validation split that never was above zero, beyond its noise, since the first tenth of the run.

    1 - R^2 is the squared error over the variance of the targets: the mean of these, a constant, makes it 1.
    """
    for name in view.series_names:
        split, metric = split_of(name)
        curve = view.series(name) if split in VALIDATION_SPLITS and metric in _NAMES else None
        if curve is None:
            continue
        late = curve.finite.steps > 0.1 * view.last_step
        values = curve.finite.values[late]
        if len(values) < FEWEST:
            continue
        best = float(values.max())
        if best + 2.0 * noise(values) < 0.0:
            return Unexplained(name, best, float(np.median(values[-3:])), int(curve.finite.steps[late][0]))
    return None
