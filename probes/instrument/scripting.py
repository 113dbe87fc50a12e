"""Lets a watched model be scripted: TorchScript compiles the hooks of a module with it, and ours cannot be."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from probes.instrument.hooks import Hook

_KINDS = ("_forward_pre_hooks", "_forward_hooks")


@contextmanager
def without_hooks(model: object) -> Iterator[None]:
    """Takes our hooks off a model and its parts, and puts them back where they were."""
    taken: list[tuple[Any, dict[int, Any]]] = []
    try:
        for module in model.modules() if isinstance(model, nn.Module) else ():
            for hooks in (getattr(module, kind) for kind in _KINDS):
                if any(isinstance(hook, Hook) for hook in hooks.values()):
                    taken.append((hooks, dict(hooks)))
                    for number in [n for n, hook in hooks.items() if isinstance(hook, Hook)]:
                        del hooks[number]
        yield
    finally:
        for hooks, before in taken:
            hooks.clear()
            hooks.update(before)


class _ScriptWatch:
    """While any probe is attached, `torch.jit.script` is given models without its hooks; the last to leave puts the
    original back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members = 0
        self._original: Callable[..., Any] | None = None

    def enter(self) -> None:
        with self._lock:
            self._members += 1
            home = torch.jit._script
            if self._original is None and hasattr(home, "_script_impl"):
                self._original = home._script_impl
                home._script_impl = self._wrap(self._original)

    def leave(self) -> None:
        with self._lock:
            self._members -= 1
            if not self._members and self._original is not None:
                setattr(torch.jit._script, "_script_impl", self._original)  # noqa: B010  mypy does not know it
                self._original = None

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def script(obj: object, *args: Any, **kwargs: Any) -> Any:
            if "_frames_up" in kwargs:  # from which frame the names in a scripted class are looked up
                kwargs["_frames_up"] += 1
            with without_hooks(obj):
                return original(obj, *args, **kwargs)

        return script


script_watch = _ScriptWatch()
