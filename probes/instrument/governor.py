"""When to take a frame. Schedules are pure: time comes in as numbers, nothing here reads a clock.

`Governor` keeps an account. The loop's own time earns ``budget`` seconds a second, everything the probes do
is paid from it, and a frame is taken when the account covers what frames have cost of late. The first frames
(steps 1, 2, 5, 10, 15, 20, 30, 40, 50, 70, 100, ...) may be taken on credit, because the start of a training tells
most; the credit is paid back before regular frames begin.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Protocol

CREDIT_SECONDS = 30.0
"""The first frames may use the budget of this many seconds in advance: within a minute the share is at the
budget. Steps 1, 2, 5, 10, 20, 50, ... may use all of it, those between them half: where frames are dear it lasts
further.
"""

LONGEST_WAIT_SECONDS = 120.0
LONGEST_WAIT_STEPS = 100
"""A frame is taken whatever it costs when the last one is this many seconds and this many steps ago."""

_RECENT = 5
_BURST = 2.0  # frames that may be saved up


class Schedule(Protocol):
    """Says at which steps frames are taken."""

    def due(self, step: int) -> bool:
        """Whether the coming step, the ``step``-th since the probe was attached (from 1), is to be a frame."""

    def spend(self, own_seconds: float, probe_seconds: float) -> None:
        """Takes in the time of one step: the loop's own, and the probes'."""

    def frame_taken(self, step: int, seconds: float) -> None:
        """Takes in that the frame of ``step`` is complete and what it cost."""


class Every:
    """A frame at the first step and at every ``n``-th."""

    def __init__(self, n: int) -> None:
        self.n = n

    def due(self, step: int) -> bool:
        return step == 1 or step % self.n == 0

    def spend(self, own_seconds: float, probe_seconds: float) -> None:
        """Costs change nothing here."""

    def frame_taken(self, step: int, seconds: float) -> None:
        """Costs change nothing here."""


class LogSpacedThenEvery(Every):
    """A frame at steps 1, 2, 5, 10, 15, 20, 30, 40, 50, 70, ... and at every ``n``-th."""

    def due(self, step: int) -> bool:
        return is_log_spaced(step) or is_between(step) or step % self.n == 0


class Governor:
    """As many frames as ``budget`` (share of the loop's own time) allows."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self._credit = budget * CREDIT_SECONDS
        self._account = 0.0
        self._costs: deque[float] = deque(maxlen=_RECENT)
        self._expected = 0.0  # what the next frame will cost, seconds: the first is free, being unknown
        self._last_step = 0
        self._since_frame = 0.0

    def due(self, step: int) -> bool:
        if is_log_spaced(step) and self._account + self._credit >= self._expected:
            return True
        if is_between(step) and self._account + self._credit / 2 >= self._expected:
            return True
        if self._costs and self._account >= self._expected:
            return True
        waited = step - self._last_step
        return self._since_frame >= LONGEST_WAIT_SECONDS and waited >= LONGEST_WAIT_STEPS

    def spend(self, own_seconds: float, probe_seconds: float) -> None:
        self._since_frame += own_seconds + probe_seconds
        self._account += self.budget * own_seconds - probe_seconds
        self._account = min(self._account, _BURST * max(self._expected, 1e-6))

    def frame_taken(self, step: int, seconds: float) -> None:
        self._costs.append(seconds)
        self._expected = median(self._costs)
        self._last_step = step
        self._since_frame = 0.0


def is_log_spaced(step: int) -> bool:
    """Whether ``step`` is one of 0, 1, 2, 5, 10, 20, 50, 100, ..."""
    while step >= 10 and step % 10 == 0:
        step //= 10
    return step in (0, 1, 2, 5)


def is_between(step: int) -> bool:
    """Whether ``step`` is one of 15, 30, 40, 70, 150, 300, ...: with the log-spaced ones, none is more than half as
    far again as the one before it. Before step 10 there are none.
    """
    while step >= 100 and step % 10 == 0:
        step //= 10
    return step in (15, 30, 40, 70)


class Share:
    """The probes' time over the loop's own time, smoothed over about the last ``seconds`` seconds."""

    def __init__(self, seconds: float = 30.0) -> None:
        self._horizon = seconds
        self._own = 0.0
        self._probe = 0.0

    def update(self, own_seconds: float, probe_seconds: float) -> float:
        """Takes in one step and returns the share."""
        keep = max(0.0, 1.0 - (own_seconds + probe_seconds) / self._horizon)
        self._own = keep * self._own + own_seconds
        self._probe = keep * self._probe + probe_seconds
        return self._probe / self._own if self._own > 0 else 0.0
