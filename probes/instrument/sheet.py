"""Statistics of many samples at once.

Rows of the same length (most are exactly `sampling.LIMIT` long) are stacked into one matrix, so that a frame
costs a handful of kernels whatever the number of layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.buckets import CODES

MEAN, STD, MIN, MAX = range(4)
"""Columns of the statistics."""


@dataclass(frozen=True)
class Group:
    """Statistics of the rows of one length: ``stats`` float32 [k, 4], ``table`` int32/int64 [k, CODES]."""

    keys: list[Hashable]
    length: int
    stats: Tensor
    table: Tensor


class Sheet:
    """Collects samples (float32 vectors, each under a key) and computes their statistics together."""

    def __init__(self) -> None:
        self._rows: dict[tuple[torch.device, int], list[tuple[Hashable, Tensor]]] = defaultdict(list)

    def add(self, key: Hashable, sample: Tensor) -> None:
        """Adds a sample float32 [n]; it is kept by reference. An empty one is left out: it has no statistics.
        """
        if sample.numel():
            self._rows[(sample.device, sample.numel())].append((key, sample))

    def groups(self) -> list[Group]:
        """Statistics of everything added, one group for each length."""
        return [_group(length, rows) for (_, length), rows in self._rows.items()]


def _group(length: int, rows: list[tuple[Hashable, Tensor]]) -> Group:
    matrix = torch.stack([sample for _, sample in rows])
    mean = matrix.mean(1, keepdim=True)
    columns = [mean, None, matrix.amin(1, keepdim=True), matrix.amax(1, keepdim=True)]
    table = count_codes(matrix)
    # Two passes: one pass of squares would lose a small spread around a large mean in float32.
    deviation = torch.linalg.vector_norm(matrix.sub_(mean), dim=1, keepdim=True)
    columns[STD] = deviation / length**0.5
    return Group([key for key, _ in rows], length, torch.cat([c for c in columns if c is not None], 1), table)


def count_codes(matrix: Tensor) -> Tensor:
    """Counts of the exponent-bit codes (`probes.buckets`) of each row: float32 [k, n] -> integers [k, CODES].
    """
    rows = matrix.shape[0]
    codes = (matrix.view(torch.int32) >> 22).bitwise_and_(CODES - 1)
    codes += torch.arange(0, rows * CODES, CODES, dtype=torch.int32, device=matrix.device).unsqueeze(1)
    flat = codes.view(-1)
    if matrix.device.type == "cpu":
        return torch.bincount(flat, minlength=rows * CODES).view(rows, CODES)
    # bincount would wait for the device to learn the size of its result.
    counts = torch.zeros(rows * CODES, dtype=torch.int32, device=matrix.device)
    return counts.index_add_(0, flat, torch.ones_like(flat)).view(rows, CODES)
