"""Records how a program ended when nobody closed the probe: an unhandled exception, SIGTERM, SIGINT.

Everything chains to what was installed before, and nothing is installed outside the main thread.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Protocol

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Closable(Protocol):
    """What is told about the end."""

    def end(self, reason: str) -> None:
        """The program is ending because of ``reason``."""


class ExitWatch:
    """Installed from construction to `remove`.

    Args:
        target: told about the end, referenced weakly.
    """

    def __init__(self, target: Closable) -> None:
        self._target = weakref.ref(target)
        self._pid = os.getpid()
        self._previous_hook: Callable[..., Any] = sys.excepthook
        self._hook = self._on_exception
        sys.excepthook = self._hook
        self._previous: dict[int, Any] = {}
        self._handler = self._on_signal
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                previous = signal.getsignal(number)
                # None: installed from C, cannot be chained. SIG_IGN: the program does not end by it.
                # Python's own SIGINT handler raises KeyboardInterrupt, which is seen as an exception.
                if previous in (None, signal.SIG_IGN, signal.default_int_handler):
                    continue
                self._previous[number] = previous
                signal.signal(number, self._handler)

    def remove(self) -> None:
        """Puts back what was there, where nobody else has put something on top since."""
        if sys.excepthook == self._hook:
            sys.excepthook = self._previous_hook
        if threading.current_thread() is threading.main_thread():
            for number, previous in self._previous.items():
                if signal.getsignal(number) == self._handler:
                    signal.signal(number, previous)
        self._target = lambda: None  # type: ignore[assignment]

    def _tell(self, reason: str) -> None:
        target = self._target()
        if target is not None and os.getpid() == self._pid:
            target.end(reason)

    def _on_exception(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self._tell(describe_exception(error))
        self._previous_hook(kind, error, trace)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)  # it decides whether the program ends; if it raises, that is seen as well
            return
        self._tell(signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def describe_exception(error: BaseException) -> str:
    """Type and message on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
