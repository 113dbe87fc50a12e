"""Catch a loss that compares every output with every target: [N, 1] against [N] becomes [N, N] without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from probes.checks.trees import named_tensors


class Broadcasts(TorchFunctionMode):
    """While active, takes down operations that blow up an output or a target as it was given.

    Such an operation has two operands of equally many numbers but not equally many dimensions, one of them just as it
    came from the model or the data, and a result that is larger. A tensor that was turned round on purpose (ranking
    losses) does not count.

    Attributes:
        found: one sentence for each.
    """

    def __init__(self, outputs: Any, targets: Any) -> None:
        super().__init__()
        self.found: list[str] = []
        self._given = [(f"outputs{path}", tensor) for path, tensor in named_tensors(outputs)]
        self._given += [(f"targets{path}", tensor) for path, tensor in named_tensors(targets)]

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        operands = [value for value in args[:2] if isinstance(value, Tensor)]
        if isinstance(result, Tensor) and len(operands) == 2:
            self._look(result, *operands)
        return result

    def _look(self, result: Tensor, left: Tensor, right: Tensor) -> None:
        if left.numel() != right.numel() or result.numel() <= left.numel():
            return
        if left.dim() == right.dim() or left.data_ptr() == right.data_ptr():
            return  # [N, 1] with [1, N] is meant: somebody turned it round
        for operand, other in ((left, right), (right, left)):
            name = next((name for name, t in self._given if t is operand), None)
            if name is not None:
                self.found.append(
                    f"{name} {list(operand.shape)} meets {_name(other, self._given)}{list(other.shape)} in the loss "
                    f"and becomes {list(result.shape)}"
                )
                return


def _name(tensor: Tensor, given: list[tuple[str, Tensor]]) -> str:
    return next((f"{name} " for name, t in given if t is tensor), "")
