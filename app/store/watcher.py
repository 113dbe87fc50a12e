"""Says that something below a directory was written: inotify (or its like) through watchdog.

Network filesystems tell nobody of what other machines write, so whoever listens polls slowly besides (see `Hub`).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

_log = logging.getLogger(__name__)

# Opening and closing are left out: reading a run would wake the reader again, for ever.
_WRITES: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class Watcher:
    """Calls `on_write(directory)` from a thread of its own whenever a watched directory's content changed.

    Watches are not recursive: a run directory is flat, and a tree of thousands of finished runs must not eat the
    system's inotify watches.
    """

    def __init__(self, on_write: Callable[[Path], None]) -> None:
        self._on_write = on_write
        self._watches: dict[Path, tuple[ObservedWatch, int]] = {}
        self._lock = threading.Lock()
        self._observer = Observer()
        self._observer.start()

    def watch(self, directory: Path) -> bool:
        """Watches `directory`. False when that cannot be done now (not there yet, no watches left)."""
        with self._lock:
            try:
                inode = directory.stat().st_ino
                if directory in self._watches:
                    if self._watches[directory][1] == inode:
                        return True
                    self._forget(directory)
                handler = _Handler(directory, self._on_write)
                watch = self._observer.schedule(handler, os.fspath(directory), event_filter=_WRITES)
            except OSError as error:
                # One that comes back later under the same name is another directory, to be watched anew.
                self._forget(directory)
                _log.debug("cannot watch %s (%s); polling only", directory, error)
                return False
            self._watches[directory] = (watch, inode)
            return True

    def unwatch(self, directory: Path) -> None:
        """Forgets `directory`; nothing happens when it is not watched."""
        with self._lock:
            self._forget(directory)

    def close(self) -> None:
        """Ends the thread."""
        self._observer.stop()
        self._observer.join(timeout=5)

    def _forget(self, directory: Path) -> None:
        watch, _ = self._watches.pop(directory, (None, 0))
        if watch is None:
            return
        try:
            self._observer.unschedule(watch)
        except (KeyError, OSError) as error:
            # The directory went away and its emitter ended by itself.
            _log.debug("unwatching %s: %r", directory, error)


class _Handler(FileSystemEventHandler):
    def __init__(self, directory: Path, on_write: Callable[[Path], None]) -> None:
        self._directory = directory
        self._on_write = on_write

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._on_write(self._directory)
