"""Live: how the run is doing now."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.component import live_chart
from app.series.metrics import metric_groups
from app.store import Page
from app.views.header import header

SMOOTHING = {"off": 0.0, "0.5 %": 0.005, "1 %": 0.01, "2 %": 0.02, "5 %": 0.05, "10 %": 0.1}
Y_SCALES = {"Auto": "auto", "Linear": "linear", "Log": "log"}


def render(page: Page) -> None:
    """Verdict, loss, accuracy, learning rate and speed."""
    header(page)
    with page.reading() as run:
        metrics = list(metric_groups(run.series_names))
    params = _controls()
    shown = [metric for metric in metrics if metric != "loss"] or ["accuracy"]
    left, right = st.columns(2, gap="small")
    with left:
        _chart(page, "live.loss", "Loss over steps", params, 350)
    with right:
        chosen = shown[0]
        if len(shown) > 1:
            chosen = st.selectbox("Metric", shown, label_visibility="collapsed", key="live metric")
        height = 350 if len(shown) == 1 else 304
        _chart(page, "live.metric", f"{chosen} over steps", {**params, "metric": chosen}, height)
    left, right = st.columns(2, gap="small")
    with left:
        _chart(page, "live.lr", "Learning rate over steps", {"log_x": params["log_x"]}, 210)
    with right:
        _chart(page, "live.speed", "Speed over steps", {"log_x": params["log_x"]}, 210)


def _controls() -> dict[str, Any]:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        smoothing = st.select_slider(
            "Smoothing", list(SMOOTHING), value="2 %", key="live smoothing", width=260,
            help="How far back the solid training line looks, as a share of the run. The faint line is as logged.",
        )  # fmt: skip
        scale = st.segmented_control(
            "Y axis", list(Y_SCALES), default="Auto", key="live y",
            help="Auto turns to a log axis when the values span more than a thousandfold.",
        )  # fmt: skip
        log_x = st.toggle("Log steps", key="live log x", help="Shows the first steps as wide as the last ones.")
    return {"smoothing": SMOOTHING[smoothing], "y": Y_SCALES.get(scale or "Auto", "auto"), "log_x": log_x}


def _chart(page: Page, chart: str, label: str, params: dict[str, Any], height: int) -> None:
    live_chart(chart, [page.run_id or ""], params=params, height=height, key=f"{chart} {label}", label=label)
