"""Between NumPy and Arrow by way of buffers.

Arrow's own conversions import pandas where it is installed: half a second in somebody's training, and an
error when it happens while the interpreter is shutting down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Mask = npt.NDArray[np.bool_]


def primitive(values: npt.NDArray[Any], valid: Mask | None = None) -> pa.Array:
    """``values`` [n] as an Arrow array; null where not ``valid`` [n]."""
    data = np.ascontiguousarray(values)
    buffers = [_bitmap(valid), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(data.dtype), len(data), buffers)


def fixed_lists(
    values: npt.NDArray[Any], valid: Mask | None = None, present: Mask | None = None
) -> pa.FixedSizeListArray:
    """``values`` [n, k] as n lists; null where not ``valid`` [n, k], lists where not ``present`` [n]."""
    inner = primitive(values.reshape(-1), None if valid is None else valid.reshape(-1))
    kind = pa.list_(inner.type, values.shape[1])
    return pa.Array.from_buffers(kind, len(values), [_bitmap(present)], children=[inner])


def strings(texts: Sequence[str]) -> pa.StringArray:
    """``texts`` as an Arrow array."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def values_of(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values of a primitive array, with whatever lies under the nulls; a view."""
    dtype = np.dtype(dtype)
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, count=len(array), offset=array.offset * dtype.itemsize)


def valid_of(array: pa.Array) -> Mask | None:
    """Which elements are not null; None: all."""
    if not array.null_count:
        return None
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    end = array.offset + len(array)
    return np.unpackbits(bits[: -(-end // 8)], bitorder="little")[array.offset : end].astype(bool)


def _bitmap(valid: Mask | None) -> pa.Buffer | None:
    if valid is None or bool(valid.all()):
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))
