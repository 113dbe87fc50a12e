"""What `on_finding`, `alerts` and `stop_on` add to a probe: live diagnosis, and the switch that ends a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from probes.diagnosis.finding import Finding
from probes.diagnosis.live.options import LiveOptions
from probes.diagnosis.live.pace import SHARE
from probes.diagnosis.live.watcher import LiveDiagnosis
from probes.instrument.engine import Engine
from probes.instrument.exits import exits
from probes.instrument.sharding import Meeting
from probes.instrument.stopping import SharedStopSwitch, StopSwitch
from probes.runlog.writer import ending

if TYPE_CHECKING:
    from probes.instrument.probe import Probe

_log = logging.getLogger("babysit")


class Oversight:
    """Judges the run of one probe while it goes on (on rank 0), and ends it when asked to.

    Args:
        engine: of the probe.
        options: what to do about findings.
        budget: the share of time that all of the probes may take.
        meeting: with the other processes that train together, or None.
    """

    def __init__(self, engine: Engine, options: LiveOptions, budget: float, meeting: Meeting | None) -> None:
        self._engine, self._delivery, self._counter = engine, engine.delivery, engine.counter
        self._switch: StopSwitch | None = None
        if options.stop_on:
            step: Callable[[], int] = lambda: self._counter.step  # noqa: E731
            self._switch = StopSwitch(step) if meeting is None else SharedStopSwitch(step, meeting)
            engine.boundary = self._switch.check
        self._live: LiveDiagnosis | None = None
        if meeting is None or meeting.rank == 0:
            self._live = LiveDiagnosis(
                engine.delivery.writer.run_dir,
                options,
                on_stop=self._stop,
                on_problem=self._complain,
                on_cost=self._delivery.spent_elsewhere,
                share=min(SHARE, budget / 3),
            )
        self._probe: Probe | None = None

    def bind(self, probe: Probe) -> None:
        """From now on it is the probe that is closed when the program ends: the last look is at the whole run."""
        self._probe = probe
        exits.attach(self)
        exits.detach(self._engine)

    @property
    def reason(self) -> str | None:
        """Why the run ended itself; None while it has not."""
        return self._switch.reason if self._switch is not None else None

    @property
    def in_owner(self) -> bool:
        """Whether this is the process that called `watch`, not a fork of it."""
        return self._engine.in_owner

    @property
    def step(self) -> int:
        """Steps done so far."""
        return self._counter.step

    @property
    def thread(self) -> int | None:
        """Identifier of the thread that trains."""
        return self._engine.thread

    def end(self, reason: str) -> None:
        """The program, or the thread that trains, is ending because of ``reason``."""
        if self._probe is not None:
            self._probe.end(reason)

    def detach(self) -> None:
        """The program ends and nobody closed the probe."""
        if self._probe is not None:
            self._probe.close(*ending())

    def finish(self) -> None:
        """The run is closed and written: has a last look at it."""
        exits.detach(self)
        self._engine.boundary = None
        if self._switch is not None:
            self._switch.close()
        if self._live is not None:
            self._live.finish()

    def _stop(self, finding: Finding) -> None:
        if self._switch is not None:
            self._switch.request(f"{finding.rule}: {finding.title}, since step {finding.first_step}")

    def _complain(self, text: str) -> None:
        _log.warning("babysit: %s", text)
        self._delivery.event(self._counter.step, "probe-error", text)
