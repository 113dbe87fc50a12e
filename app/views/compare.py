"""Compare: several runs on one chart."""

from __future__ import annotations

import streamlit as st

from app.component import live_chart
from app.series.metrics import metric_groups
from app.store import Page
from app.views import options, style

MAX_RUNS = 8


def render(page: Page) -> None:
    """Loss and one more metric of up to eight runs."""
    style.apply()
    ids = [entry.id for entry in page.entries if entry.error is None]
    near = [page.run_id, *(one for one in ids if one != page.run_id)]
    chosen = st.multiselect(
        "Runs",
        ids,
        default=[one for one in near if one in ids][:3],
        max_selections=MAX_RUNS,
        key="compare runs",
    )
    if not chosen:
        st.info("Choose at least one run to see its curves here.")
        return
    with page.dashboard.reading(chosen) as runs:
        metrics = sorted({metric for run in runs for metric in metric_groups(run.series_names)} - {"loss"})
    params = {**options.curves(), "names": chosen}
    first = metrics.index("accuracy") if "accuracy" in metrics else 0
    second = st.selectbox("Beside the loss", metrics, index=first, key="compare metric", width=360) if metrics else None
    left, right = st.columns(2, gap="small")
    for column, metric in ((left, "loss"), (right, second)):
        if metric:
            with column:
                key = f"compare {metric} {' '.join(chosen)}"
                live_chart(
                    "compare.metric", chosen, {**params, "metric": metric}, 480, key=key, label=f"{metric} of runs"
                )
