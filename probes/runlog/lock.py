"""The writer's lock: one live writer per rank and run directory; its file's mtime is the heartbeat."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from filelock import FileLock, Timeout

from probes.errors import RunInUseError

# A reader that looks whether the lock is free holds it for some microseconds: a writer tries again until
# then.
_PATIENCE = 0.5

_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()  # by this process


class WriterLock:
    """Held from construction to `release`. Raises RunInUseError when another writer holds it, or OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path, thread_local=False)
        try:
            self._lock.acquire(timeout=_PATIENCE, poll_interval=0.02)
        except Timeout:
            raise RunInUseError(_in_use(path)) from None
        self._identity = _identity(os.stat(path))
        _held.add(self)

    def beat(self) -> None:
        """Move the heartbeat. Raises FileNotFoundError when the file (the directory, most likely) is gone."""
        if _identity(os.stat(self.path)) != self._identity:
            raise FileNotFoundError(f"{self.path}: replaced by another file")
        os.utime(self.path)

    def release(self) -> None:
        """Let the next writer in."""
        _held.discard(self)
        self._lock.release()

    def forget(self) -> None:
        """In a forked child: let go of the inherited descriptor without unlocking the parent's lock."""
        _held.discard(self)
        fd = self._lock._context.lock_file_fd  # closing it is what must happen, and no public call does only that
        self._lock._context.lock_file_fd = None
        if fd is not None:
            os.close(fd)


def _in_use(path: Path) -> str:
    try:
        identity = _identity(os.stat(path))
    except OSError:
        identity = None
    if any(lock._identity == identity for lock in _held):
        return (
            f"{path.parent}: another live writer (an earlier probe of this same process) records into this run "
            "directory: call close() on the earlier probe, or give each training its own directory"
        )
    return (
        f"{path.parent}: another live writer records into this run directory: "
        "give each training its own, or end the other one first"
    )


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def is_held(path: Path) -> bool | None:
    """Whether a writer holds the lock file at ``path``; None when this cannot be found out here."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        return _is_held_portable(path)
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)  # closing lets go of the lock
    return False


def _is_held_portable(path: Path) -> bool | None:
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return None
