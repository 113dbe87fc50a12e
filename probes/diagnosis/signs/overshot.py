"""Whether the first steps threw a net far beyond its beginning: the loss rises to several times what it began at.

A first step as long as the weights themselves leaves nothing of the initialisation. Where the loss then falls all the
way, no harm was done; a net that is thrown so far off and stays mediocre was.
"""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import Curve

SOON, FEWEST = 20, 5
"""Steps in which the loss rises, and fewest values of it there."""
JUMP = 3.0
"""Rise of the loss, in times of its first value: nets that learn well and were moved by their own size stay below."""


def overshot(loss: Curve) -> float | None:
    """How many times its first value a loss came to within the first steps, when more than `JUMP`; None otherwise.

    None also where the first value does not belong to the weights before any update, or is no positive number.
    """
    soon = loss.values[loss.steps <= SOON]
    if len(soon) < FEWEST or loss.steps[0] > 1 or not 0 < soon[0] < np.inf:
        return None
    finite = soon[np.isfinite(soon)]
    rise = float(finite.max() / soon[0])
    return rise if rise > JUMP else None
