"""The parameters of a model under their own names, and what an optimizer step does to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from probes.instrument.norms import norms
from probes.instrument.sampling import take, take_all
from probes.instrument.sheet import Sheet
from probes.instrument.wrappers import own_names


@dataclass(frozen=True)
class Watchlist:
    """The parameters that are measured, in the model's order; tied ones appear once, under their first name.

    Attributes:
        names: one for each parameter.
        tensors: the parameters themselves.
        numbers: ``id(parameter)`` -> position in the lists.
        notes: what is left out, and why.
    """

    names: list[str]
    tensors: list[Tensor]
    numbers: dict[int, int]
    notes: list[str]


def list_parameters(model: nn.Module) -> Watchlist:
    """All parameters of the model that hold numbers now."""
    names: list[str] = []
    tensors: list[Tensor] = []
    notes: list[str] = []
    own = own_names(model)
    for name, parameter in model.named_parameters():
        reason = _why_not(parameter)
        if reason:
            notes.append(f"{own(name)} is not measured: {reason}")
            continue
        names.append(own(name))
        tensors.append(parameter)
    return Watchlist(names, tensors, {id(t): i for i, t in enumerate(tensors)}, notes)


def inventory(model: nn.Module) -> list[object]:
    """Equal as long as the same parameters and modules stand at the same places, under the same names and types.

    Several times as quick as `list_parameters`. What it numbers must be kept alive between two calls.
    """
    found: list[object] = []
    for module in model.modules():
        parameters = module._parameters
        found += (id(module), type(module), *module._modules)
        found += parameters
        found += map(id, parameters.values())
        found += map(type, parameters.values())  # a lazy parameter is made a real one in place
    return found


def _why_not(parameter: Tensor) -> str | None:
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        return "it has no shape yet"
    if parameter.device.type == "meta":
        return "it is on the meta device and holds no numbers"
    if parameter.is_quantized or not (parameter.is_floating_point() or parameter.is_complex()):
        return f"its type is {str(parameter.dtype).removeprefix('torch.')}"
    if parameter.layout != torch.strided:
        return f"its layout is {str(parameter.layout).removeprefix('torch.')}"
    return None


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that lives in this process (a DTensor's shard), detached."""
    if type(tensor) is nn.Parameter or type(tensor) is Tensor:
        return tensor.detach()
    shard = getattr(tensor, "_local_tensor", None)
    return (shard if isinstance(shard, Tensor) else tensor).detach()


class Copies:
    """Memory for copies of the weights. Up to `KEEP_BYTES` on the CPU it is kept from frame to frame, because
    fresh memory costs more in page faults than the copy; anything larger is freed after each frame. All copies together
    take `MOST_BYTES`; of parameters beyond that a sample is all that is remembered.
    """

    KEEP_BYTES = 64 << 20
    MOST_BYTES = 1 << 30

    def __init__(self) -> None:
        self._kept: dict[int, Tensor] = {}
        self._too_large = False  # to keep

    def of(self, tensors: dict[int, Tensor]) -> dict[int, Tensor]:
        """Copies of the tensors under the same numbers. They may be overwritten; `free` them afterwards."""
        copies, fresh = {}, False
        for number, tensor in tensors.items():
            copy = self._kept.get(number)
            if copy is None or _layout(copy) != _layout(tensor):
                copy, fresh = torch.empty_like(tensor), True
            copies[number] = copy
        if copies:
            torch._foreach_copy_(list(copies.values()), list(tensors.values()))
        if fresh:
            self._kept.update(copies)
            size = sum(t.nbytes for t in self._kept.values())
            self._too_large = size > self.KEEP_BYTES or not all(t.is_cpu for t in self._kept.values())
        return copies

    def room_for(self, tensors: dict[int, Tensor]) -> set[int]:
        """The numbers of those that are copied whole: the smallest first, until the bound is reached."""
        if sum(t.nbytes for t in tensors.values()) <= self.MOST_BYTES:
            return set(tensors)
        left, chosen = self.MOST_BYTES, set()
        for number in sorted(tensors, key=lambda n: tensors[n].nbytes):
            left -= tensors[number].nbytes
            if left < 0:
                break
            chosen.add(number)
        return chosen

    def notes(self, watchlist: Watchlist) -> list[str]:
        """What is said of parameters that are not copied whole."""
        tensors = {n: local(t) for n, t in enumerate(watchlist.tensors) if t.requires_grad}
        beyond = len(tensors) - len(self.room_for(tensors))
        if not beyond:
            return []
        return [
            f"the updates of the {beyond} largest of {len(tensors)} parameters are estimated from samples: "
            f"copies of the weights take {self.MOST_BYTES >> 20} MiB at most"
        ]

    def free(self) -> None:
        """Lets go of what is too large to keep."""
        if self._too_large:
            self._kept.clear()


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


@dataclass
class StepMeasurement:
    """What one optimizer step did to some parameters: for each kind, their numbers and exact norms [k]."""

    copies: Copies
    norms: dict[str, tuple[list[int], Tensor]] = field(default_factory=dict)
    _before: dict[int, Tensor] = field(default_factory=dict)
    _samples: dict[int, Tensor] = field(default_factory=dict)  # of those too large to copy, before the step

    def take_gradients(self, watchlist: Watchlist, numbers: Iterable[int], sheet: Sheet, scale: Tensor | None) -> None:
        """Measures the gradients as the optimizer is about to use them.

        ``scale`` is what they are still multiplied by (a fused optimizer unscales by itself), or None.
        """
        present: list[int] = []
        gradients: list[Tensor] = []
        for number in numbers:
            gradient = watchlist.tensors[number].grad
            if gradient is None or gradient.device.type == "meta":
                continue
            gradient = local(gradient)
            if gradient.is_sparse:
                # Rows looked up twice are stored twice; the optimizer adds them up first.
                gradient = gradient.coalesce().values()
            elif gradient.layout != torch.strided:
                continue
            present.append(number)
            gradients.append(gradient)
        if not present:
            return
        lengths = norms(gradients)
        samples = take_all(gradients)
        if scale is not None:
            lengths = lengths / scale
            torch._foreach_div_(samples.memory, scale.to(torch.float32))
        self.norms["gradient"] = (present, lengths)
        sheet.add_all("gradient", present, samples)

    def remember(self, watchlist: Watchlist, numbers: Iterable[int]) -> None:
        """Copies the weights, so that after the step the change can be told."""
        tensors = {n: local(watchlist.tensors[n]) for n in numbers if watchlist.tensors[n].requires_grad}
        whole = self.copies.room_for(tensors)
        self._before = self.copies.of({n: t for n, t in tensors.items() if n in whole})
        self._samples = {n: take(t) for n, t in tensors.items() if n not in whole}

    def take_updates(self, watchlist: Watchlist, sheet: Sheet) -> None:
        """Measures the change since `remember`, and frees the copies."""
        before, self._before = self._before, {}
        now = {n: local(watchlist.tensors[n]) for n in before}
        chosen = [n for n in before if before[n].shape == now[n].shape and before[n].device == now[n].device]
        changes = [before[n] for n in chosen]
        if chosen:
            torch._foreach_sub_(changes, [now[n] for n in chosen])
            self.norms["update"] = (chosen, norms(changes))
            samples = take_all(changes)
            torch._foreach_neg_(samples.memory)
            sheet.add_all("update", chosen, samples)
        self.copies.free()
        self._estimate_updates(watchlist, sheet)

    def _estimate_updates(self, watchlist: Watchlist, sheet: Sheet) -> None:
        """The same from samples: the norm is that of the sample, scaled up to all elements."""
        samples, self._samples = self._samples, {}
        numbers, lengths = self.norms.get("update", ([], None))
        estimates = [] if lengths is None else [lengths]
        for number, before in samples.items():
            weight = local(watchlist.tensors[number])
            now = take(weight)
            if now.shape != before.shape or now.device != before.device:
                continue
            sheet.add(("update", number), [now.sub_(before)])
            numbers = [*numbers, number]
            estimates.append(torch.linalg.vector_norm(now).reshape(1) * (weight.numel() / now.numel()) ** 0.5)
        if estimates:
            self.norms["update"] = numbers, estimates[0] if len(estimates) == 1 else torch.cat(estimates)


def take_weights(watchlist: Watchlist, sheet: Sheet, numbers: Sequence[int] | None = None) -> tuple[list[int], Tensor]:
    """Measures the weights as they are now: adds their samples, returns their numbers and exact norms [k]."""
    chosen = list(range(len(watchlist.tensors))) if numbers is None else list(numbers)
    weights = [local(watchlist.tensors[n]) for n in chosen]
    sheet.add_all("weight", chosen, take_all(weights))
    return chosen, norms(weights)
