"""How much a run has learned: the fall of its training loss against where it began."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.signal import closing, opening
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import NotJudged, RunView


@dataclass(frozen=True)
class Progress:
    """The training loss at both ends.

    Attributes:
        series: its name.
        start, end: level of the first values and of the last tenth.
        share: part of the initial loss that is gone: 0 nothing learned, 1 all of it, negative: worse than at
            the start.
    """

    series: str
    start: float
    end: float

    @property
    def share(self) -> float:
        """See the class."""
        return (self.start - self.end) / abs(self.start) if self.start else 0.0


def progress(view: RunView) -> Progress | None:
    """The progress of the one training loss; None when there is none to judge by."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    finite = curve.finite
    if len(finite) < 4:
        return None
    return Progress(name, opening(finite.values), closing(finite.values))
