"""The chart behind a finding: its series, the limit it broke, and from when to when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.depth import kind_of
from app.figures.pins import tone_colour
from app.figures.registry import chart
from app.series.evidence import Track, ends_early, limits_of, on_track, tracks
from app.series.numbers import number


@chart("diagnosis.evidence")
def evidence(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """One series of a finding's evidence.

    params: `series`, `layers`, `points`, `first`, `last`, `severity` as
    `app.series.evidence.charts_of` gives them.
    """
    colours = themes.theme(theme)
    series = str(params.get("series", ""))
    found = tracks(runs[0], series, params.get("layers", ())) if runs else []
    title = series if "/" in series else kind_of(series).title
    if not found:
        return base.message(colours, title, "The run log holds no series of this name to draw.")
    return draw(found, title, params, colours)


def draw(found: Sequence[Track], title: str, params: Mapping[str, Any], theme: themes.Theme) -> base.Figure:
    """Named lines coloured, others grey; limit dashed; the span of the finding shaded; its points ringed."""
    colour = tone_colour(theme, str(params.get("severity", "info")))
    named = [track for track in found if track.named]
    log_y = base.spans_decades([track.values for track in found], 1.5)
    traces: list[base.Trace] = []
    for track in found:
        if not track.named:
            traces.append(base.line(track.steps, _drawable(track.values, log_y), base.escape(track.name),
                                    theme.faint if named else theme.muted,
                                    width=1 if named else 1.5, showlegend=False))  # fmt: skip
    for i, track in enumerate(named):
        shade = theme.train if len(named) == 1 else theme.series[i % len(theme.series)]
        traces.append(base.line(track.steps, _drawable(track.values, log_y), base.escape(track.name), shade, width=2))
    for track in found:
        for mark in base.edge_marks(track.marks, base.escape(track.name), theme):
            traces.append({**mark, "showlegend": False})
    traces += _points(
        [p for p in params.get("points", ()) if p["step"] is not None and on_track(p, found)], colour, log_y
    )
    points = params.get("points", ())
    limits = [one for one in limits_of(points, found) if not log_y or one > 0]
    last = max((int(track.steps[-1]) for track in found if len(track.steps)), default=1)
    first, until = int(params.get("first", 0)), int(params.get("last", last))
    log_x = ends_early(found, last)  # where a linear axis shows nothing
    said = f"limit {', '.join(number(one) for one in limits)}" if limits else ""
    return base.figure(
        traces,
        base.layout(
            theme,
            title,
            said,
            summary=f"{title}: evidence from step {first:,} to {until:,}{', ' + said if said else ''}.",
            legend=len(named) > 1,
            hovermode="closest",
            xaxis=base.step_axis(theme, last, log_x),
            yaxis=base.log_axis(theme, [track.values for track in found]) if log_y else base.axis(theme),
            yaxis2=base.edge_axis(),
            shapes=[
                _span(first, max(until, first + 1), colour, theme),
                *(_limit(one, colour) for one in limits),
            ],
        ),
    )


def _drawable(values: np.ndarray, log_y: bool) -> np.ndarray:
    return np.where(values > 0, values, np.nan) if log_y else np.where(np.isfinite(values), values, np.nan)


def _points(points: Sequence[Mapping[str, Any]], colour: str, log_y: bool) -> list[base.Trace]:
    use = [point for point in points if not log_y or point["value"] > 0]
    if not use:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [point["step"] for point in use],
            "y": [point["value"] for point in use],
            "text": [f"{base.escape(point['note'] or 'evidence')}: {number(point['value'])}" for point in use],
            "hovertemplate": "%{text}<br>step %{x:,}<extra></extra>",
            "marker": {"symbol": "circle-open", "size": 13, "color": colour, "line": {"width": 2.5}},
            "name": "evidence",
            "showlegend": False,
            "cliponaxis": False,
        }
    ]


def _span(first: int, until: int, colour: str, theme: themes.Theme) -> dict[str, Any]:
    return {
        "type": "rect",
        "x0": first,
        "x1": until,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "fillcolor": base.faded(theme, colour, 0.09),
        "line": {"width": 0},
        "layer": "below",
    }


def _limit(value: float, colour: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "line": {"color": colour, "width": 1.5, "dash": "dash"},
    }
