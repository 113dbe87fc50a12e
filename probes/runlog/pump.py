"""What the writer's thread does: pending records -> streams -> disk, also when the disk refuses."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from probes.runlog.encode import (
    EventsEncoder,
    FiltersEncoder,
    HistogramsEncoder,
    LayersEncoder,
    ScalarEntry,
    ScalarsEncoder,
    merge_rows,
)
from probes.runlog.layout import EVENTS, FILTERS, HISTOGRAMS, LAYERS, SCALARS
from probes.runlog.lock import WriterLock
from probes.runlog.records import Event, FilterSnapshot, HistogramFrame, LayerFrame, Record
from probes.runlog.stream_writer import StreamWriter

_log = logging.getLogger("babysit")

_RETRY_SECONDS = 5.0
_BACKLOG = {SCALARS: 64 << 20, LAYERS: 32 << 20, HISTOGRAMS: 64 << 20, FILTERS: 16 << 20, EVENTS: 4 << 20}
_STREAM_OF = {LayerFrame: LAYERS, HistogramFrame: HISTOGRAMS, FilterSnapshot: FILTERS, Event: EVENTS}


class Pump:
    """Owned by the writer's thread (and used by the constructing thread before that one starts)."""

    def __init__(
        self,
        run_dir: Path,
        rank: int,
        header: dict[str, Any],
        segment_bytes: int,
        lock: WriterLock,
        clock: Callable[[], float],
    ) -> None:
        self._run_dir = run_dir
        self._lock = lock
        self._clock = clock
        self._encoders: dict[str, Any] = {
            SCALARS: ScalarsEncoder(),
            LAYERS: LayersEncoder(),
            HISTOGRAMS: HistogramsEncoder(),
            FILTERS: FiltersEncoder(),
            EVENTS: EventsEncoder(),
        }
        self._streams = {
            stream: StreamWriter(
                run_dir,
                stream,
                rank,
                header,
                segment_bytes=segment_bytes,
                backlog_bytes=_BACKLOG[stream],
                compression="lz4" if stream in (HISTOGRAMS, FILTERS) else None,
            )
            for stream in self._encoders
        }
        self._pending_scalars: list[ScalarEntry] = []
        self._pending: dict[str, list[Record]] = {stream: [] for stream in self._encoders if stream != SCALARS}
        self._step = int(header["start_step"])
        self._said: set[str] = set()
        self._reported_errors: set[str] = set()
        self._noted = {"scalars": 0, "frames": 0}
        self._retry_at = 0.0
        self._gone = False

    # ---- taking in ----

    def add_scalars(self, entries: list[ScalarEntry]) -> None:
        """Take in queued calls of `RunWriter.scalars`."""
        if entries:
            self._step = entries[-1][0]
            self._pending_scalars += entries

    def add_records(self, records: Sequence[Record]) -> None:
        """Take in frames, snapshots and events."""
        for record in records:
            stream = _STREAM_OF.get(type(record))
            if stream is None:
                self.probe_error(TypeError(f"{type(record).__name__} is not a record"))
            else:
                self._pending[stream].append(record)

    def probe_error(self, error: Exception) -> None:
        """Record a failure of an instrument, once per kind."""
        kind = f"{type(error).__name__}: {error}"
        key = type(error).__name__
        if key not in self._reported_errors:
            self._reported_errors.add(key)
            self._event("probe-error", kind, {})

    def note_dropped(self, dropped: dict[str, int]) -> None:
        """Say in the log what the queues had to drop, when that has changed."""
        for what, kind in (("frames", "frames-thinned"), ("scalars", "scalars-thinned")):
            count = dropped[what] + sum(
                stream.dropped for name, stream in self._streams.items() if (name == SCALARS) == (what == "scalars")
            )
            if count > self._noted[what]:
                self._noted[what] = count
                message = f"{count} {what} so far were not recorded: they came faster than they could be written"
                self._event(kind, message, {what: count})

    def _event(self, kind: str, message: str, data: dict[str, object]) -> None:
        self._pending[EVENTS].append(Event(self._step, self._clock(), kind, message, data))

    # ---- writing ----

    def write_now(self, records: Sequence[Record]) -> None:
        """Write ``records`` before the thread runs. Raises OSError."""
        self.add_records(records)
        self.encode()
        for stream in self._streams.values():
            stream.write()

    def flush(self, insist: bool = False) -> bool:
        """Write everything pending; False when the disk refused some of it (it is kept and tried again).

        Args:
            insist: try now, even when the disk refused a moment ago.
        """
        self.encode()
        if self._gone or (time.monotonic() < self._retry_at and not insist):
            return False
        if not self.beat():
            return False
        results = [self.attempt(stream.write) for stream in self._streams.values() if stream.has_backlog]
        return all(results)

    @property
    def backlog_bytes(self) -> int:
        """Bytes waiting to be written."""
        return sum(stream.backlog_bytes for stream in self._streams.values())

    def beat(self) -> bool:
        """Move the heartbeat; False when the run directory is not what it was."""
        return self.attempt(self._lock.beat)

    def attempt(self, action: Callable[[], None]) -> bool:
        """Do ``action`` on the disk; an OSError is said once per kind, and the next try waits a little."""
        if self._gone:
            return False
        try:
            action()
        except OSError as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        reason = error.strerror or str(error)
        if not self._run_dir.exists() or error.errno == errno.ENOENT:
            self._gone = True
            for stream in self._streams.values():
                stream.abandon()
            self.complain("the run directory is gone: recording stops, the training goes on")
        else:
            self.complain(f"cannot write: {reason}: will try again, the training goes on")

    def complain(self, message: str) -> None:
        """One line in the log, once per message."""
        if message not in self._said:
            self._said.add(message)
            _log.warning("babysit: %s: %s", self._run_dir, message)

    def encode(self) -> None:
        """Turn everything pending into columns, which the streams keep until they are written."""
        if self._gone:
            self._pending_scalars.clear()
            for records in self._pending.values():
                records.clear()
            return
        rows, self._pending_scalars = merge_rows(self._pending_scalars), []
        scalars = self._encoders[SCALARS]
        self._streams[SCALARS].add(scalars.encode(rows))
        if scalars.rejected:
            names = sorted(scalars.rejected)
            self.probe_error(ValueError(f"series not recorded: {names[0]!r}: {scalars.rejected.pop(names[0])}"))
            scalars.rejected.clear()
        for stream, pending in self._pending.items():
            if not pending:
                continue
            self._pending[stream] = []
            try:
                self._streams[stream].add(self._encoders[stream].encode(pending))
            except Exception as error:  # noqa: BLE001  a malformed record; the others are recorded, this is said
                self.probe_error(error)
                self._encode_singly(stream, pending)

    def _encode_singly(self, stream: str, records: Sequence[Record]) -> None:
        for record in records:
            try:
                self._streams[stream].add(self._encoders[stream].encode([record]))
            except Exception as error:  # noqa: BLE001  see encode
                self.probe_error(error)

    def close(self) -> None:
        """End all segments."""
        for stream in self._streams.values():
            self.attempt(stream.close)
