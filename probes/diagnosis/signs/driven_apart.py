"""A distance between generated and real examples that training has made larger."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.generation import generation
from probes.diagnosis.signal import closing, trailing_run
from probes.diagnosis.view import RunView

TWICE = 2.0
"""Distance at the end over that of the untrained generator: what it makes is worse than what it made when drawn."""
FEWEST = 5


@dataclass(frozen=True)
class DrivenApart:
    """The series, its first level and its last, and the step since which it lies beyond."""

    series: str
    start: float
    end: float
    since: int


def driven_apart(view: RunView) -> DrivenApart | None:
    """Whether a run that is over ended at twice the distance that it began with, through the last quarter of it."""
    found = generation(view)
    if found is None or view.status == "running" or len(found.curve) < FEWEST:
        return None
    values, start = found.curve.values, float(found.curve.values[0])
    late = values[-max(2, len(values) // 4) :]
    if not start > 0 or not float(late.min()) > TWICE * start:
        return None
    beyond = trailing_run(values > TWICE * start)
    return DrivenApart(found.series, start, closing(values), int(found.curve.steps[-beyond]))
