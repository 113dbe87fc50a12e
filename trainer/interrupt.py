"""Ctrl-C between two steps instead of in the middle of one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupt:
    """``signum`` is the signal that asked the training to stop, or None."""

    signum: int | None = None


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Notes SIGINT and SIGTERM for the loop to look at; a second one raises KeyboardInterrupt at once.

    Outside the main thread Python delivers no signals, and nothing is changed.
    """
    interrupt = Interrupt()

    def note(signum: int, frame: FrameType | None) -> None:
        if interrupt.signum is not None:
            raise KeyboardInterrupt
        interrupt.signum = signum

    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
