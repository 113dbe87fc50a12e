"""The parameters of a model under their own names, and what an optimizer step does to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from probes.instrument.modules import clean_name
from probes.instrument.norms import norms
from probes.instrument.sampling import take
from probes.instrument.sheet import Sheet


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
    for name, parameter in model.named_parameters():
        reason = _why_not(parameter)
        if reason:
            notes.append(f"{clean_name(name)} is not measured: {reason}")
            continue
        names.append(clean_name(name))
        tensors.append(parameter)
    return Watchlist(names, tensors, {id(t): i for i, t in enumerate(tensors)}, notes)


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
    shard = getattr(tensor, "_local_tensor", None)
    return (shard if isinstance(shard, Tensor) else tensor).detach()


@dataclass
class StepMeasurement:
    """What one optimizer step did to some parameters: for each kind, their numbers and exact norms [k]."""

    norms: dict[str, tuple[list[int], Tensor]] = field(default_factory=dict)
    _before: dict[int, Tensor] = field(default_factory=dict)

    def take_gradients(
        self, watchlist: Watchlist, numbers: Iterable[int], sheet: Sheet, scale: Tensor | None
    ) -> None:
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
        samples = [take(gradient) for gradient in gradients]
        if scale is not None:
            lengths = lengths / scale
            torch._foreach_div_(samples, scale.to(torch.float32))
        self.norms["gradient"] = (present, lengths)
        for number, sample in zip(present, samples, strict=True):
            sheet.add(("gradient", number), sample)

    def remember(self, watchlist: Watchlist, numbers: Iterable[int]) -> None:
        """Copies the weights, so that after the step the change can be told."""
        chosen = [n for n in numbers if watchlist.tensors[n].requires_grad]
        originals = [local(watchlist.tensors[n]) for n in chosen]
        copies = [torch.empty_like(t) for t in originals]
        if copies:
            torch._foreach_copy_(copies, originals)
        self._before = dict(zip(chosen, copies, strict=True))

    def take_updates(self, watchlist: Watchlist, sheet: Sheet) -> None:
        """Measures the change since `remember`, and frees the copies."""
        chosen, before = list(self._before), list(self._before.values())
        self._before = {}
        if not chosen:
            return
        after = [local(watchlist.tensors[n]) for n in chosen]
        kept = [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if b.shape == a.shape]
        chosen, before, after = ([values[i] for i in kept] for values in (chosen, before, after))
        torch._foreach_sub_(before, after)
        self.norms["update"] = (chosen, norms(before))
        for number, change in zip(chosen, before, strict=True):
            sheet.add(("update", number), take(change).neg_())


def take_weights(
    watchlist: Watchlist, sheet: Sheet, numbers: Sequence[int] | None = None
) -> tuple[list[int], Tensor]:
    """Measures the weights as they are now: adds their samples, returns their numbers and exact norms [k]."""
    chosen = list(range(len(watchlist.tensors))) if numbers is None else list(numbers)
    weights = [local(watchlist.tensors[n]) for n in chosen]
    for number, weight in zip(chosen, weights, strict=True):
        sheet.add(("weight", number), take(weight))
    return chosen, norms(weights)
