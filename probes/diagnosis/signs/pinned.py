"""Weights that take large steps and are always where they began: something puts them back after each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import Floats, LayerTable, RunView

FRAMES, SETTLED = 3, 50
"""Frames after so many steps that must all show it."""
WALK = 5.0
"""Updates that steps in directions drawn by lot would have added to the norm of the weights by the end."""
_STATISTICS = ("weight_norm", "weight_mean", "weight_std", "weight_min", "weight_max")


@dataclass(frozen=True)
class Pinned:
    """A weight that stays: its name, the median of its update over its size, and how far it is at most from where it
    began, in updates.
    """

    name: str
    step: float
    distance: float


def pinned(view: RunView) -> tuple[Pinned, ...]:
    """Weights whose values, in every frame after 50 steps, are within that one update of those before the first.

    Norm, extremes, mean and spread of the elements are compared: none of them can differ by more than the update, if
    nothing else has changed the weights (triangle inequality). That alone is so of weights that hardly move. But N
    steps of a share r of the norm, in directions drawn by lot, take the norm to sqrt(1 + N r^2) of what it was: where
    that would be 5 updates or more, and a gradient goes further, the steps were taken back.
    """
    tables = [view.layers(kind) for kind in (*_STATISTICS, "update_norm")]
    kept = [table for table in tables if table is not None and len(table)]
    if len(kept) < len(tables) or any(table.steps[0] != 0 for table in kept[:-1]):
        return ()
    updates = kept[-1]
    steps = updates.steps[updates.steps > SETTLED]
    for table in kept[:-1]:
        steps = np.intersect1d(steps, table.steps)
    if len(steps) < FRAMES:
        return ()
    found = []
    for parameter in view.parameters:
        name = parameter.name
        if not parameter.is_weight or parameter.numel < 4 or any(name not in table.layers for table in kept):
            continue
        update, start, later = _of(updates, name, steps), *_statistics(kept[:-1], name, steps)
        if not np.isfinite(update).all() or not np.isfinite(later).all() or not (update > 0).all() or not start[0] > 0:
            continue
        distance = float((_distance(start, later, parameter.numel) / update).max())
        step = float(np.median(update)) / start[0]
        if distance <= 1.0 and np.sqrt(1.0 + view.last_step * step**2) - 1.0 >= WALK * step:
            found.append(Pinned(name, step, distance))
    return tuple(found)


def _of(table: LayerTable, name: str, steps: np.ndarray) -> Floats:
    one = table.pick([name]).at(steps)
    return np.where(one.measured, one.values, np.nan)[:, 0]


def _statistics(tables: list[LayerTable], name: str, steps: np.ndarray) -> tuple[Floats, Floats]:
    """Norm, mean, spread, smallest and largest element before the first step [5], and at ``steps`` [5, T]."""
    start = np.asarray([float(table.pick([name]).values[0, 0]) for table in tables])
    return start, np.stack([_of(table, name, steps) for table in tables])


def _distance(start: Floats, later: Floats, count: int) -> Floats:
    """What two sets of ``count`` weights differ by at least, [T]."""
    off = np.abs(later - start[:, None])
    return np.asarray(np.maximum.reduce([off[0], np.sqrt(count) * np.hypot(off[1], off[2]), off[3], off[4]]))
