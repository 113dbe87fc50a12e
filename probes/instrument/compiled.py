"""Keeps the probes out of what torch.compile compiles: a graph breaks where they are called, and goes on after."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def outside_graphs(function: Callable[P, R]) -> Callable[P, R]:
    """`torch.compiler.disable`, but at no cost where nothing is being compiled.

    A program that has not loaded the compiler is not made to, which takes seconds; and where no compiled code is
    running or being traced the function is called directly, for the way around the compiler passes through five
    functions, which at every step have long left the processor's caches.
    """
    disabled: Callable[P, R] | None = None
    compiles: Callable[[], object] | None = None  # tells, by None, that no compiled code is around the call

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal disabled, compiles
        if disabled is None or compiles is None:
            if "torch._dynamo" not in sys.modules:
                return function(*args, **kwargs)
            compiles = _frames_are_watched()
            disabled = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
        if not torch.compiler.is_compiling() and compiles() is None:
            return function(*args, **kwargs)
        return disabled(*args, **kwargs)

    return call


def _frames_are_watched() -> Callable[[], object]:
    """What returns None where the compiler does not look at the frames that are run; anything else if in doubt."""
    try:
        from torch._C._dynamo.eval_frame import get_eval_frame_callback
    except ImportError:  # not part of what torch promises
        return lambda: True
    return get_eval_frame_callback
