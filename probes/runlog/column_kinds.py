"""The columns of the streams, as they are kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from probes.runlog.columns import Growable
from probes.runlog.segment_reader import SegmentInfo
from probes.runlog.types import RunEvent

PartOf = Callable[[SegmentInfo], slice | None]
Chunk = tuple[SegmentInfo, npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.bool_]]

KEYS = 2  # `step` and `time` come first in every stream


def _field(info: SegmentInfo, name: str) -> list[int]:
    # By position behind the keys: a series may be called "step" itself.
    names = info.schema.names[KEYS:]
    return [names.index(name) + KEYS] if name in names else []


def _valid(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Which elements are not null; None: all."""
    return array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None


class ScalarColumn:
    """Values of one series: a row number and a float64 for each row that has one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.rows = 0
        self._at = Growable(np.int64)
        self._values = Growable(np.float64)

    def fields(self, info: SegmentInfo) -> list[int]:
        return _field(info, self._name)

    def take(self, info: SegmentInfo, batch: pa.RecordBatch | None, first: int, count: int) -> None:
        self.rows = first + count
        if batch is None:
            return
        array = batch.column(_in_batch(batch, info, self._name))
        valid = _valid(array)
        if valid is None:
            self._at.extend(np.arange(first, first + count))
            self._values.extend(array.to_numpy())
        else:
            at = np.flatnonzero(valid)
            self._at.extend(at + first)
            self._values.extend(_raw(array, np.dtype(np.float64))[at])

    def get(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Row numbers [n] and values [n]."""
        return self._at.array, self._values.array


def _in_batch(batch: pa.RecordBatch, info: SegmentInfo, name: str) -> int:
    """Position of column ``name`` in a batch that may hold only some of the segment's columns."""
    position = _field(info, name)[0]
    if batch.num_columns == len(info.schema):
        return position
    return batch.schema.names.index(name)


class ListColumn:
    """A fixed-size list per row; the length may change from segment to segment.

    Args:
        name: of the column.
        dtype: of the elements.
        part: elements to keep of each list, as a function of what the segment says of itself; None: that segment
            does not hold them. Default: all.
    """

    def __init__(self, name: str, dtype: npt.DTypeLike, part: PartOf | None = None) -> None:
        self._name = name
        self._dtype = np.dtype(dtype)
        self._part = part
        self.rows = 0
        self._chunks: list[tuple[SegmentInfo, Growable, Growable, Growable]] = []

    def fields(self, info: SegmentInfo) -> list[int]:
        if self._part is not None and self._part(info) is None:
            return []
        return _field(info, self._name)

    def take(self, info: SegmentInfo, batch: pa.RecordBatch | None, first: int, count: int) -> None:
        self.rows = first + count
        if batch is None:
            return
        array = batch.column(_in_batch(batch, info, self._name))
        length = array.type.list_size
        flat = array.values.slice(array.offset * length, count * length)
        inner = _valid(flat)
        values = _raw(flat, self._dtype).reshape(count, length)
        outer = _valid(array)
        at = np.arange(count) if outer is None else np.flatnonzero(outer)
        keep = slice(0, length) if self._part is None else self._part(info)
        values = values[at, keep]
        chunk = self._chunk(info, values.shape[1])
        chunk[1].extend(at + first)
        chunk[2].extend(values)
        if inner is None:
            chunk[3].extend(np.ones(values.shape, bool))
        else:
            chunk[3].extend(inner.reshape(count, length)[at, keep])

    def _chunk(self, info: SegmentInfo, length: int) -> tuple[SegmentInfo, Growable, Growable, Growable]:
        last = self._chunks[-1] if self._chunks else None
        if (
            last is None
            or (last[0] is not info and last[0].about != info.about)
            or last[2].array.shape[1] != length
        ):
            last = (info, Growable(np.int64), Growable(self._dtype, (length,)), Growable(bool, (length,)))
            self._chunks.append(last)
        return last

    def get(self) -> list[Chunk]:
        """Per stretch of like segments: what they say, row numbers [n], values [n, K], measured [n, K]."""
        return [(info, at.array, values.array, valid.array) for info, at, values, valid in self._chunks]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(values.array.nbytes for _, _, values, _ in self._chunks)


def _raw(flat: pa.Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values of a primitive array, whatever lies under the nulls."""
    data = flat.buffers()[1]
    return np.frombuffer(data, dtype, count=len(flat), offset=flat.offset * dtype.itemsize)


class EventColumn:
    """All events."""

    def __init__(self) -> None:
        self.rows = 0
        self.events: list[RunEvent] = []

    def fields(self, info: SegmentInfo) -> list[int]:
        return list(range(len(info.schema)))

    def take(self, info: SegmentInfo, batch: pa.RecordBatch | None, first: int, count: int) -> None:
        self.rows = first + count
        for row in batch.to_pylist() if batch is not None else []:
            data = orjson.loads(row["data"])
            self.events.append(RunEvent(row["step"], row["time"], row["kind"], row["message"], data))
