"""Follow one forward pass through the modules that do the work (those without children)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from probes.checks.batches import Batch
from probes.checks.double import exact
from probes.checks.rig import Rig
from probes.checks.trees import main_tensor, tensors

NORMALISATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
)


@dataclass(frozen=True)
class Call:
    """One call of one module.

    Attributes:
        name: its name in the model.
        module: the module.
        inputs: the float tensors it was called with, detached (integers of an embedding are left out).
        output: the main tensor it returned, with its graph.
    """

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def weighted(self) -> bool:
        """Whether it mixes its inputs with a weight: linear, convolution, recurrent, attention, embedding."""
        return self.parametrized or any(p.dim() > 1 for p in self.module.parameters(recurse=False))

    @property
    def parametrized(self) -> bool:
        """Whether its weight is computed from others (weight or spectral normalisation)."""
        return is_parametrized(self.module)


def trace_forward(rig: Rig, batch: Batch) -> tuple[Any, list[Call]]:
    """The outputs of a batch and every module's first call, in the order of execution.

    A module with children counts when it owns parameters and does the work itself (nn.MultiheadAttention). One that
    calls its children does not: the positions of a transformer or the class token of a ViT are no layer of their own.
    """
    calls: list[Call] = []
    with _watched(rig.model, calls.append):
        outputs = rig.outputs(batch)
    callers = {call.name[:end] for call in calls for end in _dots(call.name)}
    if any(call.name for call in calls):
        callers.add("")  # the model itself
    return outputs, [call for call in calls if call.name not in callers]


def _dots(name: str) -> Iterator[int]:
    return (at for at, letter in enumerate(name) if letter == ".")


@contextmanager
def _watched(model: nn.Module, visit: Callable[[Call], None]) -> Iterator[None]:
    seen: set[nn.Module] = set()

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]:
        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            main = main_tensor(output)
            if main is None or module in seen:
                return
            seen.add(module)
            floats = tuple(t.detach() for t in tensors((args, kwargs)) if t.is_floating_point())
            visit(Call(name, module, floats, main))

        return keep

    handles = [
        module.register_forward_hook(hook(name), with_kwargs=True)
        for name, module in model.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)  # takes no hooks
        and (not list(module.children()) or list(module.parameters(recurse=False)) or is_parametrized(module))
        and ".parametrizations." not in f".{name}."
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_nonfinite(calls: list[Call]) -> Call | None:
    """The first module that returned NaN or infinities although all it was given was finite."""
    for call in calls:
        if not bool(torch.isfinite(call.output).all()) and all(
            bool(torch.isfinite(tensor).all()) for tensor in call.inputs
        ):
            return call
    return None


def batch_std(output: Tensor) -> float:
    """Root mean square over all positions of the standard deviation across the batch (dimension 0)."""
    if output.dim() == 0 or output.shape[0] < 2:
        return float("nan")
    return float(exact(output).var(0, correction=0).mean().sqrt())
