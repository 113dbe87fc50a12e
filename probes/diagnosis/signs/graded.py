"""Layers that keep the random values they began with, because their parameter group has next to no learning rate.

Rates graded by depth suit a net that was trained before. Its weights are not spread evenly up to the bound within which
PyTorch draws them (see `probes.diagnosis.signs.untrained`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.manifest import ParameterInfo
from probes.diagnosis.view import RunView

SLOW = 0.01
"""Learning rate of a group, of the highest of any group, from which down it may leave its weights as they were."""
MOVED = 0.02
"""Sum of the steps of a weight, of its size, that leaves it as it was."""
FEWEST, REACHED = 30, 0.9
"""Elements that are seen to lie within their bounds, and the part of them that the largest comes to."""
FRAMES = 4
_DRAWN_EVENLY = ("Linear", "Conv1d", "Conv2d", "Conv3d", "Bilinear")


@dataclass(frozen=True)
class Graded:
    """The weights left as they were, the most that one of them moved, and their highest rate beside the highest."""

    weights: tuple[str, ...]
    moved: float
    rate: float
    highest: float


def graded(view: RunView) -> Graded | None:
    """The weights that a rate of next to nothing leaves random, when there are any; None otherwise."""
    rates = {}
    for index, group in enumerate(view.optimizers):
        known = view.group_rates(index, np.asarray([max(view.last_step, 1)]))
        every = view.series(f"optimizer/lr/{index}")
        rate = (
            float(every.finite.values.max(initial=0.0))
            if every is not None
            else float(known[0])
            if known is not None
            else 0.0
        )
        rates.update(dict.fromkeys(group.parameters, rate))
    highest = max(rates.values(), default=0.0)
    ratios = view.layers("update_ratio")
    if not highest > 0 or ratios is None or len(ratios) < FRAMES:
        return None
    kinds = {module.name: module.type for module in view.modules}
    left: dict[str, list[ParameterInfo]] = {}
    for parameter in view.parameters:
        if parameter.trainable and 0.0 < rates.get(parameter.name, 0.0) <= SLOW * highest:
            left.setdefault(parameter.module, []).append(parameter)
    modules = [parameters for name, parameters in left.items() if kinds.get(name) in _DRAWN_EVENLY]
    weights = [p for parameters in modules for p in parameters if p.is_weight]
    sums = [_travel(view, p.name) for p in weights]
    if not weights or any(total is None or total >= MOVED for total in sums) or not _as_drawn(view, modules):
        return None
    slow = max(rates[p.name] for p in weights)
    return Graded(tuple(p.name for p in weights), max(total for total in sums if total is not None), slow, highest)


def _travel(view: RunView, name: str) -> float | None:
    """The sum of the steps of a weight, of its size, between frames along straight lines; None when not recorded."""
    curve = view.layer("update_ratio", name)
    if curve is None or len(curve) < FRAMES:
        return None
    steps, values = curve.steps, curve.values
    return float(np.trapezoid(values, steps) + values[-1] * (view.last_step - steps[-1]))


def _as_drawn(view: RunView, modules: Sequence[Sequence[ParameterInfo]]) -> bool:
    """Whether weights and biases lie within 1 / sqrt(inputs of a unit), and come near to it, in every module."""
    seen = 0
    for parameters in modules:
        weight = next((p for p in parameters if p.is_weight), None)
        if weight is None or not weight.shape[0]:
            return False
        bound = 1.0 / math.sqrt(weight.numel // weight.shape[0])
        largest = 0.0
        for parameter in parameters:
            ends = [view.layers(kind) for kind in ("weight_min", "weight_max")]
            if any(table is None or parameter.name not in table.layers for table in ends):
                return False
            values = [t.pick([parameter.name]).values[0, 0] for t in ends if t is not None]
            largest = max(largest, float(np.abs(values).max()))
            seen += parameter.numel
        if not REACHED * bound < largest <= bound * (1.0 + 1e-4):
            return False
    return seen >= FEWEST
