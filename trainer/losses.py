"""Problem types, and the head, loss and score that belong to each (Goodfellow et al. 2016, section 6.2).

Models end in raw scores; the activation of the last layer is inside the loss, where it is numerically stable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from trainer.registry import Registry
from trainer.typed import Fraction

LOSSES = Registry("loss")

Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """A kind of task.

    Attributes:
        loss: name of the loss used unless the recipe says otherwise.
        losses: names of the losses that fit.
        metric: name of the score, as logged ("accuracy").
        score: outputs, targets -> mean score over the batch, 0-d tensor. Higher is better.
    """

    loss: str
    losses: tuple[str, ...]
    metric: str
    score: Score


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of right answers: scores [N, C, ...], classes [N, ...]."""
    return (outputs.detach().argmax(1) == targets).float().mean()


PROBLEMS: dict[str, Problem] = {
    "multi-class": Problem("cross-entropy", ("cross-entropy",), "accuracy", accuracy),
}


@LOSSES.register("cross-entropy")
def cross_entropy(*, label_smoothing: Fraction = 0.0) -> nn.Module:
    """Softmax cross-entropy on raw scores [N, C] and classes [N]."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)
