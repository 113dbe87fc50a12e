"""Recognises a squared error, by the loss that was logged.

Its gradient is a multiple of the difference to the targets: of any gradient that can be said, for some targets. But the
mean of n squared differences sends back gradients whose squares add up to 4/n of that mean, and a sum sends back 4
times itself: where the loss that is logged is this number in every frame, to rounding, it is that loss, and the targets
are known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from probes.instrument.recognition.logged_losses import LoggedLosses
from probes.instrument.recognition.loss_kind import Reals

NEAR = {"bfloat16": 2e-2, "float16": 4e-3}
"""Difference, as a share of the loss, by the type of the outputs."""
EXACT = 5e-4
"""The same for float32 and float64."""
PROOF = 3
"""Frames that must agree."""
PATIENCE = 8
"""Frames with a logged loss after which it is left alone when they do not."""
UNHEARD = 30
"""Frames after which it is left alone when no loss of their steps was logged."""
COINCIDENCE = 0.005
"""Share of the outputs that may be, to the last bit, their targets, and differ from one another."""

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class Squares:
    """One frame.

    Attributes:
        step, time: of the frame.
        energy: sum of the squared gradients of all outputs.
        count: outputs.
        dtype: of the outputs.
        outputs, gradients: those that are looked at.
    """

    step: int
    time: float
    energy: float
    count: int
    dtype: str
    outputs: Reals
    gradients: Reals

    @property
    def leaves_out(self) -> bool:
        """Whether nothing comes back to some of the outputs, whatever they are.

        So it is of a squared hinge, beyond its margin; up to there it is a squared error. An output that is right to
        the last bit is rare in float32, but for values that come often: those at the end of an activation's range.
        """
        if self.dtype in NEAR:
            return False
        silent = self.outputs[self.gradients == 0.0]
        return len(np.unique(silent)) > max(1.0, COINCIDENCE * self.outputs.size)

    def loss(self, reduction: Reduction) -> float:
        """The squared error that sends back such gradients."""
        return self.energy / 4.0 * (self.count if reduction == "mean" else 1.0)

    def targets(self, reduction: Reduction) -> npt.NDArray[np.float64]:
        """The targets of that squared error, for the outputs that are looked at."""
        return np.asarray(self.outputs - self.gradients / 2.0 * (self.count if reduction == "mean" else 1.0))


class SquaredError:
    """Compares frames with what is logged. ``reduction``: of the squared error, None while (or where) there is none."""

    def __init__(self, logged: LoggedLosses) -> None:
        self.reduction: Reduction | None = None
        self.given_up = False
        self._logged = logged
        self._seen = 0
        self._waiting: deque[Squares] = deque(maxlen=PATIENCE + PROOF)

    def look(self, frame: Squares) -> list[Squares]:
        """Takes in one frame; returns the frames that are now known to be of a squared error."""
        if self.given_up:
            return []
        if frame.leaves_out:
            self.give_up()
            return []
        if self.reduction is not None:
            return [frame]
        self._seen += 1
        if np.isfinite(frame.energy) and frame.energy > 0.0:
            self._waiting.append(frame)
        compared = 0
        for values in self._logged.by_step():
            pairs = [(f, values[f.step]) for f in self._waiting if f.step in values]
            compared = max(compared, len(pairs))
            for reduction in ("mean", "sum"):
                if len(pairs) >= PROOF and all(_agree(f, value, reduction) for f, value in pairs):
                    self.reduction = reduction
                    found = list(self._waiting)
                    self._waiting.clear()
                    return found
        if compared >= PATIENCE or self._seen >= UNHEARD:
            self.give_up()
        return []

    def give_up(self) -> None:
        """It is another loss, or one that cannot be compared."""
        self.given_up, self.reduction = True, None
        self._waiting.clear()


def _agree(frame: Squares, logged: float, reduction: Reduction) -> bool:
    return abs(frame.loss(reduction) - logged) <= NEAR.get(frame.dtype, EXACT) * abs(logged)
