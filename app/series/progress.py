"""Has the training loss fallen yet? What a verdict must know before it may sound like good news."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.series.metrics import metric_groups, split_role
from app.series.numbers import number

if TYPE_CHECKING:
    from probes.runlog import Run

FEWEST = 20  # points; with fewer a beginning and an end cannot be told apart
END_SHARE = 0.1  # of the run that its beginning and its end are
CLEAR_FALL = 3.0  # standard errors of the two means
LEAST_FALL = 0.01  # of the loss at the beginning


@dataclass(frozen=True)
class Progress:
    """The training loss at the beginning and at the end of what is recorded; `fell`: clearly lower at the end."""

    first: float
    last: float
    fell: bool

    @property
    def words(self) -> str:
        """One clause about a loss that has not fallen."""
        return f"the training loss has not fallen ({number(self.first)} at the beginning, {number(self.last)} now)"


def loss_progress(run: Run) -> Progress | None:
    """None where no training loss is logged, or fewer than `FEWEST` finite points of it."""
    splits = [s for s in metric_groups(run.series_names).get("loss", []) if split_role(s) == "train"]
    if not splits:
        return None
    values = run.series(f"{splits[0]}/loss").values
    values = values[np.isfinite(values)]
    if len(values) < FEWEST:
        return None
    count = max(FEWEST // 4, int(len(values) * END_SHARE))
    begin, end = values[:count], values[-count:]
    first, last = float(begin.mean()), float(end.mean())
    # Noise from neighbours, so that a loss that falls steeply at first is not taken for a noisy one.
    noise = float(np.median(np.abs(np.diff(values)))) / 0.954  # of a Gaussian: median |x - y| = 0.954 sigma
    error = noise * float(np.sqrt(2 / count))
    # The first value too: a net that learns within its first few steps has no flat beginning to average over.
    fell = max(first, float(values[0])) - last > max(CLEAR_FALL * error, LEAST_FALL * abs(first))
    return Progress(first, last, fell)
