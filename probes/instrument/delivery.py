"""Everything that goes to the run log, and what its thread does with results that are still under way."""

from __future__ import annotations

import time as _time
from collections import deque
from collections.abc import Callable, Mapping

from torch import Tensor

from probes.instrument.filters import PendingFilters
from probes.instrument.fold import DeadUnits, FrameArrays, fold_frames
from probes.instrument.frame import PendingFrame
from probes.instrument.modules import Watched
from probes.instrument.outcomes import Outcome, OutcomeTotals
from probes.instrument.recognition.answers import Output
from probes.instrument.recognition.loss_in_use import LossInUse
from probes.instrument.recognition.one_target import OneTarget
from probes.instrument.scalars import DeviceScalars
from probes.instrument.sharding import Meeting, merge_norms
from probes.instrument.size_warnings import SizeWarnings
from probes.instrument.transfer import Transfer
from probes.runlog.records import Event, Record
from probes.runlog.writer import RunWriter

_TOGETHER = 16  # frames that are folded in one go, which bounds the memory it takes


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
        self._waiting: tuple[RunWriter, deque[PendingFrame]] = writer, deque()
        self._totals = OutcomeTotals()
        self.loss_in_use = LossInUse()
        self._one_target = OneTarget()
        self._size_warnings = SizeWarnings()
        self._device_scalars = DeviceScalars(self._send_scalars)
        self._accounted = writer, 0.0  # whose processor time, and how much of it, was taken in
        self._elsewhere: deque[float] = deque()

    def take_thread_seconds(self) -> float:
        """Processor seconds spent on the writer's thread, and on others of the probe's, since the last call."""
        writer, before = self._accounted
        if writer is not self.writer:  # a rollback gave the run another
            writer, before = self.writer, 0.0
        now = writer.thread_seconds
        self._accounted = writer, now
        seconds = now - before
        while self._elsewhere:
            seconds += self._elsewhere.popleft()
        return seconds

    @property
    def wants_outputs(self) -> bool:
        """Whether what the model answers can still tell something about its loss."""
        return not (self.loss_in_use.given_up and self._one_target.given_up)

    def spent_elsewhere(self, seconds: float) -> None:
        """Takes in processor seconds that another thread of the probe's spent."""
        self._elsewhere.append(seconds)

    def scalars(
        self, step: int, time: float, host: Mapping[str, float], device: Mapping[str, Tensor] | None = None
    ) -> None:
        """The probes' own numbers of one step, those on a device as one-element tensors."""
        if host:
            self.writer.scalars(step, time, host)
        if device:
            self._device_scalars.add(step, time, device)

    def logged(self, step: int, time: float, host: Mapping[str, float], device: Mapping[str, Tensor]) -> None:
        """Numbers that the program logged at a step: one of them may be the loss."""
        if host:
            self.writer.scalars(step, time, host)
            self.loss_in_use.log(step, host)
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
        writer, waiting = self._waiting
        if writer is not self.writer:  # a rollback gives later frames another
            writer, waiting = self._waiting = self.writer, deque()

        def records() -> list[Record] | None:
            if pending.taken:
                return []  # folded together with an earlier one
            folded = fold_frames(self._received(waiting), self._dead)
            return folded if pending.taken else None

        if writer.defer(records):
            waiting.append(pending)
        if self._size_warnings.due():
            step, now = pending.step, _time.time()
            writer.defer(lambda: [Event(step, now, "size-warning", text) for text in self._size_warnings.new()])

    def outcome(self, outcome: Outcome, step: int) -> None:
        """What the loss was called with at a frame."""
        now, names = _time.time(), list(outcome.numbers)
        transfer = Transfer(list(outcome.numbers.values()))

        def deliver() -> None:
            numbers = dict(zip(names, transfer.arrays(), strict=True))
            self.writer.scalars(step, now, self._totals.add(outcome.facts, numbers))
            self.writer.update_manifest(data=self._totals.manifest())

        self._when_ready(transfer, deliver)

    def output(self, output: Output, step: int, *, alone: bool) -> None:
        """What the model answered at a frame and what the loss sent back. ``alone``: the loss itself was not seen."""
        now, writer = _time.time(), self.writer
        transfer = Transfer([output.values, output.gradients[0], output.norms[0]])

        def deliver() -> None:
            if not self.wants_outputs:
                return
            before = self.loss_in_use.manifest()
            values, gradients, norm = transfer.arrays()
            found = self.loss_in_use.look(step, now, output, values, gradients)
            found += self.loss_in_use.look_for_squares(step, now, output, values, gradients, float(norm))
            loss = self.loss_in_use.manifest()
            if loss != before:
                writer.update_manifest(recognised_loss=loss)
            for seen in found:
                series = self._totals.add(seen.facts, seen.numbers) if alone else {}
                writer.scalars(seen.step, seen.time, {**series, "data/recognised": seen.loss})
            if alone and loss is None:
                for at, when, value in self._one_target.look(
                    step, now, output.shape, values.ravel(), gradients.ravel()
                ):
                    writer.scalars(at, when, {"data/drawn_to": value})
            if found and alone:
                writer.update_manifest(data=self._totals.manifest())
            elif loss is None and before is not None and alone:
                self._totals = OutcomeTotals()
                writer.update_manifest(data={})

        self._when_ready(transfer, deliver)

    def _received(self, waiting: deque[PendingFrame]) -> list[FrameArrays]:
        """Takes the first frames that wait and are complete, in their order."""
        frames: list[FrameArrays] = []
        while waiting and len(frames) < _TOGETHER and waiting[0].ready():
            pending, norms = waiting[0], None
            if self._meeting is not None and self._ranks_of:
                if self._meeting.rank != 0:
                    self._meeting.leave(pending.step, pending.norms())
                    waiting.popleft().taken = True
                    continue
                parts = self._meeting.collect(pending.step, self._parts_from)
                if parts is None:  # other processes still owe their parts of it
                    break
                norms = merge_norms(pending.norms(), 0, parts, self._ranks_of)
            waiting.popleft().taken = True
            frames.append(pending.received(norms))
        return frames

    def _send_scalars(self, transfer: Transfer, labels: list[tuple[int, float, str]]) -> None:
        writer = self.writer  # a rollback gives later numbers another writer

        def deliver() -> None:
            for (step, time, name), value in zip(labels, transfer.arrays(), strict=True):
                writer.scalars(step, time, {name: float(value)})
                self.loss_in_use.log(step, {name: float(value)})

        self._when_ready(transfer, deliver)

    def _when_ready(self, transfer: Transfer, deliver: Callable[[], None]) -> None:
        def attempt() -> list[Record] | None:
            if not transfer.ready():
                return None
            deliver()
            return []

        self.writer.defer(attempt)
