"""Whether the first steps made the weights grow so much that the net no longer tells its examples apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.task import last_module
from probes.diagnosis.view import RunView

FIRST, SOON = 10, 100
"""Steps in which the weights grow, and in which the outputs lose their differences."""
DOUBLED = 2.0
"""Growth of the weights (matrices and kernels, without lookup tables) that leaves little of the initialisation: those
that learn well grow to 1.0 to 1.5 times their size in ten steps."""
OUTGROWN, EACH, OUTGROWN_BY = 5.0, 3.0, 100
"""Growth of all of them, and of those of each layer, in so many steps: nothing is left of the initialisation."""
LOST = 0.05
"""Part of the variation across the examples (`batch_variation` of the last module) that is left."""


@dataclass(frozen=True)
class Overgrown:
    """Step by which the weights have grown, how many times, and the part of the outputs' variation that was left."""

    step: int
    growth: float
    left: float


def overgrown(view: RunView) -> Overgrown | None:
    """What the first steps did, where they did that; None also when it was not recorded, or begins late."""
    names = _weights(view)
    norms, variations, last = view.layers("weight_norm"), view.layers("batch_variation"), last_module(view)
    if len(names) < 2 or norms is None or variations is None or last is None or last.name not in variations.layers:
        return None
    kept = norms.pick(names)
    rows = np.flatnonzero(kept.measured.all(axis=1) & (kept.steps <= FIRST))
    outputs = variations.pick([last.name])
    seen = np.flatnonzero(outputs.measured[:, 0] & np.isfinite(outputs.values[:, 0]) & (outputs.steps <= SOON))
    if len(rows) < 2 or len(seen) < 2 or kept.steps[rows[0]] > 1 or outputs.steps[seen[0]] > 1:
        return None
    sizes = np.sqrt(np.square(kept.values[rows]).sum(axis=1))
    varied = outputs.values[seen, 0]
    if not sizes[0] > 0 or not varied[0] > 0:
        return None
    growth, left = float(sizes[-1] / sizes[0]), float(varied.min() / varied[0])
    return Overgrown(int(kept.steps[rows[-1]]), growth, left) if growth > DOUBLED and left < LOST else None


def outgrown(view: RunView) -> Overgrown | None:
    """How far the weights had grown within the first hundred steps, when that is to many times their size."""
    names, norms = _weights(view), view.layers("weight_norm")
    if len(names) < 2 or norms is None:
        return None
    kept = norms.pick(names)
    rows = np.flatnonzero(
        kept.measured.all(axis=1) & np.isfinite(kept.values).all(axis=1) & (kept.steps <= OUTGROWN_BY)
    )
    if len(rows) < 2 or kept.steps[rows[0]] > 1 or not (kept.values[rows[0]] > 0).all():
        return None
    first, last = kept.values[rows[0]], kept.values[rows[-1]]
    growth = float(np.linalg.norm(last) / np.linalg.norm(first))
    if growth < OUTGROWN or float((last / first).min()) < EACH:
        return None
    return Overgrown(int(kept.steps[rows[-1]]), growth, 1.0)


def _weights(view: RunView) -> list[str]:
    """The trainable weights, without lookup tables."""
    tables = {module.name for module in view.modules if module.looks_up}
    return [p.name for p in view.parameters if p.is_weight and p.trainable and p.module not in tables]
