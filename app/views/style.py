"""The page's own look: less empty space than Streamlit's default, and the markup of `app.markup` on the page."""

from __future__ import annotations

import streamlit as st

from app.markup import CSS

PAGE_CSS = """
.block-container { padding: 1.4rem 1.6rem 1.5rem; max-width: none; }
body:has([data-testid="stSidebar"][data-collapsed="true"]) .block-container { padding-top: 3rem; }
[data-testid="stHeader"] { background: transparent; height: 2.2rem; min-height: 2.2rem; }
[data-testid="stSidebar"][style*="width: 300px"] { width: 16rem !important; min-width: 16rem; }
[data-testid="stSidebarHeader"] { height: 2.2rem; margin-bottom: 0.2rem; }
[data-testid="stSidebarNav"] { padding-top: 0.2rem; }
[data-testid="stVerticalBlock"] { gap: 0.6rem; }
"""


def apply() -> None:
    """Puts the style sheet on the page."""
    st.html(f"<style>{PAGE_CSS}{CSS}</style>")


def show(markup: str) -> None:
    """Puts markup of `app.markup` on the page."""
    st.html(f'<div class="bs">{markup}</div>')
