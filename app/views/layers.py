"""Layers: does every layer learn, and at what rate?"""

from __future__ import annotations

import streamlit as st

from app.component import live_chart
from app.figures.depth import KINDS, kind_of
from app.series import table
from app.series.numbers import number
from app.store import Page
from app.views import options
from app.views.header import framed

RATIO_HELP = (
    "‖Δw‖ / ‖w‖: how much one optimizer step changes a layer. About 0.001 is usual; well above, the learning rate "
    "is too high for that layer; well below, it hardly learns."
)


def render(page: Page) -> None:
    """Update ratios, gradients through depth, units, and depth × time of any statistic."""
    with st.sidebar:
        weights_only = not st.toggle(
            "Include biases",
            key="layers all",
            help="Weight matrices and filters are shown; biases and normalisation scales move by other rules.",
        )
    log_x = options.log_steps()
    framed(page, lambda: _body(page, weights_only, log_x))


def _body(page: Page, weights_only: bool, log_x: bool) -> None:
    with page.reading() as run:
        kinds = [kind for kind in KINDS if kind in run.layer_kinds]
        kinds += sorted(kind for kind in run.layer_kinds if kind not in KINDS)
        rows = table.rows(run)
    params, runs = {"weights_only": weights_only}, [page.run_id or ""]
    left, right = st.columns([3, 2], gap="small")
    with left:
        live_chart("layers.update_ratio", runs, {**params, "log_x": log_x}, 340, label="Update to weight ratio")
    with right:
        live_chart("layers.gradient_depth", runs, params, 340, label="Gradient norm through depth")
    left, right = st.columns([3, 2], gap="small")
    with left:
        kind = st.selectbox(
            "Depth × time of",
            kinds or ["update_ratio"],
            format_func=lambda name: kind_of(name).title,
            key="layers kind",
            label_visibility="collapsed",
            width=340,
        )
        live_chart("layers.overview", runs, {**params, "kind": kind}, 330, key=f"overview {kind}", label="Depth × time")
    with right:
        live_chart("layers.units", runs, {}, 380, label="Dead and saturated units")
    _table(rows)


def _table(rows: list[table.Row]) -> None:
    if not rows:
        st.caption("The manifest of this run names no parameters.")
        return
    columns = {
        "parameter": [row.name for row in rows],
        "status": [row.state for row in rows],
        "shape": [row.shape for row in rows],
        "‖weights‖": [number(row.weight) for row in rows],
        "‖gradient‖": [number(row.gradient) for row in rows],
        "update ratio (recent)": [number(row.ratio) for row in rows],
    }
    told = {"update ratio (recent)": st.column_config.TextColumn(help=RATIO_HELP)}
    height = "content" if len(rows) <= 12 else 440
    st.dataframe(columns, hide_index=True, height=height, column_config=told, key="layers parameters")
