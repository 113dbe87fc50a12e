"""Callables that are handed to torch, made so that a watched model can still be copied and pickled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any


class Hook:
    """Calls a function, and becomes a function of the standard library that does nothing when it is copied.

    A copy of a watched model is not watched, and a pickled one can be loaded where babysit is not installed.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # nullcontext.__exit__ accepts whatever it is given and returns None.
        return getattr, (nullcontext(), "__exit__")
