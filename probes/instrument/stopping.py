"""How a run ends itself when `watch(..., stop_on=...)` asked for it: by an exception at the end of a step.

Processes that train together must all end at the same step: one that left alone would let the others wait in their
next collective operation. They agree through the key-value store that torch.distributed already runs:

1. rank 0 asks; its own training goes on.
2. Every other rank's thread sees it, answers with the steps done, and holds its training at the end of the step.
3. Rank 0 names the step: two beyond the furthest answer. Nobody can have done it yet, because no rank does more than
   one step beyond one that is held. The held ranks go on, and all end at that step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from probes.errors import StopTraining
from probes.instrument.sharding import Meeting

PATIENCE = 30.0
"""Seconds that processes wait for each other's answers; after that the training goes on."""

_LOOK_SECONDS = 0.5
_SOON_SECONDS = 0.005


class StopSwitch:
    """Ends the training of one process.

    Args:
        step: the steps done so far.
    """

    def __init__(self, step: Callable[[], int]) -> None:
        self._step = step
        self._at: int | None = None  # raise from this step on
        self._why = ""
        self.reason: str | None = None

    def request(self, why: str) -> None:
        """The run is to end because of ``why``. Called on another thread than the training's."""
        self._why, self._at = why, 0

    def check(self) -> None:
        """Called by the training at the end of every step. Raises StopTraining when it is to end."""
        if self._at is not None and self._step() >= self._at:
            if self.reason is None:
                self.reason = f"ended itself at step {self._step()} (stop_on): {self._why}"
            raise StopTraining(self.reason)

    def close(self) -> None:
        """The training is over."""


class SharedStopSwitch(StopSwitch):
    """Ends the training of several processes at the same step. One in every process; rank 0 requests."""

    def __init__(self, step: Callable[[], int], meeting: Meeting) -> None:
        super().__init__(step)
        self._meeting = meeting
        self._asked = False
        self._answered = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if meeting.rank != 0:
            self._thread = threading.Thread(target=self._listen, name="babysit-stop", daemon=True)
            self._thread.start()

    def request(self, why: str) -> None:
        meeting, deadline = self._meeting, time.monotonic() + PATIENCE
        meeting.put("stop/ask", why)
        steps: dict[int, int] = {}
        while len(steps) < meeting.size - 1 and time.monotonic() < deadline and not self._closed.wait(_SOON_SECONDS):
            for rank in set(range(1, meeting.size)) - set(steps):
                answer = meeting.get(f"stop/answer/{rank}")
                if answer is not None:
                    steps[rank] = int(answer)
        if len(steps) < meeting.size - 1:
            meeting.put("stop/at", "-1")
            if not self._closed.is_set():
                raise TimeoutError(f"the run does not end itself: not every process answered within {PATIENCE:g} s")
            return
        at = max(self._step(), *steps.values()) + 2
        self._why, self._at = why, at  # first: when the others go on, this process may be there at once
        meeting.put("stop/at", str(at))

    def check(self) -> None:
        if self._asked and not self._answered.is_set():
            self._answered.wait(PATIENCE)
            self._answered.set()
        super().check()

    def close(self) -> None:
        self._closed.set()
        self._answered.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _listen(self) -> None:
        """On a thread of every rank but the first."""
        try:
            while (why := self._meeting.get("stop/ask")) is None:
                if self._closed.wait(_LOOK_SECONDS):
                    return
            self._asked = True  # before the answer: from here on at most one step more is done
            self._meeting.put(f"stop/answer/{self._meeting.rank}", str(self._step()))
            while (at := self._meeting.get("stop/at")) is None:
                if self._closed.wait(_SOON_SECONDS):
                    return
            if int(at) >= 0:
                self._why, self._at = why, int(at)
        except Exception:  # noqa: BLE001, S110  rank 0 is gone, and the store with it: this process will notice
            pass
        finally:
            self._answered.set()
