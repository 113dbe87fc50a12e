"""Filters: what the first layer looks for."""

from __future__ import annotations

import streamlit as st

from app.component import live_chart
from app.figures.filters import NOTHING
from app.series.filters import snapshot
from app.store import Page
from app.views.header import framed

NEWEST = "newest"
SCALES = {"each": "its own range", "joint": "one range for all"}
READING = "Middle grey is zero. Smooth edges, waves and colour blobs are learned; what still looks like noise is not."


def render(page: Page) -> None:
    """First-layer filters at one moment, and how some of them came to be."""
    framed(page, lambda: _body(page), banner=False)


def _body(page: Page) -> None:
    with page.reading() as run:
        found = snapshot(run)
    if found is None:
        st.info(NOTHING)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        step = st.select_slider(
            "Step",
            [*found.steps.tolist(), NEWEST],
            value=NEWEST,
            key="filters step",
            width=420,
            format_func=lambda value: value if value == NEWEST else f"{value:,}",
            help="Snapshots are close together at first, when filters change fast, and ever wider apart later.",
        )
        scale = st.segmented_control(
            "Brightness",
            list(SCALES),
            default="each",
            format_func=SCALES.get,
            required=True,
            key="filters scale",
            help="Its own range shows the form of each filter, one range for all how strong each is.",
        )
    runs, params = [page.run_id or ""], {"normalise": scale}
    left, right = st.columns([3, 2], gap="small")
    with left:
        at = {} if step == NEWEST else {"step": step}
        live_chart("filters.grid", runs, {**params, **at}, 560, label="First-layer filters")
    with right:
        live_chart("filters.moments", runs, params, 560, label="Filters over time")
    st.caption(f"{found.note} {READING}")
