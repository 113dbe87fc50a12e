"""Whether a loss that rose is on its way down again by ordinary steps: the task may have become harder (a curriculum,
new classes).
"""

from __future__ import annotations

import numpy as np

from probes.diagnosis.gradients import step_size
from probes.diagnosis.slope import fall
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

CERTAIN, LIKELY = 5.0, 1.0
"""Standard errors of the fall since the rise, and of that in its latter half."""
FEWEST = 8
"""Values since the rise that can tell a fall."""
LARGE, SMALL = 0.02, 0.005
"""Updates, of the size of the weights, that may have raised the loss themselves (twenty times the usual, CS231n), and
those that cannot have raised it from one value to the next."""
AT_ONCE = 0.8
"""Level of the first values since the rise, over the highest of its quarters, where it was there from the first on."""


def recovers(view: RunView, loss: Curve, rise: int) -> bool:
    """Whether, in a run that goes on, the finite losses since the step ``rise`` fall to the end by steps of ordinary
    size: beyond doubt; or, where they rose at once by steps that are too small for it, at all (other examples came).
    """
    since = loss.since(rise)
    if view.status != "running" or len(since) < FEWEST:
        return False
    sizes = _sizes_from(view, rise)
    if sizes is not None and float(sizes.max()) > LARGE:
        return False
    halves, quarters = np.array_split(since.values, 2), np.array_split(since.values, 4)
    highest = max(float(np.median(quarter)) for quarter in quarters)
    if sizes is not None and sizes[0] < SMALL and float(np.median(since.values[:3])) >= AT_ONCE * highest:
        return bool(halves[1].mean() < halves[0].mean())
    steps = since.steps.astype(float)
    whole, late = fall(steps, since.values, part=1.01), fall(steps, since.values, part=0.5)
    return whole is not None and late is not None and whole.certainty >= CERTAIN and late.certainty >= LIKELY


def _sizes_from(view: RunView, rise: int) -> Floats | None:
    """The updates, over the weights, at the last frame before the step ``rise`` and since; None: not measured."""
    try:
        sizes = step_size(view).finite
    except NotJudged:
        return None
    first = max(int(np.searchsorted(sizes.steps, rise)) - 1, 0)
    return sizes.values[first:] if len(sizes) else None
