"""Weight decay by which weights forget what they learned within a few steps.

A decay takes lr * decay of each weight away in a step; the momentum m keeps adding that up, to 1 / (1 - m) times as
much. The weights are then an average over the steps of the last (1 - m) / (lr * decay), however strong the gradient is.
That holds beside normalisation, too, where the gradient grows as the weights shrink, so that the two always balance
(van Laarhoven, L2 regularization versus batch and weight normalization, 2017; Wan et al., Spherical motion dynamics,
2021: the weights then turn by sqrt(2 * lr * decay) in a step).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import RunView

PLACES = 101
"""Steps at which the rate is looked up."""


@dataclass(frozen=True)
class Memory:
    """What the weights remember: the steps in which a decay takes them to 1 / e, its strength, and the rate."""

    steps: float
    decay: float
    rate: float


def shortest_memory(view: RunView) -> Memory | None:
    """The shortest memory of the parameter groups, by the median of the rate over the run; None without such a decay.

    Of plain gradient descent and of AdamW; where a decay is scaled with the gradient (Adam) it is not known.
    """
    if view.last_step < 1:
        return None
    steps = np.linspace(1, view.last_step, PLACES).astype(np.int64)
    found = []
    for index, group in enumerate(view.optimizers):
        rates = view.group_rates(index, steps)
        if rates is None or group.weight_decay <= 0 or not (group.plain or group.type == "AdamW"):
            continue
        rate = float(np.median(rates))
        kept = max(1.0 - group.momentum, 1e-9) if group.plain else 1.0
        if rate > 0:
            found.append(Memory(kept / (rate * group.weight_decay), group.weight_decay, rate))
    return min(found, key=lambda memory: memory.steps, default=None)
