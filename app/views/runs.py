"""Runs: all of them, to find one again."""

from __future__ import annotations

import threading
from urllib.parse import quote

import streamlit as st

from app.component import live_version
from app.series.numbers import number, percent
from app.series.runs import Line, line, started
from app.series.verdict import short_verdict
from app.store import Page, RunEntry
from app.views import style
from app.views.reports import report_of
from probes.errors import BabysitError

MAX_RUNS = 200
ICONS = {"running": "▶ running", "finished": "■ finished", "crashed": "✕ crashed", "stalled": "! stalled"}
_ended: dict[tuple[str, str], tuple[Line, str]] = {}
_lock = threading.Lock()


def render(page: Page) -> None:
    """The table, with a search box and a link to each run."""
    style.apply()
    _table(page)


@st.fragment
def _table(page: Page) -> None:
    live_version([], key="runs table")
    entries = page.dashboard.directory.entries
    search = st.text_input("Search", key="runs search", placeholder="part of a name or a status", width=360)
    found = [entry for entry in entries if search.lower() in f"{entry.id} {entry.status}".lower()]
    st.caption(f"{len(found):,} of {len(entries):,} runs" + (f", newest {MAX_RUNS}" if len(found) > MAX_RUNS else ""))
    rows = [_row(page, entry) for entry in found[:MAX_RUNS]]
    if rows:
        columns = {
            "run": st.column_config.LinkColumn(display_text=r"#(.*)$", width="medium"),
            "started": st.column_config.DatetimeColumn(format="MMM D, HH:mm"),
        }
        st.dataframe(rows, hide_index=True, column_config=columns, height="content", key="runs")
    else:
        st.info("No run matches." if entries else "There is no run yet.")


def _row(page: Page, entry: RunEntry) -> dict[str, object]:
    link = f"/live?run={quote(entry.id)}#{entry.id}"
    try:
        found, verdict = _read(page, entry)
    except BabysitError as error:
        return {"run": link, "status": "? unreadable", "findings": str(error)}
    return {
        "run": link,
        "status": ICONS.get(found.status, found.status),
        "findings": verdict,
        "best val accuracy": "" if found.best_accuracy != found.best_accuracy else percent(found.best_accuracy),
        "last loss": number(found.last_loss, 4) if found.step is not None else "",
        "steps": found.step,
        "started": started(found.created),
    }


def _read(page: Page, entry: RunEntry) -> tuple[Line, str]:
    """A run's line and verdict; those of ended runs are kept, for they change no more."""
    key = (str(entry.path), entry.status)
    if key in _ended:
        return _ended[key]
    with page.dashboard.reading([entry.id]) as (run,):
        found = line(run)
    report = report_of(page, entry.id)
    verdict = short_verdict(report)
    if entry.status in ("finished", "crashed"):
        with _lock:
            _ended[key] = (found, verdict)
    return found, verdict
