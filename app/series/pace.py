"""How fast a run goes and where its time goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.series.decimate import Steps, Values
from app.series.smooth import bucket_means

if TYPE_CHECKING:
    from probes.runlog import Run

MAX_COLUMNS, STEPS_PER_COLUMN = 40, 10


@dataclass(frozen=True)
class Pace:
    """Speed and time shares, averaged over stretches of steps; all [K].

    Attributes:
        steps: last step of each stretch.
        per_second: steps per second, from the mean step time.
        data_wait, probes: share of the step time, 0..1; NaN where it was not measured.
    """

    steps: Steps
    per_second: Values
    data_wait: Values
    probes: Values


def series_values(run: Run, name: str) -> tuple[Steps, Values]:
    """A series' steps and values; empty when the run has no such series."""
    if name not in run.series_names:
        return np.empty(0, dtype=np.int64), np.empty(0)
    series = run.series(name)
    return series.steps, series.values


def pace(run: Run, log_x: bool = False) -> Pace | None:
    """The run's pace over its steps, None when step times were not measured."""
    steps, seconds = series_values(run, "system/step_time")
    if not len(steps):
        return None
    columns = int(np.clip(len(steps) // STEPS_PER_COLUMN, 1, MAX_COLUMNS))
    at, mean_time, _ = bucket_means(steps, seconds, columns, log_x)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_second = np.where(mean_time > 0, 1 / mean_time, np.nan)
    return Pace(
        at,
        per_second,
        _share(run, "system/data_wait", steps, at, mean_time),
        _share(run, "system/probe_time", steps, at, mean_time),
    )


def _share(run: Run, name: str, all_steps: Steps, at: Steps, mean_time: Values) -> Values:
    """Sum of a part over each stretch / sum of step times over it."""
    steps, seconds = series_values(run, name)
    out = np.full(len(at), np.nan)
    if not len(steps):
        return out
    known = np.isfinite(seconds)
    ends, all_ends = np.searchsorted(steps, at, side="right"), np.searchsorted(all_steps, at, side="right")
    part = _between(np.where(known, seconds, 0.0), ends)
    whole = mean_time * np.diff(all_ends, prepend=0)
    np.divide(part, whole, out=out, where=(_between(known, ends) > 0) & (whole > 0))
    return np.clip(out, 0, 1)


def _between(values: Values, ends: Steps) -> Values:
    """Sums of `values` up to each end since the one before."""
    return np.diff(np.concatenate(([0.0], np.cumsum(values)))[ends], prepend=0.0)
