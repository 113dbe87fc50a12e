"""Where one layer's values lie: a heatmap over time with a strip for what no bin holds, and ridges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.registry import chart
from app.figures.scale import density_scale, quantise
from app.series import distributions as series
from app.series.numbers import number, percent, plural

NAMES = {
    "weight": "Weights",
    "gradient": "Gradients",
    "update": "Updates",
    "activation": "Activations",
    "activation_gradient": "Output gradients",
}
RIDGES = 12
# Shares of elements that the colours span: one in a hundred thousand is still seen.
LOWEST_SHARE, HIGHEST_SHARE = 1e-5, 0.3


def load(
    runs: Sequence[Any], params: Mapping[str, Any], theme: themes.Theme, what: str, columns: int
) -> tuple[str, series.Density | None, base.Figure | None]:
    """Title, density, and a message instead when there is none."""
    kind, layer = str(params.get("kind", "weight")), str(params.get("layer", ""))
    title = f"{NAMES.get(kind, kind)} of {layer}{what}"
    found = series.histograms(runs[0], kind, layer) if runs and layer else None
    if found is None:
        return title, None, base.message(theme, title, "No histogram of this layer has been taken (yet).")
    return title, series.density(found, columns), None


@chart("distributions.heatmap")
def heatmap(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Log-count heatmap of one layer over time. params: `kind`, `layer`."""
    colours = themes.theme(theme)
    title, found, nothing = load(runs, params, colours, " over time", series.MAX_COLUMNS)
    if found is None:
        return nothing or {}
    bins = len(found.edges) - 1
    codes, ticks = quantise(
        np.where(found.share > 0, found.share, np.nan),
        np.zeros(found.share.shape, dtype=bool),
        log=True,
        limits=(max(LOWEST_SHARE, 0.7 / max(int(found.seen.max()), 1)), HIGHEST_SHARE),
    )
    at, labels = series.magnitude_ticks(found.edges)
    trace = {
        "type": "heatmap",
        "x": found.steps,
        "y": bin_labels(found),
        "z": codes,
        "customdata": (found.share * 100).astype(np.float32),
        "zmin": 0,
        "zmax": 255,
        "colorscale": density_scale(colours),
        "colorbar": {
            "thickness": 10,
            "outlinewidth": 0,
            "tickmode": "array",
            "tickvals": ticks[0],
            "ticktext": [f"{number(float(label) * 100)}%" for label in ticks[1]],
            "tickfont": {"size": 11, "color": colours.muted},
            "title": {
                "text": "share of values",
                "font": {"size": 11, "color": colours.muted},
                "side": "right",
            },
            "len": 0.78,
            "y": 1,
            "yanchor": "top",
            "x": 1.01,
            "xpad": 4,
        },
        "hovertemplate": "step %{x:,}<br>values %{y}: <b>%{customdata:.3~g} %</b><extra></extra>",
    }
    said = outside_words(found)
    return base.figure(
        [trace, outside_strip(found, colours)],
        base.layout(
            colours,
            title,
            said,
            summary=f"{title}, {plural(len(found.steps), 'column')} up to step {int(found.steps[-1]):,}: {said}.",
            legend=False,
            hovermode="closest",
            xaxis=base.step_axis(colours, int(found.steps[-1]), showgrid=False, anchor="y2"),
            yaxis=base.axis(
                colours,
                type="category",
                tickmode="array",
                tickvals=at,
                ticktext=labels,
                range=[-0.5, bins - 0.5],
                domain=[0.24, 1],
                showgrid=True,
            ),
            yaxis2=base.axis(
                colours,
                type="category",
                range=[len(series.OUTSIDE) - 0.5, -0.5],
                domain=[0, 0.17],
                showgrid=False,
            ),
        ),
    )


def bin_labels(found: series.Density) -> list[str]:
    """Each bin's range of values, as categories of an axis."""
    return [f"{number(low, 4)} to {number(high, 4)}" for low, high in zip(found.edges, found.edges[1:], strict=False)]


def outside_words(found: series.Density) -> str:
    """The newest shares of what no bin holds, as words."""
    newest = found.outside[:, -1]
    parts = [
        f"{percent(share)} {name}" for share, name in zip(newest.tolist(), series.OUTSIDE, strict=True) if share > 0
    ]
    ever = [
        f"{name} earlier"
        for row, name in zip(found.outside, series.OUTSIDE, strict=True)
        if name in ("NaN", "Inf") and row[-1] == 0 and row.any()
    ]
    return (
        ", ".join(parts + ever).replace("<", "under ").replace(">", "over ")
        or "no zeros, nothing out of range, no NaN or Inf"
    )


def outside_strip(found: series.Density, theme: themes.Theme) -> base.Trace:
    """One row each for zeros, out of range, NaN and Inf; the last four in the alarm colour."""
    rows = found.outside
    scale = np.where(rows > 0, 0.35 + 0.65 * np.sqrt(rows), 0.0)
    scale[1:] *= -1
    return {
        "type": "heatmap",
        "x": found.steps,
        "y": list(series.OUTSIDE),
        "yaxis": "y2",
        "z": scale.astype(np.float32),
        "customdata": (rows * 100).astype(np.float32),
        "zmin": -1,
        "zmax": 1,
        "colorscale": [
            [0, theme.critical],
            [0.5, theme.surface],
            [1, theme.muted],
        ],
        "showscale": False,
        "ygap": 2,
        "hovertemplate": "step %{x:,}: %{customdata:.3~g} % %{y}<extra></extra>",
    }


@chart("distributions.ridges")
def ridges(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Histograms of one layer at a dozen moments, the newest in front. params: `kind`, `layer`."""
    colours = themes.theme(theme)
    title, found, nothing = load(runs, params, colours, ", newest in front", series.MAX_COLUMNS)
    if found is None:
        return nothing or {}
    chosen = np.unique(np.linspace(0, len(found.steps) - 1, RIDGES).round().astype(int))
    bins = len(found.edges) - 1
    x = np.arange(bins)
    highest = max(float(found.share[:, chosen].max()), 1e-12)
    at, labels = series.magnitude_ticks(found.edges, per_side=5)
    low_high = bin_labels(found)
    traces = []
    for i, column in enumerate(chosen.tolist()):
        newest = i == len(chosen) - 1
        foot = float(len(chosen) - 1 - i)
        height = found.share[:, column] / highest * 2.6
        age = i / max(len(chosen) - 1, 1)
        step = int(found.steps[column])
        edge = colours.train if newest else base.faded(colours, colours.muted, 0.35 + 0.4 * age)
        hidden = {"showlegend": False, "hoverinfo": "skip", "hovertemplate": None}
        traces.append(base.line(x, np.full(bins, foot), "", "rgba(0,0,0,0)", width=0, **hidden))
        traces.append(
            base.line(
                x, foot + height, f"step {step:,}", edge, width=2.4 if newest else 1.2, showlegend=False,
                fill="tonexty",
                fillcolor=base.faded(colours, colours.train, 0.4) if newest else themes.rgba(colours.surface, 0.85),
                customdata=(found.share[:, column] * 100).astype(np.float32),
                text=low_high,
                hovertemplate="values %{text}: %{customdata:.3~g} %<extra>step " + f"{step:,}</extra>",
            )
        )  # fmt: skip
    newest_share = found.share[:, chosen[-1]]
    peak = low_high[int(newest_share.argmax())] if newest_share.any() else "no finite values"
    return base.figure(
        traces,
        base.layout(
            colours,
            title,
            f"most common now: {peak}",
            summary=f"{title}: {plural(len(chosen), 'moment')}, most values now between {peak}.",
            legend=False,
            hovermode="closest",
            xaxis=base.axis(colours, "value (powers of ten to both sides of zero)", tickmode="array", tickvals=at,
                            ticktext=labels, range=[-0.5, bins - 0.5]),
            yaxis=base.axis(
                colours, tickmode="array", tickvals=[len(chosen) - 1 - i for i in range(len(chosen))],
                ticktext=[f"{int(found.steps[c]):,}" for c in chosen], title="step", showgrid=False,
                range=[-0.1, len(chosen) + 1.9],
            ),
        ),
    )  # fmt: skip
