"""The accuracy in validation and the accuracy in training that follows it, where they compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signal import noise
from probes.diagnosis.tracks import accuracy
from probes.diagnosis.validating.modes import largest_dropped
from probes.diagnosis.validating.validations import ENOUGH, MINIMUM_PAIRS, between, following
from probes.diagnosis.view import Curve, Floats, RunView

POOR = 0.6
"""Accuracy in training above which there is no harm."""
MOST_DROPPED = 0.5
"""Share of the units dropped above which accuracies in training and in validation do not compare."""


@dataclass(frozen=True)
class Accuracies:
    """Both accuracies, side by side.

    Attributes:
        name: series of the accuracy in validation.
        validation: accuracy in validation, [T].
        train_name: series of the accuracy in training.
        right: mean accuracy in training from each validation to the next, [T].
        error: standard error of that, [T].
        drops: largest share of the units that dropout drops.
    """

    name: str
    validation: Curve
    train_name: str
    right: Floats
    error: Floats
    drops: float


def accuracies_of(view: RunView, dependent: Mapping[str, float | None]) -> Accuracies | None:
    """Both accuracies of a run; None where one is not known, they are too few, or dropout keeps them apart."""
    own, other = accuracy(view, validation=False), accuracy(view, validation=True)
    drops = largest_dropped(dependent)
    if own is None or other is None or drops > MOST_DROPPED:
        return None
    train, validation = own[1].finite, other[1].finite
    if len(train) < ENOUGH or len(validation) < MINIMUM_PAIRS:
        return None
    error = noise(train.values) / np.sqrt(between(validation, train))
    return Accuracies(other[0], validation, own[0], following(validation, train, mean=True), error, drops)
