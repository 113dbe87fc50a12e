"""Errors of the sanity checks."""

from __future__ import annotations

from probes.errors import InvalidArgumentError


class CheckInputError(InvalidArgumentError):
    """The model, data, loss or optimizer given to `check` cannot be used as they are."""


class UserCodeError(Exception):
    """The user's forward, loss or optimizer raised, or returned what cannot be trained on.

    Attributes:
        where: the culprit: "the model's forward, in layer2 (Conv2d)", "loss_fn (CrossEntropyLoss)", ...
        remedy: what to do, or "".
    """

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what
        self.remedy = remedy


class NotApplicable(Exception):
    """Raised by a check that does not apply to what it was given; the text is the reason."""
