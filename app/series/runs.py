"""One line about each run, and several runs' curves side by side."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.series.metrics import VALIDATION_SPLITS, metric_groups, split_role

if TYPE_CHECKING:
    from probes.runlog import Run


@dataclass(frozen=True)
class Line:
    """A run in the table. None where nothing is known.

    Attributes:
        best_accuracy: highest finite validation accuracy, NaN where there is none.
        last_loss: newest training loss, finite or not; None where nothing is called a loss, or several things are.
    """

    name: str
    status: str
    step: int | None
    best_accuracy: float
    last_loss: float | None
    created: float | None


def line(run: Run) -> Line:
    """What the table says of a run."""
    groups = metric_groups(run.series_names)
    accuracy = [
        run.series(f"{split}/accuracy").values for split in groups.get("accuracy", []) if split in VALIDATION_SPLITS
    ]
    finite = [values[np.isfinite(values)] for values in accuracy]
    best = max((float(values.max()) for values in finite if len(values)), default=float("nan"))
    splits = sorted(groups.get("loss", []), key=lambda split: split_role(split) != "train")
    losses = run.series(f"{splits[0]}/loss").values if splits else np.empty(0)
    created = run.manifest.get("created")
    return Line(
        run.name,
        run.status,
        run.last_step,
        best,
        float(losses[-1]) if len(losses) else None,
        float(created) if isinstance(created, (int, float)) else None,
    )


def started(created: float | None) -> datetime.datetime | None:
    """A Unix time as local time, None when unknown or out of range."""
    if created is None:
        return None
    try:
        return datetime.datetime.fromtimestamp(created).astimezone()
    except (OverflowError, OSError, ValueError):
        return None
