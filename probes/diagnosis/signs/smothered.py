"""Weights that Adam hardly moves any more, though their gradient is as large as ever: one that exploded, between two
frames, fills its running mean of squares.

A step of Adam is the learning rate times m / (sqrt(v) + eps), and v is a mean over some thousand steps (Kingma and Ba,
Adam, 2015, section 2): a gradient a million times the usual divides the steps by tens of thousands until that is
forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import RunView

_WITH_MEMORY = frozenset({"Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adam8bit", "AdamW8bit", "FusedAdam"})
DIVIDED = 3e-4
"""Step over what gradient and rate account for, from which v is not that of any gradient that was seen: signs that
change leave a tenth of it, and a gradient that fades within the memory of v a hundredth.
"""
UNSEEN = 100.0
"""Times the largest gradient that was recorded, at which one that was not must have been."""
FRAMES, LATE = 3, 0.5
"""Frames that show it, and part of the run after which they are counted."""
USUAL_EPS = 1e-8


@dataclass(frozen=True)
class Smothered:
    """The weights, the largest of their steps in the latter half over what is due, and the first step that shows it."""

    weights: tuple[str, ...]
    share: float
    since: int


def smothered(view: RunView) -> Smothered | None:
    """The weights whose steps are next to nothing in all frames of the latter half of the run; None when none are."""
    gradients, updates = view.layers("grad_norm"), view.layers("update_norm")
    if gradients is None or updates is None:
        return None
    sizes = {p.name: p.numel for p in view.parameters if p.is_weight and p.trainable and p.numel}
    steps = np.intersect1d(gradients.steps, updates.steps)
    late = steps > LATE * view.last_step
    found: list[tuple[str, float, int]] = []
    for index, group in enumerate(view.optimizers):
        rates = view.group_rates(index, steps) if group.type in _WITH_MEMORY else None
        kept = [n for n in group.parameters if n in sizes and n in gradients.layers and n in updates.layers]
        if rates is None or late.sum() < FRAMES or not kept:
            continue
        gradient, update = gradients.pick(kept).at(steps), updates.pick(kept).at(steps)
        root = np.sqrt([sizes[name] for name in gradient.layers])
        single = gradient.values / root
        due = rates[:, None] * root * single / (single + (group.eps or USUAL_EPS))
        seen = gradient.measured & update.measured & (gradient.values > 0) & (rates[:, None] > 0)
        share = np.where(seen, update.values / np.where(seen, due, 1.0), np.nan)
        highest = np.maximum.accumulate(np.where(seen, gradient.values, 0.0), axis=0)
        limit = np.minimum(DIVIDED, gradient.values / np.where(seen, highest, 1.0) / UNSEEN)
        small = seen & (share < limit)
        for place, name in enumerate(gradient.layers):
            counted = late & seen[:, place]
            if counted.sum() >= FRAMES and small[counted, place].all():
                since = int(steps[np.flatnonzero(small[:, place])[0]])
                found.append((name, float(share[counted, place].max()), since))
    if not found:
        return None
    return Smothered(tuple(name for name, _, _ in found), max(f[1] for f in found), min(f[2] for f in found))
