"""Verdict, findings and sanity results as HTML: one look for the live page and the report file. No Streamlit.

Whatever comes from a run goes through `text` before it is markup.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

from app.series.sanity import TONES
from app.series.sanity import WORDS as CHECK_WORDS
from app.series.verdict import WORDS as VERDICT_WORDS
from app.series.verdict import when

if TYPE_CHECKING:
    from app.series.facts import Facts
    from app.series.sanity import Result
    from app.series.verdict import Verdict
    from probes.diagnosis import Finding

# Accents are mid-tones that hold on a light and on a dark page; text keeps the page's own colour.
CSS = """
.bs { --good: #12946d; --warning: #d58a00; --critical: #d9483b; --info: #3f8fcf; --unknown: #8b95a1; }
.bs-head { display: flex; flex-wrap: wrap; align-items: center; gap: 0.3rem 0.9rem; }
.bs-name { font-size: 1.25rem; font-weight: 650; overflow-wrap: anywhere; }
.bs-fact { font-size: 0.92rem; opacity: 0.82; font-variant-numeric: tabular-nums; }
.bs-chip { display: inline-flex; align-items: center; gap: 0.4em; padding: 0.08em 0.65em; border-radius: 1em;
  font-size: 0.85rem; font-weight: 600; border: 1.5px solid var(--tone);
  background: color-mix(in srgb, var(--tone) 14%, transparent); white-space: nowrap; }
.bs-icon { color: var(--tone); font-weight: 800; }
.bs-banner { display: grid; grid-template-columns: auto 1fr auto; gap: 0.1rem 0.9rem; align-items: center;
  margin-top: 0.5rem; padding: 0.55rem 0.9rem; border-radius: 0.5rem; border-left: 5px solid var(--tone);
  background: color-mix(in srgb, var(--tone) 11%, transparent); }
.bs-banner .bs-icon { font-size: 1.5rem; width: 1.3em; text-align: center; }
.bs-banner:has(.bs-more) .bs-icon { grid-row: span 2; }
.bs-headline { font-size: 1.06rem; font-weight: 650; overflow-wrap: anywhere; }
.bs-more { font-size: 0.9rem; opacity: 0.88; overflow-wrap: anywhere; }
.bs-banner .bs-more { grid-column: 2 / -1; }
.bs-coverage { font-size: 0.82rem; opacity: 0.75; text-align: right; max-width: 15rem; }
.bs-bar { height: 3px; border-radius: 2px; background: color-mix(in srgb, currentColor 12%, transparent);
  margin-top: 0.45rem; overflow: hidden; }
.bs-bar > i { display: block; height: 100%; background: var(--info); }
.bs-note { font-size: 0.92rem; opacity: 0.85; margin-top: 0.4rem; overflow-wrap: anywhere; }
.bs-card { padding: 0.7rem 0.95rem; border-radius: 0.5rem;
  border: 1px solid color-mix(in srgb, currentColor 14%, transparent); border-left: 5px solid var(--tone); }
.bs-card h4 { margin: 0; padding: 0; font-size: 1.06rem; font-weight: 650; display: flex; flex-wrap: wrap;
  gap: 0.6rem;
  align-items: center; }
.bs-card p { margin: 0.35rem 0 0; font-size: 0.95rem; overflow-wrap: anywhere; }
.bs-card ol { margin: 0.3rem 0 0; padding-left: 1.3rem; font-size: 0.95rem; }
.bs-card li { overflow-wrap: anywhere; }
.bs-card code { font-size: 0.85rem; }
.bs-gap { margin-bottom: 0.5rem; }
.bs-row { display: grid; grid-template-columns: 6rem minmax(8rem, 15.5rem) minmax(0, 2fr);
  gap: 0.8rem; align-items: baseline; padding: 0.3rem 0;
  font-size: 0.95rem; border-bottom: 1px solid color-mix(in srgb, currentColor 9%, transparent); }
.bs { container-type: inline-size; }
@container (max-width: 44rem) {
  .bs-row { grid-template-columns: 6rem minmax(0, 1fr); gap: 0.1rem 0.8rem; }
  .bs-row > :nth-child(3) { grid-column: 2; }
}
.bs-row > * { overflow-wrap: anywhere; }
.bs-details summary { cursor: pointer; }
.bs-card .bs-details { margin: 0.4rem 0 0; font-size: 0.9rem; }
.bs-row .bs-details summary { list-style-position: outside; }
.bs-details summary::marker { color: color-mix(in srgb, currentColor 45%, transparent); font-size: 0.8em; }
.bs-details pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.8rem; margin: 0.3rem 0 0;
  max-height: 14rem; overflow: auto; }
.bs-symptom { margin-left: 2.2rem; }
.bs-about { display: grid; grid-template-columns: max-content 1fr; gap: 0.35rem 1.2rem; margin: 0.8rem 0;
  padding: 0.9rem 1.1rem; border-radius: 0.5rem; background: color-mix(in srgb, currentColor 5%, transparent); }
.bs-about dt { opacity: 0.7; } .bs-about dd { margin: 0; overflow-wrap: anywhere; }
.bs-pin { display: inline-flex; justify-content: center; align-items: center; min-width: 1.5em; height: 1.5em;
  border-radius: 50%; font-size: 0.85rem; font-weight: 700; color: #fff; background: #4b5563; }
"""

ICONS = {"good": "✓", "info": "i", "warning": "!", "critical": "✕", "unknown": "?"}
STATUS_ICONS = {"running": "▶", "finished": "■", "crashed": "✕", "stalled": "!"}
STATUS_TONES = {"running": "info", "finished": "unknown", "crashed": "critical", "stalled": "warning"}
SEVERITY_WORDS = {"critical": "critical", "warning": "warning", "info": "note"}
MAX_EVIDENCE = 4000  # letters of a check's evidence; curves are drawn, not read


def text(value: object) -> str:
    """Anything from a run, as HTML text."""
    return html.escape(str(value))


def chip(tone: str, words: str, title: str = "", icon: str | None = None) -> str:
    """An icon and a word in a coloured pill."""
    hint = f' title="{text(title)}"' if title else ""
    return (
        f'<span class="bs-chip" style="--tone: var(--{tone})"{hint}>'
        f'<span class="bs-icon" aria-hidden="true">{icon or ICONS[tone]}</span>{text(words)}</span>'
    )


def heading(name: str, found: Facts, phrases: list[str]) -> str:
    """A run's name, status and facts in one line, with a bar for the share that is done."""
    tone, icon = STATUS_TONES.get(found.status, "unknown"), STATUS_ICONS.get(found.status)
    parts = [f'<span class="bs-name">{text(name)}</span>', chip(tone, found.status, icon=icon)]
    parts += [f'<span class="bs-fact">{text(phrase)}</span>' for phrase in phrases]
    line = f'<div class="bs-head">{"".join(parts)}</div>'
    if found.share is not None and found.status == "running":
        line += f'<div class="bs-bar" aria-hidden="true"><i style="width:{found.share:.2%}"></i></div>'
    return line


def banner(tone: str, headline: str, coverage: str = "", more: str = "") -> str:
    """Icon, one sentence and colour together. `more` is markup, the rest plain text."""
    return (
        f'<div class="bs-banner" role="status" style="--tone: var(--{tone})">'
        f'<span class="bs-icon" aria-hidden="true">{ICONS[tone]}</span>'
        f'<span class="bs-headline">{text(headline)}</span>'
        f'<span class="bs-coverage">{text(coverage)}</span>'
        + (f'<span class="bs-more">{more}</span>' if more else "")
        + "</div>"
    )


def verdict_banner(found: Verdict) -> str:
    """The verdict on a run."""
    more = text(found.detail)
    if found.advice:
        more += f" <b>Try:</b> {text(found.advice)}"
    word = "" if found.tone == "good" else f"{VERDICT_WORDS[found.tone]}: "
    return banner(found.tone, word + found.headline, found.coverage, more)


def finding_card(number: int, finding: Finding) -> str:
    """A finding: what, since when, where, why, and what to try."""
    cause = f'<p class="bs-more">explained by <b>{text(finding.caused_by)}</b></p>' if finding.caused_by else ""
    tries = "".join(f"<li>{text(one)}</li>" for one in finding.suggestions)
    layers = ", ".join(finding.layers[:6]) + (" …" if len(finding.layers) > 6 else "")
    return (
        f'<div class="bs-card{" bs-symptom" if finding.caused_by else ""}" style="--tone: var(--{finding.severity})">'
        f'<h4><span class="bs-pin">{number}</span>{text(finding.title)}'
        f"{chip(finding.severity, SEVERITY_WORDS[finding.severity])}</h4>"
        f'<p class="bs-more">{text(when(finding))}{text(" · " + layers) if layers else ""}</p>{cause}'
        f"<p>{text(finding.message)}</p>"
        + (f"<p><b>Try, in this order:</b></p><ol>{tries}</ol>" if tries else "")
        + "</div>"
    )


def check_row(result: Result) -> str:
    """A sanity result: what needs attention as a card, the rest as one line; the numbers behind it on demand."""
    tone = TONES[result.status]
    badge, name, message = chip(tone, CHECK_WORDS[result.status]), text(result.check), text(result.message)
    if result.status in ("pass", "skip"):
        told = _details(result, message) or message
        return f'<div class="bs-row"><span>{badge}</span><b>{name}</b><span>{told}</span></div>'
    tries = "".join(f"<li>{text(one)}</li>" for one in result.suggestions)
    tries = f"<p><b>Try, in this order:</b></p><ol>{tries}</ol>" if tries else ""
    return (
        f'<div class="bs-card bs-gap" style="--tone: var(--{tone})"><h4>{badge}{name}</h4>'
        f"<p>{message}</p>{tries}{_details(result, 'numbers')}</div>"
    )


def _details(result: Result, summary: str) -> str:
    """What was measured, behind its `summary` (markup); "" when nothing was."""
    if not result.evidence:
        return ""
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)[:300]}" for key, value in result.evidence.items()]
    told = "\n".join(lines)[:MAX_EVIDENCE]
    return f'<details class="bs-details"><summary>{summary}</summary><pre>{text(told)}</pre></details>'
