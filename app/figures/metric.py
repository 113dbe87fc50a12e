"""Loss, accuracy and whatever else was logged: training faint and solid, validation dashed with diamonds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base, pins
from app.figures.registry import chart
from app.series import metrics
from app.series.decimate import Marks
from app.series.numbers import number

DENSE = 1000  # points that touch each other in half a page: fainter, or the trend drowns in them
TITLES = {"loss": "Loss", "accuracy": "Accuracy"}
ROLE_NAMES = {"train": "training", "validation": "validation"}


@chart("live.metric")
def metric(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """One metric over steps.

    params: `metric` (name), `smoothing` (share of the run, 0..1), `log_x` (bool), `y` ("auto", "linear",
    "log"), `pins` (findings to mark, see `app.figures.pins`).
    """
    name = str(params.get("metric", "loss"))
    log_x = bool(params.get("log_x", False))
    found = metrics.curves(runs[0], name, float(params.get("smoothing", 0.02)), log_x) if runs else []
    colours = themes.theme(theme)
    title = TITLES.get(name, name)
    if not found:
        return base.message(colours, title, f"No {name} logged yet: it appears with the first probe.log(...).")
    last = max(runs[0].last_step or 0, *(one.last_step for one in found))
    return draw(found, title, colours, log_x, str(params.get("y", "auto")), last, params.get("pins") or ())


@chart("live.loss")
def loss(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """`live.metric` of the loss."""
    return metric(runs, {**params, "metric": "loss"}, theme)


@chart("live.accuracy")
def accuracy(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """`live.metric` of the accuracy."""
    return metric(runs, {**params, "metric": "accuracy"}, theme)


def draw(
    found: Sequence[metrics.Curve],
    title: str,
    theme: themes.Theme,
    log_x: bool,
    y_scale: str,
    last: int,
    pinned: Sequence[Mapping[str, Any]] = (),
) -> base.Figure:
    """The figure of one metric's curves."""
    log_y = y_scale == "log" or (y_scale == "auto" and base.spans_decades([one.values for one in found]))
    traces = gap_shade(found, theme)
    for one in found:
        traces += curve_traces(one, theme)
    for trace in traces:
        trace["x"] = base.step_values(trace["x"], log_x)
    for one in found:
        for mark in base.edge_marks(one.marks, base.escape(_name(one)), theme):
            told = any(trace.get("legendgroup") == base.NOT_FINITE for trace in traces)
            traces.append({**mark, "legendgroup": base.NOT_FINITE, "showlegend": not told})
        if log_y:
            traces += not_positive(one, theme)
    traces += pins.badges(pinned, theme, last)
    readout = " · ".join(base.reading(_name(one), one.newest) for one in found)
    y_axis = base.log_axis(theme, [one.values for one in found]) if log_y else base.axis(theme)
    return base.figure(
        traces,
        base.layout(
            theme,
            title,
            readout,
            summary=summary(found, title),
            xaxis=base.step_axis(theme, last, log_x),
            yaxis=y_axis,
            yaxis2=base.edge_axis(),
            shapes=pins.shapes(pinned, theme),
        ),
    )


def curve_traces(one: metrics.Curve, theme: themes.Theme) -> list[base.Trace]:
    """Validation as dashes with diamonds; anything else faint as logged, with its trend solid on top."""
    colour = base.split_colour(theme, one.role)
    name = base.escape(_name(one))
    if one.role == "validation" or (one.role == "other" and one.total < 60):
        sparse = len(one.steps) <= 80
        return [
            base.line(
                one.steps,
                one.values,
                name,
                colour,
                dash="dash" if one.role == "validation" else "dot",
                mode="lines+markers" if sparse else "lines",
                marker={"symbol": "diamond", "size": 8, "color": colour},
            )
        ]
    if one.total < 30:
        return [base.line(one.steps, one.values, name, colour, mode="lines+markers", marker={"size": 5})]
    return [
        base.line(
            one.steps,
            one.values,
            f"{name}, as logged",
            base.faded(theme, colour, 0.32 if len(one.steps) <= DENSE else 0.18),
            width=1,
            showlegend=False,
        ),
        base.line(one.trend_steps, one.trend, f"{name}, smoothed", colour, width=2.4),
    ]


def gap_shade(found: Sequence[metrics.Curve], theme: themes.Theme) -> list[base.Trace]:
    """The area between the training trend and the validation curve."""
    train = next((one for one in found if one.role == "train"), None)
    validation = next((one for one in found if one.role == "validation"), None)
    if train is None or validation is None:
        return []
    steps, low, high = metrics.gap(train, validation)
    if len(steps) < 2:
        return []
    hidden = {"showlegend": False, "hoverinfo": "skip", "hovertemplate": None, "mode": "lines"}
    nothing = "rgba(0,0,0,0)"
    return [
        base.line(steps, low, "", nothing, width=0, **hidden),
        base.line(
            steps, high, "", nothing, width=0, fill="tonexty",
            fillcolor=base.faded(theme, theme.validation, 0.13), **hidden,
        ),
    ]  # fmt: skip


def not_positive(one: metrics.Curve, theme: themes.Theme) -> list[base.Trace]:
    """Triangles on the lower edge where a log axis cannot show a value."""
    hidden = one.values <= 0
    if not hidden.any():
        return []
    steps, values = one.steps[hidden], one.values[hidden]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": steps,
            "y": np.full(len(steps), 0.02),
            "yaxis": "y2",
            "name": f"{base.escape(_name(one))}: 0 or negative",
            "text": [f"{base.escape(_name(one))} = {number(v)}: not on a log axis" for v in values.tolist()],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"symbol": "triangle-down", "size": 9, "color": base.split_colour(theme, one.role)},
        }
    ]


def summary(found: Sequence[metrics.Curve], title: str) -> str:
    """One sentence: newest values, and what is not finite."""
    parts = [f"{_name(one)} {number(one.newest, 4)} at step {one.last_step:,}" for one in found]
    for one in found:
        if len(one.marks):
            parts.append(f"{_name(one)} is not finite {_times(one.marks)} from step {int(one.marks.first.min()):,}")
    return f"{title}: {'; '.join(parts)}."


def _times(found: Marks) -> str:
    total = int(found.counts.sum())
    return "once" if total == 1 else f"{total:,} times"


def _name(one: metrics.Curve) -> str:
    return ROLE_NAMES.get(one.role, one.split)
