"""The frame of every view of a run: name, status, progress and verdict on top, kept fresh together with what is below.

One fragment holds it all, so that a page has one clock: when the run has something new, header and body are drawn
again in one go, at most once a second. Charts do not depend on it; they follow the run by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from app.component import live_version
from app.markup import chip, heading, text, verdict_banner
from app.notes import note
from app.series.about import about
from app.series.facts import Facts, explanation, facts, words
from app.series.verdict import verdict
from app.store import Page
from app.views import style
from app.views.reports import report_of
from probes.errors import BabysitError


@st.fragment
def framed(page: Page, body: Callable[[], None], *, banner: bool = True, needs_steps: bool = True) -> None:
    """Draws the header and then `body`; both again whenever the run has something new.

    Until the first step there is nothing to draw (unless not `needs_steps`): what is known of the run stands there
    instead. The sidebar is out of a fragment's reach: widgets in it belong before this call.
    """
    style.apply()
    live_version([page.run_id or ""], key="header")
    with page.reading() as run:
        found, name, known = facts(run, time.time()), run.name, about(run)
    markup = heading(name, found, words(found)) + _notes(found)
    if banner and found.step is not None:
        markup += _verdict(page) + _written(run.path)
    style.show(markup)
    if found.step is not None or not needs_steps:
        body()
    else:
        rows = "".join(f"<dt>{text(label)}</dt><dd>{text(value)}</dd>" for label, value in known)
        style.show(f'<dl class="bs-about">{rows}</dl>')


def _notes(found: Facts) -> str:
    note = explanation(found)
    markup = f'<div class="bs-note">{text(note)}</div>' if note else ""
    for problem in found.problems[:3]:
        markup += f'<div class="bs-note">{chip("warning", "damaged file")} {text(problem)}</div>'
    return markup


def _written(directory: Path) -> str:
    said = note(directory)
    return f'<div class="bs-note"><b>Note:</b> {text(said)}</div>' if said else ""


def _verdict(page: Page) -> str:
    try:
        return verdict_banner(verdict(report_of(page)))
    except BabysitError as error:
        return f'<div class="bs-note">{chip("warning", "no diagnosis")} {text(error)}</div>'
