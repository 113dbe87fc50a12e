"""What a baseline reports, and the parts of a run that all of them read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import Curve, Floats, LayerTable, RunView, Steps

PARTS = 20
"""A run without validation is cut into this many equal parts where a tool judges by epochs."""

_VALIDATION = ("val", "valid", "validation", "test", "eval")


@dataclass(frozen=True)
class Flag:
    """One alarm of a published tool.

    Attributes:
        term: the tool's own name for it.
        slugs: the rules of our catalogue that name the same thing; an alarm counts as right if any of them is expected.
    """

    term: str
    slugs: tuple[str, ...]


@dataclass(frozen=True)
class Epochs:
    """Per-epoch values, NaN where not logged: steps at which epochs end [E] and four series [E]."""

    ends: Steps
    loss: Floats
    val_loss: Floats
    accuracy: Floats
    val_accuracy: Floats


def epochs(view: RunView) -> Epochs:
    """The run by epochs, as the Keras tools see it: an epoch ends where validation was logged.

    Training values are means over the epoch. Without validation the run is cut into `PARTS` equal parts.
    """
    val_loss, val_accuracy = _first(view, "loss"), _first(view, "accuracy")
    known = val_loss if val_loss is not None else val_accuracy
    ends = (
        known.steps if known is not None else np.unique(np.linspace(0, view.last_step, PARTS + 1).astype(np.int64)[1:])
    )
    return Epochs(
        ends,
        _means(view.series("train/loss"), ends),
        _at(val_loss, ends),
        _means(view.series("train/accuracy"), ends),
        _at(val_accuracy, ends),
    )


def seen(table: LayerTable) -> Floats:
    """The values of a layer table, NaN where nothing was measured, [T, L]."""
    return np.where(table.measured, table.values, np.nan)


def weights_of(view: RunView, kind: str) -> LayerTable | None:
    """The columns of matrices and kernels in a parameter table, in forward order; None when it was not recorded."""
    table = view.layers(kind)
    if table is None:
        return None
    picked = table.pick([p.name for p in view.parameters if p.is_weight])
    return picked if picked.layers else None


def nonfinite(view: RunView, *kinds: str) -> bool:
    """Whether any of these counts of NaN and Inf was ever above zero, or the training loss was no number."""
    tables = [table for kind in kinds if (table := view.layers(kind)) is not None]
    loss = view.series("train/loss")
    broken = loss is not None and not bool(np.isfinite(loss.values).all())
    return broken or any(bool((np.where(t.measured, t.values, 0) > 0).any()) for t in tables)


def _first(view: RunView, name: str) -> Curve | None:
    return next((curve for split in _VALIDATION if (curve := view.series(f"{split}/{name}")) is not None), None)


def _at(curve: Curve | None, ends: Steps) -> Floats:
    values = np.full(len(ends), np.nan)
    if curve is not None:
        places = np.searchsorted(curve.steps, ends, side="right") - 1
        values[places >= 0] = curve.values[places[places >= 0]]
    return values


def _means(curve: Curve | None, ends: Steps) -> Floats:
    if curve is None:
        return np.full(len(ends), np.nan)
    starts = np.concatenate(([0], np.searchsorted(curve.steps, ends[:-1], side="right")))
    stops = np.searchsorted(curve.steps, ends, side="right")
    return np.array(
        [curve.values[a:b].mean() if b > a else np.nan for a, b in zip(starts, stops, strict=True)], dtype=np.float64
    )
