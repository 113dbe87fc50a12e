"""Problem types, and the loss and score that belong to each (Goodfellow et al. 2016, section 6.2).

Models end in raw scores; the activation of the last layer is inside the loss, where it is numerically stable.

| problem | outputs | targets | loss | activation in the loss |
|---|---|---|---|---|
| multi-class | [N, C] or [N, C, T] | classes int64 [N] or [N, T] | cross-entropy | softmax |
| binary | [N, 1] | 0 or 1, float [N, 1] | binary cross-entropy | sigmoid |
| multi-label | [N, C] | 0 or 1, float [N, C] | binary cross-entropy | sigmoid |
| regression | [N, D] | float [N, D], standardised | squared error | none |
| unit-regression | [N, D] | float [N, D] within [0, 1] | binary cross-entropy | sigmoid |
| generation | [N, 1] | 1 for real, 0 for generated, float [N, 1] | binary cross-entropy | sigmoid |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.registry import Registry
from trainer.typed import Fraction, Positive

LOSSES = Registry("loss")

Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """A kind of task.

    Attributes:
        losses: names of the losses that fit; the first is used unless the recipe says otherwise.
        metric: name of the score, as logged ("accuracy").
        score: outputs, targets -> mean score over the batch, 0-d tensor. Higher is better, 1 is perfect.
    """

    losses: tuple[str, ...]
    metric: str
    score: Score

    @property
    def loss(self) -> str:
        return self.losses[0]


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of right answers: scores [N, C, ...], classes [N, ...]."""
    return (outputs.detach().argmax(1) == targets).float().mean()


def binary_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of right answers: a positive score means 1."""
    return ((outputs.detach() > 0) == (targets > 0.5)).float().mean()


def explained(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the training targets' variance that is explained: 1 - mean squared error.

    That is so because regression tasks standardise their targets by training statistics; always guessing the
    mean scores 0.
    """
    return 1 - (outputs.detach() - targets).square().mean()


def unit_closeness(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 - mean absolute error, for targets within [0, 1] and outputs before the sigmoid."""
    return 1 - (outputs.detach().sigmoid() - targets).abs().mean()


PROBLEMS: dict[str, Problem] = {
    "multi-class": Problem(("cross-entropy",), "accuracy", accuracy),
    "binary": Problem(("binary-cross-entropy",), "accuracy", binary_accuracy),
    "multi-label": Problem(("binary-cross-entropy",), "accuracy", binary_accuracy),
    "regression": Problem(("squared-error", "absolute-error", "huber"), "explained", explained),
    "unit-regression": Problem(("binary-cross-entropy",), "closeness", unit_closeness),
    "generation": Problem(("binary-cross-entropy", "squared-error"), "discriminator_accuracy", binary_accuracy),
}


@LOSSES.register("cross-entropy")
def cross_entropy(*, label_smoothing: Fraction = 0.0) -> nn.Module:
    """Softmax cross-entropy."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


@LOSSES.register("binary-cross-entropy")
def binary_cross_entropy(*, positive_weight: Positive = 1.0) -> nn.Module:
    """Sigmoid cross-entropy; ``positive_weight`` weighs the positive examples, for rare ones."""
    return nn.BCEWithLogitsLoss(pos_weight=None if positive_weight == 1 else torch.tensor([positive_weight]))


@LOSSES.register("squared-error")
def squared_error() -> nn.Module:
    """Mean squared error."""
    return nn.MSELoss()


@LOSSES.register("absolute-error")
def absolute_error() -> nn.Module:
    """Mean absolute error: outliers pull less."""
    return nn.L1Loss()


@LOSSES.register("huber")
def huber(*, delta: Positive = 1.0) -> nn.Module:
    """Squared error near the target, absolute error beyond ``delta`` (Huber 1964)."""
    return nn.HuberLoss(delta=delta)
