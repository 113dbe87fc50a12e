"""Exact L2 norms of whole tensors, one fused pass, no device synchronisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """L2 norm of each tensor, float32 [len(tensors)] on the device of the first.

    Halves are summed in float32 and complex numbers by modulus. A norm is NaN or Inf when an element is.
    """
    if not tensors:
        return torch.zeros(0, dtype=torch.float32, device="cpu")
    if tensors[0].device.type != "cpu":
        home = tensors[0].device
        lengths = torch._foreach_norm([t if t.dtype in _FULL else _real(t).float() for t in tensors])
        return torch.stack([n.to(home, torch.float32) for n in lengths])
    return torch.stack(_on_cpu(tensors))


def _on_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Small tensors by one call, whatever their number; large ones by a dot product, which uses all cores."""
    lengths: list[Tensor | None] = [None] * len(tensors)
    together = []
    for place, tensor in enumerate(tensors):
        if tensor.dtype != torch.float32:
            wide = torch.float64 if tensor.dtype in (torch.float64, torch.complex128) else torch.float32
            lengths[place] = torch.linalg.vector_norm(_real(tensor).cpu(), dtype=wide).float()
        elif tensor.numel() < _LARGE or not tensor.is_contiguous():
            together.append(place)
        else:
            flat = tensor.view(-1)
            lengths[place] = torch.dot(flat, flat).sqrt_()
    if together:
        for place, length in zip(together, torch._foreach_norm([tensors[i] for i in together]), strict=True):
            lengths[place] = length
    return [length for length in lengths if length is not None]


_LARGE = 1 << 16
_FULL = frozenset((torch.float32, torch.float64))


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
