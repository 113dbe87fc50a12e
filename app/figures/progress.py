"""Learning rate, and speed with where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.registry import chart
from app.series.decimate import decimate
from app.series.facts import recent_pace
from app.series.numbers import number, percent
from app.series.pace import pace, series_values

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@chart("live.lr")
def learning_rate(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Learning rate of every parameter group. params: `log_x` (bool), `y` ("log", else linear)."""
    colours = themes.theme(theme)
    title = "Learning rate"
    names = sorted(n for n in runs[0].series_names if n == "optimizer/lr" or n.startswith("optimizer/lr/"))
    log_x = bool(params.get("log_x", False))
    drawn = [(name, *decimate(*series_values(runs[0], name), log_x=log_x)) for name in names]
    drawn = [one for one in drawn if len(one[1])]
    if not drawn:
        return base.message(colours, title, "No learning rate recorded: it needs probes.watch(model, optimizer).")
    log_y = params.get("y") == "log"
    traces = [
        base.line(
            base.step_values(steps, log_x),
            values,
            "learning rate" if len(drawn) == 1 else f"group {base.escape(name.rpartition('/')[2])}",
            colours.series[(i + 2) % len(colours.series)],
            dash=DASHES[i % len(DASHES)],
            showlegend=len(drawn) > 1,
            line={"color": colours.series[(i + 2) % len(colours.series)], "width": 2, "shape": "hv"},
        )
        for i, (name, steps, values) in enumerate(drawn)
    ]
    newest = ", ".join(dict.fromkeys(number(float(values[-1])) for _, _, values in drawn))
    return base.figure(
        traces,
        base.layout(
            colours,
            title,
            f"<b>{newest}</b>",
            summary=f"{title}: {newest} at step {int(drawn[0][1][-1]):,}.",
            legend=len(drawn) > 1,
            xaxis=base.step_axis(colours, max(int(steps[-1]) for _, steps, _ in drawn), log_x),
            yaxis=base.log_axis(colours, [values for _, _, values in drawn])
            if log_y
            else base.axis(colours, rangemode="tozero", exponentformat="power"),
        ),
    )


@chart("live.speed")
def speed(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """Steps per second, and the shares of each step spent waiting for data and in the probes. params: `log_x`."""
    colours = themes.theme(theme)
    log_x = bool(params.get("log_x", False))
    found = pace(runs[0], log_x)
    if found is None:
        return base.message(colours, "Speed", "No step times yet: they come with the first optimizer step.")
    shares = [
        ("data wait", found.data_wait, colours.validation, "dash"),
        ("probes", found.probes, colours.test, "dot"),
    ]
    traces = [base.line(found.steps, found.per_second, "steps/s", colours.train, width=1.8)]
    readout, said = [], []
    newest = recent_pace(runs[0])
    if newest is not None:
        readout.append(f"<b>{number(newest)}</b> steps/s")
    for label, values, colour, dash in shares:
        last = _last_finite(values)
        if last is None:
            continue
        traces.append(
            base.line(
                found.steps, values, label, colour, width=1.8, dash=dash, yaxis="y2",
                hovertemplate="%{y:.1%}<extra>" + label + "</extra>",
            )
        )  # fmt: skip
        readout.append(f"{label} {percent(last)}")
    said = [part.replace("<b>", "").replace("</b>", "").replace("<", "under ") for part in readout]
    readout = [part.replace("<0.1%", "&lt;0.1%") for part in readout]
    return base.figure(
        traces,
        base.layout(
            colours,
            "Speed",
            " · ".join(readout),
            summary=f"Speed: {', '.join(said) or 'nothing finite'}.",
            xaxis=base.step_axis(colours, int(found.steps[-1]), log_x),
            yaxis=base.axis(colours, "steps / s", rangemode="tozero"),
            yaxis2=base.axis(
                colours,
                "share of a step",
                overlaying="y",
                side="right",
                tickformat=".0%",
                rangemode="tozero",
                showgrid=False,
                nticks=5,
                tickmode="auto",
                range=_share_range([values for _, values, _, _ in shares]),
            ),
        ),
    )


def _share_range(values: Sequence[np.ndarray]) -> list[float]:
    known = np.concatenate([one[np.isfinite(one)] for one in values])
    highest = float(known.max()) if len(known) else 0.0
    return [0.0, next(top for top in (0.1, 0.2, 0.5, 1.0) if highest <= top)]


def _last_finite(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else None
