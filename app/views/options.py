"""How curves are drawn: chosen once in the sidebar, the same on every view."""

from __future__ import annotations

from typing import Any

import streamlit as st

SMOOTHING = {"off": 0.0, "0.5 %": 0.005, "1 %": 0.01, "2 %": 0.02, "5 %": 0.05, "10 %": 0.1}
Y_SCALES = {"Auto": "auto", "Linear": "linear", "Log": "log"}


def curves() -> dict[str, Any]:
    """Smoothing and scales, as parameters of a chart."""
    with st.sidebar:
        smoothing = st.select_slider(
            "Smoothing", list(SMOOTHING), value="2 %", key="live smoothing",
            help="How far back the solid training line looks, as a share of the run. The faint line is as logged.",
        )  # fmt: skip
        scale = st.segmented_control(
            "Y axis", list(Y_SCALES), default="Auto", key="live y", required=True,
            help="Auto turns to a log axis when the values span more than a thousandfold.",
        )  # fmt: skip
    return {"smoothing": SMOOTHING[smoothing], "y": Y_SCALES[scale], "log_x": log_steps()}


def log_steps() -> bool:
    """Whether steps are drawn on a log axis."""
    with st.sidebar:
        return st.toggle("Log steps", key="log x", help="Shows the first steps as wide as the last ones.")
