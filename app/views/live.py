"""Live: how the run is doing now."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.component import live_chart
from app.series.evidence import pins_of
from app.series.metrics import leading_metric, metric_groups
from app.store import Page
from app.views import options
from app.views.header import framed
from app.views.reports import report_of

TALL, LOW = 410, 250
MAX_MORE = 4


def render(page: Page) -> None:
    """Verdict, loss, accuracy, learning rate and speed."""
    params = options.curves()
    framed(page, lambda: _charts(page, params))


def _charts(page: Page, params: dict[str, Any]) -> None:
    with page.reading() as run:
        groups = metric_groups(run.series_names)
    loss = leading_metric(groups)
    metrics = [metric for metric in groups if metric != loss]
    if not metrics:
        _only_loss(page, params, loss)
        return
    left, right = st.columns(2, gap="small")
    with left:
        _loss(page, params, loss, TALL)
    with right:
        _chart(page, "live.metric", f"{metrics[0]} over steps", {**params, "metric": metrics[0]}, TALL)
    left, right = st.columns(2, gap="small")
    with left:
        _chart(page, "live.lr", "Learning rate over steps", {"log_x": params["log_x"], "y": params["y"]}, LOW)
    with right:
        _chart(page, "live.speed", "Speed over steps", {"log_x": params["log_x"]}, LOW)

    more = metrics[1 : 1 + MAX_MORE]
    for column, metric in zip(st.columns(2, gap="small") * MAX_MORE, more, strict=False):
        with column:
            _chart(page, "live.metric", f"{metric} over steps", {**params, "metric": metric}, LOW)
    if metrics[1 + MAX_MORE :]:
        st.caption(f"Logged too: {', '.join(metrics[1 + MAX_MORE :])}. Compare shows any of them.")


def _only_loss(page: Page, params: dict[str, Any], loss: str) -> None:
    """No other metric is logged: the loss gets its room."""
    left, right = st.columns([3, 2], gap="small")
    with left:
        _loss(page, params, loss, 2 * LOW + 10)
    with right:
        _chart(page, "live.lr", "Learning rate over steps", {"log_x": params["log_x"], "y": params["y"]}, LOW)
        _chart(page, "live.speed", "Speed over steps", {"log_x": params["log_x"]}, LOW)


def _loss(page: Page, params: dict[str, Any], loss: str, height: int) -> None:
    """The loss, or what stands for it, with the findings marked."""
    params = {**params, "pins": pins_of(report_of(page).findings)}
    if loss == "loss":
        _chart(page, "live.loss", "Loss over steps", params, height)
    else:
        _chart(page, "live.metric", f"{loss} over steps", {**params, "metric": loss}, height)


def _chart(page: Page, chart: str, label: str, params: dict[str, Any], height: int) -> None:
    live_chart(chart, [page.run_id or ""], params=params, height=height, key=f"{chart} {label}", label=label)
