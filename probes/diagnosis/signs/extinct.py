"""A layer of rectifiers that lets nothing through any more, in a single frame: where no loss shows the harm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import RunView

WHOLLY = 0.9999
"""Share of zeros of a layer that gives nothing."""
SAME = 1e-3
"""Variation of the last module's outputs over the examples, of all there is, that is none."""


@dataclass(frozen=True)
class Extinct:
    """The layer that gives only zeros, since which frame, and how many weights before it get no gradient."""

    layer: str
    step: int
    weights: int


def extinct(view: RunView, rectifiers: tuple[str, ...]) -> Extinct | None:
    """The first layer, in the last frame, whose outputs are all zero, as is every gradient before it; None otherwise.

    The outputs of the model are then the same for all examples. No gradient comes back to what might change that: once
    seen is enough.
    """
    zeros, gradients, variation = (view.layers(k) for k in ("zero_fraction", "grad_norm", "batch_variation"))
    if zeros is None or gradients is None or variation is None:
        return None
    order = [module.name for module in view.modules]
    rows = zeros.pick([module.name for module in view.modules if module.activation in rectifiers])
    if not rows.layers or not len(rows):
        return None
    silent = np.flatnonzero(rows.measured[-1] & (rows.values[-1] >= WHOLLY))
    last = np.flatnonzero(variation.measured[-1])
    if not len(silent) or not len(last) or variation.steps[-1] != rows.steps[-1]:
        return None
    if not variation.values[-1, last[-1]] < SAME:
        return None
    layer = rows.layers[int(silent[0])]
    before = set(order[: order.index(layer)])
    weights = [p.name for p in view.parameters if p.is_weight and p.trainable and p.module in before]
    found = gradients.pick(weights).at(rows.steps[-1:])
    if len(weights) < 2 or len(found) != 1 or not found.measured.all() or len(found.layers) < len(weights):
        return None
    return Extinct(layer, int(rows.steps[-1]), len(weights)) if not found.values.any() else None
