"""Runs as the dashboard sees them: kept open, kept fresh, versioned. Knows no Streamlit."""

from app.store.dashboard import Dashboard, Page, close_dashboard, dashboard, open_dashboard
from app.store.directory import RunEntry, RunsDirectory
from app.store.hub import Hub, Subscription
from app.store.run_store import RunStore
from app.store.stores import Stores

__all__ = [
    "Dashboard",
    "Hub",
    "Page",
    "RunEntry",
    "RunStore",
    "RunsDirectory",
    "Stores",
    "Subscription",
    "close_dashboard",
    "dashboard",
    "open_dashboard",
]
