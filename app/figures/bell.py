"""One layer's values on a linear axis: the newest as a filled curve, earlier ones as ghosts behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.distribution import NAMES
from app.figures.registry import chart
from app.series import density, distributions
from app.series.numbers import number, percent


@chart("distributions.bell")
def bell(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Density of one layer's values, newest in front. params: `kind`, `layer`."""
    colours = themes.theme(theme)
    kind, layer = str(params.get("kind", "weight")), str(params.get("layer", ""))
    title = f"{NAMES.get(kind, kind)} of {layer}"
    found = distributions.histograms(runs[0], kind, layer) if runs and layer else None
    if found is None:
        return base.message(colours, title, "No histogram of this layer has been taken (yet).")
    drawn = density.bell(found)
    if drawn is None:
        outside = np.asarray(found.outside)[-1]
        said = uncounted(outside / max(outside.sum(), 1), 0.0)
        return base.message(colours, title, f"Nothing to draw at step {int(found.steps[-1]):,}: {said}.")
    return draw(drawn, title, colours)


def draw(found: density.Bell, title: str, theme: themes.Theme) -> base.Figure:
    """Steps as counted, for the bins are what was measured: no smoothing that adds a shape of its own."""
    traces: list[base.Trace] = []
    for i, step in enumerate(found.steps.tolist()):
        newest = i == len(found.steps) - 1
        if not np.isfinite(found.density[i]).all():
            continue
        colour = theme.train if newest else base.faded(theme, theme.muted, 0.25 + 0.4 * i / len(found.steps))
        y = np.append(found.density[i], found.density[i, -1])
        fill = {"fill": "tozeroy", "fillcolor": base.faded(theme, theme.train, 0.25)} if newest else {}
        traces.append(
            base.line(
                found.edges, y, f"step {step:,}", colour,
                line={"color": colour, "width": 2.2 if newest else 1.2, "shape": "hv"},
                showlegend=newest or i == 0,
                hovertemplate="from %{x:.4~g}: density %{y:.4~g}<extra>step " + f"{step:,}</extra>",
                **fill,
            )
        )  # fmt: skip
    said = uncounted(found.outside[-1], float(found.beyond[-1]))
    shown = percent(1 - float(found.beyond[-1])) if np.isfinite(found.beyond[-1]) else "none"
    spread = f"{number(float(found.edges[0]))} to {number(float(found.edges[-1]))}"
    return base.figure(
        traces,
        base.layout(
            theme,
            title,
            said.replace("<", "under ").replace(">", "over "),
            summary=f"{title} at step {int(found.steps[-1]):,}: "
            f"{shown} of the non-zero values from {spread}; {said}.".replace("<", "under ").replace(">", "over "),
            hovermode="closest",
            xaxis=base.axis(theme, "value", range=[float(found.edges[0]), float(found.edges[-1])]),
            yaxis=base.axis(theme, "density of the non-zero values", rangemode="tozero"),
        ),
    )


def uncounted(outside: np.ndarray, beyond: float) -> str:
    """What the curve does not show, in words."""
    parts = [
        f"{percent(share)} {name}" for share, name in zip(outside.tolist(), distributions.OUTSIDE, strict=True) if share
    ]
    if beyond > 0:
        parts.append(f"{percent(beyond)} beyond the axis")
    return ", ".join(parts) or "no zeros, nothing beyond the axis, no NaN or Inf"
