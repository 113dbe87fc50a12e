"""What all figures share: layout, lines, marks on the edge, and the message instead of an empty chart.

A figure is a plain dict in Plotly's schema whose arrays are NumPy arrays:
`plotly.graph_objects.Figure(figure)` takes it as it is. Every figure has `layout.meta["summary"]`, one
sentence for those who cannot see it.
"""

from __future__ import annotations

import html
import math
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.series.decimate import Marks
from app.series.numbers import number, plural
from app.theme import FONT, Theme, rgba

Figure = dict[str, Any]
Trace = dict[str, Any]

NOT_FINITE = "NaN or Inf"

# Letters of title and readout that fit side by side in half, and in two fifths, of a small screen.
ONE_LINE, ONE_SHORT_LINE = 56, 40


def escape(name: str, limit: int = 60) -> str:
    """A name from the run as Plotly text: no markup, and cut in the middle when long (ends tell layers apart)."""
    return html.escape(clip(name, limit), quote=False).replace("%{", "% {")


def clip(name: str, limit: int) -> str:
    """A name of at most `limit` letters, cut in the middle."""
    if len(name) <= limit:
        return name
    keep = (limit - 1) // 2
    return f"{name[:keep]}…{name[-keep:]}"


def axis(theme: Theme, title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis: no zero line, light grid, its title in the muted colour."""
    base: dict[str, Any] = {
        "gridcolor": theme.grid,
        "linecolor": theme.grid,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": theme.muted, "size": 12},
        "automargin": True,
        "fixedrange": False,
    }
    if title:
        base["title"] = {"text": title, "font": {"color": theme.muted, "size": 12}, "standoff": 6}
    return base | more


def log_axis(
    theme: Theme, values: Sequence[npt.NDArray[Any]] = (), title: str | None = None, **more: Any
) -> dict[str, Any]:
    """A log10 axis; ticks at whole powers of ten when `values` span more than one and a half of them."""
    ticks: dict[str, Any] = {"dtick": 1} if spans_decades(values, 1.0) else {"dtick": "D2"}
    if spans_decades(values, 9):
        ticks = {"nticks": 8}
    return axis(theme, title, type="log", exponentformat="power", **ticks, **more)


def step_axis(theme: Theme, last: float, log_x: bool = False, **more: Any) -> dict[str, Any]:
    """Steps from the start of the run to `last`: the same for all charts of a page."""
    last = max(float(last), 2.0)
    span = [-0.1, math.log10(last) + 0.01] if log_x else [-0.005 * last, last * 1.01]
    ticks = {"dtick": 1} if log_x else {}
    kind = "log" if log_x else "linear"
    return axis(theme, "step", type=kind, range=span, exponentformat="none", separatethousands=True, **ticks, **more)


def layout(
    theme: Theme,
    title: str,
    readout: str = "",
    *,
    summary: str,
    legend: bool | dict[str, Any] = True,
    room: int = ONE_LINE,
    **more: Any,
) -> dict[str, Any]:
    """A layout: transparent, title and newest values in one line on the left, legend on the right.

    Args:
        title: plain text. readout: shown muted after it (already escaped), below it when there are more than
            `room`
            letters. summary: one sentence, plain text. legend: whether there is one, or its place.
    """
    text = f"<b>{escape(title, 80)}</b>"
    second_line = len(title) + len(re.sub(r"<[^>]*>", "", readout)) > room
    if readout:
        between = "<br>" if second_line else "&nbsp;&nbsp; "
        text += f'{between}<span style="color:{theme.muted};font-size:13px">{readout}</span>'
    top = 36 + 18 * bool(legend and not isinstance(legend, dict)) + 16 * second_line
    base: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": theme.text},
        "title": {
            "text": text,
            "font": {"size": 15, "color": theme.text},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 4, "t": 17 * second_line},
            "y": 1,
            "yref": "container",
            "yanchor": "top",
        },
        "showlegend": bool(legend),
        "margin": {"l": 8, "r": 12, "t": top, "b": 8},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
            "font": {"size": 12, "color": theme.muted},
            "bgcolor": "rgba(0,0,0,0)",
            "itemwidth": 30,
            "tracegroupgap": 0,
        },
        "hoverlabel": {
            "bgcolor": theme.surface,
            "bordercolor": theme.faint,
            "font": {"family": FONT, "size": 12, "color": theme.text},
            "align": "left",
            "namelength": -1,
        },
        "hovermode": "x unified",
        "hoverdistance": 30,
        "dragmode": "zoom",
        "colorway": list(theme.series),
        "meta": {"summary": summary},
    }
    if isinstance(legend, dict):
        base["legend"] = legend
    return base | more


def line(x: npt.NDArray[Any], y: npt.NDArray[Any], name: str, colour: str, *, width: float = 2, **more: Any) -> Trace:
    """A line; its hover gives the exact value. Gaps (NaN) stay gaps."""
    dash = more.pop("dash", "solid")
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "name": name,
        "line": {"color": colour, "width": width, "dash": dash},
        "hovertemplate": "%{y:.5~g}<extra>" + name.replace("%{", "") + "</extra>",
        "connectgaps": False,
        **more,
    }


def step_values(steps: npt.NDArray[Any], log_x: bool) -> npt.NDArray[Any]:
    """Steps to draw: on a log axis what came before the first step is drawn just left of it instead of nowhere."""
    return np.where(steps <= 0, 0.8, steps) if log_x else steps


def edge_axis(over: str = "y") -> dict[str, Any]:
    """A hidden axis from 0 to 1 over another one: marks on it stay on the edge whatever the zoom and scale."""
    return {"overlaying": over, "range": [0, 1], "fixedrange": True, "visible": False, "showgrid": False}


def edge_marks(found: Marks, what: str, theme: Theme, *, yaxis: str = "y2", height: float = 0.97) -> list[Trace]:
    """Crosses on the upper edge where a series is not finite, a bar where that lasts; hover tells what and how many.

    Args:
        what: name of the series, already escaped.
    """
    if not len(found):
        return []
    text = [
        f"{what} is {kind} at step {first:,}"
        if count == 1
        else f"{what} is {kind} {plural(int(count), 'time')}, steps {first:,} to {last:,}"
        for kind, first, last, count in zip(
            found.kinds, found.first.tolist(), found.last.tolist(), found.counts.tolist(), strict=True
        )
    ]
    nowhere = np.full(len(found), np.nan)
    x = np.stack([found.first, found.last, nowhere], axis=1).ravel()
    y = np.tile([height, height, np.nan], len(found))
    spread = [label for label in text for _ in range(3)]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": x,
            "y": y,
            "yaxis": yaxis,
            "name": NOT_FINITE,
            "text": spread,
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"symbol": "x", "size": 9, "color": theme.critical},
            "line": {"color": theme.critical, "width": 3},
            "cliponaxis": False,
        }
    ]


def figure(data: list[Trace], layout: dict[str, Any]) -> Figure:
    """The figure, each trace with an id of its own.

    The id follows from the trace's name, not its place, so that what a person hid in the legend stays hidden
    when another trace joins. It is a plain word because plotly.js puts it into CSS selectors.
    """
    seen: dict[str, int] = {}
    for trace in data:
        name = f"{trace.get('type')} {trace.get('legendgroup', '')} {trace.get('name', '')}"
        seen[name] = seen.get(name, 0) + 1
        trace["uid"] = f"t{zlib.crc32(name.encode()):08x}n{seen[name]}"
    return {"data": data, "layout": layout}


def message(theme: Theme, title: str, text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    return figure(
        [],
        layout(
            theme,
            title,
            summary=f"{title}: {text}",
            xaxis={"visible": False},
            yaxis={"visible": False},
            annotations=[
                {
                    "text": wrap(text, 44),
                    "x": 0.5,
                    "y": 0.5,
                    "xref": "paper",
                    "yref": "paper",
                    "showarrow": False,
                    "font": {"size": 14, "color": theme.muted},
                }
            ],
        ),
    )


def wrap(text: str, width: int) -> str:
    """Escaped text broken into lines of about `width` letters."""
    lines: list[str] = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(html.escape(one, quote=False) for one in lines)


def spans_decades(values: Sequence[npt.NDArray[Any]], decades: float = 3) -> bool:
    """Whether the positive, finite part of the values spans more than `decades` powers of ten."""
    lows, highs = [], []
    for one in values:
        use = one[np.isfinite(one) & (one > 0)]
        if len(use):
            lows.append(float(use.min()))
            highs.append(float(use.max()))
    return bool(lows) and max(highs) / min(lows) > 10**decades


def split_colour(theme: Theme, role: str) -> str:
    """The sticky colour of a split's role."""
    return {"train": theme.train, "validation": theme.validation}.get(role, theme.test)


def faded(theme: Theme, colour: str, share: float) -> str:
    """`colour` at an opacity that reads the same on both pages."""
    return rgba(colour, share if theme.name == "light" else min(1.0, share * 1.2))


def reading(label: str, value: float) -> str:
    """ "label value" for a readout, escaped."""
    return f"{escape(label)} <b>{number(value, 4)}</b>"
