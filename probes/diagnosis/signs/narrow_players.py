"""A generator or a discriminator with a layer of two units, which never came near to the real examples."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.achieved import achieved_if_known
from probes.diagnosis.manifest import ModuleInfo
from probes.diagnosis.progress import Progress
from probes.diagnosis.signs.drawing_nearer import drawing_nearer
from probes.diagnosis.signs.rivals import are_rivals, modules_of_players
from probes.diagnosis.view import RunView

FEWEST = 2
"""Units or channels that are hardly any: what two numbers tell of an example."""


@dataclass(frozen=True)
class NarrowPlayers:
    """The narrow hidden layers, with their units or channels, and what was achieved."""

    layers: tuple[str, ...]
    units: int
    learned: Progress


def narrow_players(view: RunView, narrow: float) -> NarrowPlayers | None:
    """Where less than ``narrow`` of the distance to the real examples is gone in a run that is over and came no nearer
    at its end; None where that is not so, or no hidden layer is as narrow.
    """
    learned = achieved_if_known(view) if view.status == "finished" and are_rivals(view) else None
    if learned is None or learned.share >= narrow or drawing_nearer(view) is not None:
        return None
    weighted = {parameter.module for parameter in view.parameters if parameter.is_weight}
    hidden: list[ModuleInfo] = []
    for player in modules_of_players(view):
        hidden += [module for module in player if module.name in weighted and len(module.output_shape) >= 2][:-1]
    found = [module for module in hidden if module.output_shape[1] <= FEWEST]
    if not found:
        return None
    return NarrowPlayers(tuple(m.name for m in found), min(m.output_shape[1] for m in found), learned)
