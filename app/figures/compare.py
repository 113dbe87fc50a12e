"""Several runs' curves of one metric on one chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app import theme as themes
from app.figures import base
from app.figures.metric import TITLES
from app.figures.registry import chart
from app.series import metrics
from app.series.compare import sticky_colours
from app.series.numbers import number, plural


@chart("compare.metric")
def compare(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """One metric of several runs: training solid, validation dashed, one sticky colour a run.

    params: `metric`, `names` (what to call the runs, in their order), `smoothing`, `log_x`, `y` ("auto",
    "linear", "log").
    """
    colours = themes.theme(theme)
    metric = str(params.get("metric", "loss"))
    log_x = bool(params.get("log_x", False))
    names = [str(name) for name in params.get("names") or [run.name for run in runs]]
    place = sticky_colours(names, len(colours.series))
    drawn = [
        (name, one)
        for name, run in zip(names, runs, strict=True)
        for one in metrics.curves(run, metric, float(params.get("smoothing", 0.02)), log_x)
    ]
    title = TITLES.get(metric, metric)
    if not drawn:
        return base.message(colours, title, f"None of these runs has logged {metric} (yet).")
    traces: list[base.Trace] = []
    told: set[str] = set()
    for name, one in drawn:
        colour, label = colours.series[place[name]], base.escape(name)
        role = "validation" if one.role == "validation" else one.split
        first = name not in told
        told.add(name)
        sparse = one.role == "validation"
        steps, values = (one.steps, one.values) if sparse else (one.trend_steps, one.trend)
        traces.append(
            base.line(
                steps, values, label, colour, width=1.6 if sparse else 2.2, dash="dash" if sparse else "solid",
                legendgroup=label, showlegend=first,
                mode="lines+markers" if sparse and len(steps) <= 60 else "lines",
                marker={"symbol": "diamond", "size": 6},
                hovertemplate=f"{label}, {base.escape(role)}: %{{y:.5~g}}<extra></extra>",
            )
        )  # fmt: skip
        for mark in base.edge_marks(one.marks, f"{label}, {base.escape(role)}", colours):
            traces.append({**mark, "showlegend": False, "legendgroup": label})
    values = [one.values for _, one in drawn]
    y_scale = params.get("y", "auto")
    log_y = y_scale == "log" or (y_scale == "auto" and base.spans_decades(values))
    newest = "; ".join(f"{name} {one.split} {number(one.newest, 4)}" for name, one in drawn[:8])
    return base.figure(
        traces,
        base.layout(
            colours,
            title,
            "solid: training, dashed: validation",
            summary=f"{title} of {plural(len(told), 'run')}: {newest}.",
            hovermode="closest",
            xaxis=base.step_axis(colours, max(one.last_step for _, one in drawn), log_x),
            yaxis=base.log_axis(colours, values) if log_y else base.axis(colours),
            yaxis2=base.edge_axis(),
        ),
    )
