"""Streamlit components that follow runs by themselves, without the script running again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from app.server import assets
from app.store import dashboard

_FRONTEND = Path(__file__).resolve().parent / "frontend"

# All that Streamlit itself carries to the page; the rest comes from the asset route and is kept by the browser. The
# base is where Streamlit's own scripts come from, which holds behind a proxy prefix and on any page of the app.
_LOADER = """
const own = document.querySelector('script[src*="static/js/"]');
const base = own ? new URL("../../", own.src) : new URL("/", location.href);
const main = import(new URL("{main}", base).href);
export default async (component) => (await main).mount(component, base);
"""


@cache
def _component() -> Any:
    return st.components.v2.component(
        "babysit",
        js=_LOADER.replace("{main}", assets.scripts()["main.js"].url),
        css=(_FRONTEND / "chart.css").read_text(encoding="utf-8"),
        # Plotly puts its style sheet into the document, which a shadow root would shut out.
        isolate_styles=False,
    )


def live_chart(
    chart_id: str,
    run_ids: Sequence[str],
    params: Mapping[str, Any] | None = None,
    height: int = 360,
    key: str | None = None,
    label: str = "",
) -> None:
    """A chart that draws itself and follows its runs.

    The figure is made on the server by `app.figures.registry.build` and pushed to the page whenever it changed.

    Args:
        chart_id: as registered with `@chart`.
        run_ids: the runs it is about, in the order the builder gets them.
        params: what the builder is told besides; JSON values only.
        height: pixels.
        key: tells two charts of the same id on one page apart; the default is the chart id. The view a person zoomed
            to, and the element in the page, are kept as long as the key stays.
        label: what the chart is, for screen readers; the newest values are added by the page.
    """
    _component()(
        key=key or chart_id,
        data={
            "kind": "chart",
            "chart": chart_id,
            "runs": list(run_ids),
            "params": dict(params or {}),
            "height": height,
            "label": label or chart_id,
            "plotly": assets.plotly_js().url,
        },
        height=height,
    )


def live_version(run_ids: Sequence[str], key: str) -> None:
    """Runs the script (inside a fragment: the fragment) again, at most once a second, when one of the runs changed.

    Draws nothing. With no run ids it follows the list of runs and their statuses instead.
    """
    _component()(
        key=key,
        data={"kind": "stamp", "runs": list(run_ids), "stamp": dashboard().stamp(run_ids)},
        on_changed_change=lambda: None,
    )
