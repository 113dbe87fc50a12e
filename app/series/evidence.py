"""The series a finding rests on, as something to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.series import layers
from app.series.decimate import Marks, Steps, Values, decimate, marks

if TYPE_CHECKING:
    from probes.diagnosis import Finding
    from probes.runlog import Run

MAX_NAMED = 6
MAX_OTHERS = 24
MAX_CHARTS_OF_FINDING = 2
MAX_PINS = 6
SAME_SIZE = 1.5
EARLY = 0.2


@dataclass(frozen=True)
class Track:
    """One line: `named` when the finding speaks of it, else there for comparison."""

    name: str
    steps: Steps
    values: Values
    marks: Marks
    named: bool


def charts_of(finding: Finding) -> list[dict[str, Any]]:
    """What to draw for a finding: for each series of its evidence (two at most) parameters of the evidence chart."""
    grouped: dict[str, list[Any]] = {}
    for item in finding.evidence:
        grouped.setdefault(item.series, []).append(item)
    charts = []
    for series, items in list(grouped.items())[:MAX_CHARTS_OF_FINDING]:
        named = [item.layer for item in items if item.layer] or list(finding.layers)
        charts.append(
            {
                "series": series,
                "layers": list(dict.fromkeys(named))[:MAX_NAMED],
                "points": [
                    {
                        "step": item.step,
                        "value": float(item.value),
                        "limit": None if item.limit is None else float(item.limit),
                        "layer": item.layer,
                        "note": item.note,
                    }
                    for item in items
                    if np.isfinite(item.value) and (item.limit is None or np.isfinite(item.limit))
                ],
                "first": finding.first_step,
                "last": finding.last_step,
                "severity": finding.severity,
            }
        )
    return charts


def pins_of(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Where findings at warning or above began, with their numbers on the Diagnosis page; at most `MAX_PINS`."""
    return [
        {"step": f.first_step, "number": number, "severity": f.severity, "title": f.title}
        for number, f in enumerate(findings, 1)
        if f.severity != "info"
    ][:MAX_PINS]


def on_track(point: Mapping[str, Any], found: Sequence[Track]) -> bool:
    """Whether a line really passes through a point: evidence may also be a count or a ratio of its series."""
    return _nearest_factor(point, found) < 1.001


def limits_of(points: Sequence[Mapping[str, Any]], found: Sequence[Track]) -> list[float]:
    """Limits that can be drawn on the axis of these lines: those of values of the same size as the lines there.

    A limit on a correlation or a count of layers has no place on the axis of a gradient.
    """
    return sorted({p["limit"] for p in points if p["limit"] is not None and _nearest_factor(p, found) < SAME_SIZE})


def _nearest_factor(point: Mapping[str, Any], found: Sequence[Track]) -> float:
    """By what factor a point misses the nearest line at its step (at any step, when it names none); >= 1."""
    value = point["value"]
    near = [track.values if point["step"] is None else track.values[track.steps == point["step"]] for track in found]
    there = np.concatenate([np.empty(0), *near])
    if (there == value).any():
        return 1.0
    there = there[np.isfinite(there) & (there * value > 0)]
    return float(np.exp(np.abs(np.log(there / value)).min())) if len(there) else float("inf")


def ends_early(found: Sequence[Track], last: int) -> bool:
    """Whether all there is to see of the named lines lies in the first fifth of the axis (NaN from then on)."""
    named = [track for track in found if track.named] or found
    ends = [track.steps[np.isfinite(track.values)].max(initial=0) for track in named]
    return bool(ends) and max(ends) < EARLY * last


def tracks(run: Run, series: str, named: Sequence[str]) -> list[Track]:
    """The lines of a series or of a kind of layer series; [] when the run holds neither."""
    if series in run.series_names:
        found = run.series(series)
        return [Track(series, *decimate(found.steps, found.values), marks(found.steps, found.values), True)]
    if series.startswith("log ") and series[4:] in run.series_names:  # of a perplexity: the loss
        found = run.series(series[4:])
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(np.asarray(found.values, dtype=np.float64))
        return [Track(series, *decimate(found.steps, values), marks(found.steps, values), True)]
    table = layers.layer_series(run, series)
    if table is None:
        return []
    measured = layers.recorded_mask(table)
    weights = layers.weight_names(run) or set(table.layers)
    others = [name for name in table.layers if name not in named and (name in weights or table.axis != "parameter")]
    if len(others) > MAX_OTHERS:
        others = [others[i] for i in np.linspace(0, len(others) - 1, MAX_OTHERS).round().astype(int)]
    out = []
    for name in [*others, *(n for n in named if n in table.layers)]:
        i = table.layers.index(name)
        steps, values = table.steps[measured[:, i]], table.values[measured[:, i], i]
        out.append(Track(name, *decimate(steps, values, 600), marks(steps, values, 60), name in named))
    return out
