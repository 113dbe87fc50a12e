"""`RunWriter`: takes what the instruments measure and writes it to the run directory on a thread of its own.

After construction nothing here raises into the training or makes it wait: the hot path appends to a queue, a
thread does the rest, memory is bounded, and what cannot be written is counted and said.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time as _time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from probes.errors import RunDirectoryError
from probes.runlog import manifest as manifests
from probes.runlog.layout import FORMAT, FORMAT_VERSION, MANIFEST, lock_name, run_path
from probes.runlog.lock import WriterLock
from probes.runlog.process import this_process
from probes.runlog.pump import Pump
from probes.runlog.records import Event, Record
from probes.runlog.session import check_directory, clean_up, past_of

_log = logging.getLogger("babysit")

MAX_QUEUED_CALLS = 50_000
MAX_QUEUED_BYTES = 64 << 20
MAX_DEFERRED = 1_000
_WAKE_AT = 16
_WAKE_AT_CALLS = 5_000
_FLUSH_AT_BYTES = 8 << 20
_CLOSE_PATIENCE = 10.0
_HEARTBEAT = 1.0

Deferred = Callable[[], Iterable[Record] | None]
_open_writers: weakref.WeakSet[RunWriter] = weakref.WeakSet()


class RunWriter:
    """Writes one session of one rank into a run directory.

    A directory that holds an ended run is continued: a new session begins after ``start_step``, and what
    earlier sessions recorded beyond that step is superseded (hidden by readers, never deleted).

    A run left open when the interpreter exits is closed as "finished", or as "crashed" when an exception
    nobody caught ended the program. In a forked child (a DataLoader worker) the writer does nothing.

    Args:
        run_dir: created when it does not exist.
        manifest: what is known of the run; ``format``, ``version``, ``created``, ``status`` and ``sessions``
            are added, and so are host and process in ``environment``.
        rank: of this process; only rank 0 writes the manifest.
        start_step: the step this session starts from; None: the last one recorded (0 in a new run).
        flush_interval: seconds between writes; a killed process loses at most this much.
        segment_bytes: size beyond which a segment is followed by a new one.
        clock: Unix time in seconds.

    Raises:
        RunInUseError: a live writer of this rank holds the directory.
        RunDirectoryError: the path cannot be used: a file, not writable, a foreign directory, a newer format.
    """

    def __init__(
        self,
        run_dir: Path | str,
        manifest: Mapping[str, Any],
        *,
        rank: int = 0,
        start_step: int | None = None,
        flush_interval: float = 1.0,
        segment_bytes: int = 64 << 20,
        clock: Callable[[], float] = _time.time,
    ) -> None:
        self.run_dir = run_path(run_dir)
        self.rank = rank
        self._clock = clock
        self._lock, past, self._manifest = _take_over(self.run_dir, rank)
        try:
            known = len(self._manifest.get("sessions", ())) if rank == 0 else 0
            self.session = max(past.sessions, known)  # a session that recorded nothing left no other trace
            resumed = self.session > 0
            if start_step is None:
                start_step = past.last_step or 0
            self.start_step = start_step
            self._begin_manifest(manifest, resumed)
            header = {"session": self.session, "start_step": start_step}
            self._pump = Pump(self.run_dir, rank, header, segment_bytes, self._lock, clock)
            if resumed:
                data = {"start_step": start_step, "last_step": past.last_step, "session": self.session}
                message = f"resumed from step {start_step} (last recorded step: {past.last_step})"
                self._pump.write_now([Event(start_step, clock(), "resumed", message, data)])
        except OSError as error:
            self._lock.release()
            raise _cannot_write(self.run_dir, error) from error
        except BaseException:
            self._lock.release()
            raise
        self._calls: deque[tuple[int, float, Mapping[str, float]]] = deque()
        self._append = self._calls.append
        self._records: deque[Record] = deque()
        self._deferred: deque[Deferred] = deque()
        self.dropped: dict[str, int] = {"scalars": 0, "frames": 0}
        self._control: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._awake = False
        self._closed = False
        self.thread_seconds = 0.0  # processor time that the thread has used, for who keeps account of it
        self._pid = os.getpid()
        self._interval = flush_interval
        self._thread = threading.Thread(target=self._run, name="babysit-writer", daemon=True)
        self._thread.start()
        _open_writers.add(self)

    # ---- the training's side: none of these raises, waits or takes a lock ----

    def scalars(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Record ``values`` (series -> number) at ``step``. The mapping must not be changed afterwards."""
        queued = len(self._calls)
        if queued < MAX_QUEUED_CALLS:
            self._append((step, time, values))
            if queued >= _WAKE_AT_CALLS:
                self._wake()
        else:
            self.dropped["scalars"] += 1

    def put(self, record: Record) -> None:
        """Record a frame, snapshot or event. Its arrays must not be changed afterwards."""
        if self._closed and not self._on_own_thread():
            return
        if not isinstance(record, Event) and len(self._records) * _size(record) > MAX_QUEUED_BYTES:
            self.dropped["frames"] += 1
            return
        self._records.append(record)
        if len(self._records) >= _WAKE_AT:
            self._wake()

    def defer(self, fn: Deferred) -> bool:
        """Have ``fn`` called on the writer's thread for its records; None means: not ready, ask again.

        ``fn`` may itself record scalars and manifest entries, also when it is called because the run is being closed.
        Returns whether it will be called.
        """
        if self._closed:
            return False
        if len(self._deferred) >= MAX_DEFERRED:
            self.dropped["frames"] += 1
            return False
        self._deferred.append(fn)
        if len(self._deferred) >= _WAKE_AT:
            self._wake()
        return True

    def update_manifest(self, **changes: Any) -> None:
        """Set top-level entries of the manifest; written at the next flush."""
        if self._on_own_thread():
            self._set_in_manifest(changes)
        elif not self._closed:
            self._control.put(("manifest", changes))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all recorded so far is written; False when that took longer or was impossible."""
        if self._closed or self._pid != os.getpid() or self._on_own_thread():
            return False
        reply: SimpleQueue[bool] = SimpleQueue()
        self._control.put(("flush", timeout / 2, reply))
        try:
            return reply.get(timeout=timeout)
        except Empty:
            return False

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Write what is left, record how the run ended and let go of the directory. May be called again."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        self._append = self._append_last
        reply: SimpleQueue[bool] = SimpleQueue()
        self._control.put(("close", status, reason, reply))
        try:
            reply.get(timeout=_CLOSE_PATIENCE)
        except Empty:
            _log.warning("babysit: %s: the disk does not answer; the end of the run is not recorded", self.run_dir)

    @staticmethod
    def last_step(run_dir: Path | str, rank: int = 0) -> int | None:
        """The last step recorded in ``run_dir``; None when there is no run or it has no step."""
        try:
            return past_of(run_path(run_dir), rank).last_step
        except OSError:
            return None

    # ---- the thread's side ----

    def _on_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _append_last(self, entry: tuple[int, float, Mapping[str, float]]) -> None:
        # Closed for the training, not yet for what deferred functions bring home.
        if self._on_own_thread():
            self._calls.append(entry)

    def _set_in_manifest(self, changes: Mapping[str, Any]) -> None:
        self._manifest.update(changes)
        self._manifest_changed = True

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._control.put(("wake",))

    def _run(self) -> None:
        due = beat_due = _time.monotonic()
        while True:
            try:
                command = self._control.get(timeout=max(0.0, min(due, beat_due) - _time.monotonic()))
            except Empty:
                command = ("tick",)
            self._awake = False
            try:
                if self._obey(command, _time.monotonic() >= due):
                    due = _time.monotonic() + self._interval
                if command[0] == "close":
                    return
                if _time.monotonic() >= beat_due:
                    self._pump.beat()
                    beat_due = _time.monotonic() + _HEARTBEAT
            except Exception as error:  # noqa: BLE001  the last line of defence of the training; said in the log
                self._pump.complain(f"internal error: {error!r}")
                due = beat_due = _time.monotonic() + self._interval
                if command[0] in ("close", "flush"):
                    command[-1].put(False)
                if command[0] == "close":
                    self._lock.release()
                    return
            self.thread_seconds = _time.thread_time()

    def _obey(self, command: tuple[Any, ...], due: bool) -> bool:
        """Do what ``command`` asks; True when everything pending was offered to the disk."""
        if command[0] == "manifest":
            self._set_in_manifest(command[1])
            return False
        self._collect()
        if command[0] == "close":
            self._finish(command[1], command[2])
            command[-1].put(True)
            return True
        if command[0] == "flush":
            self._await_deferred(command[1])
            command[-1].put(self._flush(insist=True) and not self._deferred)
            return True
        if command[0] == "wake":  # much has come: into compact columns with it, before the next flush is due
            self._pump.encode()
            due = due or self._pump.backlog_bytes > _FLUSH_AT_BYTES
        if due:
            self._flush(insist=False)
        return due

    def _await_deferred(self, seconds: float) -> None:
        """Give frames that are still under way on an accelerator up to ``seconds``."""
        deadline = _time.monotonic() + seconds
        while self._deferred and _time.monotonic() < deadline:
            _time.sleep(0.005)
            self._collect()

    def _collect(self) -> None:
        """Move what is queued into the pump, asking deferred functions for theirs."""
        for _ in range(len(self._deferred)):
            fn = self._deferred.popleft()
            try:
                records = fn()
            except Exception as error:  # noqa: BLE001  the instrument's own failure, reported as an event
                self._pump.probe_error(error)
                continue
            if records is None:
                self._deferred.append(fn)
            else:
                self._records.extend(records)
        calls, records_queue = self._calls, self._records
        self._pump.add_scalars([calls.popleft() for _ in range(len(calls))])
        self._pump.add_records([records_queue.popleft() for _ in range(len(records_queue))])
        self._pump.note_dropped(self.dropped)

    def _flush(self, insist: bool) -> bool:
        written = self._pump.flush(insist)
        if self._manifest_changed and self.rank == 0:
            self._manifest_changed = not self._pump.attempt(self._write_manifest)
        return written

    def _write_manifest(self) -> None:
        manifests.write_manifest(self.run_dir, self._manifest)

    def _finish(self, status: str, reason: str | None) -> None:
        self._await_deferred(_CLOSE_PATIENCE / 4)
        self._manifest.update(status=status, reason=reason)
        self._manifest["sessions"][-1].update(ended=self._clock(), status=status)
        self._manifest_changed = True
        self._flush(insist=True)
        self._pump.close()
        self._lock.release()

    def _begin_manifest(self, given: Mapping[str, Any], resumed: bool) -> None:
        now = self._clock()
        old = self._manifest
        sessions = list(old.get("sessions", ()))
        if sessions and sessions[-1].get("ended") is None:
            sessions[-1] = {**sessions[-1], "status": "crashed"}
        sessions.append({"started": now, "start_step": self.start_step, "ended": None, "status": "running"})
        new = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "name": self.run_dir.name,
            **given,
            "created": old.get("created", given.get("created", now)),
            "status": "running",
            "reason": None,
            "sessions": sessions,
        }
        new["environment"] = {**given.get("environment", {}), **this_process()}
        self._manifest = new
        self._manifest_changed = False
        if self.rank == 0:
            self._write_manifest()

    def _become_inert(self) -> None:
        """In a forked child: the run belongs to the parent."""
        self._closed = True
        self._append = _ignore
        self._records = deque()
        self._deferred = deque()
        self._lock.forget()


def _take_over(run_dir: Path, rank: int) -> tuple[WriterLock, Any, dict[str, Any]]:
    try:
        check_directory(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(run_dir / lock_name(rank))
    except OSError as error:
        raise _cannot_write(run_dir, error) from error
    try:
        old = manifests.read_manifest(run_dir) if (run_dir / MANIFEST).exists() else {}
        clean_up(run_dir, rank)
        return lock, past_of(run_dir, rank), old
    except OSError as error:
        lock.release()
        raise _cannot_write(run_dir, error) from error
    except BaseException:
        lock.release()
        raise


def _cannot_write(run_dir: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(f"{run_dir}: a run cannot be written here: {error.strerror or error}")


def _size(record: Record) -> int:
    """Bytes of a frame, roughly."""
    tables = getattr(record, "tables", None)
    if tables is not None:
        return sum(table.counts.nbytes + table.outside.nbytes for table in tables.values())
    weights = getattr(record, "weights", None)
    if weights is not None:
        return int(weights.nbytes)
    return 64 * len(getattr(record, "values", ())) + 1024


def _ignore(entry: object) -> None:
    """What a closed writer does with a call."""


def ending() -> tuple[str, str | None]:
    """(status, reason) of a run that nobody closed, at interpreter exit: finished, unless an exception ended the
    program.
    """
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    return ("finished", None) if error is None else ("crashed", f"{type(error).__name__}: {error}")


def _close_all() -> None:
    for writer in list(_open_writers):
        writer.close(*ending())


def _after_fork() -> None:
    for writer in list(_open_writers):
        writer._become_inert()
    _open_writers.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
