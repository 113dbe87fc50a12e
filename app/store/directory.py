"""Which runs there are below a directory, that may also not exist yet."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from probes.errors import InvalidArgumentError, RunDirectoryError
from probes.runlog import glance, list_runs

MANIFEST = "run.json"


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

    Raises:
        InvalidArgumentError: `root` is a file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        if self.root.exists() and not self.root.is_dir():
            raise InvalidArgumentError(f"{root} is a file; name a directory of runs (or one that is still to come)")
        self.version = 0
        self._entries: tuple[RunEntry, ...] = ()
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
        if not self.exists:
            return []
        return [self._entry(found) for found in list_runs(self.root)]

    def _entry(self, path: Path) -> RunEntry:
        run_id = self.root.name if path == self.root else path.relative_to(self.root).as_posix()
        try:
            seen = glance(path)
        except RunDirectoryError as error:
            return RunEntry(run_id, path, "unreadable", 0.0, str(error))
        return RunEntry(run_id, path, seen.status, seen.created)
