"""What stands on top of every view of a run: name, status, progress and the verdict."""

from __future__ import annotations

import time

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


def header(page: Page, *, banner: bool = True) -> bool:
    """Style, name, status and verdict; follows the run. The page is drawn anew when new kinds of data appear.

    Returns:
        Whether there is anything to draw below; when not, what is known of the run has been shown instead.
    """
    style.apply()
    key = f"kinds {page.run_id}"
    st.session_state[key] = _kinds(page)
    _live(page, banner, key)
    with page.reading() as run:
        started, known = run.last_step is not None, about(run)
    if not started:
        rows = "".join(f"<dt>{style.text(label)}</dt><dd>{style.text(value)}</dd>" for label, value in known)
        style.show(f'<dl class="bs-about">{rows}</dl>')
    return started


@st.fragment
def _live(page: Page, banner: bool, key: str) -> None:
    live_version([page.run_id], key="header")
    if st.session_state.get(key) != (kinds := _kinds(page)):
        st.session_state[key] = kinds
        st.rerun()
    with page.reading() as run:
        found, name = facts(run, time.time()), run.name
    markup = _first_line(name, found)
    note = explanation(found)
    if note:
        markup += f'<div class="bs-note">{style.text(note)}</div>'
    for problem in found.problems[:3]:
        markup += f'<div class="bs-note">{style.chip("warning", "damaged file")} {style.text(problem)}</div>'
    if banner and found.step is not None:
        try:
            markup += banner_markup(verdict(report_of(page)))
        except BabysitError as error:
            markup += f'<div class="bs-note">{style.chip("warning", "no diagnosis")} {style.text(error)}</div>'
    style.show(markup)


def _first_line(name: str, found: Facts) -> str:
    parts = [f'<span class="bs-name">{style.text(name)}</span>']
    icon = STATUS_ICONS.get(found.status)
    parts.append(style.chip(STATUS_TONES.get(found.status, "unknown"), found.status, icon=icon))
    parts += [f'<span class="bs-fact">{style.text(phrase)}</span>' for phrase in words(found)]
    line = f'<div class="bs-head">{"".join(parts)}</div>'
    if found.share is not None and found.status == "running":
        line += f'<div class="bs-bar" aria-hidden="true"><i style="width:{found.share:.2%}"></i></div>'
    return line


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


def _kinds(page: Page) -> tuple[tuple[str, ...], ...]:
    """What a page's layout depends on: kinds of data, and the findings pinned on its charts."""
    with page.reading() as run:
        started = (str(run.last_step is not None),)
        kinds = started, tuple(run.series_names), tuple(run.layer_kinds), tuple(run.histogram_kinds)
    return *kinds, tuple(f"{finding.rule} {finding.first_step}" for finding in report_of(page).findings)
