"""How far a module's outputs differ from example to example, in their own unit."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import Curve, Floats, RunView


def spread_across(view: RunView, module: str) -> Curve | None:
    """Standard deviation of a module's outputs across the examples, [T]: the share of their variation that is across
    the examples times their deviation, at the frames that hold both; None where no frame does.
    """
    share, deviation = (view.layer(kind, module) for kind in ("batch_variation", "activation_std"))
    if share is None or deviation is None:
        return None
    steps = np.intersect1d(share.steps, deviation.steps)
    values: Floats = share.values[np.isin(share.steps, steps)] * deviation.values[np.isin(deviation.steps, steps)]
    return Curve(steps, values) if len(steps) else None
