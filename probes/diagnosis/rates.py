"""The learning rate beside the loss."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import Curve, Floats, RunView


def highest_rates(view: RunView, loss: Curve) -> Floats | None:
    """The highest learning rate of any parameter group at each step of the loss; None when no rate was logged."""
    names = [n for n in view.series_names if n == "optimizer/lr" or n.startswith("optimizer/lr/")]
    curves = [curve.finite for name in names if (curve := view.series(name)) is not None]
    held = [
        curve.values[np.maximum(np.searchsorted(curve.steps, loss.steps, side="right") - 1, 0)]
        for curve in curves
        if len(curve)
    ]
    return np.max(held, axis=0) if held else None
