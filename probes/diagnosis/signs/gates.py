"""Gates of recurrent modules that begin shut: biases so far below zero that a sigmoid lets nothing through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import RunView

GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}
"""Blocks of the bias of a module: its gates and its candidate (documentation of `torch.nn.LSTM` and `torch.nn.GRU`)."""
SHUT = -4.0
"""Bias at which a sigmoid passes on less than a fiftieth: what a forget gate keeps is lost after a step or two."""


@dataclass(frozen=True)
class ShutGate:
    """A bias before the first update: its name, its module, its smallest element, and the mean of all its elements."""

    name: str
    module: str
    least: float
    mean: float


def shut_gates(view: RunView) -> tuple[ShutGate, ...]:
    """Biases of recurrent modules a whole block of which begins below -4, with none that begins as far above zero.

    Told by the smallest element, and by a mean that one such block brings about by itself. Biases drawn for long
    memories (chrono initialisation, Tallec and Ollivier 2018) put one gate as far below zero as another above it.
    """
    least, means = view.layers("weight_min"), view.layers("weight_mean")
    if least is None or means is None or not len(least) or least.steps[0] != 0 or means.steps[0] != 0:
        return ()
    types = {module.name: module.type for module in view.modules}
    found = []
    for parameter in view.parameters:
        blocks = GATES.get(types.get(parameter.module, ""))
        if blocks is None or parameter.is_weight or parameter.name not in least.layers:
            continue
        low = float(least.pick([parameter.name]).values[0, 0])
        mean = float(means.pick([parameter.name]).values[0, 0]) if parameter.name in means.layers else np.nan
        if low <= SHUT and mean <= SHUT / blocks:
            found.append(ShutGate(parameter.name, parameter.module, low, mean))
    return tuple(found)
