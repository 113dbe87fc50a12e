"""Layers: does every layer learn, and at what rate?"""

from __future__ import annotations

import streamlit as st

from app.component import live_chart, live_version
from app.figures.depth import KINDS, kind_of
from app.series import table
from app.series.numbers import number
from app.store import Page
from app.views import options
from app.views.header import header

RATIO_HELP = (
    "‖Δw‖ / ‖w‖: how much one optimizer step changes a layer. About 0.001 is usual; well above, the learning rate is "
    "too high for that layer; well below, it hardly learns."
)


def render(page: Page) -> None:
    """Update ratios, gradients through depth, units, and depth × time of any statistic."""
    if not header(page):
        return
    with page.reading() as run:
        kinds = [kind for kind in KINDS if kind in run.layer_kinds]
        kinds += sorted(kind for kind in run.layer_kinds if kind not in KINDS)
    with st.sidebar:
        weights_only = not st.toggle(
            "Include biases", key="layers all",
            help="Weight matrices and filters are shown; biases and normalisation scales move by other rules.",
        )  # fmt: skip
    log_x = options.log_steps()
    params = {"weights_only": weights_only}
    runs = [page.run_id or ""]
    left, right = st.columns([3, 2], gap="small")
    with left:
        live_chart("layers.update_ratio", runs, {**params, "log_x": log_x}, 340, label="Update to weight ratio")
    with right:
        live_chart("layers.gradient_depth", runs, params, 340, label="Gradient norm through depth")
    left, right = st.columns([3, 2], gap="small")
    with left:
        kind = st.selectbox(
            "Depth × time of", kinds or ["update_ratio"], format_func=lambda k: kind_of(k).title, key="layers kind",
            label_visibility="collapsed", width=340,
        )  # fmt: skip
        live_chart(
            "layers.overview",
            runs,
            {**params, "kind": kind},
            330,
            key=f"overview {kind}",
            label="Depth × time",
        )
    with right:
        live_chart("layers.units", runs, {}, 380, label="Dead and saturated units")
    _table(page)


@st.fragment
def _table(page: Page) -> None:
    """Parameters in forward order; follows the run."""
    live_version([page.run_id], key="layers table")
    with page.reading() as run:
        found = table.rows(run)
    if not found:
        st.caption("The table of parameters appears with the first frame.")
        return
    columns = {
        "parameter": [row.name for row in found],
        "status": [row.state for row in found],
        "shape": [row.shape for row in found],
        "‖weights‖": [number(row.weight) for row in found],
        "‖gradient‖": [number(row.gradient) for row in found],
        "update ratio (recent)": [number(row.ratio) for row in found],
    }
    help_of = {"update ratio (recent)": st.column_config.TextColumn(help=RATIO_HELP)}
    st.dataframe(
        columns,
        hide_index=True,
        height="content" if len(found) <= 12 else 440,
        column_config=help_of,
        key="layers parameters",
    )
