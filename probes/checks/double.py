"""Make a model compute in float64 throughout, also where its code asks for less.

`model.double()` converts parameters. It does not reach ``logits.float()``, ``softmax(dtype=torch.float32)``,
``torch.autocast`` or ``torch.zeros(n, h)`` inside forward, and with one of those the loss has the round-off of float32,
in which centred differences drown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

LOWER = (torch.float32, torch.float16, torch.bfloat16)
HAVE_FLOAT64 = ("cpu", "cuda", "meta")


class KeepDouble(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, float64 tensors stay float64 when they are cast to a lower precision.

    Attributes:
        casts: how many casts were left out.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.casts = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.ops.aten._to_copy.default and given.get("dtype") in LOWER and args[0].dtype == torch.float64:
            self.casts += 1
            given["dtype"] = torch.float64
        return func(*args, **given)


@contextmanager
def float64_by_default() -> Iterator[None]:
    """New tensors without a dtype are float64 inside, as they are float32 outside."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def has_float64(device: torch.device) -> bool:
    """Whether the device computes in float64: Apple's and some other accelerators do not."""
    return device.type in HAVE_FLOAT64


def exact(tensor: Tensor) -> Tensor:
    """`tensor` detached and in float64, on the CPU where its device has no float64."""
    detached = tensor.detach()
    if tensor.is_complex():
        return detached.to(torch.complex128) if has_float64(tensor.device) else detached.cpu().to(torch.complex128)
    return detached.double() if has_float64(tensor.device) else detached.cpu().double()
