"""The columns of the streams, as they are kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from probes.runlog.arrow import valid_of, values_of
from probes.runlog.columns import Growable
from probes.runlog.segment_reader import SegmentInfo
from probes.runlog.types import RunEvent

PartOf = Callable[[SegmentInfo], slice | None]
Chunk = tuple[SegmentInfo, npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.bool_]]

_Stretch = tuple[SegmentInfo, Growable, Growable, Growable | None]

KEYS = 2  # `step` and `time` come first in every stream


def field_numbers(info: SegmentInfo, name: str) -> list[int]:
    """Number of the field ``name`` of a segment, in a list; an empty one when it has no such column."""
    # By position behind the keys: a series may be called "step" itself.
    names = info.schema.names[KEYS:]
    return [names.index(name) + KEYS] if name in names else []


class ScalarColumn:
    """Values of one series: a row number and a float64 for each row that has one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.rows = 0
        self._first: int | None = None  # row of the first value
        self._at: Growable | None = None  # rows of the values, once they are not consecutive
        self._values = Growable(np.float64)

    def fields(self, info: SegmentInfo) -> list[int]:
        return field_numbers(info, self._name)

    def take(self, info: SegmentInfo, batch: pa.RecordBatch | None, first: int, count: int) -> None:
        self.rows = first + count
        if batch is None:
            return
        array = batch.column(_in_batch(batch, info, self._name))
        valid = valid_of(array)
        values = values_of(array, np.float64)
        if valid is None:
            self._extend(first, None, values)
        elif valid.any():
            at = np.flatnonzero(valid)
            self._extend(first + int(at[0]), at + first if at[-1] - at[0] >= len(at) else None, values[at])

    def _extend(self, first: int, at: npt.NDArray[np.int64] | None, values: npt.NDArray[np.float64]) -> None:
        if self._first is None:
            self._first = first
        if self._at is None and (at is not None or first != self._first + len(self._values)):
            self._at = Growable(np.int64)
            self._at.extend(np.arange(self._first, self._first + len(self._values)))
        if self._at is not None:
            self._at.extend(np.arange(first, first + len(values)) if at is None else at)
        self._values.extend(values)

    def get(self) -> tuple[npt.NDArray[np.int64] | slice, npt.NDArray[np.float64]]:
        """Row numbers [n] (a slice when they are consecutive) and values [n]."""
        first = self._first or 0
        at = slice(first, first + len(self._values)) if self._at is None else self._at.array
        return at, self._values.array

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._values.array.nbytes + (0 if self._at is None else self._at.array.nbytes)


def _in_batch(batch: pa.RecordBatch, info: SegmentInfo, name: str) -> int:
    """Position of column ``name`` in a batch that may hold only some of the segment's columns."""
    position = field_numbers(info, name)[0]
    if batch.num_columns == len(info.schema):
        return position
    return int(batch.schema.names.index(name))


class ListColumn:
    """A fixed-size list per row; the length may change from segment to segment.

    Args:
        name: of the column.
        dtype: of the elements.
        part: elements to keep of each list, by what the segment says of itself; None: the segment does not
            hold them. Default: all.
    """

    def __init__(self, name: str, dtype: npt.DTypeLike, part: PartOf | None = None) -> None:
        self._name = name
        self._dtype = np.dtype(dtype)
        self._part = part
        self.rows = 0
        self._chunks: list[_Stretch] = []

    def fields(self, info: SegmentInfo) -> list[int]:
        if self._part is not None and self._part(info) is None:
            return []
        return field_numbers(info, self._name)

    def take(self, info: SegmentInfo, batch: pa.RecordBatch | None, first: int, count: int) -> None:
        self.rows = first + count
        if batch is None:
            return
        array = batch.column(_in_batch(batch, info, self._name))
        length = array.type.list_size
        flat = array.values.slice(array.offset * length, count * length)
        inner = valid_of(flat)
        values = values_of(flat, self._dtype).reshape(count, length)
        outer = valid_of(array)
        at = np.arange(count) if outer is None else np.flatnonzero(outer)
        keep = slice(0, length) if self._part is None else self._part(info)
        values = values[at, keep]
        chunk = self._chunk(info, values.shape[1])
        chunk[1].extend(at + first)
        chunk[2].extend(values)
        if chunk[3] is not None:
            whole = np.ones(values.shape, bool)
            chunk[3].extend(whole if inner is None else inner.reshape(count, length)[at, keep])

    def _chunk(self, info: SegmentInfo, length: int) -> _Stretch:
        last = self._chunks[-1] if self._chunks else None
        if last is None or (last[0] is not info and last[0].about != info.about) or last[2].array.shape[1] != length:
            valid = Growable(bool, (length,)) if self._dtype.kind == "f" else None  # counts are never null
            last = (info, Growable(np.int64), Growable(self._dtype, (length,)), valid)
            self._chunks.append(last)
        return last

    def get(self) -> list[Chunk]:
        """Per stretch of like segments: what they say, row numbers [n], values [n, K], measured [n, K]."""
        return [
            (info, at.array, values.array, np.empty((0, 0), bool) if valid is None else valid.array)
            for info, at, values, valid in self._chunks
        ]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(values.array.nbytes for _, _, values, _ in self._chunks)


class EventColumn:
    """All events."""

    def __init__(self) -> None:
        self.rows = 0
        self.nbytes = 0  # few and small
        self.events: list[RunEvent] = []

    def fields(self, info: SegmentInfo) -> list[int]:
        return list(range(len(info.schema)))

    def take(self, info: SegmentInfo, batch: pa.RecordBatch | None, first: int, count: int) -> None:
        self.rows = first + count
        for row in batch.to_pylist() if batch is not None else []:
            data = orjson.loads(row["data"])
            self.events.append(RunEvent(row["step"], row["time"], row["kind"], row["message"], data))
