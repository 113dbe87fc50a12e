"""A training loss that is no number any more, up to the end of what is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import NotJudged, RunView

FEWEST = 3
"""Values at the end that must not be numbers: a single one may be a batch that was skipped."""


@dataclass(frozen=True)
class Broken:
    """The loss, and the first step from which it is NaN or infinite for good."""

    series: str
    step: int


def broken_loss(view: RunView) -> Broken | None:
    """Where the one training loss broke for good; None where it did not, or is not known."""
    try:
        name, loss = training_loss(view)
    except NotJudged:
        return None
    good = np.flatnonzero(np.isfinite(loss.values))
    after = int(good[-1]) + 1 if len(good) else 0
    return Broken(name, int(loss.steps[after])) if len(loss) - after >= FEWEST else None
