"""The validation loss and the training loss of a run side by side."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.tracks import training_loss, validation_loss
from probes.diagnosis.view import Curve, RunView


@dataclass(frozen=True)
class Losses:
    """Name and finite values of the validation loss and of the training loss."""

    name: str
    validation: Curve
    train_name: str
    train: Curve


def losses_of(view: RunView) -> Losses:
    """Both losses of a run.

    Raises:
        NotJudged: one of them was not logged.
    """
    name, validation = validation_loss(view)
    train_name, train = training_loss(view)
    return Losses(name, validation.finite, train_name, train.finite)
