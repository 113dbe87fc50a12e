"""Has the training loss come down yet? What must be known before a verdict may sound like good news."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from probes.diagnosis.finding import jsonable
from probes.diagnosis.progress import guessing_loss
from probes.diagnosis.signal import closing, noise, opening
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import NotJudged, RunView

FEWEST = 20
"""Values; with fewer a beginning and an end cannot be told apart."""

CLEAR = 3.0
"""Standard errors that the end must be below the beginning."""

LEAST = 0.01
"""Of the loss, that it must have come down by, however little noise there is."""


@dataclass(frozen=True)
class Descent:
    """The training loss at both ends.

    Attributes:
        series: its name.
        start, end: level of the first values and of the last tenth.
        guessing: the loss of guessing, when it is known (see `guessing_loss`).
        fell: the end is clearly below the beginning (or the very first value: a net that learns within its first
            steps has no level to begin with) and, where it is known, below the loss of guessing.
    """

    series: str
    start: float
    end: float
    guessing: float | None
    fell: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, with the attributes as keys."""
        plain: dict[str, Any] = jsonable(asdict(self))
        return plain


def descent(view: RunView) -> Descent | None:
    """The descent of the one training loss; None when there is none, or fewer than `FEWEST` finite values of it."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    values = curve.finite.values
    if len(values) < FEWEST:
        return None
    start, end, first, guessing = opening(values), closing(values), float(values[0]), guessing_loss(view)
    sigma = noise(values)
    # 1.25 sigma / sqrt(n): the standard error of a median of n normal values.
    start_error = 1.25 * sigma / np.sqrt(min(5, len(values) // 10))
    end_error = 1.25 * sigma / np.sqrt(max(3, len(values) // 10))
    fell = (
        start - end > max(CLEAR * float(np.hypot(start_error, end_error)), LEAST * abs(start))
        or first - end > max(CLEAR * float(np.hypot(sigma, end_error)), LEAST * abs(first))
    ) and (guessing is None or guessing - end > max(CLEAR * float(end_error), LEAST * guessing))
    return Descent(name, start, end, guessing, bool(fell))
