"""One run, kept open: reads what is new, counts versions, and keeps two threads from reading it at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probes.errors import BabysitError, RunDirectoryError
from probes.runlog import Run, open_run

_log = logging.getLogger(__name__)

# Reports that lie beside the log: a change of one is a new version too.
_REPORTS = ("findings.json", "checks.json")


class RunStore:
    """A run directory as the dashboard sees it; safe to use from any thread.

    A run that cannot be read is a state, not an exception: `error` says why, and the next `refresh` tries again.

    Attributes:
        version: grows by one whenever a refresh found anything new (rows, status, reports, an error come or gone).
        error: why the run cannot be read, one line; None while it can.
    """

    def __init__(self, run_id: str, path: Path) -> None:
        self.run_id = run_id
        self.path = path
        self.version = 0
        self.error: str | None = None
        self._run: Run | None = None
        self._seen: object = None
        self._status: str | None = None
        self._identity: tuple[int, int] | None = None
        self._readers = 0
        self._lock = threading.RLock()

    def refresh(self, patience: float = -1) -> bool | None:
        """Takes in what is new, opening the run when it is not open yet.

        Args:
            patience: seconds to wait for whoever is reading the run just now; without end by default.

        Returns:
            Whether `version` grew; None when the run was being read all the while.
        """
        if not self._lock.acquire(timeout=patience):
            return None
        try:
            if self._readers:
                return False  # this very thread is reading: the run stays as it is until it is done
            grew = self._take_in()
            seen = (self.error, self._status, self._report_times())
            if grew or seen != self._seen:
                self._seen = seen
                self.version += 1
                return True
            return False
        finally:
            self._lock.release()

    @contextmanager
    def reading(self) -> Iterator[Run]:
        """The open run, which nobody else reads or refreshes meanwhile.

        Raises:
            RunDirectoryError: the run cannot be read (`error` has the reason).
        """
        with self._lock:
            if self._run is None and self.error is None:
                self.refresh()
            if self._run is None or self.error is not None:
                raise RunDirectoryError(self.error or f"{self.path} cannot be read")
            self._readers += 1
            try:
                yield self._run
            finally:
                self._readers -= 1

    def _take_in(self) -> bool:
        try:
            if self._run is None or self._replaced():
                self._identity = self._directory_identity()
                self._run = open_run(self.path)
                grew = True
            else:
                grew = self._run.refresh()
            # Asked every time: a run stalls, or its process dies, without a file being written.
            self._status = self._run.status
        except (BabysitError, OSError) as error:
            return self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - a run of any shape may be dropped into the directory: one bad
            # run is an error on its own page, never the end of the thread that serves all the others.
            _log.exception("reading %s failed", self.path)
            return self._failed(f"{self.path} could not be read: {type(error).__name__}: {error}")
        self.error = None
        return grew

    def _failed(self, message: str) -> bool:
        if not self.path.exists():
            message = f"{self.path} is not there (any more)"
        # What failed half-way is not read on from: the next refresh opens the run anew.
        self._run = None
        changed = message != self.error
        self.error = message
        return changed

    def _directory_identity(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_dev, stat.st_ino

    def _replaced(self) -> bool:
        """True when the directory was deleted and made again: the old run's file offsets mean nothing in it."""
        return self._directory_identity() != self._identity

    def _report_times(self) -> tuple[int | None, ...]:
        return tuple(_modified(self.path / name) for name in _REPORTS)


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
