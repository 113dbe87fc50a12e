"""Runs: all of them, to find one again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import streamlit as st

from app.component import live_version
from app.notes import note
from app.series.numbers import number, percent
from app.series.runs import Line, line, started
from app.series.verdict import short_verdict
from app.store import Page, RunEntry
from app.views import style
from app.views.reports import report_of
from probes.errors import BabysitError

MAX_RUNS = 200
ICONS = {"running": "▶ running", "finished": "■ finished", "crashed": "✕ crashed", "stalled": "! stalled"}
FEW, REDRAW_SECONDS = 8, 1.0
FINDINGS_WIDTH, NOTE_WIDTH = 300, 480  # pixels; by themselves they would follow what stands there at first
Known = tuple[Line | None, str]  # the verdict, or in its place why there is no line
_ended: dict[tuple[str, str], Known] = {}
_lock = threading.Lock()


def render(page: Page) -> None:
    """The table, with a search box and a link to each run."""
    style.apply()
    _table(page)


@st.fragment
def _table(page: Page) -> None:
    live_version([], key="runs table")
    directory = page.dashboard.directory
    entries = sorted(directory.entries, key=lambda entry: entry.id) if directory.gallery else directory.entries
    search = st.text_input("Search", key="runs search", placeholder="part of a name or a status", width=360)
    found = [entry for entry in entries if search.lower() in f"{entry.id} {entry.status}".lower()]
    st.caption(
        f"{len(found):,} of {len(entries):,} runs" + (f", the first {MAX_RUNS}" if len(found) > MAX_RUNS else "")
    )
    if not found:
        st.info("No run matches." if entries else "There is no run yet.")
        return
    place = st.empty()
    _fill(page, found[:MAX_RUNS], lambda rows: _show(place, rows))


def _show(place: Any, rows: list[dict[str, object]]) -> None:
    columns = {
        "run": st.column_config.LinkColumn(display_text=r"#(.*)$", width="medium"),
        "started": st.column_config.DatetimeColumn(format="MMM D, HH:mm"),
        "findings": st.column_config.TextColumn(width=FINDINGS_WIDTH),
        "note": st.column_config.TextColumn(width=NOTE_WIDTH),
    }
    place.dataframe(rows, hide_index=True, column_config=columns, height="content")


def _fill(page: Page, entries: Sequence[RunEntry], show: Callable[[list[dict[str, object]]], None]) -> None:
    """Shows at once what costs nothing, then reads run after run; the table is drawn anew about once a second."""
    notes = [note(entry.path) for entry in entries]
    rows = [_row(entry, _ended.get(_key(entry))) for entry in entries]
    unknown = [i for i, entry in enumerate(entries) if _key(entry) not in _ended]

    def draw() -> None:
        """With a column of notes where somebody wrote one."""
        show([_noted(row, said) for row, said in zip(rows, notes, strict=True)] if any(notes) else rows)

    if len(unknown) > FEW:
        draw()
    shown = time.monotonic()
    for done, i in enumerate(unknown, 1):
        rows[i] = _row(entries[i], _read(page, entries[i]))
        if time.monotonic() - shown > REDRAW_SECONDS and done < len(unknown):
            draw()
            shown = time.monotonic()
    draw()


def _noted(row: dict[str, object], said: str) -> dict[str, object]:
    """The row with its note behind the findings."""
    before = {key: row[key] for key in ("run", "status", "findings")}
    return before | {"note": said} | row


def _row(entry: RunEntry, known: Known | None) -> dict[str, object]:
    """One line of the table; `known` is None before the run was read."""
    row: dict[str, object] = {
        "run": f"/live?run={quote(entry.id)}#{entry.id}",
        "status": ICONS.get(entry.status, entry.status),
        "findings": "…",
        "best val accuracy": "",
        "last loss": "",
        "steps": None,
        "started": None,
    }
    if known is None:
        return row
    found, verdict = known
    if found is None:
        return row | {"status": "? unreadable", "findings": verdict}
    return row | {
        "status": ICONS.get(found.status, found.status),
        "findings": verdict,
        "best val accuracy": "" if found.best_accuracy != found.best_accuracy else percent(found.best_accuracy),
        "last loss": "" if found.last_loss is None else number(found.last_loss, 4),
        "steps": found.step,
        "started": started(found.created),
    }


def _read(page: Page, entry: RunEntry) -> Known:
    """A run's line and verdict (no line when it cannot be read); those of ended runs are kept, they change no more."""
    try:
        with page.dashboard.reading([entry.id]) as (run,):
            found = line(run)
        verdict = short_verdict(report_of(page, entry.id))
    except BabysitError as error:
        return None, str(error)
    if entry.status in ("finished", "crashed"):
        with _lock:
            _ended[_key(entry)] = (found, verdict)
    return found, verdict


def _key(entry: RunEntry) -> tuple[str, str]:
    return str(entry.path), entry.status
