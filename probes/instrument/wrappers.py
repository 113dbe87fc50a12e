"""What stands around a user's model (DDP, torch.compile and the like), told by type and never by attribute names."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

# Class, the package it comes from, and the name under which it registers what it wraps. By name, because importing
# the compiler or FSDP to ask takes seconds.
_HOLDS = {
    ("DataParallel", "torch.nn."): "module",
    ("DistributedDataParallel", "torch.nn."): "module",
    ("FullyShardedDataParallel", "torch.distributed."): "_fsdp_wrapped_module",
    ("OptimizedModule", "torch._dynamo."): "_orig_mod",
}


def is_wrapper(model: nn.Module) -> bool:
    """Whether the model is DDP, DataParallel, FSDP or torch.compile around the user's own."""
    return _held(model) is not None


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own model, without what was put around it."""
    while (held := _held(model)) is not None:
        model = held[1]
    return model


def own_names(model: nn.Module) -> Callable[[str], str]:
    """Turns names that the (wrapped) model gives its parts into those of the user's own model."""
    prefixes: list[str] = []
    while (held := _held(model)) is not None:
        prefixes.append(f"{held[0]}.")
        model = held[1]

    def own(name: str) -> str:
        for prefix in prefixes:
            name = name.removeprefix(prefix)
        return name.replace("._orig_mod.", ".").removesuffix("._orig_mod")

    return own


def _held(model: nn.Module) -> tuple[str, nn.Module] | None:
    for kind in type(model).__mro__:
        for (label, package), name in _HOLDS.items():
            if kind.__name__ == label and kind.__module__.startswith(package):
                inner = model._modules.get(name)
                return (name, inner) if inner is not None else None
    return None
