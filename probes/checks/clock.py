"""Time limits with a clock that tests can replace."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]


class Deadline:
    """A moment on a monotonic clock, in seconds."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.started = clock()
        self.seconds = seconds

    @property
    def elapsed(self) -> float:
        return self._clock() - self.started

    @property
    def remaining(self) -> float:
        return max(0.0, self.seconds - self.elapsed)

    @property
    def expired(self) -> bool:
        return self.elapsed >= self.seconds

    def part(self, share: float) -> Deadline:
        """A new deadline after `share` of what remains."""
        return Deadline(self.remaining * share, self._clock)
