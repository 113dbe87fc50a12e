"""Through depth: gradient norms layer by layer, dead and saturated units, and depth × time at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.registry import chart
from app.figures.scale import colour_scale, quantise
from app.series import layers
from app.series.numbers import number, percent, plural


@dataclass(frozen=True)
class Kind:
    """How a layer statistic is called and drawn. `share` is a fraction 0..1, drawn linear; others are drawn log10."""

    title: str
    share: bool = False


KINDS = {
    "update_ratio": Kind("Update / weight ratio"),
    "grad_norm": Kind("Gradient norm"),
    "weight_norm": Kind("Weight norm"),
    "update_norm": Kind("Update norm"),
    "weight_std": Kind("Spread of the weights"),
    "grad_std": Kind("Spread of the gradients"),
    "grad_max_abs": Kind("Largest gradient"),
    "activation_std": Kind("Spread of the activations"),
    "activation_max_abs": Kind("Largest activation"),
    "activation_grad_norm": Kind("Gradient norm at the output"),
    "activation_grad_std": Kind("Spread of the gradients at the output"),
    "batch_variation": Kind("Variation across the batch"),
    "zero_fraction": Kind("Zeros in the output", share=True),
    "dead_fraction": Kind("Dead units", share=True),
    "saturated_fraction": Kind("Saturated units", share=True),
    "grad_zero_fraction": Kind("Zeros in the gradient", share=True),
    "activation_grad_zero_fraction": Kind("Zeros in the gradient at the output", share=True),
    "weight_zero_fraction": Kind("Zeros in the weights", share=True),
}
MAX_TICK_NAMES, MAX_COLUMN_NAMES = 20, 8


def kind_of(name: str) -> Kind:
    """The kind's way of being drawn; unknown kinds are drawn log10 under their own name."""
    return KINDS.get(name) or Kind(name.replace("_", " "), share=name.endswith("_fraction"))


def labels(names: Sequence[str]) -> list[str]:
    """Names as categories of an axis: escaped, and different from each other even where the cut ones are equal."""
    found: dict[str, None] = {}
    for name in names:
        label, again = base.escape(name, 40), 2
        while label in found:
            label, again = f"{base.escape(name, 40)} ({again})", again + 1
        found[label] = None
    return list(found)


def depth_axis(
    names: Sequence[str], theme: themes.Theme, marked: str | None = None, most: int = MAX_TICK_NAMES, **more: Any
) -> dict[str, Any]:
    """One category for each layer, in forward order (hover names them all); ticks as many as fit.

    A `marked` layer has an arrow, and a tick in any case.
    """
    every = max(1, -(-len(names) // most)) if len(names) > MAX_TICK_NAMES else 1
    ticks = list(range(0, len(names), every))
    categories = labels(names)
    if marked in names and names.index(marked) not in ticks:
        ticks = [i for i in ticks if abs(i - names.index(marked)) > every // 2] + [names.index(marked)]
    same_end = all(name.endswith(".weight") for name in names)
    short = [name.removesuffix(".weight") if same_end else name for name in names]
    return base.axis(
        theme,
        type="category",
        categoryorder="array",
        categoryarray=categories,
        tickmode="array",
        tickvals=[categories[i] for i in ticks],
        ticktext=[("▸ " if names[i] == marked else "") + base.escape(short[i], 20) for i in ticks],
        **({"showgrid": len(names) <= MAX_TICK_NAMES} | more),
    )


@chart("layers.gradient_depth")
def gradient_depth(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Gradient norm of every weight through depth: newest in front, earlier ones as ghosts.

    params: `weights_only` (bool, default True).
    """
    colours = themes.theme(theme)
    title = "Gradient norm through depth"
    series = layers.layer_series(runs[0], "grad_norm") if runs else None
    if series is None:
        return base.message(colours, title, "No gradients measured yet: they come with the first frame.")
    only = layers.weight_names(runs[0]) if params.get("weights_only", True) else None
    found = layers.profile(series, only)
    x = labels(found.layers)
    traces = []
    for i, step in enumerate(found.steps.tolist()):
        newest = i == len(found.steps) - 1
        colour = colours.train if newest else base.faded(colours, colours.muted, 0.2 + 0.3 * i / len(found.steps))
        drawn = np.where(found.values[i] > 0, found.values[i], np.nan)
        traces.append(
            base.line(
                x, drawn, f"step {step:,}", colour,
                width=2.4 if newest else 1.2,
                mode="lines+markers" if newest and len(x) <= 80 else "lines",
                marker={"size": 7},
                showlegend=newest or i == 0,
                connectgaps=True,
                hovertemplate="%{y:.4~g}<extra>step " + f"{step:,}</extra>",
            )
        )  # fmt: skip
    newest_values, known = found.values[-1], found.recorded[-1]
    traces += _edge_cases(x, newest_values, known, colours)
    positive = newest_values[known & np.isfinite(newest_values) & (newest_values > 0)]
    if len(positive):
        readout = f"{number(float(positive.min()))} to {number(float(positive.max()))}"
        said = f"from {number(float(positive.min()))} to {number(float(positive.max()))}"
    else:
        readout = said = "no layer has a finite gradient"
    return base.figure(
        traces,
        base.layout(
            colours,
            title,
            readout,
            room=base.ONE_SHORT_LINE,
            summary=f"{title} at step {int(found.steps[-1]):,}, {plural(len(x), 'layer')}: {said}.",
            xaxis=depth_axis(found.layers, colours, most=MAX_COLUMN_NAMES, range=[-0.5, len(x) - 0.5]),
            yaxis=base.log_axis(colours, list(found.values)),
            yaxis2=base.edge_axis(),
        ),
    )


def _edge_cases(x: Sequence[str], values: Any, known: Any, theme: themes.Theme) -> list[base.Trace]:
    """What a log axis cannot show: exact zeros on the lower edge, NaN and Inf on the upper one."""
    traces = []
    for chosen, height, symbol, colour, what in (
        (known & ~np.isfinite(values), 0.97, "x", theme.critical, "is NaN or Inf"),
        (known & (values == 0), 0.03, "triangle-down", theme.warning, "is exactly zero"),
    ):
        if chosen.any():
            where = np.flatnonzero(chosen)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": [x[i] for i in where.tolist()],
                    "y": np.full(len(where), height),
                    "yaxis": "y2",
                    "name": what,
                    "text": [f"{x[i]} {what}" for i in where.tolist()],
                    "hovertemplate": "%{text}<extra></extra>",
                    "marker": {"symbol": symbol, "size": 9, "color": colour},
                }
            )
    return traces


UNIT_PARTS = (
    ("dead_fraction", "dead", "dead", ""),
    ("saturated_fraction", "saturated", "saturated", "/"),
)


@chart("layers.units")
def units(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Share of dead and of saturated units in each module, newest measurement, in forward order."""
    colours = themes.theme(theme)
    title = "Dead and saturated units"
    shares = {kind: layers.newest(runs[0], kind) for kind, *_ in UNIT_PARTS} if runs else {}
    measured = {name for found in shares.values() for name in found}
    if not measured:
        return base.message(colours, title, layers.no_units_reason(runs[0]) if runs else "No run.")
    shown = layers.forward_order(runs[0], measured)
    tops = {word: max(shares[kind].items(), key=lambda item: item[1]) for kind, word, *_ in UNIT_PARTS if shares[kind]}
    said = [
        f"up to {percent(share)} {word} ({base.clip(name, 18)})" for word, (name, share) in tops.items() if share > 0
    ]
    if not said:
        return base.message(colours, title, f"None: no unit of {plural(len(shown), 'layer')} is dead or saturated.")
    highest = max(max(found.values()) for found in shares.values() if found)
    tones = {"dead_fraction": colours.validation, "saturated_fraction": colours.test}
    traces = [
        {
            "type": "bar",
            "x": labels(shown),
            "y": np.array([shares[kind].get(name, np.nan) for name in shown]),
            "name": label,
            "marker": {"color": tones[kind], "pattern": {"shape": pattern, "size": 5, "solidity": 0.35}},
            "hovertemplate": "%{y:.1%} of the units<extra>" + label + "</extra>",
        }
        for kind, _, label, pattern in UNIT_PARTS
        if shares[kind]
    ]
    return base.figure(
        traces,
        base.layout(
            colours,
            title,
            base.escape(", ".join(said), 90),
            room=base.ONE_SHORT_LINE,
            summary=f"{title} in {plural(len(shown), 'layer')}: {', '.join(said)}.",
            barmode="group",
            bargap=0.35,
            xaxis=depth_axis(shown, colours, most=MAX_COLUMN_NAMES),
            yaxis=base.axis(colours, range=[0, min(1.02, max(0.25, highest * 1.2))], tickformat=".0%"),
        ),
    )


@chart("layers.overview")
def overview(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Depth × time of one kind, first layer on top.

    params: `kind`, `weights_only` (for parameters; default True), `marked` (a layer to point out).
    """
    colours = themes.theme(theme)
    name = str(params.get("kind", "update_ratio"))
    kind = kind_of(name)
    title = f"{kind.title}: depth × time"
    series = layers.layer_series(runs[0], name) if runs else None
    if series is None:
        return base.message(colours, title, "Not measured in this run (yet).")
    only = layers.weight_names(runs[0]) if params.get("weights_only", True) else None
    marked = params.get("marked")
    if only is not None and marked is not None and marked not in only:
        only = None
    return draw_overview(layers.overview(series, only), title, kind.share, colours, marked)


def draw_overview(
    found: layers.Overview, title: str, share: bool, theme: themes.Theme, marked: str | None = None
) -> base.Figure:
    """The heatmap: one row a layer, one column a stretch of time, colours from low (blue) to high (yellow)."""
    codes, ticks = quantise(found.values, found.nonfinite > 0, log=not share, limits=(0.0, 1.0) if share else None)
    finite = found.values[np.isfinite(found.values)]
    bad = int(found.nonfinite.sum())
    low_high = f"{number(float(finite.min()))} to {number(float(finite.max()))}" if len(finite) else "nothing finite"
    said = f"{low_high}, {plural(bad, 'measurement')} not finite" if bad else low_high
    note = "" if found.frames == 1 else f"<br>highest of up to {found.frames} frames"
    return base.figure(
        [
            {
                "type": "heatmap",
                "x": found.steps,
                "y": labels(found.layers),
                "z": codes,
                "customdata": found.values.astype(np.float32),
                "zmin": 0,
                "zmax": 255,
                "colorscale": colour_scale(theme),
                "colorbar": colour_bar(ticks, theme),
                "hovertemplate": "%{y}<br>step %{x:,}: <b>%{customdata:.4~g}</b>" + note + "<extra></extra>",
                "xgap": 0,
                "ygap": 1 if len(found.layers) <= 60 else 0,
            }
        ],
        base.layout(
            theme,
            title,
            said,
            summary=f"{title}, {plural(len(found.layers), 'layer')}: {said}.",
            legend=False,
            hovermode="closest",
            xaxis=base.step_axis(theme, int(found.steps[-1]), showgrid=False),
            yaxis=depth_axis(found.layers, theme, marked, showgrid=False, range=[len(found.layers) - 0.5, -0.5]),
        ),
    )


def colour_bar(ticks: tuple[list[float], list[str]], theme: themes.Theme) -> dict[str, Any]:
    """A slim colour bar with real values at its ticks."""
    return {
        "thickness": 10,
        "outlinewidth": 0,
        "tickmode": "array",
        "tickvals": ticks[0],
        "ticktext": ticks[1],
        "tickfont": {"size": 11, "color": theme.muted},
        "len": 1,
        "x": 1.01,
        "xpad": 4,
    }
