"""The wall between the probes and the training: no exception gets out, and the time spent behind it is
measured.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class _Visit(threading.local):
    """How deep this thread is inside, and since when."""

    depth = 0
    began = 0.0


class Guard:
    """A context for everything the probes do in the training's time. May be entered again inside itself, and from
    several threads.

    At every depth it keeps exceptions in: a depth that an interrupt between two instructions left wrong must not let
    the next failure out.

    Args:
        on_error: is given every exception; it must not raise.
        clock: seconds.
    """

    __slots__ = ("_clock", "_on_error", "_seconds", "_visit")

    def __init__(self, on_error: Callable[[Exception], None], clock: Callable[[], float]) -> None:
        self._on_error = on_error
        self._clock = clock
        self._seconds = 0.0
        self._visit = _Visit()

    def __enter__(self) -> None:
        visit = self._visit
        if not visit.depth:
            visit.began = self._clock()
        visit.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        visit = self._visit
        visit.depth = max(0, visit.depth - 1)
        if not visit.depth:
            self._seconds += self._clock() - visit.began
        if not isinstance(error, Exception):  # KeyboardInterrupt and SystemExit are the program's own
            return False
        self._on_error(error)
        return True

    def spent(self, now: float) -> float:
        """Seconds since `restart`, with the visit under way up to ``now``."""
        return self._seconds + (now - self._visit.began if self._visit.depth else 0.0)

    def restart(self, now: float) -> None:
        """Counts from ``now``. Called in a visit that is not inside another: what is left of it belongs to the next
        count.
        """
        self._seconds, self._visit.began, self._visit.depth = 0.0, now, 1
