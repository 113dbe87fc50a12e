"""The wall between the probes and the training: no exception gets out, and the time spent behind it is
measured.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType


class Guard:
    """A context for everything the probes do in the training's time. May be entered again inside itself.

    Args:
        on_error: is given every exception; it must not raise.
        clock: seconds.
    """

    __slots__ = ("_began", "_clock", "_depth", "_on_error", "_seconds")

    def __init__(self, on_error: Callable[[Exception], None], clock: Callable[[], float]) -> None:
        self._on_error = on_error
        self._clock = clock
        self._seconds = 0.0
        self._began = 0.0
        self._depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            self._began = self._clock()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._depth -= 1
        if self._depth:
            return False
        self._seconds += self._clock() - self._began
        if not isinstance(error, Exception):  # KeyboardInterrupt and SystemExit are the program's own
            return False
        self._on_error(error)
        return True

    @property
    def is_active(self) -> bool:
        """Whether the probes are at work at this moment."""
        return self._depth > 0

    def spent(self, now: float) -> float:
        """Seconds since `restart`, with the visit under way up to ``now``."""
        return self._seconds + (now - self._began if self._depth else 0.0)

    def restart(self, now: float) -> None:
        """Counts from ``now``; what is left of the visit under way belongs to the next count."""
        self._seconds, self._began = 0.0, now
