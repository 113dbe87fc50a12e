"""Which runs there are below a directory, that may also not exist yet."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from app.notes import NAME
from probes.errors import InvalidArgumentError, RunDirectoryError
from probes.runlog import glance, list_runs

MANIFEST = "run.json"

KEPT_SECONDS = {"finished": float("inf"), "crashed": 30.0}
"""How long an ended run's entry is believed while its manifest stays the same. A crash may be a judgement from outside
(no heartbeat from another machine), which turns out wrong when the writer is heard of again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunEntry:
    """One run in the table of runs.

    Attributes:
        id: its path below the runs directory with "/" between parts; what URLs and the page's messages say.
        status: "running", "finished", "crashed", "stalled", or "unreadable".
        created: Unix time, seconds.
        error: why it cannot be read, or None.
    """

    id: str
    path: Path
    status: str
    created: float
    error: str | None = None


class RunsDirectory:
    """The runs below `root`; `root` may be a run directory itself, and need not exist yet.

    Attributes:
        version: grows by one whenever the list of runs, or the status of one, changed.
        gallery: somebody has written a README.md about these runs: they are there to be browsed.

    Raises:
        InvalidArgumentError: `root` is a file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        if self.root.exists() and not self.root.is_dir():
            raise InvalidArgumentError(f"{root} is a file; name a directory of runs (or one that is still to come)")
        self.version = 0
        self.gallery = (self.root / NAME).is_file() and not (self.root / MANIFEST).exists()
        self._entries: tuple[RunEntry, ...] = ()
        self._ended: dict[Path, tuple[object, float, RunEntry]] = {}
        self._lock = threading.Lock()

    @property
    def entries(self) -> tuple[RunEntry, ...]:
        """The runs, newest first, as of the last `refresh`."""
        return self._entries

    @property
    def exists(self) -> bool:
        return self.root.is_dir()

    def refresh(self) -> bool:
        """Looks again. True when anything changed."""
        with self._lock:
            entries = tuple(sorted(self._look(), key=lambda entry: (-entry.created, entry.id)))
            if entries == self._entries:
                return False
            self._entries = entries
            self.version += 1
            return True

    def locate(self, run_id: str) -> Path:
        """The directory of a run.

        Raises:
            RunDirectoryError: `run_id` leads out of the runs directory.
        """
        if (self.root / MANIFEST).is_file() and run_id == self.root.name:
            return self.root
        parts = run_id.split("/")
        if not run_id or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            raise RunDirectoryError(f"there is no run {run_id!r} in {self.root}; choose one of the list")
        return self.root.joinpath(*parts)

    def _look(self) -> list[RunEntry]:
        found = list_runs(self.root) if self.exists else []
        entries = [self._entry(path) for path in found]
        for gone in self._ended.keys() - set(found):
            del self._ended[gone]
        return entries

    def _entry(self, path: Path) -> RunEntry:
        """The run at `path`; one whose manifest says that it has ended is not read again until that changes."""
        manifest = _identity(path / MANIFEST)
        kept = self._ended.get(path)
        if kept is not None and manifest is not None and kept[0] == manifest and time.monotonic() < kept[1]:
            return kept[2]
        run_id = self.root.name if path == self.root else path.relative_to(self.root).as_posix()
        try:
            seen = glance(path)
        except (RunDirectoryError, OSError) as error:
            return RunEntry(run_id, path, "unreadable", 0.0, str(error))
        except Exception as error:  # noqa: BLE001 - anything may lie in the directory: what breaks one entry is shown
            # in its place and must not hide the others.
            _log.debug("a glance at %s failed", path, exc_info=True)
            return RunEntry(run_id, path, "unreadable", 0.0, f"{path} is not readable: {type(error).__name__}: {error}")
        entry = RunEntry(run_id, path, seen.status, seen.created)
        if seen.status in KEPT_SECONDS:
            self._ended[path] = (manifest, time.monotonic() + KEPT_SECONDS[seen.status], entry)
        return entry


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
