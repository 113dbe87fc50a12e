"""Weights that something other than the optimizer has taken to next to nothing, and keeps there.

From one frame to the next no norm can change by more than the updates (triangle inequality). Where all of them fall by
far more, they were clamped, or scaled, after the step: for a critic that is wanted (Arjovsky, Chintala and Bottou,
Wasserstein GAN, 2017: weights of at most 0.01), any other net is left with too little to pass a signal on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import RunView

WEIGHTS = 2
"""Weights that it takes, at least."""
SMALL = 0.2
"""Part of its norm that is left of each weight, by the next step and ever since."""
UPDATES = 3.0
"""Times by which the fall of the norm exceeds all updates in between."""


@dataclass(frozen=True)
class HeldSmall:
    """The weights, the step by which they had shrunk, and what is left of them: largest part, and largest element."""

    names: tuple[str, ...]
    step: int
    left: float
    largest: float


def held_small(view: RunView) -> HeldSmall | None:
    """All trained weights, where each lost most of its norm between two frames, but not to its updates, and never
    regained it in any later frame; None otherwise.

    Of several updates in between those at both ends are known; the larger stands for each.
    """
    norms, updates, high = (view.layers(kind) for kind in ("weight_norm", "update_norm", "weight_max"))
    names = [p.name for p in view.parameters if p.is_weight and p.trainable]
    if norms is None or updates is None or high is None or len(names) < WEIGHTS:
        return None
    if any(name not in table.layers for name in names for table in (norms, updates, high)):
        return None
    sizes, moved = norms.pick(names), updates.pick(names)
    # A comparison with NaN is false: what was not measured was not seen to shrink.
    measured = np.where(sizes.measured & np.isfinite(sizes.values), sizes.values, np.nan)
    steps = np.full(measured.shape, np.nan)
    known = np.isin(sizes.steps, moved.steps)
    steps[known] = moved.at(sizes.steps[known]).values
    before, taken = measured[:-1], np.diff(sizes.steps)[:, None]
    # Between steps that follow each other lies the later one's update alone.
    between = np.where(taken == 1, steps[1:], np.maximum(steps[:-1], steps[1:]))
    beyond = (before - measured[1:] > UPDATES * taken * between).all(axis=1)
    largest_since = np.maximum.accumulate(measured[::-1])[::-1][1:]
    rows = np.flatnonzero(beyond & (largest_since < SMALL * before).all(axis=1) & (sizes.steps[:-1] >= 1))
    if len(rows):
        row = int(rows[0])
        left = float((measured[-1] / before[row]).max())
        largest = float(high.pick(names).values[-1].max())
        return HeldSmall(tuple(names), int(sizes.steps[row + 1]), left, largest)
    return None
