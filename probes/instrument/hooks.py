"""Callables that are handed to torch, made so that a watched model can still be copied and pickled."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any


class Hook(partial[Any]):
    """Calls a function, and becomes a function of the standard library that does nothing when it is copied.

    A copy of a watched model is not watched, and a pickled one can be loaded where babysit is not installed. A
    ``partial`` is called without a Python frame of its own: hooks are called at every step.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # nullcontext.__exit__ accepts whatever it is given and returns None.
        return getattr, (nullcontext(), "__exit__")
