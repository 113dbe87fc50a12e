"""Live: how the run is doing now."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.component import live_chart
from app.series.evidence import pins_of
from app.series.metrics import metric_groups
from app.store import Page
from app.views import options
from app.views.header import header
from app.views.reports import report_of


def render(page: Page) -> None:
    """Verdict, loss, accuracy, learning rate and speed."""
    if not header(page):
        return
    with page.reading() as run:
        metrics = list(metric_groups(run.series_names))
    params = {**options.curves(), "pins": pins_of(report_of(page).findings)}
    shown = [metric for metric in metrics if metric != "loss"] or ["accuracy"]
    left, right = st.columns(2, gap="small")
    with left:
        _chart(page, "live.loss", "Loss over steps", params, 390)
    with right:
        chosen = shown[0]
        if len(shown) > 1:
            chosen = st.selectbox("Metric", shown, label_visibility="collapsed", key="live metric")
        height = 390 if len(shown) == 1 else 344
        _chart(page, "live.metric", f"{chosen} over steps", {**params, "metric": chosen, "pins": []}, height)
    left, right = st.columns(2, gap="small")
    with left:
        _chart(page, "live.lr", "Learning rate over steps", {"log_x": params["log_x"], "y": params["y"]}, 240)
    with right:
        _chart(page, "live.speed", "Speed over steps", {"log_x": params["log_x"]}, 240)


def _chart(page: Page, chart: str, label: str, params: dict[str, Any], height: int) -> None:
    live_chart(chart, [page.run_id or ""], params=params, height=height, key=f"{chart} {label}", label=label)
