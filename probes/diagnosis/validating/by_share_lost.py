"""Judge the share of what a net knows, by its accuracy in validation, that does not show in training."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import percent
from probes.diagnosis.signal import noise
from probes.diagnosis.signs.label_noise import (
    LOST,
    OF_DROPPED,
    Lost,
    batches_are_mixed,
    classes_of,
    lost_for_a_while,
    lost_to_wrong_targets,
)
from probes.diagnosis.validating.accuracies import MOST_DROPPED, POOR, Accuracies
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.targets import LOOK_AT_TARGETS, cost_of_wrong_targets_is_paid
from probes.diagnosis.validating.validations import MINIMUM_PAIRS, following
from probes.diagnosis.view import Curve, RunView


def lost_in_training(view: RunView, losses: Losses, both: Accuracies) -> Anomaly | None:
    """A net that shows in training much less of what it knows than in validation, on the mean of some validations."""
    classes = classes_of(view)
    pairs = len(both.validation) - 1  # nothing follows the last
    if classes is None or not pairs or not batches_are_mixed(view):
        return None
    lost = _lost_lately(view, losses, both, classes)
    if lost is None and both.drops < MOST_DROPPED:
        lost = _lost_once(losses.train, both, classes)
    if lost is None:
        return None
    step, until = int(both.validation.steps[lost.first]), int(both.validation.steps[lost.last])
    when = f"Since step {step} {both.name} is" if lost.last == pairs else f"Up to step {until} {both.name} was"
    limit = LOST + OF_DROPPED * both.drops
    return Anomaly(
        "warning",
        f"{when} {percent(lost.held)} in the mean, and {both.train_name} {percent(lost.right)}: "
        f"{percent(lost.share)} of what the net knows above chance does not show in training. What it has learned is "
        "right: many of the training targets are not, or the training examples are made much harder.",
        step,
        LOOK_AT_TARGETS,
        (
            Evidence(both.train_name, lost.share, limit, ">", note="part of the accuracy above chance lost"),
            Evidence(both.name, lost.held, step=step, note="accuracy in validation, mean"),
        ),
    )


def _lost_lately(view: RunView, losses: Losses, both: Accuracies, classes: int) -> Lost | None:
    """What is lost in the mean of the latter half of the validations."""
    held = both.validation.values[:-1]
    half = slice(len(held) - max(MINIMUM_PAIRS, len(held) // 2), None)
    if len(held) < MINIMUM_PAIRS or (both.drops >= MOST_DROPPED and view.status == "running"):
        return None
    right, count = both.right[:-1][half], len(held[half])
    error = math.sqrt(float(np.mean(np.square(both.error[:-1][half]))) / count + noise(held) ** 2 / count)
    share = lost_to_wrong_targets(held[half], right, error, classes)
    if share is None or share < LOST + OF_DROPPED * both.drops or not float(np.mean(right)) < POOR:
        return None
    if not cost_of_wrong_targets_is_paid(view, losses, both, slice(half.start, len(held))):
        return None
    return Lost(half.start, len(held), share, float(np.mean(held[half])), float(np.mean(right)))


def _lost_once(loss: Curve, both: Accuracies, classes: int) -> Lost | None:
    """What was lost over a few validations, wherever in the run."""
    held = both.validation
    cost = following(held, loss, mean=True) if len(loss) else np.empty(0)
    blur = noise(held.values)
    return lost_for_a_while(held.values, both.right[:-1], cost[:-1], both.error[:-1], blur, classes, both.drops, POOR)
