"""Whether a run is still going: "running", "finished", "crashed" or "stalled", judged from outside.

A manifest that says "finished" or "crashed" is believed. One that says "running" is checked: on the writer's
own machine by its process and its lock, elsewhere by the age of its heartbeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probes.runlog.lock import is_held
from probes.runlog.process import hostname, is_alive
from probes.runlog.types import DoubleArray

RUNNING, FINISHED, CRASHED, STALLED = "running", "finished", "crashed", "stalled"

HEARTBEAT_LATE = 30.0
HEARTBEAT_LOST = 600.0
PATIENCE_FLOOR = 60.0
PATIENCE_STEPS = 20.0
PATIENCE_GAPS = 3.0
PATIENCE_START = 600.0


@dataclass(frozen=True)
class Signs:
    """What can be seen of a run's writer.

    Attributes:
        recorded: status in the manifest.
        same_host: the writer's machine is this one.
        process_alive: its process runs; None: not known here.
        lock_held: its lock is held; None: not known here.
        heartbeat_age: seconds since the last heartbeat; None: there is none.
        quiet: seconds since the last step was recorded (or since the session began).
        patience: seconds without a step that are usual for this run.
    """

    recorded: str
    same_host: bool
    process_alive: bool | None
    lock_held: bool | None
    heartbeat_age: float | None
    quiet: float
    patience: float


def judge(signs: Signs) -> str:
    """The status of a run."""
    if signs.recorded in (FINISHED, CRASHED):
        return signs.recorded
    if signs.same_host:
        # The lock is let go of by the system when its holder dies, however that happens. A process that
        # cannot be seen may be one in another container, so a held lock outweighs it.
        if signs.lock_held is False or (signs.lock_held is None and signs.process_alive is False):
            return CRASHED
    elif signs.heartbeat_age is None or signs.heartbeat_age > HEARTBEAT_LOST:
        return CRASHED
    late = signs.heartbeat_age is not None and signs.heartbeat_age > HEARTBEAT_LATE
    return STALLED if late or signs.quiet > signs.patience else RUNNING


def patience(times: DoubleArray) -> float:
    """How long a run may go without a step before it counts as stalled, seconds.

    The largest of a minute, 20 typical steps and 3 times the longest pause it has made so far (a validation,
    a checkpoint), from the Unix ``times`` of its latest steps; 10 minutes before there are two of them.
    """
    if len(times) < 2:
        return PATIENCE_START
    gaps = np.diff(times)
    gaps = gaps[gaps >= 0]  # a clock that was set back
    if not len(gaps):
        return PATIENCE_START
    typical = PATIENCE_STEPS * float(np.median(gaps))
    return max(PATIENCE_FLOOR, typical, PATIENCE_GAPS * float(gaps.max()))


def look(
    manifest: Mapping[str, Any], lock: Path, heartbeat_age: float | None, quiet: float, times: DoubleArray
) -> Signs:
    """The signs of the run whose writer holds ``lock``."""
    recorded = str(manifest.get("status", RUNNING))
    environment = manifest.get("environment") or {}
    same_host = environment.get("host") == hostname()
    alive = held = None
    if same_host and recorded not in (FINISHED, CRASHED):
        pid = environment.get("pid")
        alive = is_alive(pid, environment.get("process_started")) if isinstance(pid, int) else None
        held = is_held(lock)
    return Signs(recorded, same_host, alive, held, heartbeat_age, quiet, patience(times))
