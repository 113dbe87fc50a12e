"""The picture behind a sanity check."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.depth import depth_axis, labels
from app.figures.filters import background, image_trace, picture_layout
from app.figures.registry import chart
from app.series import filters
from app.series import sanity_pictures as series
from app.series.numbers import number, plural
from app.series.sanity import card

SYMBOLS = ("circle", "diamond", "square", "cross")


@chart("sanity.evidence")
def evidence(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """What a check measured. params: `check` (its slug)."""
    colours = themes.theme(theme)
    check = str(params.get("check", ""))
    report = runs[0].checks() if runs else None
    results = card(report).results if report is not None else []
    found = next((one for one in results if one.check == check), None)
    drawn = series.picture(check, found.evidence) if found is not None else None
    if drawn is None:
        return base.message(colours, check or "Sanity check", "No picture: all there is to it is in its sentence.")
    return draw(drawn, colours)


def draw(found: series.Drawable, theme: themes.Theme) -> base.Figure:
    """The figure of any of the forms."""
    if isinstance(found, series.Lines):
        return _lines(found, theme)
    if isinstance(found, series.Dots):
        return _dots(found, theme)
    if isinstance(found, series.Bars):
        return _bars(found, theme)
    return _images(found, theme)


def _lines(found: series.Lines, theme: themes.Theme) -> base.Figure:
    traces = []
    for name, x, y, main in found.curves:
        alone = main or len(found.curves) == 1
        traces.append(
            base.line(
                x, np.where(np.isfinite(y), y, np.nan), base.escape(name),
                theme.train if alone else theme.muted,
                width=2.4 if alone else 1.4, dash="solid" if alone else "dot",
                hovertemplate="%{x:.3~g}: %{y:.4~g}<extra>" + base.escape(name) + "</extra>",
            )
        )  # fmt: skip
    ends = [f"{name}: ends at {number(_last(y))}" for name, _, y, main in found.curves if main and np.isfinite(y).any()]
    said = "; ".join(guide.label for guide in found.guides if guide.upright) or "; ".join(ends)
    x_axis = (
        base.log_axis(theme, [x for _, x, _, _ in found.curves], found.x_title)
        if found.log_x
        else base.axis(theme, found.x_title)
    )
    y_axis = base.log_axis(theme, title=found.y_title) if found.log_y else base.axis(theme, found.y_title)
    return base.figure(
        traces,
        base.layout(
            theme,
            found.title,
            base.escape(said),
            room=base.ONE_SHORT_LINE,
            summary=f"{found.title}: {said or plural(len(found.curves), 'curve')}.",
            legend=len(found.curves) > 1,
            hovermode="closest",
            xaxis=x_axis,
            yaxis=y_axis,
            **_guides(found.guides, theme, found.log_x, found.log_y),
        ),
    )


def _dots(found: series.Dots, theme: themes.Theme) -> base.Figure:
    names = list(dict.fromkeys(name for _, group, _ in found.groups for name in group))
    label = dict(zip(names, labels(names), strict=True))
    traces = [
        base.line(
            np.array([label[name] for name in group]),
            np.where(np.isfinite(values) & ((values > 0) | (not found.log_y)), values, np.nan),
            base.escape(what),
            theme.series[i % len(theme.series)],
            width=1.4,
            mode="lines+markers",
            marker={"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 8},
            hovertemplate="%{x}: %{y:.3~g}<extra>" + base.escape(what) + "</extra>",
        )
        for i, (what, group, values) in enumerate(found.groups)
    ]
    spans = []
    for what, _, values in found.groups:
        finite = values[np.isfinite(values)]
        if len(finite):
            spans.append(f"{what} {number(float(finite.min()))} to {number(float(finite.max()))}")
    shown = [values for _, _, values in found.groups]
    return base.figure(
        traces,
        base.layout(
            theme,
            found.title,
            base.escape(spans[0], 120) if len(found.groups) == 1 and spans else "",
            room=base.ONE_SHORT_LINE,
            summary=f"{found.title}: {'; '.join(spans) or 'nothing finite'}.",
            legend=len(found.groups) > 1,
            hovermode="closest",
            xaxis=depth_axis(names, theme, most=8, range=[-0.5, len(names) - 0.5]),
            yaxis=base.log_axis(theme, [*shown, np.array([g.value for g in found.guides])]) | _few_ticks([*shown])
            if found.log_y
            else base.axis(theme),
            **_guides(found.guides, theme, False, found.log_y),
        ),
    )


def _bars(found: series.Bars, theme: themes.Theme) -> base.Figure:
    counted = int(np.nansum(found.counts))
    words = isinstance(found.labels, list)
    names: Any = [base.escape(one) for one in found.labels] if isinstance(found.labels, list) else found.labels
    kind = {"type": "category"} if words else {}
    return base.figure(
        [
            {
                "type": "bar",
                "x": names,
                "y": found.counts,
                "name": found.title,
                "marker": {"color": theme.train},
                "hovertemplate": "%{x}: %{y:,}<extra></extra>",
            }
        ],
        base.layout(
            theme,
            found.title,
            f"{counted:,} counted",
            summary=f"{found.title}: {counted:,} counted.",
            legend=False,
            hovermode="closest",
            bargap=0.25 if words else 0.05,
            xaxis=base.axis(theme, found.x_title, **kind),
            yaxis=base.axis(theme, rangemode="tozero"),
        ),
    )


def _images(found: series.Images, theme: themes.Theme) -> base.Figure:
    count, height, width = found.pixels.shape[:3]
    columns = filters.grid_columns(count, height, width)
    tiled = filters.tile(found.pixels, columns, background(theme))
    said = f"black {number(found.low)}, white {number(found.high)}"
    return base.figure(
        [image_trace(tiled)],
        picture_layout(theme, found.title, said, f"{found.title}: {plural(count, 'image')}, {said}.", tiled.shape),
    )


def _guides(guides: Sequence[series.Guide], theme: themes.Theme, log_x: bool, log_y: bool) -> dict[str, Any]:
    """Dashed lines, each with its name at its end."""
    shapes, notes = [], []
    for guide in guides:
        log = log_x if guide.upright else log_y
        if not math.isfinite(guide.value) or (log and guide.value <= 0):
            continue
        colour = theme.good if guide.label.startswith("suggested") else theme.muted
        style = {"type": "line", "line": {"color": colour, "width": 1.4, "dash": "dash"}, "layer": "below"}
        at = math.log10(guide.value) if log else guide.value
        note = {"text": base.escape(guide.label), "showarrow": False, "font": {"size": 11, "color": colour}}
        if guide.upright:
            shapes.append(style | {"yref": "paper", "y0": 0, "y1": 1, "x0": guide.value, "x1": guide.value})
            # One name above the other, to the left of its line: to the right is where the loss falls and explodes.
            height = 0.04 + 0.12 * sum(1 for one in notes if one.get("yref") == "paper")
            notes.append(note | {"x": at, "xanchor": "right", "yref": "paper", "y": height, "xshift": -4})
        else:
            shapes.append(style | {"xref": "paper", "x0": 0, "x1": 1, "y0": guide.value, "y1": guide.value})
            side = {"x": 0, "xanchor": "left"} if guide.left else {"x": 1, "xanchor": "right"}
            notes.append(note | side | {"xref": "paper", "y": at, "yanchor": "bottom"})
    return {"shapes": shapes, "annotations": notes}


def _few_ticks(values: Sequence[np.ndarray]) -> dict[str, Any]:
    """A tick every few decades where the values and their limits span many; these charts are low."""
    return {"dtick": 2} if base.spans_decades(values, 3) else {}


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")
