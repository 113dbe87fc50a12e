"""Judge a validation loss that stays below the training loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import percent
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.validations import ENOUGH, following
from probes.diagnosis.view import Floats, RunView


def criterion(
    validation: Floats,
    train: Floats,
    *,
    better: float = 0.6,
    scale: float = 0.1,
    bound: float = 0.25,
    validations: float = 2,
    stretch: float = 10,
    behind: float = 0.2,
) -> float | None:
    """The median of validation over training loss in the last third, when it is below ``better``; None otherwise.

    Args:
        validation: validation loss, [T].
        train: training loss that follows each, up to the next, [T].
        better: ratio of the losses (a validation set of some hundred examples can be easier by a third).
        scale: ratio of the losses before anything was learned, where it should be 1 (used by the judge).
        bound: part of the lower bound of the loss that the accuracy gives (class weights may lower it; used by the
            judge).
        validations: validations in training mode (used by the judge).
        stretch: steps in evaluation mode (used by the judge).
        behind: accuracy on training examples below that on validation examples (healthy nets without heavy
            augmentation stay below 0.1; used by the judge).
    """
    if len(validation) < ENOUGH:
        return None
    late = slice(-max(3, len(validation) // 3), None)
    positive = train[late] > 0
    if not positive.any():
        return None
    ratio = float(np.median(validation[late][positive] / train[late][positive]))
    return ratio if 0 < ratio < better else None


def better_than_training(
    view: RunView, losses: Losses, dependent: Mapping[str, float | None], thresholds: Mapping[str, float]
) -> Anomaly | None:
    """A validation loss below the training loss that follows it, with nothing in the model to explain it."""
    if any(dropped is not None for dropped in dependent.values()) or len(losses.train) < ENOUGH:
        return None
    validation = losses.validation
    ratio = criterion(validation.values, following(validation, losses.train), **thresholds)
    if ratio is None:
        return None
    step = int(validation.steps[-max(3, len(validation) // 3)])
    return Anomaly(
        "info",
        f"In the last third of the validations {losses.name} is {percent(ratio)} of the {losses.train_name} that "
        "follows it, and the model has no dropout that would explain it. Augmentation, noise in the labels or label "
        "smoothing in training may; so may validation examples that are easier, or that are among the training "
        "examples.",
        step,
        (
            "evaluate some training examples as the validation examples are evaluated: without augmentation, in "
            "evaluation mode. They should do better than those of validation",
            "check that no validation example is among the training examples, duplicates included",
        ),
        (Evidence(losses.name, ratio, thresholds["better"], "<", note="validation over training loss, median"),),
    )
