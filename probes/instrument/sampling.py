"""Which elements of a tensor are looked at: contiguous blocks spread over it, copied to a fresh float32
vector.

Reading 64 neighbours costs about 0.7 ns an element; a stride costs 4 and random positions 13. Positions
depend on the shape only, so a layer is always seen at the same places, and what changes between frames is the
layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

LIMIT = 8_192
"""Elements of a tensor that are looked at, at most: the standard error of a share of them is below 0.6%."""

BLOCK = 64
"""Neighbouring elements that are taken together."""

# A number whose multiples never fall into step with the rows of a matrix: the golden ratio's fraction.
_GOLDEN = 0.6180339887498949


def flatten(tensor: Tensor) -> Tensor:
    """All elements as a vector [numel], in memory order where the layout allows it, which saves a copy."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).reshape(-1)
    if tensor.dim() == 5 and tensor.is_contiguous(memory_format=torch.channels_last_3d):
        return tensor.permute(0, 2, 3, 4, 1).reshape(-1)
    if tensor.dim() == 2 and tensor.mT.is_contiguous():
        return tensor.mT.reshape(-1)
    return tensor.reshape(-1)


@lru_cache(maxsize=4096)
def block_rows(rows: int, blocks: int, device: torch.device) -> Tensor:
    """Row numbers int64 [blocks], strictly increasing, one in each of ``blocks`` equal stretches of ``rows``."""
    stretch = rows / blocks
    starts = [int(i * stretch + ((i * _GOLDEN) % 1.0) * (stretch - 1)) for i in range(blocks)]
    with torch.inference_mode(False):
        return torch.tensor(starts, dtype=torch.int64, device=device)


def take(tensor: Tensor, limit: int = LIMIT) -> Tensor:
    """A copy of up to ``limit`` elements as float32 [n]; the whole tensor when it is no larger.

    Complex numbers count as two reals. The result shares no memory with the tensor and requires no gradient.
    A tail of fewer than `BLOCK` elements of a larger tensor is never taken.
    """
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    flat = flatten(tensor)
    if flat.numel() <= limit:
        return flat.to(torch.float32, copy=True)
    rows = flat.numel() // BLOCK
    table = flat.as_strided((rows, BLOCK), (BLOCK, 1))
    sample = table.index_select(0, block_rows(rows, limit // BLOCK, flat.device)).view(-1)
    return sample if sample.dtype == torch.float32 else sample.to(torch.float32)


@dataclass
class Samples:
    """Samples of several tensors.

    Attributes:
        long: place of a tensor in the list -> its sample, float32.
        short: places of those that were copied whole, together.
        lengths: their elements.
        strip: these end to end, float32; None when there are none.
    """

    long: dict[int, Tensor] = field(default_factory=dict)
    short: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    strip: Tensor | None = None

    @property
    def memory(self) -> list[Tensor]:
        """What all samples lie in."""
        return [*self.long.values()] if self.strip is None else [*self.long.values(), self.strip]


def take_all(tensors: Sequence[Tensor]) -> Samples:
    """`take` of each tensor, with one call for all that are short, plain and on the CPU. Empty ones are left out."""
    samples = Samples()
    whole: list[Tensor] = []
    for place, tensor in enumerate(tensors):
        length = tensor.numel()
        if length < LIMIT and tensor.dtype == torch.float32 and tensor.is_cpu:
            if length:
                samples.short.append(place)
                samples.lengths.append(length)
                whole.append(flatten(tensor))
        else:
            samples.long[place] = take(tensor)
    if whole:
        samples.strip = torch.cat(whole)
    return samples


@lru_cache(maxsize=4096)
def example_slices(shape: tuple[int, ...], feature_axis: int, limit: int) -> tuple[slice, ...]:
    """Slices that keep whole units and thin out positions and examples until about ``limit`` elements stay.

    Taken in turn until few enough stay: positions down to four along each axis, outermost first (the
    innermost is contiguous in memory), examples (axis 0) evenly spaced down to eight, positions and examples
    down to one, and only when a single position of a single example exceeds ``limit``, the units along
    ``feature_axis``.
    """
    examples = [0] if feature_axis != 0 else []
    positions = [axis for axis in range(1, len(shape)) if axis != feature_axis]
    rounds = [(positions, 4), (examples, 8), (positions, 1), (examples, 1), ([feature_axis], 1)]
    return _thinned(shape, rounds, limit)


@lru_cache(maxsize=4096)
def row_slices(shape: tuple[int, ...], feature_axis: int, limit: int) -> tuple[slice, ...]:
    """Like `example_slices`, but the innermost positions of feature maps are thinned out last: rows stay whole.

    To read neighbours in memory costs a fraction of what a stride does, and a reduction over them runs several times as
    fast. With the features last every position is a stretch of memory, and positions go before examples.
    """
    if feature_axis == len(shape) - 1:
        return example_slices(shape, feature_axis, limit)
    examples = [0] if feature_axis != 0 else []
    positions = [axis for axis in range(1, len(shape)) if axis != feature_axis]
    outer, inner = positions[:-1], positions[-1:]
    rounds = [(outer, 2), (examples, 8), (inner, 4), (positions, 1), (examples, 1), ([feature_axis], 1)]
    return _thinned(shape, rounds, limit)


def _thinned(shape: tuple[int, ...], rounds: list[tuple[list[int], int]], limit: int) -> tuple[slice, ...]:
    """Steps along the axes, taken in turn down to the number that is to stay, until about ``limit`` elements stay."""
    steps = [1] * len(shape)

    def kept() -> int:
        return math.prod(-(-size // step) for size, step in zip(shape, steps, strict=True))

    for axes, floor in rounds:
        for axis in axes:
            others = kept() // -(-shape[axis] // steps[axis])
            wanted = max(floor, limit // max(1, others))
            if -(-shape[axis] // steps[axis]) > wanted:
                steps[axis] = -(-shape[axis] // wanted)
    return tuple(slice(None, None, step) for step in steps)
