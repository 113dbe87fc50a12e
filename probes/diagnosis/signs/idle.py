"""Parameters that are no longer trained, or were never: told by the frames in which their update was measured.

That is so in the frames in which the parameter required a gradient and the optimizer that holds it stepped; of a
parameter that no optimizer holds, in those in which it required a gradient. An update that was not measured is no
update of zero.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import LayerTable, RunView

FRAMES = 3
"""Frames that show what others do while these parameters rest."""


@dataclass(frozen=True)
class Idle:
    """An optimizer that never stepped: its place among those of the run, its class, and its parameters."""

    place: int
    type: str
    parameters: tuple[str, ...]


def never_stepped(view: RunView) -> tuple[Idle, ...]:
    """The optimizers none of whose steps was seen in any frame, while another one stepped in three or more.

    A frame may miss the steps of an optimizer that has its turn now and then: its parameters must not have changed
    from the first frame to the last, either.
    """
    entries = view.manifest.get("optimizers")
    updates = view.layers("update_norm")
    if not isinstance(entries, (list, tuple)) or len(entries) < 2 or updates is None:
        return ()
    trainable = {p.name for p in view.parameters if p.trainable and p.numel}
    idle, seen = [], 0
    for place, entry in enumerate(entries):
        groups = entry.get("groups") if isinstance(entry, Mapping) else None
        names = [
            str(name)
            for group in (groups if isinstance(groups, (list, tuple)) else ())
            if isinstance(group, Mapping)
            for name in (group.get("parameters") or ())
        ]
        known = [name for name in names if name in trainable]
        frames = int(updates.pick(known).measured.any(axis=1).sum()) if known else 0
        seen = max(seen, frames)
        if known and not frames and unchanged(view, known, since=0):
            idle.append(Idle(place, str(entry.get("class", "")).rpartition(".")[2], tuple(known)))
    return tuple(idle) if seen >= FRAMES else ()


def thawed(view: RunView, held: Collection[str]) -> tuple[str, ...]:
    """Parameters that no optimizer holds, frozen in the first frame and not in the last, and unchanged throughout."""
    updates = view.layers("update_norm")
    if updates is None or len(updates) < 2:
        return ()
    names = [
        name
        for name, column in zip(updates.layers, updates.measured.T, strict=True)
        if name not in held and not column[0] and column[-1]
    ]
    return tuple(name for name in names if unchanged(view, [name], since=0))


def frozen_early(view: RunView, early: float) -> tuple[tuple[str, ...], int]:
    """(weights that were trained at first and not any more after ``early`` of the run, the last step that they did).

    Weights of two axes or more. Their optimizer goes on with others: three frames or more show it.
    """
    updates = view.layers("update_norm")
    if updates is None or not len(updates):
        return (), 0
    weights = {p.name for p in view.parameters if p.is_weight}
    found, last = [], 0
    for name, column in zip(updates.layers, updates.measured.T, strict=True):
        rows = np.flatnonzero(column)
        if name not in weights or not len(rows) or len(column) - 1 - rows[-1] < FRAMES:
            continue
        at = int(updates.steps[rows[-1]])
        with_it = {other for group in view.optimizers if name in group.parameters for other in group.parameters}
        going_on = updates.pick(sorted(with_it)).measured[rows[-1] + 1 :].any(axis=1).all() if with_it else False
        after = int(updates.steps[rows[-1] + 1])
        if at <= early * view.last_step and going_on and unchanged(view, [name], since=after):
            found.append(name)
            last = max(last, at)
    return tuple(found), last


def unchanged(view: RunView, names: Collection[str], since: int) -> bool:
    """Whether the norms of all of these parameters are the same in two or more frames from step ``since`` on."""
    table = view.layers("weight_norm")
    if table is None:
        return False
    kept = table.pick([name for name in table.layers if name in names])
    return len(kept.layers) == len(set(names)) and all(_constant(kept, column, since) for column in range(len(names)))


def _constant(table: LayerTable, column: int, since: int) -> bool:
    values = table.values[(table.steps >= since) & table.measured[:, column], column]
    return len(values) >= 2 and bool(np.isfinite(values).all()) and float(np.ptp(values)) == 0.0
