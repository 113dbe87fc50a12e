"""Exact L2 norms of whole tensors, one fused pass, no device synchronisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from probes.instrument.sampling import flatten


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """L2 norm of each tensor, float32 [len(tensors)] on the device of the first.

    Halves are summed in float32 and complex numbers by modulus. A norm is NaN or Inf when an element is.
    """
    if not tensors:
        return torch.zeros(0)
    if tensors[0].device.type != "cpu":
        wide = [t if t.dtype in (torch.float32, torch.float64) else _real(t).float() for t in tensors]
        return torch.stack([n.to(torch.float32) for n in torch._foreach_norm(wide)])
    return torch.stack([_norm_cpu(t) for t in tensors]).to(torch.float32)


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _norm_cpu(tensor: Tensor) -> Tensor:
    """On the CPU a dot product runs at memory speed, twice as fast as the norm; it needs full precision."""
    tensor = _real(tensor)
    if tensor.dtype in (torch.float32, torch.float64):
        flat = flatten(tensor)
        return torch.dot(flat, flat).sqrt_().double()
    length: Tensor = torch.linalg.vector_norm(tensor, dtype=torch.float32)
    return length.double()
