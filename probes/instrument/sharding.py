"""True norms of parameters that are spread over processes (FSDP2, DTensor).

Each process measures its own part and leaves the result in the key-value store that torch.distributed already runs;
rank 0 adds them up on its writer's thread. No collective operation is involved: a rank that fails, or is not watched,
can never make the others wait, its frames merely lack the norms.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Norms = Mapping[str, tuple[Sequence[int], npt.NDArray[Any]]]
"""Kind -> (parameter numbers, L2 norms of the local parts)."""

PATIENCE = 15.0
"""Seconds that rank 0 waits for the others' parts of a frame."""

LAST_PATIENCE = 1.5
"""The same once its run is being closed: less than the writer waits then for what is under way."""

_watches = 0


def rank_and_size() -> tuple[int, int]:
    """Of this process among those that train together; (0, 1) alone."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def shard_ranks(tensor: Tensor) -> list[int] | None:
    """The ranks whose parts together make up the tensor, this one's included; None when this process holds it all."""
    mesh, placements = getattr(tensor, "device_mesh", None), getattr(tensor, "placements", None)
    if mesh is None or placements is None or not any(p.is_shard() for p in placements):
        return None
    here = mesh.get_coordinate()
    index = tuple(slice(None) if p.is_shard() else int(here[i]) for i, p in enumerate(placements))
    return [int(r) for r in mesh.mesh[index].reshape(-1)]


class Meeting:
    """Where the processes of one run find what the others left. Made by every rank, in the same order of watches."""

    def __init__(self) -> None:
        global _watches
        _watches += 1
        self.rank, self.size = rank_and_size()
        base = torch.distributed.distributed_c10d._get_default_store()
        self._store = torch.distributed.distributed_c10d.PrefixStore(f"babysit/{_watches}", base)
        self._since: dict[int, float] = {}
        self._last_call: float | None = None

    def last_call(self) -> None:
        """The run is being closed: frames whose other parts do not come soon go without them."""
        self._last_call = time.monotonic()

    def agree(self, key: str, value: str | None, seconds: float = 30.0) -> str | None:
        """Rank 0 gives a value, the others get it; None when rank 0 does not within ``seconds``."""
        if value is not None:
            self._store.set(key, value)
            return value
        end = time.monotonic() + seconds
        while not self._store.check([key]):
            if time.monotonic() > end:
                return None
            time.sleep(0.01)
        return bytes(self._store.get(key)).decode()

    def put(self, key: str, text: str) -> None:
        """Leaves a text for the other processes."""
        self._store.set(key, text)

    def get(self, key: str) -> str | None:
        """What a process left under ``key``, None when nothing is there yet."""
        return bytes(self._store.get(key)).decode() if self._store.check([key]) else None

    def leave(self, step: int, norms: Norms) -> None:
        """Leaves the norms of this process's parts for rank 0."""
        content = {kind: [list(numbers), values.tolist()] for kind, (numbers, values) in norms.items()}
        self._store.set(f"{step}/{self.rank}", json.dumps(content))

    def collect(self, step: int, ranks: Sequence[int]) -> dict[int, Norms] | None:
        """What the other ranks left for a step; None while some of it is still to come and may yet."""
        others = [r for r in ranks if r != self.rank]
        keys = {r: f"{step}/{r}" for r in others}
        now = time.monotonic()
        began = self._since.setdefault(step, now)
        try:
            there = [r for r in others if self._store.check([keys[r]])]
        except RuntimeError:  # the process that kept the store has left
            there, began = [], now - PATIENCE
        overdue = now - began >= PATIENCE or (self._last_call is not None and now - self._last_call >= LAST_PATIENCE)
        if len(there) < len(others) and not overdue:
            return None
        del self._since[step]
        found: dict[int, Norms] = {}
        for r in there:
            content = json.loads(bytes(self._store.get(keys[r])))
            self._store.delete_key(keys[r])
            found[r] = {kind: (n, np.array(v, dtype=np.float64)) for kind, (n, v) in content.items()}
        return found


def merge_norms(
    mine: Norms, rank: int, others: Mapping[int, Norms], ranks_of: Mapping[int, Sequence[int]]
) -> dict[str, tuple[Sequence[int], npt.NDArray[Any]]]:
    """Norms of whole parameters from those of their parts: the root of the sum of squares.

    Args:
        mine: norms of the parts of this process, whose rank is ``rank``.
        others: rank -> norms of its parts.
        ranks_of: parameter number -> the ranks that hold its parts; parameters left out are whole here.

    Returns:
        The norms of every parameter all of whose parts are known.
    """
    tables = {r: {kind: dict(zip(*norms[kind], strict=True)) for kind in norms} for r, norms in others.items()}
    merged: dict[str, tuple[Sequence[int], npt.NDArray[Any]]] = {}
    for kind, (numbers, values) in mine.items():
        whole: dict[int, float] = {}
        for number, value in zip(numbers, values, strict=True):
            elsewhere = [r for r in ranks_of.get(number, ()) if r != rank]
            parts = [tables.get(r, {}).get(kind, {}).get(number) for r in elsewhere]
            if None not in parts:
                whole[number] = float(np.sqrt(np.sum(np.square([value, *parts], dtype=np.float64))))
        merged[kind] = (list(whole), np.array(list(whole.values())))
    return merged
