"""Whether the training loss is that of wrong targets, and what to try then."""

from __future__ import annotations

from probes.diagnosis.signs.label_noise import classes_of, costs_as_wrong_targets
from probes.diagnosis.validating.accuracies import Accuracies
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.validations import following
from probes.diagnosis.view import RunView

LOOK_AT_TARGETS = (
    "look at training examples with their targets, first of all those with the highest loss",
    "if training examples are augmented or mixed: evaluate some of them without that",
    "check that inputs and targets stay together when training examples are shuffled",
)


def cost_of_wrong_targets_is_paid(view: RunView, losses: Losses, both: Accuracies, stretch: slice) -> bool:
    """Whether the training loss in a stretch of the validations is what wrong targets cost at that accuracy."""
    classes = classes_of(view)
    if classes is None or not len(losses.train):
        return False
    cost = following(both.validation, losses.train, mean=True)
    return costs_as_wrong_targets(cost[stretch], both.right[stretch], classes)
