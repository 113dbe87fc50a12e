"""Whether batches may be cut and joined: found out by trying, since shapes alone can deceive.

A graph's features and its adjacency matrix have the same first dimension and cannot be cut; sequences that
must be sorted by length can be cut but not joined.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from probes.checks.batches import Batch, join
from probes.checks.clock import Clock
from probes.checks.errors import UserCodeError
from probes.checks.habits import Habits, find_habits
from probes.checks.modes import train_without_dropout
from probes.checks.rig import Rig

POOLED = 4  # the joined batch may take as many times the target
SHARE = 1 / 200  # of the budget: the target for one forward pass


def habits_of(rig: Rig, batch: Batch) -> Habits:
    """What has to be heeded when forward and loss are called; uses the rig up."""
    train_without_dropout(rig.model)

    def run(inputs: Any, targets: Any, habits: Habits) -> None:
        rig.habits = habits
        rig.loss(replace(batch, inputs=inputs, targets=targets))

    return find_habits(run, batch.inputs, batch.targets)


def runs(rig: Rig, batch: Batch) -> bool:
    """Whether forward and loss take this batch."""
    train_without_dropout(rig.model)
    try:
        with torch.no_grad():
            rig.loss(batch)
    except UserCodeError:
        return False
    return True


def settle(rig: Rig, batches: list[Batch], target: float, clock: Clock) -> tuple[list[Batch], Batch]:
    """The batches to experiment with, and all of them joined.

    A batch is marked as whole where a part of it cannot be run alone. Where a forward pass takes longer than `target`
    seconds, batches are cut to as many examples as that time allows (at least two): a large model is checked on fewer.
    Where the whole batch fails already nothing is found out: the checks will report the failure.
    """
    first = batches[0]
    started = clock()
    if not runs(rig, first):
        return batches, join(batches) or first
    seconds = max(clock() - started, 1e-9)
    size = first.size
    if size is not None and size > 2 and not runs(rig, first.take(slice(0, max(2, size // 2)))):
        batches = [replace(batch, whole=True) for batch in batches]
        return batches, batches[0]
    joined = join(batches) or first
    if size is not None and seconds > target:
        count = max(2, int(size * target / seconds))
        batches = [batch.first(count) for batch in batches]
        joined = joined.first(max(2, min(POOLED * count, size)))
    if joined is not first and not runs(rig, joined):
        joined = batches[0]
    return batches, joined
