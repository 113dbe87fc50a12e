"""Judge the accuracy in training beside that in validation, one validation after the other."""

from __future__ import annotations

from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import percent
from probes.diagnosis.signal import longest_run
from probes.diagnosis.signs.label_noise import classes_of
from probes.diagnosis.validating.accuracies import MOST_DROPPED, POOR, Accuracies
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.targets import LOOK_AT_TARGETS, cost_of_wrong_targets_is_paid
from probes.diagnosis.validating.validations import MINIMUM_PAIRS
from probes.diagnosis.view import RunView

LEAST_BEHIND = 0.15
"""Difference of the accuracies that a small validation set does not make by chance."""


def training_left_behind(view: RunView, losses: Losses, both: Accuracies, behind: float) -> Anomaly | None:
    """A net that is right far more often on validation examples than on those it is trained on afterwards."""
    held, later = both.validation.values, both.right
    # Half of the units gone cost a quarter of the answers, at worst.
    limit = max(LEAST_BEHIND, behind * _above_chance(view)) + 0.5 * both.drops
    place, length = longest_run((held - later - 2.0 * both.error > limit) & (later < POOR))
    if length < MINIMUM_PAIRS or both.drops == MOST_DROPPED:
        return None
    last = place + length - 1
    until = int(both.validation.steps[last])
    noisy = cost_of_wrong_targets_is_paid(view, losses, both, slice(place, last + 1))
    cause = "many of the training targets are not" if noisy else "the training examples are mixed or made much harder"
    unless = "or the training examples are made much harder" if noisy else "or many of their targets are wrong"
    return Anomaly(
        "warning" if noisy else "info",
        f"{both.name} is {percent(float(held[last]))} at step {until}, and {both.train_name} only "
        f"{percent(float(later[last]))} in the steps after it; so it is at {length} validations in a row. What the net "
        f"has learned is right: {cause}, {unless}.",
        int(both.validation.steps[place]),
        LOOK_AT_TARGETS,
        (
            Evidence(both.train_name, float(later[last]), float(held[last]) - limit, "<", note="accuracy in training"),
            Evidence(both.name, float(held[last]), step=until, note="accuracy in validation"),
        ),
    )


def _above_chance(view: RunView) -> float:
    """How much of the accuracy lies above chance, against ten classes; 1 when their number is not known, or higher."""
    classes = classes_of(view)
    return 1.0 if classes is None else min(1.0, (1.0 - 1.0 / classes) / 0.9)
