"""Statistics of many samples at once.

Rows of the same length (most are exactly `sampling.LIMIT` long) are stacked into one matrix, so that a frame
costs a handful of kernels whatever the number of layers. On the CPU the matrix is a workspace that is kept
and used again, small enough to stay in the cache: fresh memory would cost more in page faults than the
arithmetic. There the samples of smaller tensors, which come in many lengths, are
laid end to end as they are, and counted and described on the writer's thread: for them a call costs more than
its arithmetic.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from probes import buckets
from probes.buckets import CODES
from probes.instrument.sampling import LIMIT

MEAN, STD, MIN, MAX = range(4)
"""Columns of the statistics."""

Key = tuple[str, int]
"""What a sample is of: the kind ("weight", ...) and the number along the kind's axis."""

_ROWS_CPU = 16
_ROWS_DEVICE = 1024

STRIP_LIMIT = 1 << 18
"""Elements of short samples that are laid end to end, at most; those beyond are stacked by their length."""


@dataclass(frozen=True)
class Group:
    """Samples of one length.

    Attributes:
        keys: what they are of [k].
        length: elements of each.
        stats: float32 [k, 4].
        table: counts of codes, integers [k, CODES], negative values first.
    """

    keys: list[Key]
    length: int
    stats: Tensor
    table: Tensor


@dataclass(frozen=True)
class Strip:
    """Short samples of any length, nothing computed yet.

    Attributes:
        keys: what they are of [k].
        lengths: their elements [k], none 0.
        values: end to end, float32 [sum of lengths].
    """

    keys: list[Key]
    lengths: list[int]
    values: Tensor


class Workspace:
    """Memory for `_ROWS_CPU` samples and their codes, allocated at the first use and then kept."""

    def __init__(self) -> None:
        self._values: Tensor | None = None
        self._codes: Tensor | None = None

    def matrices(self, rows: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Uninitialised float32 [rows, length] and int32 [rows, length]."""
        size = rows * length
        if device.type != "cpu" or size > _ROWS_CPU * LIMIT:
            shape = (rows, length)
            values = torch.empty(shape, dtype=torch.float32, device=device)
            return values, torch.empty(shape, dtype=torch.int32, device=device)
        if self._values is None or self._codes is None:
            self._values = torch.empty(_ROWS_CPU * LIMIT, dtype=torch.float32, device=device)
            self._codes = torch.empty(_ROWS_CPU * LIMIT, dtype=torch.int32, device=device)
        return self._values[:size].view(rows, length), self._codes[:size].view(rows, length)


class Sheet:
    """Collects samples (float32 vectors, each under a key) and computes their statistics together."""

    def __init__(self, workspace: Workspace | None = None) -> None:
        self._workspace = workspace or Workspace()
        self._rows: dict[tuple[torch.device, int], list[tuple[Key, Tensor]]] = defaultdict(list)
        self._short: list[tuple[Key, Tensor]] = []
        self._stripped = 0

    def add(self, key: Key, sample: Tensor) -> None:
        """Adds a sample float32 [n], kept by reference. An empty one is left out: it has no statistics."""
        length = sample.numel()
        if not length:
            return
        if length < LIMIT and sample.is_cpu and self._stripped + length <= STRIP_LIMIT:
            self._short.append((key, sample))
            self._stripped += length
        else:
            self._rows[(sample.device, length)].append((key, sample))

    def groups(self) -> list[Group]:
        """Statistics of everything added that does not lie in the strip."""
        groups = []
        for (device, length), rows in self._rows.items():
            size = _ROWS_CPU if device.type == "cpu" else _ROWS_DEVICE
            for start in range(0, len(rows), size):
                groups.append(self._group(length, rows[start : start + size]))
        return groups

    def strip(self) -> Strip | None:
        """The short samples, or None when there are none."""
        if not self._short:
            return None
        keys, samples = zip(*self._short, strict=True)
        return Strip(list(keys), [sample.numel() for sample in samples], torch.cat(samples))

    def _group(self, length: int, rows: list[tuple[Key, Tensor]]) -> Group:
        values, codes = self._workspace.matrices(len(rows), length, rows[0][1].device)
        torch.stack([sample for _, sample in rows], out=values)
        table = count_codes(values, codes)
        mean = values.mean(1, keepdim=True)
        low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
        # Two passes: one pass of squares would lose a small spread around a large mean in float32.
        deviation = torch.linalg.vector_norm(values.sub_(mean), dim=1, keepdim=True) / length**0.5
        return Group([key for key, _ in rows], length, torch.cat([mean, deviation, low, high], 1), table)


def count_codes(values: Tensor, codes: Tensor) -> Tensor:
    """Counts of the exponent-bit codes (`probes.buckets`) of each row.

    Args:
        values: float32 [k, n].
        codes: int32 [k, n], overwritten.

    Returns:
        Integers [k, CODES], negative values first.
    """
    rows = values.shape[0]
    torch.bitwise_right_shift(values.view(torch.int32), 22, out=codes)
    # The shift keeps the sign: negative values have codes -512..-1. Moved up by 512, they come before the
    # positive.
    codes += _offsets(rows, values.device)
    flat = codes.view(-1)
    if values.device.type == "cpu":
        counts = torch.bincount(flat, minlength=rows * CODES)
    else:  # bincount would wait for the device to learn the size of its result
        counts = torch.zeros(rows * CODES, dtype=torch.int32, device=values.device)
        counts.index_add_(0, flat, torch.ones_like(flat))
    return counts.view(rows, CODES)


@lru_cache(maxsize=256)
def _offsets(rows: int, device: torch.device) -> Tensor:
    """int32 [rows, 1]."""
    with torch.inference_mode(False):
        first = torch.arange(CODES // 2, rows * CODES, CODES, dtype=torch.int32, device=device)
        return first.unsqueeze(1)


def describe(values: npt.NDArray[Any], lengths: list[int]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Statistics and counts of codes of samples that lie end to end.

    Returns:
        Mean, std, min and max, float64 [k, 4]; and counts of codes, negative values first, int64 [k, CODES].
    """
    counts = np.asarray(lengths)
    starts = np.cumsum(counts) - counts
    with np.errstate(invalid="ignore", over="ignore"):
        wide = values.astype(np.float64)
        mean = np.add.reduceat(wide, starts) / counts
        spread = np.square(wide - np.repeat(mean, counts))
        deviation = np.sqrt(np.add.reduceat(spread, starts) / counts)
        # NumPy's minimum and maximum keep NaN, as torch's do.
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    codes = (buckets.codes(values) ^ (CODES // 2)) + np.repeat(np.arange(len(counts)) * CODES, counts)
    table = np.bincount(codes, minlength=len(counts) * CODES).reshape(-1, CODES)
    return np.stack([mean, deviation, low, high], axis=1), table
