"""Distributions: where the values of weights, gradients and activations lie."""

from __future__ import annotations

import streamlit as st

from app.component import live_chart
from app.figures.distribution import NAMES
from app.series.distributions import OVERVIEW_KINDS, missing_reason
from app.store import Page
from app.views.header import framed

KIND_HELP = (
    "Weights and updates tell what the optimizer does, gradients what it is given, activations what the layers "
    "pass on, output gradients what comes back to each layer."
)

AXES = {"log": "powers of ten", "linear": "linear"}
# Weights and activations keep their order of magnitude and read best as a bell; gradients and updates change it by
# many powers of ten, which a linear axis would hide.
READS_LINEAR = ("weight", "activation")


def render(page: Page) -> None:
    """One kind over depth and time, then one layer of it as heatmap and ridges."""
    framed(page, lambda: _body(page), banner=False)


def _body(page: Page) -> None:
    with page.reading() as run:
        held = {kind: run.histogram_layers(kind) for kind in run.histogram_kinds}
        reasons = {kind: missing_reason(run, kind) for kind in NAMES if not held.get(kind)}
    with st.container(horizontal=True, gap="medium"):
        kind = st.segmented_control(
            "Distribution of",
            list(NAMES),
            default="weight",
            format_func=NAMES.get,
            required=True,
            key="distributions kind",
            width="content",
            help=KIND_HELP,
        )
        layers = held.get(kind) or []
        if layers:
            axis = st.segmented_control(
                "Value axis",
                list(AXES),
                default="linear" if kind in READS_LINEAR else "log",
                format_func=AXES.get,
                required=True,
                key=f"distributions axis {kind}",
                width="content",
                help="Linear shows the familiar bell; powers of ten show what vanishes and what explodes on one axis.",
            )
            layer = st.selectbox("Layer", layers, key=f"distributions layer {kind}", width=260)
    if not layers:
        st.info(f"{NAMES[kind]}: {reasons.get(kind, '')}")
        return
    runs, params = [page.run_id or ""], {"kind": kind, "layer": layer}
    left, right = st.columns(2, gap="small")
    with left:
        overview = {"kind": OVERVIEW_KINDS[kind], "marked": layer}
        live_chart("layers.overview", runs, overview, 230, key=f"depth {kind}", label="Depth × time")
        if axis == "linear":
            live_chart("distributions.bell", runs, params, 420, key=f"bell {kind} {layer}", label="Density")
        else:
            live_chart("distributions.ridges", runs, params, 420, key=f"ridges {kind} {layer}", label="Ridges")
    with right:
        live_chart("distributions.heatmap", runs, params, 660, key=f"heat {kind} {layer}", label="Over time")
