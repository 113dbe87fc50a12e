"""Installs hooks on the modules for the length of one frame and collects what they see."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

from probes.instrument import capture
from probes.instrument.activations import channels_first
from probes.instrument.capture import Pass, Sample
from probes.instrument.hooks import Hook
from probes.instrument.inputs import InputSample, sample_input
from probes.instrument.modules import Watched, find_modules, first_tensor, is_measurable


@dataclass
class Collected:
    """What one frame saw: committed samples by module number in call order, input batches, shapes of outputs."""

    samples: dict[int, list[Sample]] = field(default_factory=dict)
    inputs: list[InputSample] = field(default_factory=list)
    shapes: dict[int, list[int]] = field(default_factory=dict)


class Collector:
    """Watches the forward and backward passes between `open` and `close`.

    Args:
        model: the root module.
        guard: the context in which every hook's work runs: it measures the time and stops all
            exceptions.
    """

    def __init__(self, model: nn.Module, guard: AbstractContextManager[object]) -> None:
        self.watched, self.notes = find_modules(model)
        self._guard = guard
        self._handles: list[RemovableHandle] = []
        self._samples: list[Sample] = []
        self._inputs: list[InputSample] = []
        self._shapes: dict[int, list[int]] = {}
        self._calls: dict[int, int] = {}
        self._marked = 0, 0
        self._pass: Pass | None = None
        self._channels_first: bool | None = None

    @property
    def is_open(self) -> bool:
        return bool(self._handles)

    def refresh(self, model: nn.Module) -> bool:
        """Takes in modules that were added to or removed from the model; returns whether any were."""
        found, self.notes = find_modules(model)
        present = {id(watched.module) for watched in found}
        known = {id(watched.module) for watched in self.watched}
        kept = [watched for watched in self.watched if id(watched.module) in present]
        added = [watched for watched in found if id(watched.module) not in known]
        changed = bool(added) or len(kept) < len(self.watched)
        self.watched = kept + added
        return changed

    def in_call_order(self) -> list[Watched]:
        """The watched modules as the passes seen so far called them; those not called come last."""
        called = list(dict.fromkeys(sample.index for sample in self._samples))
        return [self.watched[i] for i in called + [i for i in range(len(self.watched)) if i not in called]]

    def open(self, root: nn.Module | None) -> None:
        """Installs the hooks. ``root`` is the model when its own forward pass can be followed."""
        if self._handles:
            return
        untouchable = {}
        for index, watched in enumerate(self.watched):
            hook = Hook(partial(self._on_output, index, watched))
            if watched.untouchable:
                untouchable[id(watched.module)] = hook
            else:
                self._handles.append(watched.module.register_forward_hook(hook))
        if untouchable:
            self._handles.append(register_module_forward_hook(Hook(partial(_dispatch, untouchable))))
        if root is not None:
            self._handles.append(root.register_forward_hook(Hook(self._on_root_end)))

    def begin_pass(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Called where a forward pass of the whole model begins, with its arguments."""
        self._pass = Pass()
        self._channels_first = None
        batch = first_tensor(args)
        if batch is None:
            batch = first_tensor(kwargs)
        if batch is not None and len(self._inputs) < capture.MAX_CALLS:
            self._inputs.append(sample_input(batch, self._pass))

    def mark(self) -> None:
        """Says that what was seen so far belongs to a finished optimizer step."""
        self._marked = len(self._samples), len(self._inputs)

    def cut(self) -> Collected:
        """Hands out what was seen up to the last `mark` and goes on with the rest, for the next frame."""
        samples, inputs = self._marked
        collected = self._select(self._samples[:samples], self._inputs[:inputs])
        self._samples, self._inputs = self._samples[samples:], self._inputs[inputs:]
        self._calls = dict(Counter(sample.index for sample in self._samples))
        self._marked = 0, 0
        return collected

    def close(self) -> Collected:
        """Removes the hooks and hands out everything that was seen."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        collected = self._select(self._samples, self._inputs)
        self._samples, self._inputs, self._shapes, self._calls, self._pass = [], [], {}, {}, None
        self._marked = 0, 0
        return collected

    def _select(self, samples: list[Sample], inputs: list[InputSample]) -> Collected:
        """What belongs to passes that a gradient came back to."""
        collected = Collected(inputs=[i for i in inputs if i.forward.trained], shapes=dict(self._shapes))
        for sample in samples:
            if sample.forward.trained:
                collected.samples.setdefault(sample.index, []).append(sample)
        return collected

    def _on_root_end(self, module: nn.Module, args: object, output: object) -> None:
        self._pass = None

    def _on_output(self, index: int, watched: Watched, module: nn.Module, args: object, output: object) -> None:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return
        if not torch.is_grad_enabled() or not self._handles:
            return
        with self._guard:
            self._take(index, watched, first_tensor(output))

    def _take(self, index: int, watched: Watched, output: Tensor | None) -> None:
        layout = channels_first(watched.module)
        self._channels_first = self._channels_first if layout is None else layout
        calls = self._calls.get(index, 0)
        if output is None or calls >= capture.MAX_CALLS or not is_measurable(output):
            return
        self._calls[index] = calls + 1
        self._shapes.setdefault(index, list(output.shape))
        batch, axis = capture.as_batch(output, self._channels_first)
        # Outside a pass of the whole model (its forward is never called, as in most GANs) each call stands
        # alone.
        forward = self._pass or Pass()
        sample = Sample(index, forward, capture.sample_values(batch, axis), output.numel())
        if watched.kind is not None and watched.kind.dead_below is not None:
            sample.alive, sample.observations = capture.sample_alive(batch, axis, watched.kind)
        self._samples.append(sample)
        # A leaf (a parameter handed out as it is) would keep the hook, and the sample, beyond this pass.
        if output.requires_grad and not output.is_leaf:
            # The hook sees the gradient of the values as they are now, also when a later module overwrites
            # them.
            output.register_hook(partial(self._on_gradient, sample, axis))  # type: ignore[no-untyped-call]

    def _on_gradient(self, sample: Sample, axis: int, gradient: Tensor) -> None:
        if torch.compiler.is_compiling() or not self._handles:
            return
        with self._guard:
            sample.forward.trained = True
            if is_measurable(gradient):
                batch, _ = capture.as_batch(gradient, axis == 1)
                sample.gradients.append(capture.sample_values(batch, axis))


def _dispatch(hooks: dict[int, Hook], module: nn.Module, args: object, output: object) -> None:
    """A hook on all modules there are, for those that must not have one of their own."""
    hook = hooks.get(id(module))
    if hook is not None:
        hook(module, args, output)
