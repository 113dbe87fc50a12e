"""Lower the learning rate when the validation loss has stopped improving."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class PlateauState:
    """What a plateau schedule remembers.

    Attributes:
        factor: on the learning rate, now.
        best: lowest validation loss so far.
        waited: looks since without an improvement.
        resting: looks left of the cool-down.
    """

    factor: float = 1.0
    best: float = math.inf
    waited: int = 0
    resting: int = 0


@dataclass
class Plateau:
    """Multiplies the factor by ``gamma`` after more than ``patience`` looks without an improvement.

    The criterion is that of ``torch.optim.lr_scheduler.ReduceLROnPlateau`` (relative threshold): a loss improves
    when it is below ``best * (1 - threshold)``; for ``cooldown`` looks after a reduction none counts as missing.
    The factor does not fall below ``final``. NaN is no improvement.
    """

    gamma: float
    patience: int
    threshold: float
    cooldown: int
    final: float
    state: PlateauState = field(default_factory=PlateauState)

    def look(self, loss: float) -> None:
        """Takes in one validation loss."""
        self.state = self._after(self.state, loss)

    def _after(self, state: PlateauState, loss: float) -> PlateauState:
        if loss < state.best * (1 - self.threshold):
            state = replace(state, best=loss, waited=0)
        else:
            state = replace(state, waited=state.waited + 1)
        if state.resting:
            state = replace(state, resting=state.resting - 1, waited=0)
        if state.waited > self.patience:
            factor = max(state.factor * self.gamma, self.final)
            state = replace(state, factor=factor, waited=0, resting=self.cooldown)
        return state

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = PlateauState(**state)
