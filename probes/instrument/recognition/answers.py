"""What the model as a whole answered in a frame, and the gradient that the loss sent back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from probes.instrument.capture import Pass, as_batch
from probes.instrument.modules import is_measurable
from probes.instrument.sampling import example_slices

DEEPEST = 8
"""Containers inside each other that are looked into; some hold themselves."""
LIMIT = 16_384
"""Elements of the outputs that are looked at, at most; with more scores than these in a row, none."""


@dataclass
class Output:
    """Rows of the model's output in one forward pass.

    Attributes:
        forward: the pass.
        values: float32 [n, ...] with whole rows: all scores of the examples and positions that are looked at.
        axis: along which the scores of a row lie.
        shape: of the whole output.
        dtype: e.g. "float32".
        gradients: of the loss with respect to ``values``, one a backward pass.
        norms: of the gradients of the whole output, 0-d, float32 or float64, likewise.
    """

    forward: Pass
    values: Tensor
    axis: int
    shape: tuple[int, ...]
    dtype: str
    gradients: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)

    def take_gradient(self, gradient: Tensor) -> None:
        """Takes the same rows of the gradient."""
        if is_measurable(gradient):
            self.gradients.append(_rows(as_batch(gradient, self.axis == 1)[0], self.axis))
            wide = gradient.dtype if gradient.dtype == torch.float64 else torch.float32  # it is not narrowed by torch
            self.norms.append(torch.linalg.vector_norm(gradient.detach(), dtype=wide))

    @property
    def whole(self) -> bool:
        """Whether all rows are looked at."""
        return self.values.numel() == torch.Size(self.shape).numel()


def output_of(value: object, forward: Pass, channels_first: bool | None) -> tuple[Output, Tensor] | None:
    """Rows of what a model returned, with the tensor they are of: of several the first that has an axis and a
    gradient; None where there is none, or its rows are too long.
    """
    tensor = _answer(value)
    if tensor is None or not is_measurable(tensor):
        return None
    batch, axis = as_batch(tensor, channels_first)
    if batch.shape[axis] > LIMIT:
        return None
    dtype = str(tensor.dtype).removeprefix("torch.")
    return Output(forward, _rows(batch, axis), axis, tuple(tensor.shape), dtype), tensor


def _rows(batch: Tensor, axis: int) -> Tensor:
    return batch[example_slices(batch.shape, axis, LIMIT)].to(
        torch.float32, copy=True, memory_format=torch.contiguous_format
    )


def _answer(value: object, depth: int = 0) -> Tensor | None:
    if isinstance(value, Tensor):
        return value if value.dim() and value.grad_fn is not None else None
    if depth == DEEPEST:
        return None
    if isinstance(value, PackedSequence):
        return _answer(value.data)
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return next((tensor for item in value if (tensor := _answer(item, depth + 1)) is not None), None)
    return None
