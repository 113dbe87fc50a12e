"""Weights of several modules that are copies of one another, and stay so: told by their statistics in every frame."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import Floats, RunView

FRAMES = 3
SAME = 1e-6
"""Relative difference that rounding leaves between two copies (float32 rounds at 1e-7)."""


def clones(view: RunView) -> tuple[tuple[str, ...], ...]:
    """Groups of two or more weights of one shape that never differ, although each is trained.

    In three frames or more, all of them: the norms of their gradients are above zero and the same, and so are norm,
    smallest and largest element of the weights, which have changed meanwhile. What is tied is one parameter, and is
    listed once.
    """
    kinds = [view.layers(kind) for kind in ("grad_norm", "weight_norm", "weight_min", "weight_max")]
    tables = [table for table in kinds if table is not None]
    if len(tables) < len(kinds):
        return ()
    steps = tables[0].steps
    for table in tables[1:]:
        steps = np.intersect1d(steps, table.steps)
    if len(steps) < FRAMES:
        return ()
    shapes: dict[tuple[int, ...], list[str]] = {}
    for parameter in view.parameters:
        if parameter.is_weight and parameter.numel > 1 and all(parameter.name in t.layers for t in tables):
            shapes.setdefault(parameter.shape, []).append(parameter.name)
    found: list[tuple[str, ...]] = []
    for names in shapes.values():
        if len(names) < 2:
            continue
        picked = [table.pick(names).at(steps) for table in tables]
        measured = np.logical_and.reduce([table.measured.all(axis=0) for table in picked])
        values = np.stack([table.values for table in picked])  # [kinds, T, L]
        trained = measured & np.isfinite(values).all(axis=(0, 1)) & (values[0] > 0).all(axis=0)
        trained &= np.ptp(values[1], axis=0) > 0
        found.extend(_groups(values, np.flatnonzero(trained).tolist(), names))
    return tuple(found)


def _groups(values: Floats, columns: list[int], names: list[str]) -> list[tuple[str, ...]]:
    groups = []
    while columns:
        first, *rest = columns
        # The last frame tells most layers apart: a net of thousands of them is not compared pair by pair in all frames.
        alike = np.isclose(values[:, -1, rest], values[:, -1, first, None], rtol=SAME, atol=0.0).all(axis=0)
        near = [rest[place] for place in np.flatnonzero(alike).tolist()]
        same = [c for c in near if np.allclose(values[..., c], values[..., first], rtol=SAME, atol=0.0)]
        if same:
            groups.append(tuple(names[c] for c in (first, *same)))
        columns = [c for c in rest if c not in same]
    return groups
