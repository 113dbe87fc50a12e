"""How often a live run may be judged. Pure: time comes in as numbers."""

from __future__ import annotations

SHARE = 0.01
"""Share of the time that judging a live run may take, at most; a third of the probes' budget when that is less."""

SOONEST_SECONDS = 1.0
"""Between two looks, at least: the log is written once a second, so that there is nothing new before."""


class Pace:
    """Spaces looks so that judging takes at most ``share`` of the time.

    Args:
        share: seconds of judging a second, on average.
        soonest: seconds between the end of a look and the next, at least.
        now: seconds, on a clock that never goes back.
    """

    def __init__(self, share: float, soonest: float, now: float) -> None:
        self._share = share
        self._soonest = soonest
        self._due = now + soonest

    def took(self, seconds: float, now: float) -> None:
        """Takes in that a look cost ``seconds`` and ended just now."""
        self._due = now + max(self._soonest, seconds / self._share)

    def wait(self, now: float) -> float:
        """Seconds until the next look is due, 0 when it is."""
        return max(0.0, self._due - now)
