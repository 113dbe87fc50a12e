"""Learning-rate schedules: pure functions of how far training has come.

A schedule is made by a function of the total number of epochs and is itself a function
``epochs done (a fraction, e.g. 2.5) -> factor`` on the optimizer's learning rate. It keeps no state, so that
resuming needs none. ``stepped`` says how often the factor is looked up: at every optimizer step, or once an
epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from torch.optim import Optimizer

from trainer.registry import Registry
from trainer.typed import Fraction, NonNegative, Positive, one_of

SCHEDULES = Registry("schedule")

Factor = Callable[[float], float]
Stepped = Annotated[str, one_of("step", "epoch")]


@dataclass(frozen=True)
class Schedule:
    """``factor`` of epochs done; ``stepped`` "step" or "epoch"; a linear ``warmup`` over that many epochs
    before it."""

    factor: Factor
    stepped: str = "step"
    warmup: float = 0.0

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor for the step that comes after ``step`` finished ones."""
        if self.warmup and step < (rising := math.ceil(self.warmup * steps_per_epoch)):
            return (step + 1) / (rising + 1)
        epochs = step / steps_per_epoch
        return self.factor(math.floor(epochs) if self.stepped == "epoch" else epochs)


@SCHEDULES.register("constant")
def constant(epochs: float, *, warmup: NonNegative = 0.0) -> Schedule:
    """The same learning rate throughout."""
    return Schedule(lambda done: 1.0, warmup=warmup)


@SCHEDULES.register("step")
def step(
    epochs: float,
    *,
    milestones: tuple[Fraction, ...] = (0.5, 0.75),
    gamma: Positive = 0.1,
    warmup: NonNegative = 0.0,
) -> Schedule:
    """Times gamma at each milestone (shares of the training, 0.5 = halfway), as ResNets are trained."""
    return Schedule(lambda done: gamma ** sum(done >= m * epochs for m in milestones), "epoch", warmup)


@SCHEDULES.register("exponential")
def exponential(
    epochs: float, *, gamma: Positive = 0.95, stepped: Stepped = "epoch", warmup: NonNegative = 0.0
) -> Schedule:
    """Times gamma an epoch."""
    return Schedule(lambda done: gamma**done, stepped, warmup)


@SCHEDULES.register("cosine")
def cosine(epochs: float, *, final: Fraction = 0.0, stepped: Stepped = "step", warmup: NonNegative = 0.0) -> Schedule:
    """Half a cosine from 1 down to ``final`` (Loshchilov and Hutter 2017)."""

    def factor(done: float) -> float:
        share = min(max(done - warmup, 0.0) / max(epochs - warmup, 1e-9), 1.0)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share))

    return Schedule(factor, stepped, warmup)


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Sets each group's learning rate to ``factor`` times the one it was made with."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])  # the key torch.optim.lr_scheduler uses
        group["lr"] = group["initial_lr"] * factor
