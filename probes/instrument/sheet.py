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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from probes import buckets
from probes.buckets import CODES
from probes.instrument.sampling import LIMIT, Samples

MEAN, STD, MIN, MAX, ACROSS = range(5)
"""Columns of the statistics."""

Key = tuple[str, int]
"""What a sample is of: the kind ("weight", ...) and the number along the kind's axis."""

_ROWS_CPU = 16
_ROWS_DEVICE = 1024

STRIP_LIMIT = 1 << 18
"""Elements of short samples that are laid end to end, at most; those beyond are stacked by their length."""

_Layout = tuple[int, int]
"""Of a sample whose examples are to be told apart: the calls of the module, and the examples in each of them."""

_Sample = tuple[Key, Sequence[Tensor]]


@dataclass(frozen=True)
class Group:
    """Samples of one length.

    Attributes:
        keys: what they are of [k].
        length: elements of each.
        examples: of a batch, whose deviations from their mean were told apart; None where they were not.
        moments: float32 [k, 4]: mean, smallest and largest value, norm of the deviations from the mean. With
            ``examples`` [k, 5]: the fourth are the deviations of the examples from their mean, the fifth those of this
            mean from the mean of all.
        table: counts of codes, integers [k, CODES], negative values first.
    """

    keys: list[Key]
    length: int
    examples: int | None
    moments: Tensor
    table: Tensor

    def statistics(self, moments: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Mean, std, min, max and deviation across the examples (or NaN), float64 [k, 5], from the moments on the
        host.
        """
        mean, low, high, within = moments.T[:4].astype(np.float64)
        across = np.full_like(mean, np.nan) if self.examples is None else within
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.square(within)
            if self.examples is not None:
                squares += self.examples * np.square(moments[:, 4].astype(np.float64))
            return np.stack([mean, np.sqrt(squares / self.length), low, high, across], axis=1)


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
    """Collects samples (float32 tensors, each under a key) and computes their statistics together."""

    def __init__(self, workspace: Workspace | None = None) -> None:
        self._workspace = workspace or Workspace()
        self._samples: dict[tuple[torch.device, int], dict[_Layout | None, list[_Sample]]] = defaultdict(dict)
        self._short: list[tuple[list[Key], list[int], Sequence[Tensor]]] = []
        self._stripped = 0
        self._apart: dict[Key, Sequence[Tensor]] = {}

    def add(self, key: Key, parts: Sequence[Tensor], varied: bool = False) -> None:
        """Adds a sample, kept by reference. An empty one is left out: it has no statistics.

        Args:
            key: what it is of.
            parts: float32, e.g. of several calls of one module.
            varied: the parts are [examples, ...]; where each has several, it is to be measured how far these are from
                their mean.
        """
        first = parts[0]
        length = first.numel() if len(parts) == 1 else sum(part.numel() for part in parts)
        if not length:
            return
        varied = varied and all(part.shape[0] > 1 for part in parts)
        if length < LIMIT and first.is_cpu and self._stripped + length <= STRIP_LIMIT:
            self._short.append(([key], [length], parts))
            self._stripped += length
            if varied:
                self._apart[key] = parts
            return
        layout: _Layout | None = None
        if varied and all(part.shape == first.shape for part in parts):
            layout = len(parts), first.shape[0]
        elif varied:
            self._apart[key] = parts
        self._samples[first.device, length].setdefault(layout, []).append((key, parts))

    def add_all(self, kind: str, numbers: Sequence[int], samples: Samples) -> None:
        """Adds samples of several tensors, given their numbers by place."""
        for place, sample in samples.long.items():
            self.add((kind, numbers[place]), [sample])
        if samples.strip is None:
            return
        keys = [(kind, numbers[place]) for place in samples.short]
        if self._stripped + samples.strip.numel() <= STRIP_LIMIT:
            self._short.append((keys, samples.lengths, [samples.strip]))
            self._stripped += samples.strip.numel()
        else:
            for key, sample in zip(keys, torch.split(samples.strip, samples.lengths), strict=True):
                self.add(key, [sample])

    def groups(self) -> list[Group]:
        """Statistics of everything added that does not lie in the strip."""
        groups = []
        for (device, length), by_layout in self._samples.items():
            most = _ROWS_CPU if device.type == "cpu" else _ROWS_DEVICE
            for layout, samples in by_layout.items():
                size = -(-len(samples) // -(-len(samples) // most))  # none much smaller than the others
                for start in range(0, len(samples), size):
                    groups.append(self._group(length, layout, samples[start : start + size], device))
        return groups

    def strip(self) -> Strip | None:
        """The short samples, or None when there are none."""
        if not self._short:
            return None
        keys = [key for some, _, _ in self._short for key in some]
        lengths = [length for _, some, _ in self._short for length in some]
        return Strip(keys, lengths, torch.cat([part.view(-1) for _, _, parts in self._short for part in parts]))

    def apart(self) -> dict[Key, Tensor]:
        """How far the examples are from their mean, 0-d float32, of samples that no group has this of."""
        parts = [part for some in self._apart.values() for part in some]
        results = iter(across_examples(parts) if parts else ())
        found = {key: [next(results) for _ in some] for key, some in self._apart.items()}
        return {
            key: some[0] if len(some) == 1 else torch.linalg.vector_norm(torch.stack(some))
            for key, some in found.items()
        }

    def _group(self, length: int, layout: _Layout | None, samples: list[_Sample], device: torch.device) -> Group:
        rows = len(samples)
        values, codes = self._workspace.matrices(rows, length, device)
        torch.cat([part.view(-1) for _, parts in samples for part in parts], out=values.view(-1))
        table = count_codes(values, codes)
        columns = [values.amin(1), values.amax(1)]
        # The mean goes off before anything is squared: squares in one pass would lose a small spread around a large
        # mean in float32.
        if layout is None:
            mean = values.mean(1)
            columns.append(torch.linalg.vector_norm(values.sub_(mean.unsqueeze(1)), dim=1))
        else:
            calls, examples = layout
            apart = values.view(rows * calls, examples, -1)
            centers = apart.sum(1).div_(examples)
            apart.sub_(centers.unsqueeze(1))
            centers = centers.view(rows, -1)
            mean = centers.mean(1)
            columns.append(torch.linalg.vector_norm(values, dim=1))
            columns.append(torch.linalg.vector_norm(centers.sub_(mean.unsqueeze(1)), dim=1))
        moments = torch.stack([mean, *columns], 1)
        return Group([key for key, _ in samples], length, layout and layout[1], moments, table)


def across_examples(samples: list[Tensor]) -> list[Tensor]:
    """How far the examples of each sample [n, ...] are from their mean: the norm of the deviations, 0-d float32."""
    deviations = torch._foreach_sub(samples, [values.mean(0) for values in samples])
    return list(torch._foreach_norm(deviations))


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


def describe(values: npt.NDArray[Any], lengths: Sequence[int]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Statistics and counts of codes of samples that lie end to end.

    Returns:
        Mean, std, min, max and NaN, float64 [k, 5]; and counts of codes, negative values first, int64 [k, CODES].
    """
    counts = np.asarray(lengths)
    starts = np.cumsum(counts) - counts
    with np.errstate(invalid="ignore", over="ignore"):
        wide = values.astype(np.float64)
        mean = np.add.reduceat(wide, starts) / counts
        wide -= np.repeat(mean, counts)
        deviation = np.sqrt(np.add.reduceat(np.square(wide, out=wide), starts) / counts)
        # NumPy's minimum and maximum keep NaN, as torch's do.
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    codes = (buckets.codes(values) ^ (CODES // 2)) + np.repeat(np.arange(len(counts)) * CODES, counts)
    table = np.bincount(codes, minlength=len(counts) * CODES).reshape(-1, CODES)
    return np.stack([mean, deviation, low, high, np.full_like(mean, np.nan)], axis=1), table
