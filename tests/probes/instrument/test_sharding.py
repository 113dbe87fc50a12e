"""How rank 0 meets what the other ranks left, and what it does when nothing comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probes.instrument import sharding
from probes.instrument.sharding import Meeting

NORMS = {"gradient": ([0, 2], np.array([3.0, 4.0]))}


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> tuple[Meeting, Meeting]:
    """Two ranks at one store, in this process."""
    store = torch.distributed.HashStore()
    monkeypatch.setattr(torch.distributed.distributed_c10d, "_get_default_store", lambda: store)
    monkeypatch.setattr(sharding, "_watches", 0)
    meetings = []
    for rank in range(2):
        monkeypatch.setattr(sharding, "rank_and_size", lambda rank=rank: (rank, 2))
        monkeypatch.setattr(sharding, "_watches", 0)
        meetings.append(Meeting())
    return meetings[0], meetings[1]


def test_what_was_left_is_found_once(ranks: tuple[Meeting, Meeting]):
    first, second = ranks
    assert first.collect(5, [0, 1]) is None
    second.leave(5, NORMS)
    found = first.collect(5, [0, 1])
    assert found is not None
    numbers, values = found[1]["gradient"]
    assert (numbers, values.tolist()) == ([0, 2], [3.0, 4.0])


def test_a_run_that_is_closed_takes_its_last_frames_without_what_does_not_come(
    ranks: tuple[Meeting, Meeting], monkeypatch: pytest.MonkeyPatch
):
    first, second = ranks
    monkeypatch.setattr(sharding, "LAST_PATIENCE", 0.0)
    second.leave(1, NORMS)
    assert first.collect(2, [0, 1]) is None
    first.last_call()
    assert list(first.collect(1, [0, 1])) == [1]
    assert first.collect(2, [0, 1]) == {}


def test_a_store_that_is_gone_keeps_no_frame_back(ranks: tuple[Meeting, Meeting]):
    first, _ = ranks

    class Gone:
        def check(self, keys: list[str]) -> bool:
            raise RuntimeError("connection reset")

    first._store = Gone()
    assert first.collect(1, [0, 1]) == {}
