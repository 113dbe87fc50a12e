"""Figures as the bytes that plotly.js reads: orjson, with arrays as base64 typed arrays ("bdata")."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

# What plotly.js can read: https://plotly.com/javascript/reference (typed array spec; no 64-bit integers).
_TYPED = {"i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"}
_SHORT_ARRAY = 8


def figure_bytes(figure: Any) -> bytes:
    """A figure (plotly Figure or the same as a dict) as UTF-8 JSON. NaN and Inf inside arrays stay what they are."""
    plain = figure if isinstance(figure, Mapping) else figure.to_dict()
    return orjson.dumps(_plain(plain), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.generic):
        return value.item()
    return value


def _array(values: np.ndarray) -> Any:
    if values.dtype.kind not in "iuf" or values.size <= _SHORT_ARRAY or values.ndim > 3:
        return _plain(values.tolist())
    code = f"{values.dtype.kind}{values.dtype.itemsize}"
    if code in ("i8", "u8"):
        fits = values.min() >= np.iinfo(np.int32).min and values.max() <= np.iinfo(np.int32).max
        code = "i4" if fits else "f8"
    elif code == "f2":
        code = "f4"
    elif code not in _TYPED:
        code = "f8"
    data = np.ascontiguousarray(values, dtype=np.dtype(code).newbyteorder("<"))
    spec = {"dtype": code, "bdata": base64.b64encode(data.tobytes()).decode("ascii")}
    if values.ndim > 1:
        spec["shape"] = ", ".join(map(str, values.shape))
    return spec
