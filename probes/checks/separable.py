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

FEW = 2
POOLED = 4  # the joined batch may take as many times the target
SHARE = 1 / 200  # of the budget: the target for one forward pass


def habits_of(rig: Rig, batch: Batch) -> Habits:
    """What has to be heeded when forward and loss are called; uses the rig up. Two examples tell, where they run."""
    train_without_dropout(rig.model)

    def run(inputs: Any, targets: Any, habits: Habits) -> None:
        rig.habits = habits
        rig.loss(replace(batch, inputs=inputs, targets=targets))

    few = batch.first(FEW)
    found = find_habits(run, few.inputs, few.targets)
    if found is None and few is not batch:
        found = find_habits(run, batch.inputs, batch.targets)
    return found or Habits()


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

    A batch is marked as whole where a few of its examples cannot be run alone. Where a forward pass would take longer
    than `target` seconds, batches are cut to as many examples as that time allows (at least two): a large model is
    checked on fewer. That is found out on two examples and then on as many as these suggest, never on all of them.
    Where the whole batch fails already nothing is found out: the checks will report the failure.
    """
    first = batches[0]
    size = first.size
    if size is None or size <= FEW:
        return batches, _joined(rig, batches, first)
    seconds = _seconds(rig, first.first(FEW), clock)
    if seconds is None:
        if runs(rig, first):
            batches = [replace(batch, whole=True) for batch in batches]
            return batches, batches[0]
        return batches, join(batches) or first
    count = FEW
    for _ in range(2):  # the time an example takes falls with their number
        count = min(size, max(FEW, int(count * target / seconds)))
        if count == size:
            return batches, _joined(rig, batches, first)
        seconds = _seconds(rig, first.first(count), clock) or seconds
    joined = (join(batches) or first).first(max(FEW, min(POOLED * count, size)))
    return [batch.first(count) for batch in batches], joined


def _joined(rig: Rig, batches: list[Batch], first: Batch) -> Batch:
    joined = join(batches) or first
    return joined if joined is first or runs(rig, joined) else first


def _seconds(rig: Rig, batch: Batch, clock: Clock) -> float | None:
    """How long forward and loss take, None where they do not take this batch."""
    started = clock()
    ran = runs(rig, batch)
    return max(clock() - started, 1e-9) if ran else None
