"""Sanity: could this model, loss and data learn at all, before any training?"""

from __future__ import annotations

import streamlit as st

from app.component import live_chart
from app.markup import banner, check_row
from app.series.sanity import Result, card
from app.series.sanity_pictures import picture
from app.store import Page
from app.views import style
from app.views.header import framed

NOTHING = (
    "No sanity report is saved with this run, so nothing is known about it. "
    "The checks take seconds and are best run before training:"
)
HOW = "report = probes.check(model, loss_fn, loader)\nreport.save(run_dir)          # shown here from then on"
FAVOURITES = ("overfit-small-batch", "learning-rate-range", "initialization", "input-normalization")
SHOWN = 2


def render(page: Page) -> None:
    """The report card saved with the run."""
    framed(page, lambda: _card(page), banner=False, needs_steps=False)


def _card(page: Page) -> None:
    with page.reading() as run:
        report = run.checks()
    if report is None:
        st.info(NOTHING)
        st.code(HOW, language="python")
        return
    found = card(report)
    style.show(banner(found.tone, found.headline))
    urgent = [result for result in found.results if result.status in ("fail", "warn")]
    for result in urgent:
        _with_picture(page, result)
    quiet = [result for result in found.results if result not in urgent]
    if not quiet:
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        style.show("".join(map(check_row, quiet)))
    with right:
        _pictures(page, quiet)


def _with_picture(page: Page, result: Result) -> None:
    """A result that needs attention, with what it rests on beside it."""
    if picture(result.check, result.evidence) is None:
        style.show(check_row(result))
        return
    text, drawn = st.columns([3, 2], gap="medium")
    with text:
        style.show(check_row(result))
    with drawn:
        _chart(page, result.check)


def _pictures(page: Page, results: list[Result]) -> None:
    """Two pictures of passed checks, chosen from all there are."""
    there = [result.check for result in results if picture(result.check, result.evidence) is not None]
    first = sorted(there, key=lambda check: FAVOURITES.index(check) if check in FAVOURITES else len(FAVOURITES))
    for number, default in enumerate(first[:SHOWN], 1):
        check = st.selectbox(
            f"Measured by ({number})", there, index=there.index(default), key=f"sanity picture {number}",
            label_visibility="collapsed",
        )  # fmt: skip
        _chart(page, check, f"{number} ")


def _chart(page: Page, check: str, where: str = "") -> None:
    key = f"sanity {where}{check}"
    live_chart("sanity.evidence", [page.run_id or ""], {"check": check}, 260, key=key, label=f"Measured by {check}")
