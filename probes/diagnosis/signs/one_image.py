"""A generator whose outputs no longer vary: neither from example to example nor within one."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.signs.rivals import are_rivals, generators_outputs
from probes.diagnosis.view import RunView

GONE, FRAMES, STEPS = 0.05, 3, 100
"""Spread of what is generated, of that of the untrained generator, that is none; frames and steps that show it."""


@dataclass(frozen=True)
class OneImage:
    """The last module of the generator, the spread of its outputs at first and now, and since when it is gone."""

    layer: str
    start: float
    end: float
    since: int


def one_image(view: RunView) -> OneImage | None:
    """What became of the outputs of the generator; None where they vary, or where nothing tells which these are."""
    last = generators_outputs(view) if are_rivals(view) and view.last_step >= STEPS else None
    spread = view.layer("activation_std", last.name) if last is not None else None
    if last is None or spread is None or len(spread) <= FRAMES or spread.steps[0] > 1 or not spread.values[0] > 0:
        return None
    high = (spread.values >= GONE * spread.values[0]).nonzero()[0]
    if len(spread) - 1 - int(high[-1]) < FRAMES:
        return None
    return OneImage(last.name, float(spread.values[0]), float(spread.values[-1]), int(spread.steps[int(high[-1]) + 1]))
