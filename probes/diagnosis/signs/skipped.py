"""Whether the optimizer ceased to step while the loss was still computed and logged, batch after batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.tracks import training_losses
from probes.diagnosis.view import RunView

FEWEST = 100
"""Values of the loss from which the number of steps for each is known well enough."""
EARLY, LATE = 0.1, 0.5
"""Share of the values at the beginning, and of those up to the end, that are compared."""
CEASED = 0.05
"""Steps for a value in the late part over those in the early one: gradients that are gathered over more and more
batches come to a quarter or an eighth."""


@dataclass(frozen=True)
class Ceased:
    """The loss that was logged on: values since the last step but a few, the steps among them, and since which step."""

    series: str
    values: int
    steps: int
    since: int


def ceased(view: RunView) -> Ceased | None:
    """What was logged while hardly any step was done; None when steps go on as they began."""
    for name in training_losses(view):
        curve = view.series(name)
        if curve is None or len(curve) < FEWEST:
            continue
        steps = curve.steps
        early, late = int(EARLY * len(steps)), int((1.0 - LATE) * len(steps))
        began = float(steps[early] - steps[0]) / early
        went_on = float(steps[-1] - steps[late]) / (len(steps) - 1 - late)
        if began > 0 and went_on < CEASED * began:
            # From where on the rest has as few steps: values after it, steps among them.
            left = (steps[-1] - steps) / np.maximum(len(steps) - 1 - np.arange(len(steps)), 1)
            since = int(np.argmax(left < CEASED * began))
            return Ceased(name, len(steps) - since, int(steps[-1] - steps[since]), int(steps[since]))
    return None
