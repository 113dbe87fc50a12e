"""Photograph everything a check could change, and put it back to the bit."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

# Shallow copies of these are kept: hooks and registries are dicts that checks or the user's own code may add
# to.
_Saved = dict[str, Any]


class RngState:
    """The random generators of Python, NumPy, torch and every accelerator, and those a DataLoader owns."""

    def __init__(self, data: Any = None) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 - the user's global generator is what is to be kept
        self._torch = torch.get_rng_state()
        self._devices = {name: _read(name) for name in _accelerators()}
        self._generators = [(generator, generator.get_state()) for generator in _generators(data)]

    def restore(self) -> None:
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        torch.set_rng_state(self._torch)
        for name in _accelerators():
            if name in self._devices:
                _write(name, self._devices[name])
            else:  # started inside: as it would have started from the seed that torch.manual_seed had given all devices
                _seed(name, torch.initial_seed())
                self._devices[name] = _read(name)
        for generator, state in self._generators:
            generator.set_state(state)


def _accelerators() -> list[str]:
    """The accelerators that are in use. Asking must not start one: that takes seconds and memory on the device."""
    found = [name for name in ("cuda", "xpu") if _started(name)]
    return found + (["mps"] if torch.backends.mps.is_available() else [])


def _started(name: str) -> bool:
    module = getattr(torch, name, None)
    return module is not None and bool(module.is_initialized())


def _read(name: str) -> Any:
    module = getattr(torch, name)
    return module.get_rng_state() if name == "mps" else module.get_rng_state_all()


def _write(name: str, state: Any) -> None:
    module = getattr(torch, name)
    if name == "mps":
        module.set_rng_state(state)
    else:
        module.set_rng_state_all(state)


def _seed(name: str, seed: int) -> None:
    module = getattr(torch, name)
    if name == "mps":
        module.manual_seed(seed)
    else:
        module.manual_seed_all(seed)


def _generators(data: Any) -> list[torch.Generator]:
    if not isinstance(data, DataLoader):
        return []
    owners = [data, data.sampler, data.batch_sampler, getattr(data.batch_sampler, "sampler", None)]
    found = {id(g): g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)}
    return list(found.values())


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, torch and the accelerators that are in use.

    Not with torch.manual_seed: that leaves its seed behind for devices that are not started yet.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    for name in _accelerators():
        _seed(name, seed)


@contextmanager
def kept_rng() -> Iterator[None]:
    """Random numbers drawn inside are not missing outside."""
    state = RngState()
    try:
        yield
    finally:
        state.restore()


class _TensorState:
    """One parameter or buffer: its own storage (to put back) and a copy of its bits."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.data = tensor.data
        self.copy = tensor.detach().clone()
        self.requires_grad = tensor.requires_grad
        self.grad = tensor.grad if tensor.is_leaf else None
        self.grad_data = self.grad.data if self.grad is not None else None
        self.grad_copy = self.grad.detach().clone() if self.grad is not None else None

    def restore(self) -> None:
        tensor = self.tensor
        if not _shares(tensor.data, self.data):
            tensor.data = self.data
        _write_back(self.data, self.copy)
        if not tensor.is_leaf:
            return
        if tensor.requires_grad != self.requires_grad:
            tensor.requires_grad_(self.requires_grad)
        if self.grad is None or self.grad_data is None or self.grad_copy is None:
            tensor.grad = None
            return
        if not _shares(self.grad.data, self.grad_data):  # module.double() exchanges the data of gradients too
            tensor.grad = None
            self.grad.data = self.grad_data
        if tensor.grad is not self.grad:
            tensor.grad = self.grad
        _write_back(self.grad_data, self.grad_copy)


def _shares(left: Tensor, right: Tensor) -> bool:
    if left.layout != torch.strided or right.layout != torch.strided:
        return left is right
    return (
        left.data_ptr() == right.data_ptr()
        and left.dtype == right.dtype
        and left.shape == right.shape
        and left.stride() == right.stride()
    )


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Equal to the bit: NaN equals the same NaN, 0.0 differs from -0.0."""
    if left.dtype != right.dtype or left.shape != right.shape or left.layout != right.layout:
        return False
    if left.layout != torch.strided:
        return False  # sparse gradients: written back rather than compared
    if left.numel() == 0:
        return True
    if left.is_quantized or left.device.type == "meta":
        return left.device.type == "meta"
    return torch.equal(
        left.detach().contiguous().reshape(-1).view(torch.uint8),
        right.detach().contiguous().reshape(-1).view(torch.uint8),
    )


def _write_back(target: Tensor, copied: Tensor) -> None:
    # Written only where something changed: a graph of the user's that still needs the tensor stays valid.
    if target.device.type == "meta" or same_bits(target, copied):
        return
    with torch.no_grad():
        if target.layout == torch.strided:
            target.detach().copy_(copied)
        else:
            target.detach().zero_().add_(copied)


class _ModuleState:
    """Attributes of one module, among them train/eval mode, hooks, registries and whatever forward() keeps on
    self.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes: _Saved = dict(module.__dict__)
        # Containers are put back in place: handles of hooks and the user's own code hold references to them.
        self.containers = [
            (value, copy.copy(value)) for value in self.attributes.values() if isinstance(value, (list, dict, set))
        ]

    def restore(self) -> None:
        state = self.module.__dict__
        for name in [name for name in state if name not in self.attributes]:
            del state[name]
        for name, value in self.attributes.items():
            if state.get(name, self) is not value:
                state[name] = value
        for value, saved in self.containers:
            if isinstance(value, list):
                value[:] = saved
            elif not _same_items(value, saved):
                value.clear()
                value.update(saved)


def _same_items(left: Any, right: Any) -> bool:
    if isinstance(left, set):
        return bool(left == right)
    return list(left) == list(right) and all(left[key] is right[key] for key in left)


class _OptimizerState:
    """Parameter groups and per-parameter state of one optimizer."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.groups = [(group, dict(group), list(group["params"])) for group in optimizer.param_groups]
        self.states = {
            key: (state, dict(state)) if isinstance(state, dict) else (state, state)
            for key, state in optimizer.state.items()
        }
        self.tensors = [
            (value, value.detach().clone())
            for _, saved in self.states.values()
            if isinstance(saved, dict)
            for value in saved.values()
            if isinstance(value, Tensor)
        ]

    def restore(self) -> None:
        self.optimizer.param_groups[:] = [group for group, _, _ in self.groups]
        for group, saved, params in self.groups:
            group.clear()
            group.update(saved)
            group["params"][:] = params
        state = self.optimizer.state
        if list(state) != list(self.states):
            state.clear()
        for key, (inner, saved) in self.states.items():
            state[key] = inner
            if isinstance(inner, dict) and not _same_items(inner, saved):
                inner.clear()
                inner.update(saved)
        for tensor, copied in self.tensors:
            _write_back(tensor, copied)


class Snapshot:
    """Model, loss, optimizers and random state as they are now; `restore` may be called repeatedly."""

    def __init__(self, modules: list[nn.Module], optimizers: list[Optimizer], data: Any = None) -> None:
        unique = {id(m): m for root in modules for m in root.modules()}
        tensors = {
            id(t): t for m in unique.values() for t in (*m._parameters.values(), *m._buffers.values()) if t is not None
        }
        for optimizer in optimizers:  # parameters of the optimizer that are not (or no longer) the model's
            for group in optimizer.param_groups:
                tensors.update({id(p): p for p in group["params"]})
        self._rng = RngState(data)
        self._modules = [_ModuleState(module) for module in unique.values()]
        self._tensors = [_TensorState(tensor) for tensor in tensors.values()]
        self._optimizers = [_OptimizerState(optimizer) for optimizer in optimizers]

    def restore(self) -> None:
        for module in self._modules:
            module.restore()
        for tensor in self._tensors:
            tensor.restore()
        for optimizer in self._optimizers:
            optimizer.restore()
        self._rng.restore()
