"""The script Streamlit runs for every page: finds out which run is meant, and hands it to the view."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable

import streamlit as st

from app.component import live_version
from app.store import Dashboard, Page, dashboard
from app.views import VIEWS, home, style
from probes.errors import BabysitError

_log = logging.getLogger("app.main")

_CHOICE = "babysit-run"
_OF_ALL_RUNS = ("runs", "compare")  # views that show something also when the chosen run cannot be read
_FOLLOW = ""  # the choice of whoever chose nothing: always the newest run


def main() -> None:
    st.set_page_config(page_title="babysit", layout="wide")
    try:
        served = dashboard()
    except BabysitError as error:
        _cannot(str(error))
        return
    first = home(served.directory.gallery)
    pages = [
        st.Page(_shown(url_path, render, served), title=label, url_path=url_path, default=url_path == first)
        for _title, url_path, label, render in VIEWS
    ]
    page = st.navigation(pages)
    # Runs that start, end or vanish: the list in the sidebar, and the newest run, follow.
    live_version([], key="babysit-list")
    page.run()


def _shown(url_path: str, render: Callable[[Page], None], served: Dashboard) -> Callable[[], None]:
    def show() -> None:
        run_id = _choose(served)
        if run_id is None:
            _waiting(served)
            return
        try:
            if url_path not in _OF_ALL_RUNS:
                # Said here: inside a view's fragments Streamlit would put its own words in the error's place.
                with served.reading([run_id]):
                    pass
            render(Page(served, run_id, served.directory.entries))
        except BabysitError as error:
            style.apply()
            _cannot(str(error))
            if served.may_be(run_id):
                live_version([run_id], key="babysit-broken")
        except Exception as error:  # noqa: BLE001 - a fault in one view is shown in its place, with the list of runs
            # and the other views still in reach; the traceback goes to the terminal.
            _log.exception("the view of %s failed", run_id)
            _cannot(f"{type(error).__name__}: {error}")

    show.__name__ = render.__module__.rpartition(".")[2]
    return show


def _choose(served: Dashboard) -> str | None:
    """The run to show: the one in the URL or chosen in the sidebar, else the newest; None while there is none."""
    ids = [entry.id for entry in served.directory.entries]
    if _CHOICE not in st.session_state:
        st.session_state[_CHOICE] = st.query_params.get("run", _FOLLOW)
    chosen = st.session_state[_CHOICE]
    if not ids and not chosen:
        return None
    # A run that was chosen and then deleted stays in the list: its page says what happened.
    options = [_FOLLOW, *ids, *([chosen] if chosen not in ("", *ids) else [])]
    labels = {_FOLLOW: f"Newest: {ids[0]}" if ids else "Newest"}
    chosen = st.sidebar.selectbox("Run", options, key=_CHOICE, format_func=lambda run_id: labels.get(run_id, run_id))
    if chosen:
        st.query_params["run"] = chosen
    elif "run" in st.query_params:
        del st.query_params["run"]
    return chosen or (ids[0] if ids else None)


def _waiting(served: Dashboard) -> None:
    style.apply()
    st.subheader("Waiting for the first run")
    what = "has no run in it yet" if served.directory.exists else "does not exist yet"
    st.text(f"{served.directory.root} {what}. This page shows the first run as soon as it starts.")
    st.caption("Start one from another terminal:")
    st.code(f"babysit train demo --runs {shlex.quote(str(served.directory.root))}", language="bash")


def _cannot(reason: str) -> None:
    st.error("This cannot be shown.")
    st.text(reason)


main()
