"""Ctrl-C between two steps instead of in the middle of one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupt:
    """Signals that ask the training to stop.

    Attributes:
        asked: the signal that came to this process, or None. It may come at any moment.
        signum: the signal that all processes stop for, or None. Changes only where they `agree`, so that none of them
            leaves the loop while another goes on and waits for it.
    """

    asked: int | None = None
    signum: int | None = None

    def agree(self, highest: Callable[[int], int]) -> bool:
        """Whether any process was asked to stop; ``highest`` gives the highest of a number over all of them."""
        self.signum = highest(self.asked or 0) or None
        return self.signum is not None


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Notes SIGINT and SIGTERM for the loop to look at; a second one raises KeyboardInterrupt at once.

    Outside the main thread Python delivers no signals, and nothing is changed.
    """
    interrupt = Interrupt()

    def note(signum: int, frame: FrameType | None) -> None:
        if interrupt.asked is not None:
            raise KeyboardInterrupt
        interrupt.asked = signum

    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
