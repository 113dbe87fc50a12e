"""Which optimizers are followed, how steps are counted, and how the probe learns that one stepped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol
from weakref import WeakSet

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from probes.instrument.compiled import outside_graphs
from probes.instrument.hooks import Hook

_LOOKS = 10
"""Steps after which it is known which optimizers step inside others."""


class StepListener(Protocol):
    """Who is told about the steps of an optimizer."""

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...

    def after_step(self, optimizer: Optimizer) -> None: ...

    def step_skipped(self, optimizer: Optimizer) -> None: ...


class StepCounter:
    """Counts the loop's steps from the steps of its optimizers.

    A step begins when an optimizer steps for a second time since the last one began, or when it changes parameters
    that were changed since then: with one optimizer, each of its steps; in a GAN whose two optimizers take turns, a
    pair; with five critic steps to a generator step, each critic step; each step of an optimizer that took the place
    of another.
    """

    def __init__(self, start: int = 0) -> None:
        self.step = start
        self._stepped: list[Optimizer] = []  # since the last step began

    def begins(self, optimizer: Optimizer) -> bool:
        """Whether a step of this optimizer would be a new step of the loop."""
        return not self._stepped or any(o is optimizer or share_parameters(o, optimizer) for o in self._stepped)

    def advance(self, optimizer: Optimizer) -> bool:
        """Takes in one step of an optimizer; returns whether it is a new step of the loop."""
        if len(self._stepped) == 1 and self._stepped[0] is optimizer:  # as at nearly all steps
            self.step += 1
            return True
        if not self.begins(optimizer):
            self._stepped.append(optimizer)
            return False
        self._stepped = [optimizer]
        self.step += 1
        return True


def share_parameters(one: Optimizer, other: Optimizer) -> bool:
    """Whether two optimizers hold a parameter in common."""
    mine = {id(p) for group in one.param_groups for p in group["params"]}
    return any(id(p) in mine for group in other.param_groups for p in group["params"])


class OptimizerHooks:
    """Follows the steps of some optimizers, or of all that hold parameters of the model.

    An optimizer that takes over parameters of a followed one takes its place. Steps inside a followed optimizer's
    step (of the class it is derived from, or of an optimizer it is made of) are part of that step.

    Args:
        optimizers: those to follow; when empty, any that steps and that ``concerns`` accepts is taken in.
        concerns: whether an optimizer holds parameters of the watched model.
        listener: is told.
    """

    def __init__(
        self, optimizers: Iterable[Optimizer], concerns: Callable[[Optimizer], bool], listener: StepListener
    ) -> None:
        self.optimizers: list[Optimizer] = list(optimizers)
        self.outermost = list(self.optimizers)  # but those that step in the steps of others: their parts and bases
        self._concerns = concerns
        self._listener = listener
        self._handles: list[RemovableHandle] = []
        self._own_handles: dict[int, list[RemovableHandle]] = {}  # by id of an optimizer in `optimizers`
        self._depth = 0  # of followed steps inside one another; too high after a step that raised
        self._looks = _LOOKS
        self._outer: WeakSet[Optimizer] = WeakSet()  # in whose steps followed ones were seen to step
        self._inner: WeakSet[Optimizer] = WeakSet()  # followed ones that stepped in the step of a followed one
        if self.optimizers:
            for optimizer in self.optimizers:
                self._hook(optimizer)
            # No hook before the step: this one may be made inside such a hook, and torch walks through them.
            self._handles.append(register_optimizer_step_post_hook(Hook(self._after_foreign)))
        else:
            self._handles.append(register_optimizer_step_pre_hook(Hook(self._before_any)))
            self._handles.append(register_optimizer_step_post_hook(Hook(self._after_any)))
        _scaler_watch.add(self)

    def remove(self) -> None:
        """Removes every hook."""
        for handles in (self._handles, *self._own_handles.values()):
            for handle in handles:
                handle.remove()
        self._handles.clear()
        self._own_handles.clear()
        _scaler_watch.discard(self)

    def follows(self, optimizer: Optimizer) -> bool:
        """Whether this optimizer's steps are counted."""
        for known in self.optimizers:  # noqa: SIM110  any() would be a frame more, at every step
            if known is optimizer:
                return True
        return False

    def touches(self, optimizer: Optimizer) -> bool:
        """Whether it steps parameters that a followed optimizer steps."""
        return any(share_parameters(known, optimizer) for known in self.optimizers)

    def _hook(self, optimizer: Optimizer) -> None:
        self._own_handles[id(optimizer)] = [
            optimizer.register_step_pre_hook(Hook(self._before)),
            optimizer.register_step_post_hook(Hook(self._after)),
        ]

    def _adopt(self, optimizer: Optimizer) -> None:
        """Follows an optimizer from now on, in the place of those whose parameters it has taken over."""
        followed: list[Optimizer] = []
        for known in self.optimizers:
            if not share_parameters(known, optimizer):
                followed.append(known)
                continue
            for handle in self._own_handles.pop(id(known), []):
                handle.remove()
            if not any(f is optimizer for f in followed):
                followed.append(optimizer)
        self._looks = _LOOKS
        self.optimizers = followed if any(f is optimizer for f in followed) else [*followed, optimizer]
        self._find_outermost()

    def _depth_now(self) -> int:
        """How many steps of followed optimizers this thread is inside of."""
        return sum(self.follows(optimizer) for optimizer in _stepping())

    def _find_outermost(self) -> None:
        self.outermost = [o for o in self.optimizers if o not in self._inner]

    def scaler_stepped(self, optimizer: Optimizer, stepped: bool) -> None:
        """Called after a GradScaler had its chance to step an optimizer."""
        if not stepped and self.follows(optimizer):
            self._listener.step_skipped(optimizer)

    @outside_graphs
    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # To walk up a deep stack takes 10 microseconds: who steps inside whom is learnt from the first steps.
        if not (self._depth or self._looks):
            self._depth = 1
            self._listener.before_step(optimizer, args, kwargs)
            return
        around = list(_stepping())
        self._looks = max(0, self._looks - 1)
        self._depth = max(1, sum(self.follows(o) for o in around))
        foreign = [o for o in around if o is not optimizer]
        if self._depth == 1:
            self._outer.update(foreign)
            self._listener.before_step(optimizer, args, kwargs)
        elif foreign:
            self._inner.add(optimizer)
            self._find_outermost()

    @outside_graphs
    def _after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._depth != 1:
            self._depth = max(1, self._depth_now())
        self._depth -= 1
        if self._depth == 0:
            _scaler_watch.stepped.add(id(optimizer))
            self._listener.after_step(optimizer)

    @outside_graphs
    def _before_any(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.follows(optimizer):
            if (self._depth and self._depth_now()) or not self._concerns(optimizer):
                return
            self._adopt(optimizer)
        self._before(optimizer, args, kwargs)

    @outside_graphs
    def _after_any(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.follows(optimizer):
            self._after(optimizer, args, kwargs)

    def _after_foreign(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.follows(optimizer):
            self._look_at_foreign(optimizer)

    @outside_graphs
    def _look_at_foreign(self, optimizer: Optimizer) -> None:
        """Takes in an optimizer made anew by the loop, when it has stepped."""
        if optimizer in self._outer or (self._depth and self._depth_now()):
            return
        if self.touches(optimizer):
            self._adopt(optimizer)
            self._hook(optimizer)
            self._listener.after_step(optimizer)


# The code that torch wraps around each class's step, to find its frames.
_STEP_CODE = Optimizer.profile_hook_step(lambda *_: None).__code__


def _stepping() -> Iterator[Optimizer]:
    """The optimizers in whose steps this thread is, innermost first, read from its stack."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _STEP_CODE:
            yield frame.f_locals["args"][0]
        frame = frame.f_back  # type: ignore[assignment]


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
        self.stepped: set[int] = set()  # ids of the optimizers that stepped since a scaler last had its chance

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

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scaler: Any, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            self.stepped.clear()
            result = original(scaler, optimizer, *args, **kwargs)
            stepped = id(optimizer) in self.stepped
            for hooks in list(self._hooks):
                hooks.scaler_stepped(optimizer, stepped)
            return result

        return step


_scaler_watch = _ScalerWatch()
