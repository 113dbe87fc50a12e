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
    """Where the time of a step goes: compute, waiting for data, the probes, stacked on one axis. params: `log_x`."""
    colours = themes.theme(theme)
    log_x = bool(params.get("log_x", False))
    found = pace(runs[0], log_x)
    if found is None:
        return base.message(colours, "Speed", "No step times yet: they come with the first optimizer step.")
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = 1000 / found.per_second
    wait, probes = (np.nan_to_num(share) * whole for share in (found.data_wait, found.probes))
    unit, factor = ("s", 1e-3) if np.nanmedian(whole) >= 1000 else ("ms", 1.0)
    parts = [
        ("compute", whole - wait, colours.train, found.per_second),
        ("data wait", wait, colours.validation, found.data_wait),
        ("probes", probes, colours.test, found.probes),
    ]
    # Each value is that of the stretch before it; the first stretch begins with the run.
    steps = base.step_values(np.append(0, found.steps), log_x)
    traces = [
        base.line(
            steps, np.append(values[0], values) * factor, label, colour, stackgroup="time",
            line={"color": colour, "width": 1, "shape": "vh"},
            fillcolor=base.faded(colours, colour, 0.35),
            hovertemplate=f"%{{y:.3~g}} {unit}<extra>{label}</extra>",
        )
        for label, values, colour, measured in parts
        if np.isfinite(measured).any()
    ]  # fmt: skip
    newest = recent_pace(runs[0])
    readout = [] if newest is None else [f"<b>{number(newest)}</b> steps/s"]
    for label, values in (("data wait", found.data_wait), ("probes", found.probes)):
        if np.isfinite(values).any():
            readout.append(f"{label} {percent(_whole_share(values, whole))}")
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
            yaxis=base.axis(colours, f"{unit} per step", range=[0, _calm_top((whole + probes) * factor)]),
        ),
    )


def _whole_share(shares: np.ndarray, whole: np.ndarray) -> float:
    """A part's share of all the time measured, not of the last moment."""
    known = np.isfinite(shares) & np.isfinite(whole)
    return float((shares[known] * whole[known]).sum() / max(whole[known].sum(), 1e-12))


def _calm_top(values: np.ndarray) -> float:
    """The axis' end: a single slow stretch (a warm-up, a checkpoint) runs off it instead of flattening the rest."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 1.0
    return float(min(known.max(), 3 * np.median(known))) * 1.08 or 1.0
