"""The training losses that were logged of late, to compare with what a frame says the loss is."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

REMEMBERED = 512
"""Logged values that are remembered: a frame is told on after the loss of its step was logged."""
_OTHER_SPLITS = ("val", "valid", "validation", "test", "eval", "dev")


class LoggedLosses:
    """Remembers the last of them."""

    def __init__(self) -> None:
        self._logged: deque[tuple[int, str, float]] = deque(maxlen=REMEMBERED)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Takes in what was logged; may be called from another thread."""
        for name, value in values.items():
            split, _, metric = name.lower().partition("/")
            if split not in _OTHER_SPLITS and any(word in metric for word in ("loss", "mse", "nll", "cost")):
                self._logged.append((step, name, value))

    def by_step(self) -> list[dict[int, float]]:
        """Each series that may be the loss of the frames: step -> value.

        Logged before the optimizer steps, a loss has the number of the step before: each series comes in both ways.
        """
        series: dict[tuple[str, int], dict[int, float]] = {}
        for step, name, value in list(self._logged):
            for shift in (0, 1):
                series.setdefault((name, shift), {})[step + shift] = value
        return list(series.values())
