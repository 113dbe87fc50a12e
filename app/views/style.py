"""The page's own look: less empty space than Streamlit's default, and the banner, chips and cards."""

from __future__ import annotations

import html

import streamlit as st

# Accents are mid-tones that hold on a light and on a dark page; text keeps the page's own colour.
CSS = """
<style>
.block-container { padding: 1.4rem 1.6rem 1.5rem; max-width: none; }
body:has([data-testid="stSidebar"][data-collapsed="true"]) .block-container { padding-top: 3rem; }
[data-testid="stHeader"] { background: transparent; height: 2.2rem; min-height: 2.2rem; }
[data-testid="stSidebar"][style*="width: 300px"] { width: 16rem !important; min-width: 16rem; }
[data-testid="stSidebarHeader"] { height: 2.2rem; margin-bottom: 0.2rem; }
[data-testid="stSidebarNav"] { padding-top: 0.2rem; }
[data-testid="stVerticalBlock"] { gap: 0.6rem; }
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
.bs-banner .bs-icon { font-size: 1.5rem; grid-row: span 2; width: 1.3em; text-align: center; }
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
.bs-row { display: grid; grid-template-columns: 7rem 17rem 1fr; gap: 0.8rem; align-items: baseline; padding: 0.3rem 0;
  font-size: 0.95rem; border-bottom: 1px solid color-mix(in srgb, currentColor 9%, transparent); }
.bs-row > * { overflow-wrap: anywhere; }
.bs-symptom { margin-left: 2.2rem; }
.bs-about { display: grid; grid-template-columns: max-content 1fr; gap: 0.35rem 1.2rem; margin: 0.8rem 0;
  padding: 0.9rem 1.1rem; border-radius: 0.5rem; background: color-mix(in srgb, currentColor 5%, transparent); }
.bs-about dt { opacity: 0.7; } .bs-about dd { margin: 0; overflow-wrap: anywhere; }
.bs-pin { display: inline-flex; justify-content: center; align-items: center; min-width: 1.5em; height: 1.5em;
  border-radius: 50%; font-size: 0.85rem; font-weight: 700; color: #fff; background: #4b5563; }
</style>
"""

ICONS = {"good": "✓", "info": "i", "warning": "!", "critical": "✕", "unknown": "?"}


def apply() -> None:
    """Puts the style sheet on the page."""
    st.html(CSS)


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


def show(markup: str) -> None:
    """Puts markup of this module's classes on the page."""
    st.html(f'<div class="bs">{markup}</div>')
