"""The dashboard's process: Streamlit, the live channel and the run stores, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from app.figures import registry
from app.server import assets
from app.server.guard import HostGuard, allowed_hosts
from app.server.live import live_route
from app.server.ports import choose_port
from app.server.settings import Settings, streamlit_config
from app.server.shell import PageShell, head
from app.store import Dashboard, close_dashboard, open_dashboard
from app.views import home

SCRIPT = Path(__file__).resolve().parent.parent / "main.py"


def build_app(settings: Settings, dashboard: Dashboard, on_start: Callable[[], None] = lambda: None) -> st.App:
    """The ASGI application. `on_start` is called when it accepts connections."""

    @asynccontextmanager
    async def lifespan(_app: st.App) -> AsyncIterator[None]:
        on_start()
        yield

    return st.App(
        SCRIPT,
        routes=[live_route(dashboard), assets.route],
        # The first is the outermost: nothing is answered, and nothing asked of Streamlit, before the guard.
        middleware=[
            Middleware(HostGuard, hosts=allowed_hosts(settings.host, settings.allow_hosts)),
            Middleware(PageShell, addition=head(assets.plotly_js().url), home=home(dashboard.directory.gallery)),
        ],
        lifespan=lifespan,
    )


def serve(settings: Settings) -> int:
    """Serves until stopped; returns the exit code.

    Raises:
        PortInUseError: before anything is started.
        InvalidArgumentError: the runs directory is a file, or the address is none of this machine.
    """
    port = choose_port(settings.host, settings.port)
    dashboard = open_dashboard(settings.runs_dir)
    prepare_ahead()
    # The web server stops in order on SIGTERM, and then raises it again for whoever was there before it: without a
    # handler that would end this process as if it had been killed.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app = build_app(settings, dashboard, on_start=lambda: _announce(settings))
        app.run(config=streamlit_config(settings, port))
    except KeyboardInterrupt:
        pass
    finally:
        close_dashboard()
    return 0


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def prepare_ahead() -> None:
    """Does in a thread what the first page would otherwise wait for: compressing plotly.js, importing the charts."""

    def prepare() -> None:
        assets.compress(assets.plotly_js())
        registry.load_all()

    threading.Thread(target=prepare, name="babysit-prepare", daemon=True).start()


def _announce(settings: Settings) -> None:
    # The port is known by now also when the system chose it.
    url = f"http://{_url_host(settings.host)}:{st.get_option('server.port')}"
    print(f"babysit dashboard: {url}  (runs in {settings.runs_dir})", flush=True)
    if settings.open_browser and _has_browser():
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _url_host(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _has_browser() -> bool:
    """A browser with a window: a text browser would take the terminal over."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
