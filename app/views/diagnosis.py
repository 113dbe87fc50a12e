"""Diagnosis: what is wrong, why, and what to change."""

from __future__ import annotations

import streamlit as st

from app.component import live_chart
from app.markup import finding_card
from app.series.evidence import charts_of
from app.series.numbers import plural
from app.store import Page
from app.views import style
from app.views.header import framed
from app.views.reports import report_of
from probes.diagnosis import RULES, Finding, Report

MAX_CHARTS = 8


def render(page: Page) -> None:
    """Findings, each cause before its symptoms, with the evidence drawn; then what could not be judged."""
    framed(page, lambda: _cards(page))


def _cards(page: Page) -> None:
    report = report_of(page)
    room = MAX_CHARTS
    for number, finding in enumerate(report.findings, 1):
        charts = charts_of(finding)[:room]
        room -= len(charts)
        _card(page, number, finding, charts)
    _not_judged(report)


def _card(page: Page, number: int, finding: Finding, charts: list[dict]) -> None:
    text, evidence = st.columns(2, gap="small")
    with text:
        style.show(finding_card(number, finding))
        _explain(finding.rule)
    with evidence:
        for params in charts:
            key = f"evidence {finding.rule} {number} {params['series']}"
            label = f"Evidence for {finding.title}"
            live_chart("diagnosis.evidence", [page.run_id or ""], params, 215, key=key, label=label)


def _explain(slug: str) -> None:
    rule = RULES.get(slug)
    if rule is None:
        return
    with st.expander(f"What “{slug}” means and when it misleads"):
        st.markdown(rule.doc)


def _not_judged(report: Report) -> None:
    if report.not_judged:
        with st.expander(f"Not judged: {plural(len(report.not_judged), 'rule')}", expanded=not report.findings):
            rows = [{"rule": rule, "why not": reason} for rule, reason in report.not_judged]
            st.dataframe(rows, hide_index=True, height="content")
    if report.clear:
        with st.expander(f"Judged and clear: {plural(len(report.clear), 'rule')}"):
            summaries = {slug: RULES[slug].summary if slug in RULES else "" for slug in report.clear}
            rows = [{"rule": slug, "what it looks for": summary} for slug, summary in summaries.items()]
            st.dataframe(rows, hide_index=True, height="content")
