"""Judge what batch normalisation uses in evaluation: averages of one batch, or of none."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import names, percent, short
from probes.diagnosis.signal import noise
from probes.diagnosis.signs.running_averages import ill_averaged
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.validations import ENOUGH, MINIMUM_PAIRS, following
from probes.diagnosis.view import RunView

WORSE, SWINGS = 1.5, 0.15
"""Validation loss, of the training loss, and noise of it, of its level, in which averages that are none do harm."""


def averages_of_few(view: RunView, losses: Losses) -> Anomaly | None:
    """Running averages of batch normalisation that are not those of the data."""
    ill, validation, train = ill_averaged(view), losses.validation, losses.train
    if ill is None or len(validation) < MINIMUM_PAIRS or len(train) < ENOUGH:
        return None
    later = following(validation, train, mean=True)
    ratios = validation.values / np.where(later > 0.0, later, np.inf)
    worse = float(np.median(ratios[len(ratios) // 2 :]))
    swing = noise(validation.values) / max(abs(float(np.median(validation.values))), 1e-12)
    # Averages that came with pretrained weights are good from the first validation on.
    harm = bool((ratios > WORSE).all()) if ill.late else worse > WORSE or swing > SWINGS
    harm &= view.status != "running"
    return Anomaly(
        "warning" if harm else "info",
        f"Batch normalisation ({names(list(ill.layers))}) has a momentum of {short(ill.momentum)}: of its running "
        f"averages, which it uses in evaluation, {ill.what}. {losses.name} is {short(worse)} times "
        f"{losses.train_name}, and differs by {percent(swing)} from one validation to the next.",
        int(validation.steps[0]),
        (
            "use the default momentum of 0.1, the weight of the newest batch (what Keras calls 0.99 is 0.01 here)",
            "with batches of a few examples use GroupNorm or LayerNorm",
        ),
        (
            Evidence(losses.name, worse, WORSE, ">", note="validation over training loss, latter half"),
            Evidence(losses.name, swing, SWINGS, ">", note="noise of a validation, of the level"),
        ),
        ill.layers,
    )
