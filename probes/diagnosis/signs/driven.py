"""How far the gradient alone moves the weights: what remains of a step without the shrinking by weight decay."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.gradients import step_size, total_norm, without_decay
from probes.diagnosis.view import Curve, Floats, RunView


def driven_sizes(view: RunView) -> Curve:
    """The step sizes less what weight decay takes; in plain gradient descent, whose momentum goes on taking what a
    higher rate took, no more than the gradient accounts for: lr ||g|| / (1 - momentum), over the size of the weights.

    Raises:
        NotJudged: the norms or the shapes were not recorded.
    """
    sizes = step_size(view)
    less = without_decay(view, sizes)
    if not view.plain:
        return less
    rest = np.where(less.values > 0.0, less.values, sizes.values)
    return Curve(less.steps, np.where(less.values < sizes.values, np.fmin(rest, _bound(view, sizes)), less.values))


def _bound(view: RunView, sizes: Curve) -> Floats:
    """The most that the gradient accounts for in a step, over the size of the weights, [T]; NaN where not recorded."""
    gradients, updates, weights = (view.layers(kind) for kind in ("grad_norm", "update_norm", "weight_norm"))
    bound = np.full(len(sizes), np.nan)
    if gradients is None or updates is None or weights is None:
        return bound
    squares = np.zeros(len(sizes))
    rows = np.isin(sizes.steps, gradients.steps)
    at = sizes.steps[rows]
    trained = {p.name for p in view.parameters if p.is_weight and p.trainable}
    for index, group in enumerate(view.optimizers):
        rates = view.group_rates(index, at)
        if rates is None:
            return bound
        moved = total_norm(gradients.pick([name for name in group.parameters if name in trained]).at(at)).values
        squares[rows] += (rates * moved / max(1.0 - group.momentum, 1e-9)) ** 2
    names = [name for name in updates.layers if name in trained and name in weights.layers]
    norms = total_norm(weights.pick(names).at(at)).values
    bound[rows] = np.sqrt(squares[rows]) / np.where(norms > 0, norms, np.nan)
    return bound
