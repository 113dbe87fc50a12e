"""Records how a program ended when nobody closed the probe: an unhandled exception, also in the thread that trains,
`sys.exit`, SIGTERM, SIGINT, or its normal end.

All probes share one hook of each kind and one handler a signal. They are installed with the first probe and
taken away with the last, and chain to what was there before; signal handlers are never installed outside the main
thread.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn, Protocol

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Ending(Protocol):
    """Who is told that the program ends."""

    def end(self, reason: str) -> None:
        """The program is ending because of ``reason``."""


class Attached(Protocol):
    """Who takes a last look and lets go when the program ends, however it does."""

    @property
    def in_owner(self) -> bool:
        """Whether this is the process that attached it, not a fork of it."""

    @property
    def step(self) -> int:
        """Steps done so far."""

    @property
    def thread(self) -> int | None:
        """Identifier of the thread that trains."""

    def detach(self) -> None:
        """Lets go."""

    def end(self, reason: str) -> None:
        """The training is ending because of ``reason``."""


class ExitWatch:
    """Tells everyone in it how the program ends. They are referenced weakly."""

    def __init__(self) -> None:
        self._members: weakref.WeakSet[Ending] = weakref.WeakSet()
        self._attached: weakref.WeakSet[Attached] = weakref.WeakSet()
        self._at_exit = False
        self._previous_hook: Callable[..., Any] | None = None
        self._previous_handlers: dict[int, Any] = {}
        self._previous_thread_hook: Callable[[threading.ExceptHookArgs], Any] | None = None
        self._previous_exit: Callable[..., NoReturn] | None = None
        # What sys.exit was last called with, and how far each had come by then: who goes on has caught it.
        self._exit: tuple[SystemExit, weakref.WeakKeyDictionary[Attached, int]] | None = None

    def add(self, member: Ending) -> None:
        """From now on ``member.end(reason)`` is called when the program ends by an exception or a signal."""
        self._members.add(member)
        if self._previous_hook is None:
            self._previous_hook, sys.excepthook = sys.excepthook, self._on_exception
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            # SIG_IGN: the program does not end by it. Python's own SIGINT handler raises KeyboardInterrupt, which is
            # seen as an exception. None: installed from C, cannot be chained.
            previous = signal.getsignal(number)
            ours = number in self._previous_handlers
            if not ours and previous not in (None, signal.SIG_IGN, signal.default_int_handler):
                self._previous_handlers[number] = previous
                signal.signal(number, self._on_signal)

    def discard(self, member: Ending) -> None:
        """Forgets a member. After the last one, what was there before is put back.

        A hook or handler that somebody has since put on top of ours stays, and ours stays under it.
        """
        self._members.discard(member)
        if len(self._members):
            return
        if self._previous_hook is not None and sys.excepthook == self._on_exception:
            sys.excepthook, self._previous_hook = self._previous_hook, None
        if threading.current_thread() is threading.main_thread():
            for number, previous in list(self._previous_handlers.items()):
                if signal.getsignal(number) == self._on_signal:
                    signal.signal(number, previous)
                    del self._previous_handlers[number]

    def attach(self, member: Attached) -> None:
        """From now on ``member.detach()`` is called when the program ends. It must be possible to call it again."""
        self._attached.add(member)
        if self._previous_thread_hook is None:
            self._previous_thread_hook, threading.excepthook = threading.excepthook, self._on_thread_exception
        if self._previous_exit is None:
            self._previous_exit, sys.exit = sys.exit, self._on_sys_exit
        if not self._at_exit:
            # Not on import: what is registered last is called first, and the writers must still be open.
            self._at_exit = True
            atexit.register(self._on_exit)

    def detach(self, member: Attached) -> None:
        """Forgets what `attach` was given. After the last one, what was there before is put back, as by `discard`."""
        self._attached.discard(member)
        if len(self._attached):
            return
        if self._previous_thread_hook is not None and threading.excepthook == self._on_thread_exception:
            threading.excepthook, self._previous_thread_hook = self._previous_thread_hook, None
        if self._previous_exit is not None and sys.exit == self._on_sys_exit:
            sys.exit, self._previous_exit = self._previous_exit, None
        self._exit = None

    def _on_exit(self) -> None:
        for member in list(self._attached):
            if not member.in_owner:
                continue
            if self._exit is not None and self._exit[1].get(member) == member.step:
                member.end(describe_exception(self._exit[0]))
            else:
                member.detach()

    def _on_sys_exit(self, status: Any = None, /) -> NoReturn:
        if threading.current_thread() is threading.main_thread():
            error = SystemExit(status)
            failed = status is not None and status != 0
            steps = weakref.WeakKeyDictionary({m: m.step for m in self._attached})
            self._exit = (error, steps) if failed else None
        previous = self._previous_exit
        if previous is None:
            raise SystemExit(status)
        previous(status)

    def _on_thread_exception(self, args: threading.ExceptHookArgs) -> None:
        previous = self._previous_thread_hook or threading.__excepthook__
        error = args.exc_value
        if error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0)):
            for member in list(self._attached):
                if member.in_owner and member.thread == threading.get_ident():
                    member.end(describe_exception(error))
        previous(args)

    def _tell(self, reason: str) -> None:
        for member in list(self._members):
            member.end(reason)

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        previous = self._previous_hook or sys.__excepthook__
        self._tell(describe_exception(error))
        previous(kind, error, trace)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous_handlers.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)  # it decides whether the program ends; if it raises, that is seen as well
            return
        self._tell(signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


exits = ExitWatch()


def describe_exception(error: BaseException) -> str:
    """Type and message on one line; of `sys.exit` the exit code."""
    if isinstance(error, SystemExit):
        return f"exit code {error.code if isinstance(error.code, int) else 1}"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
