"""Pickles that hold nothing but plain data and arrays of bytes, without running what is in them.

A pickle is a program: loading one from the internet with `pickle.load` runs it. Here no class and no function
it names is looked up; the three names that NumPy arrays are written with stand for records of our own, and any
other name is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from trainer.errors import TaskError

MOST_BYTES = 1 << 28  # a batch of CIFAR-10 has 31 MB


class _Kind:
    """Stands for ``numpy.dtype``: remembers the type's name."""

    def __init__(self, name: Any = "", *rest: Any) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Stands for ``numpy.ndarray``: remembers shape, type and bytes."""

    def __init__(self) -> None:
        self.shape: Any = ()
        self.kind: Any = None
        self.data: Any = b""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.kind, _, self.data = state

    def array(self) -> np.ndarray:
        """uint8 of its shape; `ValueError` when it is something else."""
        if not isinstance(self.kind, _Kind) or self.kind.name != "u1" or not isinstance(self.data, bytes):
            raise ValueError("an array of something else than bytes")
        return np.frombuffer(self.data, np.uint8).reshape(self.shape)


def _array(*_: Any) -> _Array:
    return _Array()


def _encoded(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes in the pickle protocols of Python 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in an encoding other than latin1")
    return text.encode("latin1")


_STANDS_FOR = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encoded,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STANDS_FOR:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only plain data and arrays are read")
        return _STANDS_FOR[module, name]


def read_plain_pickle(file: Path) -> dict[str, Any]:
    """The dict in a pickle, its keys as str, arrays of bytes as NumPy arrays; nothing of it is run.

    Raises `TaskError` when it is damaged, too large, not a dict, or holds anything but plain data.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise TaskError(f"{file}: {file.stat().st_size >> 20} MB, allowed: {MOST_BYTES >> 20} MB")
        with file.open("rb") as stream:
            value = _Unpickler(stream, encoding="bytes").load()
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__}, not a dict")
        return {
            key.decode("utf-8") if isinstance(key, bytes) else str(key): v.array() if isinstance(v, _Array) else v
            for key, v in value.items()
        }
    except TaskError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TaskError(f"{file}: cannot be read as a pickle of plain data: {reason}") from None
