"""What is left of the steps of plain gradient descent on weights of few bits: the rest is rounded away."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import RunView


def part_of_steps(view: RunView, frames: int) -> dict[str, float]:
    """Coarse parameter (`ParameterInfo.coarse`) -> its update over the learning rate times its gradient, the median.

    Without momentum and decay the update is exactly that product, 1.0, but for what is less than half a unit in the
    last place of a weight. Only parameters with both in at least ``frames`` frames; empty for other optimizers.
    """
    coarse = {parameter.name for parameter in view.parameters if parameter.coarse}
    updates, gradients = view.layers("update_norm"), view.layers("grad_norm")
    parts: dict[str, float] = {}
    if not coarse or updates is None or gradients is None:
        return parts
    steps = np.intersect1d(updates.steps, gradients.steps)
    for index, group in enumerate(view.optimizers):
        rates = view.group_rates(index, steps)
        held = [n for n in group.parameters if n in coarse and n in updates.layers and n in gradients.layers]
        if not group.plain or group.momentum or group.weight_decay or rates is None or not held:
            continue
        moved, pushed = updates.pick(held).at(steps), gradients.pick(held).at(steps)
        meant = rates[:, None] * pushed.values
        known = moved.measured & pushed.measured & np.isfinite(moved.values) & np.isfinite(meant) & (meant > 0)
        for column, name in enumerate(held):
            seen = known[:, column]
            if seen.sum() >= frames:
                parts[name] = float(np.median(moved.values[seen, column] / meant[seen, column]))
    return parts
