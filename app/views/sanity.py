"""Sanity: could this model, loss and data learn at all, before any training?"""

from __future__ import annotations

import streamlit as st

from app.series.sanity import TONES, WORDS, Result, card
from app.store import Page
from app.views import style
from app.views.header import framed

NOTHING = (
    "No sanity report is saved with this run, so nothing is known about it. "
    "The checks take seconds and are best run before training:"
)
HOW = "report = probes.check(model, loss_fn, loader)\nreport.save(run_dir)          # shown here from then on"


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
    style.show(
        f'<div class="bs-banner" style="--tone: var(--{found.tone})"><span class="bs-icon" aria-hidden="true">'
        f'{style.ICONS[found.tone]}</span><span class="bs-headline">{style.text(found.headline)}</span></div>'
    )
    style.show("".join(_row(result) for result in found.results))


def _row(result: Result) -> str:
    """What needs attention as a card, the rest as one line."""
    tone = TONES[result.status]
    badge, name, message = style.chip(tone, WORDS[result.status]), style.text(result.check), style.text(result.message)
    if result.status in ("pass", "skip"):
        return f'<div class="bs-row"><span>{badge}</span><b>{name}</b><span>{message}</span></div>'
    tries = "".join(f"<li>{style.text(one)}</li>" for one in result.suggestions)
    return (
        f'<div class="bs-card bs-gap" style="--tone: var(--{tone})"><h4>{badge}{name}</h4>'
        f"<p>{message}</p>{f'<ol>{tries}</ol>' if tries else ''}</div>"
    )
