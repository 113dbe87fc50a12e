"""Judge both losses beside that of guessing, where next to nothing is learned in training."""

from __future__ import annotations

from collections.abc import Mapping

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import short
from probes.diagnosis.signs.held_out_alone import held_out_alone
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.modes import largest_dropped
from probes.diagnosis.validating.targets import LOOK_AT_TARGETS
from probes.diagnosis.validating.validations import ENOUGH, MINIMUM_PAIRS, between, following
from probes.diagnosis.view import RunView

FEW_DROPPED = 0.1
"""Share of the units dropped up to which the losses compare."""


def learned_held_out_alone(view: RunView, losses: Losses, dependent: Mapping[str, float | None]) -> Anomaly | None:
    """The losses alone tell that the training targets are wrong, where next to nothing of them is learned."""
    validation, train = losses.validation, losses.train
    if len(train) < ENOUGH or len(validation) < MINIMUM_PAIRS or largest_dropped(dependent) > FEW_DROPPED:
        return None
    if begins_late(view, train.steps):
        return None
    later, values = following(validation, train, mean=True), between(validation, train)
    found = held_out_alone(view, validation, later, values, train)
    if found is None:
        return None
    return Anomaly(
        "warning",
        f"Since step {found.step} {losses.name} has been {short(found.validation)} in the mean, {losses.train_name} "
        f"{short(found.train)}, and guessing costs {short(found.guessing)}: what little the net has learned holds on "
        f"validation examples, and hardly on those it was learned from. Many of the training targets are wrong, or the "
        "training examples are made much harder.",
        int(train.steps[0]),
        LOOK_AT_TARGETS,
        (
            Evidence(losses.name, found.validation, found.train, "<", found.step, note="mean of the latter half"),
            Evidence(losses.train_name, found.train, found.guessing, "=", found.step, note="mean of the latter half"),
        ),
    )
