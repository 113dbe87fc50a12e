"""The frame of every view of a run: name, status, progress and verdict on top, kept fresh together with what is below.

One fragment holds it all, so that a page has one clock: when the run has something new, header and body are drawn
again in one go, at most once a second. Charts do not depend on it; they follow the run by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from app.component import live_version
from app.series.about import about
from app.series.facts import Facts, explanation, facts, words
from app.series.verdict import WORDS, Verdict, verdict
from app.store import Page
from app.views import style
from app.views.reports import report_of
from probes.errors import BabysitError

STATUS_ICONS = {"running": "▶", "finished": "■", "crashed": "✕", "stalled": "!"}
STATUS_TONES = {"running": "info", "finished": "unknown", "crashed": "critical", "stalled": "warning"}


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
    markup = _first_line(name, found) + _notes(found)
    if banner and found.step is not None:
        markup += _verdict(page)
    style.show(markup)
    if found.step is not None or not needs_steps:
        body()
    else:
        rows = "".join(f"<dt>{style.text(label)}</dt><dd>{style.text(value)}</dd>" for label, value in known)
        style.show(f'<dl class="bs-about">{rows}</dl>')


def _first_line(name: str, found: Facts) -> str:
    tone, icon = STATUS_TONES.get(found.status, "unknown"), STATUS_ICONS.get(found.status)
    parts = [f'<span class="bs-name">{style.text(name)}</span>', style.chip(tone, found.status, icon=icon)]
    parts += [f'<span class="bs-fact">{style.text(phrase)}</span>' for phrase in words(found)]
    line = f'<div class="bs-head">{"".join(parts)}</div>'
    if found.share is not None and found.status == "running":
        line += f'<div class="bs-bar" aria-hidden="true"><i style="width:{found.share:.2%}"></i></div>'
    return line


def _notes(found: Facts) -> str:
    note = explanation(found)
    markup = f'<div class="bs-note">{style.text(note)}</div>' if note else ""
    for problem in found.problems[:3]:
        markup += f'<div class="bs-note">{style.chip("warning", "damaged file")} {style.text(problem)}</div>'
    return markup


def _verdict(page: Page) -> str:
    try:
        return banner_markup(verdict(report_of(page)))
    except BabysitError as error:
        return f'<div class="bs-note">{style.chip("warning", "no diagnosis")} {style.text(error)}</div>'


def banner_markup(found: Verdict) -> str:
    """The verdict as a banner: icon, word and colour together."""
    more = style.text(found.detail)
    if found.advice:
        more += f" <b>Try:</b> {style.text(found.advice)}"
    word = "" if found.tone == "good" else f"{WORDS[found.tone]}: "
    return (
        f'<div class="bs-banner" role="status" style="--tone: var(--{found.tone})">'
        f'<span class="bs-icon" aria-hidden="true">{style.ICONS[found.tone]}</span>'
        f'<span class="bs-headline">{word}{style.text(found.headline)}</span>'
        f'<span class="bs-coverage">{style.text(found.coverage)}</span>'
        f'<span class="bs-more">{more}</span></div>'
    )
