"""How much each update changes the weights, layer by layer: the first thing to look at when a net does not learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.registry import chart
from app.series import layers
from app.series.numbers import number, plural

TITLE = "Update / weight ratio"
MAX_COLOURED = 5
STATE_WORDS = {"high": "large", "low": "small", "still": "no change", "nonfinite": "NaN/Inf"}
SIDE_LEGEND = {
    "orientation": "v",
    "x": 1.01,
    "xanchor": "left",
    "y": 1,
    "tracegroupgap": 0,
    "yanchor": "top",
    "bgcolor": "rgba(0,0,0,0)",
}
DASHES = ("solid", "dash", "dot", "dashdot")


@chart("layers.update_ratio")
def update_ratio(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """‖Δw‖ / ‖w‖ of every layer over time, log10, with the 1e-3 guide and its band.

    params: `weights_only` (bool, default True), `log_x` (bool).
    """
    colours = themes.theme(theme)
    series = layers.layer_series(runs[0], "update_ratio") if runs else None
    if series is None:
        return base.message(
            colours, TITLE, "No updates measured: they need the optimizer, probes.watch(model, optimizer)."
        )
    only = layers.weight_names(runs[0]) if params.get("weights_only", True) else None
    paths = layers.ratio_paths(series, only)
    many = layers.spread(series, only) if len(paths) > layers.MAX_LINES else None
    return draw(paths, many, colours, bool(params.get("log_x", False)))


def draw(
    paths: Sequence[layers.Path], many: layers.Spread | None, theme: themes.Theme, log_x: bool = False
) -> base.Figure:
    """Healthy layers grey (as one range when there are many), those outside the band coloured and named."""
    outside = layers.flagged(paths)
    coloured = {path.layer: i for i, path in enumerate(outside[:MAX_COLOURED])}
    traces: list[base.Trace] = spread_traces(many, theme) if many is not None else []
    for path in paths:
        if path.layer not in coloured and many is None:
            group = "in the band" if path.state not in STATE_WORDS else "more outside it"
            first = not any(trace.get("legendgroup") == group for trace in traces)
            colour = theme.faint if path.state not in STATE_WORDS else theme.muted
            traces.append(
                _line(path, colour, 1.2, "solid", showlegend=first)
                | {"legendgroup": group, "name": group, "legendrank": 2000}
            )
    for path in outside[:MAX_COLOURED]:
        i = coloured[path.layer]
        traces.append(
            _line(path, theme.series[i % len(theme.series)], 2.2, DASHES[i // 2 % len(DASHES)], showlegend=True)
        )
    traces.append(guide_entry(theme))
    for path in paths:
        traces += base.edge_marks(path.marks, base.escape(path.layer), theme)
    for trace in traces:
        if trace.get("yaxis") == "y2":
            trace["showlegend"] = False
    return base.figure(
        traces,
        base.layout(
            theme,
            TITLE,
            readout(paths, outside),
            summary=summary(paths, outside),
            hovermode="closest",
            xaxis=base.step_axis(theme, last_step(paths), log_x),
            yaxis=base.log_axis(theme, [*(path.values for path in paths), np.array(layers.RATIO_BAND)]),
            yaxis2=base.edge_axis(),
            margin={"l": 8, "r": 12, "t": 52, "b": 8},
            legend=SIDE_LEGEND | {"font": {"size": 12, "color": theme.muted}},
            shapes=guides(theme),
        ),
    )


def guides(theme: themes.Theme) -> list[dict[str, Any]]:
    """The usual band and, in its middle, the guide."""
    low, high = layers.RATIO_BAND
    across = {"xref": "paper", "x0": 0, "x1": 1, "layer": "below"}
    return [
        {
            "type": "rect",
            "y0": low,
            "y1": high,
            "fillcolor": base.faded(theme, theme.good, 0.1),
            "line": {"width": 0},
        }
        | across,
        {
            "type": "line",
            "y0": layers.RATIO_GUIDE,
            "y1": layers.RATIO_GUIDE,
            "line": {"color": theme.good, "width": 1.2, "dash": "dash"},
        }
        | across,
    ]


def guide_entry(theme: themes.Theme) -> base.Trace:
    """The guide's line in the legend (the line itself is a shape, that reaches from edge to edge)."""
    guide = {"color": theme.good, "width": 1.5, "dash": "dash"}
    return base.line(
        np.array([np.nan]),
        np.array([np.nan]),
        "guide: 10<sup>−3</sup>",
        theme.good,
        line=guide,
        hoverinfo="skip",
    )


def last_step(paths: Sequence[layers.Path]) -> int:
    """The newest step any of them was measured at."""
    return max((int(path.steps[-1]) for path in paths if len(path.steps)), default=1)


def spread_traces(many: layers.Spread, theme: themes.Theme) -> list[base.Trace]:
    """All layers as their range, the middle 80 % darker, the median as a line."""
    positive = [
        np.where(level > 0, level, np.nan) for level in (many.low, many.high, many.tenth, many.ninetieth, many.middle)
    ]
    low, high, tenth, ninetieth, middle = positive
    nothing = "rgba(0,0,0,0)"
    hidden = {"showlegend": False, "hoverinfo": "skip", "hovertemplate": None}
    return [
        base.line(many.steps, low, "", nothing, width=0, **hidden),
        base.line(many.steps, high, "lowest to highest layer", nothing, width=0, fill="tonexty",
                  fillcolor=base.faded(theme, theme.faint, 0.25), hoverinfo="skip", hovertemplate=None),
        base.line(many.steps, tenth, "", nothing, width=0, **hidden),
        base.line(many.steps, ninetieth, "middle 80 % of layers", nothing, width=0, fill="tonexty",
                  fillcolor=base.faded(theme, theme.faint, 0.45), hoverinfo="skip", hovertemplate=None),
        base.line(many.steps, middle, "median layer", theme.muted, width=1.8),
    ]  # fmt: skip


def readout(paths: Sequence[layers.Path], outside: Sequence[layers.Path]) -> str:
    """How many layers are inside and outside the band."""
    known = [path for path in paths if path.state != "unknown"]
    if not outside:
        return f"{plural(len(known), 'layer')} in the usual band"
    words = [f"{len([p for p in outside if p.state == state])} {word}" for state, word in STATE_WORDS.items()]
    counted = ", ".join(word for word in words if not word.startswith("0 "))
    return f"{len(outside)} of {plural(len(known), 'layer')} outside the usual band: {counted}"


def summary(paths: Sequence[layers.Path], outside: Sequence[layers.Path]) -> str:
    """One sentence for those who cannot see the chart."""
    worst = "".join(f"; {p.layer} {number(p.recent)} ({STATE_WORDS[p.state]})" for p in outside[:3])
    return f"{TITLE}: {readout(paths, outside)}{worst}."


def _line(path: layers.Path, colour: str, width: float, dash: str, *, showlegend: bool) -> base.Trace:
    name = base.escape(path.layer, 32)
    label = f"{name} · {STATE_WORDS[path.state]}" if path.state in STATE_WORDS else name
    return base.line(
        path.steps,
        np.where(path.values > 0, path.values, np.nan),
        label,
        colour,
        width=width,
        dash=dash,
        showlegend=showlegend,
        mode="lines+markers" if len(path.steps) <= 30 else "lines",
        marker={"size": 5},
        hovertemplate=f"<b>{name}</b><br>step %{{x:,}}: %{{y:.4~g}}<extra></extra>",
    )
