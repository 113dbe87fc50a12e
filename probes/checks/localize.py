"""Find the module whose backward does not match its forward, by checking each module on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from probes.checks.batches import Batch
from probes.checks.clock import Deadline
from probes.checks.gradients import WRONG, relative_error
from probes.checks.rig import Rig
from probes.checks.trees import map_tensors, tensors

STEPS = (1e-5, 1e-6, 1e-4)


@dataclass(frozen=True)
class Culprit:
    """Name within the model ("" for the model itself) and class of a module."""

    name: str
    type: str


def wrong_backward_module(rig: Rig, batch: Batch, reseed: Callable[[], None], deadline: Deadline) -> Culprit | None:
    """The innermost module whose vector-Jacobian product disagrees with finite differences, or None.

    Leaves are checked first; a module with children is only blamed when none of its descendants is.
    """
    calls = _record_calls(rig, batch, reseed)
    names = {module: name for name, module in rig.model.named_modules()}
    blamed: list[str] = []
    for module, args, kwargs in sorted(calls, key=lambda call: -names[call[0]].count(".") - bool(names[call[0]])):
        name = names[module]
        if deadline.expired:
            break
        if any(other.startswith(f"{name}.") or not name for other in blamed):
            continue
        if _backward_is_wrong(module, args, kwargs, reseed):
            blamed.append(name)
    if not blamed:
        return None
    order = [names[call[0]] for call in calls]
    first = min(blamed, key=order.index)
    return Culprit(first, type(rig.model.get_submodule(first)).__name__)


_Call = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def _record_calls(rig: Rig, batch: Batch, reseed: Callable[[], None]) -> list[_Call]:
    """First call of every module with its detached arguments, inner modules before those around them."""
    calls: dict[nn.Module, _Call] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Any) -> None:
        if module not in calls:
            copied = map_tensors((args, kwargs), lambda t: t.detach().clone())
            calls[module] = (module, copied[0], copied[1])

    handles = [module.register_forward_hook(keep, with_kwargs=True) for module in rig.model.modules()]
    try:
        reseed()
        with torch.no_grad():
            rig.outputs(batch)
    finally:
        for handle in handles:
            handle.remove()
    return list(calls.values())


def _backward_is_wrong(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], reseed: Callable[[], None]
) -> bool:
    """Directional derivatives of <v, module(args)> for random v, along a random direction in each leaf."""
    leaves = [t for t in tensors((args, kwargs)) if t.is_floating_point() and t.numel()]
    leaves += [p for p in module.parameters(recurse=True) if p.is_floating_point() and p.numel()]
    generator = torch.Generator().manual_seed(0)

    def value(weights: list[Tensor]) -> Tensor:
        reseed()
        outputs = [t for t in tensors(module(*args, **kwargs)) if t.is_floating_point()]
        while len(weights) < len(outputs):
            weights.append(torch.randn(outputs[len(weights)].shape, generator=generator).to(outputs[len(weights)]))
        return torch.stack([(w * o).sum() for w, o in zip(weights, outputs, strict=True)]).sum()

    weights: list[Tensor] = []
    flags = [leaf.requires_grad for leaf in leaves]
    try:
        for leaf in leaves:
            leaf.requires_grad_(True)
        total = value(weights)
        if not total.requires_grad:
            return False
        found = torch.autograd.grad(total, leaves, allow_unused=True)
    except (RuntimeError, TypeError, ValueError):
        return False  # cannot be called on its own: nothing is known about it
    finally:
        for leaf, flag in zip(leaves, flags, strict=True):
            leaf.requires_grad_(flag)
    return any(
        _disagrees(lambda: float(value(weights)), leaf, gradient, generator)
        for leaf, gradient in zip(leaves, found, strict=True)
        if gradient is not None
    )


def _disagrees(function: Callable[[], float], leaf: Tensor, gradient: Tensor, generator: torch.Generator) -> bool:
    direction = torch.randn(leaf.shape, generator=generator).to(leaf)
    analytic = float((gradient.to_dense() if gradient.layout != torch.strided else gradient).mul(direction).sum())
    data, base = leaf.detach(), leaf.detach().clone()
    scale = max(float(base.square().mean().sqrt()), 0.1)
    errors = []
    with torch.no_grad():
        for relative in STEPS:
            step = relative * scale
            data.copy_(base + step * direction)
            high = function()
            data.copy_(base - step * direction)
            low = function()
            data.copy_(base)
            errors.append(relative_error(analytic, (high - low) / (2 * step)))
            noise = 64 * torch.finfo(torch.float64).eps * max(abs(high), abs(low)) / step
            if abs(analytic - (high - low) / (2 * step)) <= noise:
                return False
    return min(errors) > WRONG
