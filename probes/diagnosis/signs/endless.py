"""A warm-up that would last far longer than any: told by how fast the rate rises, and what it was set to reach."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import RunView

LONGEST = 100_000
"""Steps of a warm-up that none takes: 10,000 in BERT, 32,000 in wav2vec 2.0, for a million and 400,000 steps."""
STRAIGHT = 0.02
"""Distance of the rate halfway from the mean of both ends, as a share of the rise, of a straight line."""
FEWEST = 10


def endless_warmup(view: RunView) -> int | None:
    """The step at which a linear warm-up will end at the pace it has; None unless that is `LONGEST` or more.

    What it rises to is the rate the optimizer was made with, which PyTorch's schedules keep beside the current one
    (`initial_lr` of a parameter group, documentation of `torch.optim.lr_scheduler`).
    """
    ends = [_end(view, index, group.initial_lr) for index, group in enumerate(view.optimizers)]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) and min(known) >= LONGEST else None


def _end(view: RunView, index: int, target: float | None) -> int | None:
    if target is None or view.last_step < FEWEST:
        return None
    rates = view.group_rates(index, np.asarray([1, (1 + view.last_step) // 2, view.last_step], dtype=np.int64))
    if rates is None or not rates[0] < rates[1] < rates[2] < target:
        return None
    rise = float(rates[2] - rates[0])
    halfway = ((1 + view.last_step) // 2 - 1) / (view.last_step - 1)
    if abs(float(rates[1] - rates[0]) - halfway * rise) > STRAIGHT * rise:
        return None
    return int(view.last_step + (target - float(rates[2])) * (view.last_step - 1) / rise)
