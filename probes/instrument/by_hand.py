"""Steps that no torch optimizer makes: weights changed by hand, or by an optimizer that is none of torch's.

Nothing announces such a step. What every loop does once a step is to log its loss: so a step is counted when a
number of the training is logged again, once it is plain that the weights change and no optimizer has stepped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from torch import Tensor

from probes.instrument.parameters import local
from probes.instrument.sampling import flatten

PATIENCE = 100
"""Times that the training is logged without a step and without a change of the weights, until something is said."""

_LOOKED_AT = 4  # parameters
_VALUES = 64  # of each, spread over it

Found = Literal["step", "first step", "no change", None]


class StepsByHand:
    """Follows the log calls of a training until its first step by an optimizer, if there ever is one.

    Args:
        parameters: of the model.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        trainable = [p for p in parameters if p.requires_grad and p.numel()] or list(parameters)
        stride = max(1, len(trainable) // _LOOKED_AT)
        self._parameters = trainable[::stride][:_LOOKED_AT]
        self._before: list[object] | None = None
        self._seen: set[str] = set()
        self._rounds = 0
        self._counting = False

    def before_training(self) -> None:
        """Called at the first training pass: the weights as they are now are those of no step."""
        if self._before is None:
            self._before = self._state()

    def logged(self, names: Iterable[str]) -> Found:
        """Called with the names of what is logged of the training. Reads a few weights, and so waits for the device,
        until it is plain that steps are made by hand.

        Returns:
            "step" when one has been made since the last call that found one, "first step" at the first; "no change"
            once, when there were `PATIENCE` calls and no step.
        """
        names = set(names)
        if self._seen and self._seen.isdisjoint(names):  # another number of the same step
            self._seen |= names
            return None
        self._seen = names
        if self._counting:
            return "step"
        self._rounds += 1
        before, now = self._before, self._state()
        self._before = now
        if before is not None and now != before:
            self._counting = True
            return "first step"
        return "no change" if self._rounds == PATIENCE else None

    def _state(self) -> list[object]:
        flat = [flatten(local(p)) for p in self._parameters if p.device.type != "meta"]
        return [f[:: max(1, f.numel() // _VALUES)].tolist() for f in flat]
