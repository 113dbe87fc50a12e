"""Which optimizers are followed, how steps are counted, and how the probe learns that one stepped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from probes.instrument.hooks import Hook


class StepListener(Protocol):
    """Who is told about the steps of an optimizer."""

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...

    def after_step(self, optimizer: Optimizer) -> None: ...

    def step_skipped(self, optimizer: Optimizer) -> None: ...


class StepCounter:
    """Counts the loop's steps from the steps of its optimizers.

    A step is a step of whichever optimizer has stepped most: with one optimizer, each of its steps; in a GAN
    whose two optimizers take turns, a pair; with five critic steps to a generator step, each critic step.
    """

    def __init__(self, start: int = 0) -> None:
        self.step = start
        self._leading = 0
        self._counts: dict[int, int] = {}

    def advance(self, optimizer: int) -> bool:
        """Takes in one step of an optimizer (any key for it); returns whether it is a new step of the loop."""
        count = self._counts[optimizer] = self._counts.get(optimizer, 0) + 1
        if count <= self._leading:
            return False
        self._leading = count
        self.step += 1
        return True


class OptimizerHooks:
    """Follows the steps of some optimizers, or of all that hold parameters of the model.

    Args:
        optimizers: those to follow; when empty, any that steps and that ``concerns`` accepts is taken in.
        concerns: whether an optimizer holds parameters of the watched model.
        listener: is told.
    """

    def __init__(
        self, optimizers: Iterable[Optimizer], concerns: Callable[[Optimizer], bool], listener: StepListener
    ) -> None:
        self.optimizers: list[Optimizer] = list(optimizers)
        self._concerns = concerns
        self._listener = listener
        self._handles: list[RemovableHandle] = []
        self._others: set[int] = set()
        if self.optimizers:
            for optimizer in self.optimizers:
                self._handles.append(optimizer.register_step_pre_hook(Hook(self._before)))
                self._handles.append(optimizer.register_step_post_hook(Hook(self._after)))
        else:
            self._handles.append(register_optimizer_step_pre_hook(Hook(self._before_any)))
            self._handles.append(register_optimizer_step_post_hook(Hook(self._after_any)))
        _scaler_watch.add(self)

    def remove(self) -> None:
        """Removes every hook."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        _scaler_watch.discard(self)

    def follows(self, optimizer: Optimizer) -> bool:
        """Whether this optimizer's steps are counted."""
        return any(optimizer is known for known in self.optimizers)

    def scaler_stepped(self, optimizer: Optimizer, stepped: bool) -> None:
        """Called after a GradScaler had its chance to step an optimizer."""
        if not stepped and self.follows(optimizer):
            self._listener.step_skipped(optimizer)

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._listener.before_step(optimizer, args, kwargs)

    def _after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        _scaler_watch.saw_step(optimizer)
        self._listener.after_step(optimizer)

    def _before_any(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.follows(optimizer):
            if not self._concerns(optimizer):
                return
            self.optimizers.append(optimizer)
        self._before(optimizer, args, kwargs)

    def _after_any(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.follows(optimizer):
            self._after(optimizer, args, kwargs)


class _ScalerWatch:
    """Notices steps that a GradScaler leaves out because gradients overflowed.

    A skipped step never reaches the optimizer, so no hook of torch's tells of it. While any probe is
    attached, ``GradScaler.step`` is wrapped to see whether the optimizer stepped; the last probe to leave
    puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hooks: list[OptimizerHooks] = []
        self._original: Callable[..., Any] | None = None
        self._stepped: set[int] = set()

    def add(self, hooks: OptimizerHooks) -> None:
        with self._lock:
            self._hooks.append(hooks)
            if self._original is None:
                self._original = torch.amp.GradScaler.step
                torch.amp.GradScaler.step = self._wrap(self._original)  # type: ignore[method-assign]

    def discard(self, hooks: OptimizerHooks) -> None:
        with self._lock:
            if hooks in self._hooks:
                self._hooks.remove(hooks)
            if not self._hooks and self._original is not None:
                torch.amp.GradScaler.step = self._original  # type: ignore[method-assign]
                self._original = None

    def saw_step(self, optimizer: Optimizer) -> None:
        self._stepped.add(id(optimizer))

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scaler: Any, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            self._stepped.clear()
            result = original(scaler, optimizer, *args, **kwargs)
            stepped = id(optimizer) in self._stepped
            for hooks in list(self._hooks):
                hooks.scaler_stepped(optimizer, stepped)
            return result

        return step


_scaler_watch = _ScalerWatch()
