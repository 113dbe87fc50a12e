"""Installs hooks on the modules for the length of one frame and collects what they see."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

from probes.instrument import capture
from probes.instrument.activations import channels_first
from probes.instrument.backward import current_backward
from probes.instrument.capture import Pass, Sample
from probes.instrument.hooks import Hook
from probes.instrument.inputs import InputSample, sample_input
from probes.instrument.modules import Watched, find_modules, first_tensor, is_measurable
from probes.instrument.recognition.answers import Output, output_of


@dataclass
class Collected:
    """What one frame saw: committed samples by module number in call order, input batches, shapes of outputs, and the
    model's own outputs.

    ``whole``: some of it in passes of the whole model.
    """

    samples: dict[int, list[Sample]] = field(default_factory=dict)
    inputs: list[InputSample] = field(default_factory=list)
    shapes: dict[int, list[int]] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return any(sample.forward.whole for samples in self.samples.values() for sample in samples)


class Collector:
    """Watches the forward and backward passes between `open` and `close`.

    Args:
        model: the root module.
        guard: the context in which every hook's work runs: it measures the time and stops all
            exceptions.
        trains: whether the backward pass under way brings gradients to parameters.

    Attributes:
        wants_outputs: whether to keep what passes of the whole model return.
    """

    def __init__(self, model: nn.Module, guard: AbstractContextManager[object], trains: Callable[[], bool]) -> None:
        self.watched, self.notes = find_modules(model)
        self._guard = guard
        self._trains = trains
        self._judged = -1, False  # the last backward pass asked about, and the answer
        self._handles: list[RemovableHandle] = []
        self._samples: list[Sample] = []
        self._inputs: list[InputSample] = []
        self._shapes: dict[int, list[int]] = {}
        self.wants_outputs = True
        self._outputs: list[Output] = []
        self._held: dict[int, list[Sample]] = {}  # by module: the samples not dropped
        self._marked = 0, 0, 0
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
            hook = Hook(partial(self._on_output, index, watched, channels_first(watched.module)))
            if watched.untouchable:
                untouchable[id(watched.module)] = hook
            else:
                self._handles.append(watched.module.register_forward_hook(hook))
        if untouchable:
            self._handles.append(register_module_forward_hook(Hook(partial(_dispatch, untouchable))))
        if root is not None:
            self._handles.append(root.register_forward_hook(Hook(self._on_root_end)))

    def begin_pass(self, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Called where a forward pass of the whole model begins, with its arguments."""
        batch = first_tensor(args)
        if batch is None:
            batch = first_tensor(kwargs)
        self._pass = Pass(module.training, whole=True, probed=capture.is_probed(batch))
        self._channels_first = None
        if batch is not None:
            if len(self._inputs) - self._marked[1] >= capture.MAX_CALLS:
                recent = range(self._marked[1], len(self._inputs))
                oldest = next((i for i in recent if _gives_way(self._inputs[i].forward, self._pass)), None)
                if oldest is None:
                    return
                del self._inputs[oldest]
            self._inputs.append(sample_input(batch, self._pass))

    def mark(self) -> None:
        """Says that what was seen so far belongs to a finished optimizer step."""
        self._marked = len(self._samples), len(self._inputs), len(self._outputs)

    def cut(self) -> Collected:
        """Hands out what was seen up to the last `mark` and goes on with the rest, for the next frame."""
        samples, inputs, outputs = self._marked
        collected = self._select(self._samples[:samples], self._inputs[:inputs], self._outputs[:outputs])
        self._samples, self._inputs = self._samples[samples:], self._inputs[inputs:]
        self._outputs = self._outputs[outputs:]
        self._held = {}
        for sample in self._samples:
            if not sample.dropped:
                self._held.setdefault(sample.index, []).append(sample)
        self._marked = 0, 0, 0
        return collected

    def close(self) -> Collected:
        """Removes the hooks and hands out everything that was seen."""
        if not (self._handles or self._samples or self._inputs or self._outputs):
            return Collected()  # closed already, as at the end of most steps
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        collected = self._select(self._samples, self._inputs, self._outputs)
        self._samples, self._inputs, self._outputs, self._shapes, self._held, self._pass = [], [], [], {}, {}, None
        self._marked = 0, 0, 0
        return collected

    def _select(self, samples: list[Sample], inputs: list[InputSample], outputs: list[Output]) -> Collected:
        """What belongs to passes that trained; where there were several kinds of passes, to the best of them."""
        collected = Collected(shapes=dict(self._shapes))
        for sample in samples:
            if sample.forward.trained and not sample.dropped:
                collected.samples.setdefault(sample.index, []).append(sample)
        for index, mine in collected.samples.items():
            best = max(sample.forward.standing for sample in mine)
            collected.samples[index] = [sample for sample in mine if sample.forward.standing == best]
        trained = [i for i in inputs if i.forward.trained]
        best = max((i.forward.standing for i in trained), default=(False, False))
        collected.inputs = [i for i in trained if i.forward.standing == best]
        collected.outputs = [o for o in outputs if o.gradients and o.forward.standing == best]
        return collected

    def _on_root_end(self, module: nn.Module, args: object, output: object) -> None:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return
        forward, self._pass = self._pass, None
        if forward is None or not self.wants_outputs or not torch.is_grad_enabled() or not self._handles:
            return
        with self._guard:
            taken = output_of(output, forward, self._channels_first)
            if taken is None:
                return
            if len(self._outputs) - self._marked[2] >= capture.MAX_CALLS:
                del self._outputs[self._marked[2]]
            mine, tensor = taken
            self._outputs.append(mine)
            assert tensor.grad_fn is not None
            tensor.grad_fn.register_prehook(partial(self._on_output_gradient, mine, tensor.output_nr))

    def _on_output_gradient(self, output: Output, place: int, gradients: tuple[Tensor | None, ...]) -> None:
        gradient = gradients[place]
        if gradient is None or torch.compiler.is_compiling() or not self._handles:
            return
        with self._guard:
            if self._trains_now():
                output.take_gradient(gradient)

    def _on_output(
        self, index: int, watched: Watched, layout: bool | None, module: nn.Module, args: object, output: object
    ) -> None:
        if torch.compiler.is_compiling() or torch._C._is_tracing():
            return
        if not torch.is_grad_enabled() or not self._handles:
            return
        with self._guard:
            if layout is None:
                layout = self._channels_first
            else:
                self._channels_first = layout
            tensor = first_tensor(output)
            if tensor is not None and is_measurable(tensor):
                self._take(index, watched, layout, args, tensor)

    def _take(self, index: int, watched: Watched, layout: bool | None, args: object, output: Tensor) -> None:
        # Outside a pass of the whole model (its forward is never called, as in most GANs) each call stands
        # alone.
        forward = self._pass or Pass(watched.module.training, probed=capture.is_probed(first_tensor(args)))
        held = self._held.get(index)
        if held is None:
            held = self._held[index] = []
        elif len(held) >= capture.MAX_CALLS and not _make_room(held, forward):
            return
        if index not in self._shapes:
            self._shapes[index] = list(output.shape)
        batch, axis = capture.as_batch(output, layout)
        values, seen = capture.sample_output(batch, axis, watched.kind)
        sample = Sample(index, forward, values, output.numel(), seen)
        self._samples.append(sample)
        held.append(sample)
        # At the operation that made the values as they are now, also when a later module overwrites them. Not at the
        # tensor: it would carry the hook to wherever it is saved.
        maker = output.grad_fn
        if maker is not None:
            maker.register_prehook(partial(self._on_gradient, sample, axis == 1, output.output_nr))

    def _on_gradient(self, sample: Sample, second: bool, place: int, gradients: tuple[Tensor | None, ...]) -> None:
        if torch.compiler.is_compiling() or not self._handles:
            return
        gradient = gradients[place]
        if gradient is None:
            return
        with self._guard:
            if not self._trains_now():
                sample.forward.probed = True
                return
            sample.forward.trained = True
            if is_measurable(gradient) and not sample.dropped:
                batch, axis = capture.as_batch(gradient, second)
                sample.gradients.append(capture.sample_values(batch, axis))

    def _trains_now(self) -> bool:
        backward = current_backward()
        judged, answer = self._judged
        if backward != judged:
            answer = self._trains()
            self._judged = backward, answer
        return answer


def _gives_way(sample: Pass, to: Pass) -> bool:
    """Whether what is held of a pass is worth less than a call of another."""
    # Calls of a part by itself are passes of their own, and those of one training can be many.
    return sample is not to and (sample.standing < to.standing or (to.whole and not sample.trained))


def _make_room(held: list[Sample], forward: Pass) -> bool:
    """Drops the oldest sample that gives way; False when none does."""
    for place, sample in enumerate(held):
        if _gives_way(sample.forward, forward):
            sample.drop()
            del held[place]
            return True
    return False


def _dispatch(hooks: dict[int, Hook], module: nn.Module, args: object, output: object) -> None:
    """A hook on all modules there are, for those that must not have one of their own."""
    hook = hooks.get(id(module))
    if hook is not None:
        hook(module, args, output)
