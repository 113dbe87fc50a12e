"""The learning rate beside the loss."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView, Steps

ENDED = 0.2
"""Learning rate, of its highest, at which a schedule has come to its end."""


def highest_rates(view: RunView, loss: Curve) -> Floats | None:
    """The highest learning rate of any parameter group at each step of the loss; None when no rate was logged."""
    return _highest_at(view, loss.steps)


def schedule_is_over(view: RunView) -> bool:
    """Whether a run that has ended by itself had a schedule, and the rate was next to nothing at its end."""
    try:
        rates = highest_rates(view, training_loss(view)[1].finite)
    except NotJudged:
        return False
    if view.status != "finished" or rates is None or not len(rates):
        return False
    return bool(rates[-1] < ENDED * rates.max())


def mean_rates(view: RunView, loss: Curve) -> tuple[Floats, float] | None:
    """(mean of that rate over the steps since the value before, at each step of the loss, [T]; highest of the run).

    A loss that is logged once an epoch does not see the rate of the first steps, which may have been the highest.
    """
    found = _summed(view, loss)
    if found is None:
        return None
    summed, highest = found
    return np.diff(summed, prepend=0.0) / np.maximum(np.diff(loss.steps, prepend=0), 1), highest


def summed_rates(view: RunView, loss: Curve) -> Floats | None:
    """That rate summed up to each step of the loss, [T]: how much was trained by then; None when no rate was logged."""
    found = _summed(view, loss)
    return None if found is None else found[0]


def _summed(view: RunView, loss: Curve) -> tuple[Floats, float] | None:
    """(sum of the rates up to each step of the loss, [T]; highest of the run)."""
    steps = np.arange(int(loss.steps[-1]) + 1) if len(loss) else np.empty(0, dtype=np.int64)
    rates = _highest_at(view, steps)
    if rates is None or not len(rates):
        return None
    rates[0] = 0.0  # no step was made yet
    return np.cumsum(rates)[loss.steps.astype(np.int64)], float(rates.max())


def _highest_at(view: RunView, steps: Steps) -> Floats | None:
    names = [n for n in view.series_names if n == "optimizer/lr" or n.startswith("optimizer/lr/")]
    curves = [curve.finite for name in names if (curve := view.series(name)) is not None]
    held = [
        curve.values[np.maximum(np.searchsorted(curve.steps, steps, side="right") - 1, 0)]
        for curve in curves
        if len(curve)
    ]
    return np.max(held, axis=0) if held else None
