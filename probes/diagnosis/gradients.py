"""Gradients as the rules need them: the total norm per frame, and the size through the depth of the net."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import Curve, Floats, LayerTable, NotJudged, RunView, Steps

CLIPPED, CLIPPED_FRAMES = 0.9, 4
"""Share of the frames whose gradient has the same norm, from which it is held to be clipped; fewest frames."""


def total_norm(table: LayerTable) -> Curve:
    """The norm over all layers per frame, sqrt(sum of squares); NaN and Inf of any layer carry over."""
    squares = np.where(table.measured, table.values, 0.0) ** 2
    return Curve(table.steps, np.sqrt(squares.sum(axis=1)))


def step_size(view: RunView) -> Curve:
    """Norm of all weight updates over the norm of all weights per frame; NaN where the weights were zero.

    Only matrices and kernels that the optimizer moves count: biases and scales often begin at zero.

    Raises:
        NotJudged: the norms or the shapes were not recorded.
    """
    updates, weights = view.need_layers("update_norm"), view.need_layers("weight_norm")
    names = {p.name for p in view.parameters if p.is_weight and p.trainable}
    kept = [name for name in updates.layers if name in names and name in weights.layers]
    if not kept:
        raise NotJudged("no weight matrix or kernel is known")
    steps = np.intersect1d(updates.steps, weights.steps)
    moved = total_norm(updates.pick(kept).at(steps)).values
    sizes = total_norm(weights.pick(kept))
    # The size before the update, where the frame before it was taken; after it otherwise.
    before = np.isin(steps - 1, sizes.steps)
    size = np.where(
        before,
        sizes.values[np.searchsorted(sizes.steps, steps - before)],
        sizes.values[np.isin(sizes.steps, steps)],
    )
    return Curve(steps, np.where(size > 0, moved / size, np.nan))


def without_decay(view: RunView, sizes: Curve) -> Curve:
    """The step sizes less the share of the weights that weight decay takes in a step; the largest of the groups'."""
    taken = np.zeros(len(sizes))
    for index, group in enumerate(view.optimizers):
        rates = view.group_rates(index, sizes.steps)
        if rates is None or not group.weight_decay or not (group.plain or group.type == "AdamW"):
            continue
        # Momentum keeps adding the same shrinking: up to 1 / (1 - m) of it in a step.
        kept = max(1.0 - group.momentum, 1e-9) if group.plain else 1.0
        taken = np.maximum(taken, np.minimum(rates * group.weight_decay / kept, 1.0))
    return Curve(sizes.steps, np.maximum(sizes.values - taken, 0.0))


@dataclass(frozen=True)
class Depth:
    """Weights through the depth of the net: names [L] in forward order, steps [T], arrays [T, L].

    Attributes:
        gradient: root mean square of the elements of each weight's gradient, NaN where not measured.
        update_ratio: norm of the update over the norm of the weight, NaN where not measured; for plain gradient
            descent at most what the gradient accounts for (`driven_by_gradient`).
        signal: standard deviation of the gradient of the output of each weight's module: what is passed back.
            None when it was not recorded for all of them.
    """

    layers: tuple[str, ...]
    steps: Steps
    gradient: Floats
    update_ratio: Floats
    signal: Floats | None


def through_depth(view: RunView, layers: int) -> Depth:
    """Gradient and update of every trainable weight matrix or kernel that the optimizer moves.

    Raises:
        NotJudged: fewer than ``layers`` of them were measured, or no shapes are known.
    """
    gradients = view.need_layers("grad_norm")
    updates = view.need_layers("update_ratio")
    if not view.parameters:
        raise NotJudged("the manifest does not describe the model's parameters")
    # Most rows of a table get no gradient in any one batch: its mean gradient says nothing about depth.
    lookups = {module.name for module in view.modules if module.looks_up}
    sizes = {
        p.name: p.numel for p in view.parameters if p.is_weight and p.trainable and p.module not in lookups and p.numel
    }
    names = [name for name in gradients.layers if name in sizes and name in updates.layers]
    steps = np.intersect1d(gradients.steps, updates.steps)
    gradient, update = gradients.pick(names).at(steps), updates.pick(names).at(steps)
    # Weights that get no update at all (frozen later, or outside the optimizer) are another rule's business.
    moved = (np.where(update.measured, update.values, 0.0) != 0.0).any(axis=0)
    seen = gradient.measured.any(axis=0) & moved
    if int(seen.sum()) < layers:
        raise NotJudged(f"{int(seen.sum())} weights that are trained, needs {layers} for a trend through depth")
    kept_layers = tuple(name for name, kept in zip(names, seen, strict=True) if kept)
    root = np.sqrt(np.asarray([sizes[name] for name in names], dtype=np.float64))
    norms = np.where(gradient.measured, gradient.values, np.nan)[:, seen]
    moves = np.where(update.measured, update.values, np.nan)[:, seen]
    return Depth(
        layers=kept_layers,
        steps=steps,
        gradient=norms / root[seen],
        update_ratio=np.fmin(moves, driven_by_gradient(view, kept_layers, steps, norms)),
        signal=_signal(view, kept_layers, steps),
    )


def driven_by_gradient(view: RunView, layers: tuple[str, ...], steps: Steps, norms: Floats) -> Floats:
    """Update ratio that the gradient accounts for in plain gradient descent, [T, L]; NaN where unknown.

    With momentum m and gradients g that stay alike, an update is at most lr ||g|| / (1 - m). What a layer moves
    beyond that is weight decay (lr * decay per step): it shrinks the weights, whatever they should learn. Other
    optimizers divide by the size of the gradient or decay apart from it: unknown here.

    Args:
        layers: names of the weights, [L].
        norms: L2 norm of the gradient of each, [T, L].
    """
    driven = np.full(norms.shape, np.nan)
    weights = view.layers("weight_norm")
    if weights is None:
        return driven
    column = {name: place for place, name in enumerate(layers)}
    rows = np.flatnonzero(np.isin(steps, weights.steps))
    for index, group in enumerate(view.optimizers):
        names = [name for name in group.parameters if name in column and name in weights.layers]
        rates = view.group_rates(index, steps[rows])
        if not group.plain or rates is None or not names:
            continue
        sizes = weights.pick(names).at(steps)
        cells = np.ix_(rows, np.asarray([column[name] for name in names]))
        size = np.where(sizes.measured & (sizes.values > 0), sizes.values, np.nan)
        # Momentum of 1 would never forget: then nothing bounds the update.
        driven[cells] = rates[:, None] * norms[cells] / (max(1.0 - group.momentum, 1e-9) * size)
    return driven


def _signal(view: RunView, layers: tuple[str, ...], steps: Steps) -> Floats | None:
    """Standard deviation of the gradient at the output of the module of each weight, [T, L]; None if
    incomplete.
    """
    table = view.layers("activation_grad_std")
    if table is None:
        return None
    home = {parameter.name: parameter.module for parameter in view.parameters}
    modules = [home[name] for name in layers]
    if not set(modules) <= set(table.layers) or not np.isin(steps, table.steps).all():
        return None
    picked = table.pick(modules).at(steps)
    return np.where(picked.measured, picked.values, np.nan)


def clipped_norm(view: RunView) -> float | None:
    """The norm at which the gradient is clipped in almost all of at least four frames; None when it is not."""
    table = view.layers("grad_norm")
    norms = total_norm(table).finite.values if table is not None else np.empty(0)
    if len(norms) < CLIPPED_FRAMES or not norms.max() > 0:
        return None
    same = norms > 0.999 * norms.max()
    return float(norms.max()) if same.mean() >= CLIPPED else None
