"""Brings a frame's results from the device to the host without making the training wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


class Transfer:
    """Copies small result tensors to the host: at once from the CPU, in one asynchronous copy from a CUDA
    device.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._shapes = [(t.dtype, t.shape) for t in tensors]
        self._event: torch.cuda.Event | None = None
        self._host: list[Tensor] | Tensor
        if tensors and all(t.device.type == "cuda" for t in tensors) and len({t.device for t in tensors}) == 1:
            packed = torch.cat([t.contiguous().view(-1).view(torch.uint8) for t in tensors])
            self._host = torch.empty(packed.shape, dtype=torch.uint8, device="cpu", pin_memory=True)
            self._host.copy_(packed, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(packed.device))
        else:
            self._host = [t.cpu() for t in tensors]

    def ready(self) -> bool:
        """Whether `arrays` would return without waiting."""
        return self._event is None or bool(self._event.query())  # type: ignore[no-untyped-call]

    def arrays(self) -> list[npt.NDArray[Any]]:
        """The results as NumPy arrays, in the order given."""
        if self._event is not None:
            self._event.synchronize()
        if isinstance(self._host, list):
            return [t.numpy() for t in self._host]
        arrays, start = [], 0
        for dtype, shape in self._shapes:
            size = dtype.itemsize * shape.numel()
            # A copy of its own has the alignment that a view as a wider type needs.
            arrays.append(self._host[start : start + size].clone().view(dtype).view(shape).numpy())
            start += size
        return arrays
