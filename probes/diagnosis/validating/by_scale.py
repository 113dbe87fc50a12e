"""Judge how the losses begin: before anything was learned, they should be alike."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import short
from probes.diagnosis.signal import opening
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.validations import ENOUGH
from probes.diagnosis.view import RunView

UNLEARNED = 0.85
"""Training loss, of its first level, at which nothing was learned yet."""


def on_another_scale(view: RunView, losses: Losses, scale: float) -> Anomaly | None:
    """A validation loss far below a training loss that has not yet fallen: below ``scale`` times that."""
    validation, train = losses.validation, losses.train
    if len(train) < ENOUGH or not len(validation) or begins_late(view, train.steps):
        return None
    start = opening(train.values)
    place = min(int(np.searchsorted(train.steps, validation.steps[0], side="right")), len(train))
    # The lowest of them all: a first step that was too large raises the training loss, and not the validation loss.
    near = float(train.values[: max(3, place + 1)].min())
    first = float(validation.values[0])
    if start <= 0 or near < UNLEARNED * start or not 0 <= first < scale * near:
        return None
    step = int(validation.steps[0])
    return Anomaly(
        "warning",
        f"{losses.name} was {short(first)} at step {step}, where {losses.train_name} was still at {short(near)}, near "
        f"its beginning ({short(start)}): a model that has learned nothing is "
        f"{short(near / first) if first else 'infinitely many'} times better in validation. The two are not measured "
        "alike.",
        step,
        (
            "divide the sum of batch means by the number of batches, not of examples; use one reduction for both",
            "compute both losses with the same function",
        ),
        (
            Evidence(losses.name, first, scale * near, "<", step, note="first validation loss"),
            Evidence(losses.train_name, near, step=step, note="training loss at that time"),
        ),
    )
