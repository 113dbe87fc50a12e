"""Which process writes a run: its id together with when it started, so that a reused id fools nobody."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


def hostname() -> str:
    """Name of this machine, as manifests carry it."""
    return socket.gethostname()


def _stat(pid: int) -> tuple[str, str] | None:
    """State and start time in ticks of ``pid`` (proc_pid_stat(5), fields 3 and 22); None: not told here."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # behind field 2, a name in parentheses that may hold spaces
    return fields[0], fields[19]


def process_started(pid: int) -> str | None:
    """When process ``pid`` started, as an opaque token: boot id and ticks. None where there is no /proc."""
    stat = _stat(pid)
    boot = _boot_id()
    return f"{boot}:{stat[1]}" if stat and boot else None


@functools.cache
def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def is_alive(pid: int, started: str | None) -> bool:
    """True when process ``pid`` runs here and is the one that started at ``started`` (as far as known)."""
    if pid <= 0:
        return False
    if os.name == "nt":
        return True  # os.kill would end the process; the lock tells
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs under another user
    stat = _stat(pid)
    if stat is not None and stat[0] in "ZX":  # killed, and not yet waited for by its parent
        return False
    now = process_started(pid)
    return started is None or now is None or now == started


def this_process() -> dict[str, object]:
    """``host``, ``pid`` and ``process_started`` of the manifest's environment."""
    return {"host": hostname(), "pid": os.getpid(), "process_started": process_started(os.getpid())}
