"""What the dashboard is started with, and the Streamlit options that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import theme
from app.server.guard import allowed_hosts

DEFAULT_PORT = 8501
PORTS_TRIED = 20


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        runs_dir: directory of runs, or one run; need not exist yet.
        host: address to bind to.
        port: 0 for any free one, None for the first free one from 8501 on.
        open_browser: open the page in the user's browser.
        allow_hosts: further host names under which the page may be reached (a proxy's).
    """

    runs_dir: Path
    host: str = "127.0.0.1"
    port: int | None = None
    open_browser: bool = True
    allow_hosts: tuple[str, ...] = ()


def streamlit_config(settings: Settings, port: int) -> dict[str, Any]:
    """Every Streamlit option babysit relies on: `App.run` reads none from the environment, and a user's own
    Streamlit configuration must not change this page."""
    return {
        "server.address": settings.host,
        "server.port": port,
        "server.allowedHosts": allowed_hosts(settings.host, settings.allow_hosts),
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        # A full garbage collection after each rerun cost more than the rerun itself.
        "runner.postScriptGC": False,
        "runner.magicEnabled": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "warning",
        # Any plain theme.* option would switch the automatic dark mode off.
        **theme.streamlit_options(),
    }
