"""What the dashboard's process shares: the list of runs, the open runs, and the thread that keeps them fresh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.store.directory import RunEntry, RunsDirectory
from app.store.hub import POLL_SECONDS, Hub
from app.store.run_store import RunStore
from app.store.stores import Stores
from probes.errors import BabysitError, RunDirectoryError
from probes.runlog import Run


class Dashboard:
    """The runs directory being served. One per process, see `open_dashboard`."""

    def __init__(self, root: Path, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.directory = RunsDirectory(root)
        self.directory.refresh()
        self.stores = Stores(self.directory.locate)
        self.hub = Hub(self.directory, self.stores, poll_seconds=poll_seconds)

    def store(self, run_id: str) -> RunStore:
        """The store of a run.

        Raises:
            RunDirectoryError: there can be no run of that id.
        """
        return self.stores.get(run_id)

    def may_be(self, run_id: str) -> bool:
        """Whether there could be a run of that id, now or later."""
        try:
            self.directory.locate(run_id)
        except RunDirectoryError:
            return False
        return True

    @contextmanager
    def reading(self, run_ids: Sequence[str]) -> Iterator[list[Run]]:
        """The open runs, in the order asked for, held still meanwhile.

        Raises:
            RunDirectoryError: one of them cannot be read.
        """
        stores = {run_id: self.store(run_id) for run_id in run_ids}
        for run_id, store in stores.items():
            if not self.stores.is_pinned(run_id):
                store.refresh()  # nobody watches it, so the hub does not
        with ExitStack() as stack:
            # Always in the same order: two readers of the same two runs must not wait for each other.
            runs = {run_id: stack.enter_context(stores[run_id].reading()) for run_id in sorted(stores)}
            yield [runs[run_id] for run_id in run_ids]

    def stamp(self, run_ids: Sequence[str]) -> str:
        """Changes exactly when one of the runs has a new version, or, for no run, when the list of runs has."""
        if not run_ids:
            return f"list {self.directory.version}"
        return " ".join(f"{store.version}" for store in map(self.store, run_ids))

    def close(self) -> None:
        """Ends the threads; the runs stay readable."""
        self.hub.close()


@dataclass(frozen=True)
class Page:
    """What a view is given to draw.

    Attributes:
        run_id: the run chosen, None while there is none.
        entries: all runs, newest first.
    """

    dashboard: Dashboard
    run_id: str | None
    entries: Sequence[RunEntry]

    @contextmanager
    def reading(self) -> Iterator[Run]:
        """The chosen run, held still meanwhile.

        Raises:
            RunDirectoryError: it cannot be read, or there is none.
        """
        if self.run_id is None:
            raise RunDirectoryError(f"there is no run in {self.dashboard.directory.root} yet; start one")
        with self.dashboard.reading([self.run_id]) as (run,):
            yield run


_current: Dashboard | None = None


def open_dashboard(root: Path, *, poll_seconds: float = POLL_SECONDS) -> Dashboard:
    """Makes the process's dashboard serve `root`, closing the one before it, if any."""
    global _current
    close_dashboard()
    _current = Dashboard(root, poll_seconds=poll_seconds)
    return _current


def close_dashboard() -> None:
    """Ends the process's dashboard, if there is one."""
    global _current
    if _current is not None:
        _current.close()
        _current = None


def dashboard() -> Dashboard:
    """The process's dashboard.

    Raises:
        BabysitError: none was opened: the script was not started by `babysit dashboard`.
    """
    if _current is None:
        raise BabysitError("no runs directory is being served; start the page with: babysit dashboard RUNS_DIR")
    return _current
