"""Learning-rate schedules: functions of how far training has come.

A schedule is made by a function of the total number of epochs and is itself a function
``epochs done (a fraction, e.g. 2.5) -> factor`` on the optimizer's learning rate. It keeps no state, so that
resuming needs none; only `plateau` does, because it follows the validation loss. ``stepped`` says how often
the factor is looked up: at every optimizer step, or once an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from torch.optim import Optimizer

from trainer.plateau import Plateau
from trainer.registry import Registry
from trainer.typed import Fraction, NaturalNumber, NonNegative, OpenFraction, Positive, one_of

SCHEDULES = Registry("schedule")

Factor = Callable[[float], float]
Stepped = Annotated[str, one_of("step", "epoch")]


@dataclass(frozen=True)
class Schedule:
    """``factor`` of epochs done; ``stepped`` "step" or "epoch"; a linear ``warmup`` over that many epochs
    before it; ``plateau`` follows the validation loss, where there is one."""

    factor: Factor
    stepped: str = "step"
    warmup: float = 0.0
    plateau: Plateau | None = None

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor for the step that comes after ``step`` finished ones."""
        if self.warmup and step < (rising := math.ceil(self.warmup * steps_per_epoch)):
            return (step + 1) / (rising + 1)
        epochs = step / steps_per_epoch
        return self.factor(math.floor(epochs) if self.stepped == "epoch" else epochs)

    def look(self, validation_loss: float) -> None:
        """Told of every look at the validation examples after an epoch."""
        if self.plateau is not None:
            self.plateau.look(validation_loss)

    def state_dict(self) -> dict[str, Any]:
        return self.plateau.state_dict() if self.plateau is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.plateau is not None:
            self.plateau.load_state_dict(state)


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


@SCHEDULES.register("plateau")
def plateau(
    epochs: float,
    *,
    gamma: OpenFraction = 0.1,
    patience: NaturalNumber = 5,
    threshold: Fraction = 1e-4,
    cooldown: NaturalNumber = 0,
    final: Fraction = 0.0,
    warmup: NonNegative = 0.0,
) -> Schedule:
    """Times gamma when the validation loss has not improved for more than ``patience`` looks, as
    ``ReduceLROnPlateau`` does; never below ``final``."""
    follower = Plateau(gamma, patience, threshold, cooldown, final)
    return Schedule(lambda done: follower.state.factor, "epoch", warmup, follower)


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Sets each group's learning rate to ``factor`` times the one it was made with."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])  # the key torch.optim.lr_scheduler uses
        group["lr"] = group["initial_lr"] * factor
