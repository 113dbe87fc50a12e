"""Everything that goes to the run log, and what its thread does with results that are still under way."""

from __future__ import annotations

import time as _time
from collections import deque
from collections.abc import Callable, Mapping

from torch import Tensor

from probes.instrument.filters import PendingFilters
from probes.instrument.fold import DeadUnits
from probes.instrument.frame import PendingFrame
from probes.instrument.modules import Watched
from probes.instrument.outcomes import Outcome, OutcomeTotals
from probes.instrument.scalars import DeviceScalars
from probes.instrument.sharding import Meeting, merge_norms
from probes.instrument.transfer import Transfer
from probes.runlog.records import Event, Record
from probes.runlog.writer import RunWriter


class Delivery:
    """Hands measurements to the writer; nothing here waits.

    Args:
        writer: of this process. May be exchanged when a run is rolled back to a checkpoint.
        meeting: with the other processes that train together, or None.
        ranks_of: parameter number -> ranks that hold its parts, for parameters that are spread over processes.
    """

    def __init__(self, writer: RunWriter, meeting: Meeting | None, ranks_of: Mapping[int, list[int]]) -> None:
        self.writer = writer
        self._meeting = meeting
        self._ranks_of = ranks_of
        self._parts_from = sorted({rank for ranks in ranks_of.values() for rank in ranks})
        self._dead = DeadUnits()
        self._totals = OutcomeTotals()
        self._device_scalars = DeviceScalars(self._send_scalars)
        self._thread_seconds = 0.0
        self._elsewhere: deque[float] = deque()

    def take_thread_seconds(self) -> float:
        """Processor seconds spent folding on the writer's thread, and on others, since the last call."""
        seconds, self._thread_seconds = self._thread_seconds, 0.0
        while self._elsewhere:
            seconds += self._elsewhere.popleft()
        return seconds

    def spent_elsewhere(self, seconds: float) -> None:
        """Takes in processor seconds that another thread of the probe's spent."""
        self._elsewhere.append(seconds)

    def scalars(
        self, step: int, time: float, host: Mapping[str, float], device: Mapping[str, Tensor] | None = None
    ) -> None:
        """Numbers of one step, those on a device as one-element tensors."""
        if host:
            self.writer.scalars(step, time, host)
        if device:
            self._device_scalars.add(step, time, device)

    def last_call(self) -> None:
        """The run is being closed: what other processes owe is waited for a moment only."""
        if self._meeting is not None:
            self._meeting.last_call()

    def flush_scalars(self) -> None:
        """Starts the copy of the device scalars collected so far."""
        self._device_scalars.flush()

    def event(self, step: int, kind: str, message: str) -> None:
        """Something that happened to the run."""
        self.writer.put(Event(step, _time.time(), kind, message))

    def manifest(self, **changes: object) -> None:
        """Entries of the manifest."""
        self.writer.update_manifest(**changes)

    def filters(self, layer: Watched, step: int) -> None:
        """The weights of the first layer as they are now."""
        self.writer.defer(PendingFilters(layer, step, _time.time()).records)

    def frame(self, pending: PendingFrame) -> None:
        """A frame whose results are on their way."""

        def records() -> list[Record] | None:
            if not pending.ready():
                return None
            began = _time.thread_time()
            folded = self._fold(pending)
            self._thread_seconds += _time.thread_time() - began
            return folded

        self.writer.defer(records)

    def outcome(self, outcome: Outcome, step: int) -> None:
        """What the loss was called with at a frame."""
        now, names = _time.time(), list(outcome.numbers)
        transfer = Transfer(list(outcome.numbers.values()))

        def deliver() -> None:
            numbers = dict(zip(names, transfer.arrays(), strict=True))
            self.writer.scalars(step, now, self._totals.add(outcome.facts, numbers))
            self.writer.update_manifest(data=self._totals.manifest())

        self._when_ready(transfer, deliver)

    def _fold(self, pending: PendingFrame) -> list[Record] | None:
        """The records of a frame; None while other processes still owe their parts of it."""
        if self._meeting is None or not self._ranks_of:
            return pending.records(self._dead)
        if self._meeting.rank != 0:
            self._meeting.leave(pending.step, pending.norms())
            return []
        parts = self._meeting.collect(pending.step, self._parts_from)
        if parts is None:
            return None
        return pending.records(self._dead, merge_norms(pending.norms(), 0, parts, self._ranks_of))

    def _send_scalars(self, transfer: Transfer, labels: list[tuple[int, float, str]]) -> None:
        writer = self.writer  # a rollback gives later numbers another writer

        def deliver() -> None:
            for (step, time, name), value in zip(labels, transfer.arrays(), strict=True):
                writer.scalars(step, time, {name: float(value)})

        self._when_ready(transfer, deliver)

    def _when_ready(self, transfer: Transfer, deliver: Callable[[], None]) -> None:
        def attempt() -> list[Record] | None:
            if not transfer.ready():
                return None
            deliver()
            return []

        self.writer.defer(attempt)
