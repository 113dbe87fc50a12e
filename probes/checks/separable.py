"""Whether batches may be cut and joined: found out by trying, since shapes alone can deceive.

A graph's features and its adjacency matrix have the same first dimension and cannot be cut; sequences that
must be sorted by length can be cut but not joined.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from probes.checks.batches import Batch, join
from probes.checks.errors import UserCodeError
from probes.checks.modes import train_without_dropout
from probes.checks.rig import Rig


def runs(rig: Rig, batch: Batch) -> bool:
    """Whether forward and loss take this batch."""
    train_without_dropout(rig.model)
    try:
        with torch.no_grad():
            rig.loss(batch)
    except UserCodeError:
        return False
    return True


def settle(rig: Rig, batches: list[Batch]) -> tuple[list[Batch], Batch]:
    """The batches, marked as whole where a part of one cannot be run alone; and all of them joined, where that runs.

    Where the whole batch fails already nothing is found out: the checks will report the failure.
    """
    first = batches[0]
    if not runs(rig, first):
        return batches, join(batches) or first
    size = first.size
    if size is not None and size > 2 and not runs(rig, first.take(slice(0, max(2, size // 2)))):
        batches = [replace(batch, whole=True) for batch in batches]
        return batches, batches[0]
    joined = join(batches)
    if joined is None or (joined is not first and not runs(rig, joined)):
        joined = first
    return batches, joined
