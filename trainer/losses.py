"""Problem types, and the loss and score that belong to each (Goodfellow et al. 2016, section 6.2).

Models end in raw scores; the activation of the last layer is inside the loss, where it is numerically stable.
A recipe that pairs a task with the loss of another kind of problem is refused (`trainer.assembly`).

| problem | outputs | targets | loss | activation in the loss |
|---|---|---|---|---|
| multi-class | [N, C] or [N, C, T] | classes int64 [N] or [N, T] | cross-entropy (or hinge) | softmax (none) |
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

from trainer.errors import RecipeError
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
    "multi-class": Problem(("cross-entropy", "hinge"), "accuracy", accuracy),
    "binary": Problem(("binary-cross-entropy", "brier"), "accuracy", binary_accuracy),
    "multi-label": Problem(("binary-cross-entropy", "brier"), "accuracy", binary_accuracy),
    "regression": Problem(("squared-error", "absolute-error", "huber"), "explained", explained),
    "unit-regression": Problem(("binary-cross-entropy", "brier"), "closeness", unit_closeness),
    "generation": Problem(("binary-cross-entropy", "squared-error"), "discriminator_accuracy", binary_accuracy),
}

# A builder of a loss is given the training targets and the number of outputs, which class weights follow from.


@LOSSES.register("cross-entropy")
def cross_entropy(
    targets: Tensor,
    outputs: int,
    *,
    label_smoothing: Fraction = 0.0,
    balanced: bool = False,
    class_weights: tuple[Positive, ...] = (),
) -> nn.Module:
    """Softmax cross-entropy. `balanced = true` weighs every class by how rare it is among the training examples,
    `class_weights` as they say."""
    if balanced and class_weights:
        raise RecipeError("loss.class_weights and loss.balanced = true exclude each other; leave one out")
    if class_weights and len(class_weights) != outputs:
        raise RecipeError(f"loss.class_weights: found {len(class_weights)} numbers, this task has {outputs} classes")
    weight = torch.tensor(class_weights) if class_weights else None
    if balanced:
        weight = balanced_weights(targets, outputs)
    return nn.CrossEntropyLoss(weight, label_smoothing=label_smoothing)


@LOSSES.register("hinge")
def hinge(targets: Tensor, outputs: int, *, margin: Positive = 1.0) -> nn.Module:
    """Multi-class support vector machine (Weston and Watkins 1999; CS231n, "Linear classification")."""
    return Hinge(margin)


@LOSSES.register("binary-cross-entropy")
def binary_cross_entropy(
    targets: Tensor, outputs: int, *, positive_weight: Positive = 1.0, balanced: bool = False
) -> nn.Module:
    """Sigmoid cross-entropy; `positive_weight` weighs the positive examples, for rare ones; `balanced = true`
    weighs them, per output, by negative over positive training examples."""
    if balanced and positive_weight != 1:
        raise RecipeError("loss.positive_weight and loss.balanced = true exclude each other; leave one out")
    weight = None if positive_weight == 1 else torch.tensor([positive_weight])
    if balanced:
        weight = balanced_positive_weights(targets)
    return nn.BCEWithLogitsLoss(pos_weight=weight)


@LOSSES.register("brier")
def brier(targets: Tensor, outputs: int) -> nn.Module:
    """Squared error of the sigmoid (Brier 1950): bounded, so that wrong labels pull less than in cross-entropy."""
    return Brier()


@LOSSES.register("squared-error")
def squared_error(targets: Tensor, outputs: int) -> nn.Module:
    """Mean squared error."""
    return nn.MSELoss()


@LOSSES.register("absolute-error")
def absolute_error(targets: Tensor, outputs: int) -> nn.Module:
    """Mean absolute error: outliers pull less."""
    return nn.L1Loss()


@LOSSES.register("huber")
def huber(targets: Tensor, outputs: int, *, delta: Positive = 1.0) -> nn.Module:
    """Squared error near the target, absolute error beyond `delta` (Huber 1964)."""
    return nn.HuberLoss(delta=delta)


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """One weight a class, float32 [C]: N / (C * N_c) for N_c of N targets of class c, so that every class counts
    alike in all (King and Zeng 2001). A class without examples is taken to have one."""
    counts = targets.flatten().bincount(minlength=classes).clamp_min(1)
    return (targets.numel() / (classes * counts)).float()


def balanced_positive_weights(targets: Tensor) -> Tensor:
    """Negative over positive targets, one weight an output: targets [N, C] -> float32 [C]."""
    positive = targets.sum(0)
    return ((len(targets) - positive).clamp_min(1) / positive.clamp_min(1)).float()


class Hinge(nn.Module):
    """Every class but the right one costs by how much its score comes nearer to the right one's than ``margin``.

    Scores [N, C] or [N, C, T], classes [N] or [N, T] -> the sum over classes, averaged over the rest (0-d), or
    summed when ``reduction`` is "sum".
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin
        self.reduction = "mean"

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        right = targets.unsqueeze(1)
        costs = (outputs - outputs.gather(1, right) + self.margin).clamp_min(0).scatter(1, right, 0.0).sum(1)
        return costs.sum() if self.reduction == "sum" else costs.mean()


class Brier(nn.Module):
    """Squared error between the sigmoid of the scores and targets within [0, 1], shapes alike -> 0-d."""

    def __init__(self) -> None:
        super().__init__()
        self.reduction = "mean"

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs.sigmoid(), targets, reduction=self.reduction)
