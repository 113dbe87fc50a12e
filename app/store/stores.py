"""The run stores of this process, at most one per run; those looked at longest ago are let go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from app.store.run_store import RunStore


class Stores:
    """Run id -> `RunStore`, least recently used first out; a pinned store (one somebody watches) stays.

    Args:
        locate: run id -> directory.
        capacity: stores kept when nobody watches them; each holds the run's series in memory.
    """

    def __init__(self, locate: Callable[[str], Path], capacity: int = 8) -> None:
        self._locate = locate
        self._capacity = capacity
        self._stores: OrderedDict[str, RunStore] = OrderedDict()
        self._pins: dict[str, int] = {}
        self._lock = threading.Lock()

    def get(self, run_id: str) -> RunStore:
        """The store of `run_id`, made when there is none.

        Raises:
            RunDirectoryError: `run_id` is no name of a run below the runs directory.
        """
        with self._lock:
            store = self._stores.get(run_id)
            if store is None:
                store = self._stores[run_id] = RunStore(run_id, self._locate(run_id))
            self._stores.move_to_end(run_id)
            self._evict(keep=run_id)
            return store

    def pin(self, run_id: str) -> RunStore:
        """The store of `run_id`, kept until `unpin`."""
        store = self.get(run_id)
        with self._lock:
            self._stores[run_id] = store
            self._pins[run_id] = self._pins.get(run_id, 0) + 1
        return store

    def unpin(self, run_id: str) -> None:
        """Gives one `pin` back."""
        with self._lock:
            left = self._pins.pop(run_id, 0) - 1
            if left > 0:
                self._pins[run_id] = left
            self._evict(keep=None)

    def is_pinned(self, run_id: str) -> bool:
        """Whether somebody watches the run."""
        with self._lock:
            return run_id in self._pins

    def pinned(self) -> list[RunStore]:
        """The stores somebody watches."""
        with self._lock:
            return [self._stores[run_id] for run_id in self._pins]

    def __len__(self) -> int:
        return len(self._stores)

    def _evict(self, keep: str | None) -> None:
        idle = [run_id for run_id in self._stores if run_id not in self._pins]
        for run_id in idle[: max(0, len(idle) - self._capacity)]:
            if run_id != keep:
                del self._stores[run_id]
