"""What a training has achieved: the fall of its one training loss, else of a distance of what it generates.

For rules whose evidence lies elsewhere, and which ask only whether anything came of it. What is said of the loss itself
asks for `progress`.
"""

from __future__ import annotations

from probes.diagnosis.generation import generation
from probes.diagnosis.progress import Progress, progress
from probes.diagnosis.signal import closing
from probes.diagnosis.view import NotJudged, RunView

FEWEST_VALUES = 4
"""Distances that tell how a run goes that is not over."""


def achieved(view: RunView) -> Progress | None:
    """The progress of the one training loss or, where there is none, of a distance between generated and real examples
    (`generation`): from its first value, before anything was learned, or from that of always giving the mean (its
    ``variance``) where that is known and lower. None where neither is known.

    Raises:
        NotJudged: as `progress`.
    """
    learned = progress(view)
    found = generation(view) if learned is None else None
    if found is None or (len(found.curve) < FEWEST_VALUES and view.status == "running"):
        return learned
    values = found.curve.values
    return Progress(found.series, float(values[0]), closing(values, points=1), variance=found.of_the_mean)


def achieved_if_known(view: RunView) -> Progress | None:
    """Like `achieved`, but None where it raises `NotJudged`."""
    try:
        return achieved(view)
    except NotJudged:
        return None
