"""Which modules are watched, under which names, and what a module handed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence

from probes.instrument.activations import ActivationKind, activation_kind
from probes.instrument.wrappers import own_names

# Modules with children that compute the result themselves, without calling them.
_WHOLE = (nn.MultiheadAttention,)

# Modules that hand their input on: their output says nothing that the module before them did not say.
_TRANSPARENT = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd)

# What quantization-aware training puts into a module to observe or round what it computes with.
_OBSERVERS = ("torch.ao.quantization.observer", "torch.ao.quantization.fake_quantize", "torchao.quantization.pt2e.")

# In evaluation a fused kernel takes the place of their parts, unless one of these has a hook.
_FAST_WITHOUT_HOOKS = (nn.TransformerEncoderLayer,)

# Containers without a forward of their own.
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Sequential)


@dataclass(frozen=True)
class Watched:
    """A module whose output is measured.

    ``untouchable``: it must carry no hook of its own, because a module around it computes in another way, and so
    to other digits, when one of its parts does.
    """

    name: str
    module: nn.Module
    kind: ActivationKind | None
    untouchable: bool = False


def is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile runs this module: hooks inside it would break its graph or force a recompilation."""
    return "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None) is not None


def find_modules(model: nn.Module) -> tuple[list[Watched], list[str]]:
    """The modules to watch in order of registration, and notes about what cannot be watched."""
    notes: list[str] = []
    own = own_names(model)
    untouchable = {
        id(part) for module in model.modules() if isinstance(module, _FAST_WITHOUT_HOOKS) for part in module.modules()
    }
    watched = [
        Watched(own(name) or type(module).__name__, module, activation_kind(module), id(module) in untouchable)
        for name, module in _walk("", model, notes, set(), own)
    ]
    return watched, notes


def _walk(
    name: str, module: nn.Module, notes: list[str], seen: set[nn.Module], own: Callable[[str], str]
) -> Iterator[tuple[str, nn.Module]]:
    if module in seen:
        return
    seen.add(module)
    label = own(name) or type(module).__name__
    if is_compiled(module):
        notes.append(f"{label} is run by torch.compile: its parameters are measured, its activations are not")
        return
    if isinstance(module, torch.jit.ScriptModule):
        notes.append(f"{label} is a TorchScript module: its parameters are measured, its activations are not")
        return
    # What computes a weight (spectral_norm, weight_norm) is called for it, not for an activation.
    weights = module._modules.get("parametrizations") if is_parametrized(module) else None
    children = [
        (child_name, child)
        for child_name, child in module.named_children()
        if child is not weights and not type(child).__module__.startswith(_OBSERVERS)
    ]
    if children and not isinstance(module, _WHOLE):
        for child_name, child in children:
            yield from _walk(f"{name}.{child_name}" if name else child_name, child, notes, seen, own)
    elif not isinstance(module, _TRANSPARENT + _CONTAINERS):
        yield name, module


def first_tensor(value: object) -> Tensor | None:
    """The first tensor in what a module takes or returns: a tensor, a tuple, a list, a dict or a packed
    sequence.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, PackedSequence):
        return value.data
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            tensor = first_tensor(item)
            if tensor is not None:
                return tensor
    return None


_REAL = frozenset((torch.float32, torch.bfloat16, torch.float16, torch.float64))


def is_measurable(tensor: Tensor) -> bool:
    """Whether a tensor holds plain real numbers that can be looked at here and now."""
    return (
        tensor.dtype in _REAL
        and tensor.layout is torch.strided
        and not tensor.is_meta
        and not tensor.is_nested  # has no shape
        and tensor.numel() > 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )
