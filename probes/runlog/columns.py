"""Growing arrays: what was read of a column, kept in NumPy and extended by what is new."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Growable:
    """A NumPy array that grows along its first axis in amortised constant time."""

    def __init__(self, dtype: npt.DTypeLike, width: tuple[int, ...] = ()) -> None:
        self._data: npt.NDArray[Any] = np.empty((0, *width), dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, values: npt.NDArray[Any]) -> None:
        """Append ``values`` [n, ...]."""
        end = self._size + len(values)
        if end > len(self._data):
            grown = np.empty((max(end, 2 * len(self._data), 64), *self._data.shape[1:]), self._data.dtype)
            grown[: self._size] = self._data[: self._size]
            self._data = grown
        self._data[self._size : end] = values
        self._size = end

    @property
    def array(self) -> npt.NDArray[Any]:
        """What is there, as a read-only view; later growth does not change it."""
        view = self._data[: self._size]
        view.flags.writeable = False
        return view
