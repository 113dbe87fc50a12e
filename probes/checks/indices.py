"""Find indices that are out of range before an accelerator does.

On the CPU a label or an id out of range raises. On CUDA it is an assertion on the device, after which nothing on that
device works any more in this process: neither the other checks nor the training, nor putting things back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from probes.checks.trees import tensors


def guarded(tree: Any) -> AbstractContextManager[Any]:
    """A context for calling a model or loss on what is in `tree`: guarded where a tensor is on an accelerator."""
    anywhere_else = any(tensor.device.type not in ("cpu", "meta") for tensor in tensors(tree))
    return GuardIndices() if anywhere_else else contextlib.nullcontext()


class GuardIndices(TorchFunctionMode):
    """While active, functions that look something up raise IndexError for an index out of range, on every device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        guard = _GUARDS.get(func)
        if guard is not None:
            guard(*args, **given)
        return func(*args, **given)


def _classes(input: Tensor, target: Tensor, *rest: Any, **options: Any) -> None:
    ignore = options.get("ignore_index", rest[2] if len(rest) > 2 else -100)
    if not target.is_floating_point() and input.dim() > 0:
        _require(target, input.shape[1 if input.dim() > 1 else 0], "Target", ignore)


def _margin_classes(input: Tensor, target: Tensor, *rest: Any, **options: Any) -> None:
    _require(target, input.shape[-1], "Target")


def _rows(input: Tensor, weight: Tensor, *rest: Any, **options: Any) -> None:
    _require(input, weight.shape[0], "index out of range in self: id")


def _along(input: Tensor, dim: Any, index: Any = None, *rest: Any, **options: Any) -> None:
    if isinstance(index, Tensor) and isinstance(dim, int) and input.dim():
        _require(index, input.shape[dim], "index")


def _require(index: Tensor, count: int, what: str, ignore: int | None = None) -> None:
    """Raises IndexError, in the CPU's words, for the first index that is neither in 0 .. count - 1 nor `ignore`."""
    if index.device.type == "meta" or index.numel() == 0:
        return
    bad = (index < 0) | (index >= count)
    if ignore is not None:
        bad &= index != ignore
    if bool(bad.any()):
        raise IndexError(f"{what} {int(index[bad][0])} is out of bounds for {count}.")


_GUARDS: dict[Any, Callable[..., None]] = {
    F.cross_entropy: _classes,
    F.nll_loss: _classes,
    F.multi_margin_loss: _margin_classes,
    F.embedding: _rows,
    torch.gather: _along,
    torch.index_select: _along,
    Tensor.gather: _along,
    Tensor.index_select: _along,
}
