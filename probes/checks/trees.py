"""Nested structures of tensors: what models take and return (tensor, tuple, list, dict, nested)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

MAIN_KEYS = ("logits", "output", "outputs", "out", "prediction", "predictions", "pred", "reconstruction")


def map_tensors(tree: Any, function: Callable[[Tensor], Any]) -> Any:
    """`tree` with `function` applied to every tensor; other leaves stay. Mappings become dicts."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, PackedSequence):  # its four tensors belong together: only the data may be mapped
        return tree._replace(data=function(tree.data))
    if isinstance(tree, Mapping):
        return {key: map_tensors(value, function) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tensors(value, function) for value in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_tensors(value, function) for value in tree)
    return tree


def named_tensors(tree: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in `tree` with its path: "", "[0]", "['mask']", "[1]['ids']"."""
    if isinstance(tree, Tensor):
        yield prefix, tree
    elif isinstance(tree, PackedSequence):
        yield f"{prefix}.data", tree.data
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from named_tensors(value, f"{prefix}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from named_tensors(value, f"{prefix}[{index}]")


def tensors(tree: Any) -> list[Tensor]:
    """Every tensor in `tree`, in order."""
    return [tensor for _, tensor in named_tensors(tree)]


def main_tensor(tree: Any) -> Tensor | None:
    """The tensor a model's output is about: itself, the entry named like an output, else the first float
    tensor.
    """
    if isinstance(tree, Tensor):
        return tree
    if isinstance(tree, Mapping):
        for key in MAIN_KEYS:
            if isinstance(tree.get(key), Tensor):
                found: Tensor = tree[key]
                return found
    candidates = tensors(tree)
    floating = [tensor for tensor in candidates if tensor.is_floating_point() and tensor.dim() > 0]
    return floating[0] if floating else (candidates[0] if candidates else None)


def replace_main(tree: Any, new: Tensor) -> Any:
    """`tree` with its main tensor exchanged for `new`."""
    old = main_tensor(tree)
    return map_tensors(tree, lambda tensor: new if tensor is old else tensor)


def shapes(tree: Any) -> str:
    """A short description for messages: "float32 [8, 3, 32]", "{ids: int64 [8, 20], mask: bool [8, 20]}"."""
    if isinstance(tree, Tensor):
        return f"{str(tree.dtype).removeprefix('torch.')} {list(tree.shape)}"
    if isinstance(tree, PackedSequence):
        return f"PackedSequence of {shapes(tree.data)}"
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{key}: {shapes(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, (list, tuple)):
        inner = ", ".join(shapes(value) for value in tree[:4]) + (", ..." if len(tree) > 4 else "")
        return f"({inner})"
    return type(tree).__name__


def to_double(tree: Any) -> Any:
    """`tree` with floating-point tensors in float64, and complex ones of two of these."""

    def convert(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(torch.complex128)
        return tensor.double() if tensor.is_floating_point() else tensor

    return map_tensors(tree, convert)


def detach(tree: Any) -> Any:
    """`tree` with every tensor detached from the graph."""
    return map_tensors(tree, torch.Tensor.detach)
