"""Whether an optimizer of the Adam kind keeps nothing from one step to the next, as one that is made anew each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.gradients import total_norm
from probes.diagnosis.view import LayerTable, RunView

OF_A_FIRST_STEP = frozenset({"Adam", "AdamW", "Adamax", "Adagrad"})
"""Optimizers whose very first step moves each weight by the learning rate, up or down (Kingma and Ba, Adam, 2015,
algorithm 1 with t = 1: m / sqrt(v) = g / |g|)."""
EXACT = 0.02
"""Deviation of the length of an update from that of a first step, for weight decay and epsilon."""
FIRST, FEWEST, ELEMENTS = 10, 4, 100
"""Steps in which a true optimizer may still move every weight alike; frames after them, and weights, that are no
chance."""
CHANGES = 1.2
"""Largest over least norm of the gradient in these frames: a gradient that never changes gives such steps, too."""


@dataclass(frozen=True)
class Forgetful:
    """An optimizer each of whose steps is a first one: its class, its rate, and the step from which that is told."""

    type: str
    rate: float
    since: int
    frames: int


def forgetful(view: RunView) -> Forgetful | None:
    """The optimizer that holds all parameters, when each of its steps is as long as a first one; None otherwise."""
    kinds = {group.type for group in view.optimizers}
    if len(kinds) != 1 or not kinds <= OF_A_FIRST_STEP:
        return None
    updates, gradients, zeros = (view.layers(k) for k in ("update_norm", "grad_norm", "grad_zero_fraction"))
    if updates is None or gradients is None or zeros is None:
        return None
    sizes = {parameter.name: parameter.numel for parameter in view.parameters if parameter.trainable}
    held = [name for group in view.optimizers for name in group.parameters if name in sizes]
    if set(held) != set(sizes) or sum(sizes.values()) < ELEMENTS:
        return None
    tables = [_late(table, held) for table in (updates, gradients, zeros)]
    steps = np.intersect1d(np.intersect1d(tables[0].steps, tables[1].steps), tables[2].steps)
    if len(steps) < FEWEST:
        return None
    moved, pushed, still = (table.at(steps) for table in tables)
    if not all(bool(t.measured.all()) and bool(np.isfinite(t.values).all()) for t in (moved, pushed, still)):
        return None
    rates = np.zeros_like(moved.values)
    for index, group in enumerate(view.optimizers):
        known = view.group_rates(index, steps)
        if known is None:
            return None
        rates[:, [moved.layers.index(name) for name in group.parameters if name in moved.layers]] = known[:, None]
    numbers = np.asarray([sizes[name] for name in moved.layers])
    full = np.sqrt((np.square(rates) * numbers * (1.0 - still.values)).sum(axis=1))
    length, force = total_norm(moved).values, total_norm(pushed).values
    if not (full > 0).all() or not force.min() > 0 or force.max() < CHANGES * force.min():
        return None
    if not (np.abs(length / full - 1.0) < EXACT).all():
        return None
    return Forgetful(next(iter(kinds)), float(rates.max()), int(steps[0]), len(steps))


def _late(table: LayerTable, names: list[str]) -> LayerTable:
    kept = table.pick(names)
    return kept.at(kept.steps[kept.steps > FIRST])
