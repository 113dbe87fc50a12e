"""Frozen layers that hold the values they were initialised with: told by the values themselves.

Weights that were trained once have a bias that is not zero in every unit, scales that are not one in every unit, and
some weight beyond the bound that they were drawn within. Where all of that still holds, nobody has trained them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.manifest import ParameterInfo
from probes.diagnosis.view import RunView

FEWEST_UNITS = 4
"""Biases of zero, or scales of one, that are no chance."""
FEWEST_WEIGHTS = 200
REACHED, SPREAD = 0.95, 2.0
"""Share of its bound that the largest of so many uniform weights comes to, and relative error of their standard
deviation times the root of their number (4.5 standard errors of sqrt((9/5 - 1) / 4))."""
_RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_SCALES = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "GroupNorm")


def untrained(view: RunView) -> tuple[ParameterInfo, ...]:
    """The frozen weights (two axes or more) of modules that are seen to be as initialised.

    Empty when any frozen module is seen to have been trained, or when frozen values change: then the frozen part is
    a pretrained net, or the copy of another.
    """
    types = {module.name: module.type for module in view.modules}
    frozen: dict[str, list[ParameterInfo]] = {}
    for parameter in view.parameters:
        if not parameter.trainable:
            frozen.setdefault(parameter.module, []).append(parameter)
    found: list[ParameterInfo] = []
    for name, parameters in frozen.items():
        fresh = _fresh(view, parameters, types.get(name, ""))
        if fresh is False:
            return ()
        if fresh:
            found.extend(parameter for parameter in parameters if parameter.is_weight)
    return tuple(found)


def is_a_body(view: RunView, found: Sequence[ParameterInfo]) -> bool:
    """Whether the ``found`` frozen weights are those of a body as one takes it over from another training: several
    layers, with a frozen normalisation among them, or more than one convolution.

    Of features left random on purpose there is one layer, or they are dense and recurrent ones (reservoirs).
    """
    types = {module.name: module.type for module in view.modules}
    layers = {parameter.module for parameter in found}
    normalised = any(types.get(p.module, "") in _SCALES and not p.trainable for p in view.parameters)
    convolutions = [name for name in layers if types.get(name, "").startswith("Conv")]
    return len(layers) >= 2 and (normalised or len(convolutions) >= 2)


def _fresh(view: RunView, parameters: Sequence[ParameterInfo], kind: str) -> bool | None:
    """Whether a module is as initialised: None when its values do not tell."""
    known = {parameter.name: values for parameter in parameters if (values := _values(view, parameter.name))}
    if any(values.moved for values in known.values()):
        return False
    weights = [parameter for parameter in parameters if parameter.is_weight and parameter.name in known]
    if weights and all(_uniform(known[w.name], w.numel, _bound(w, parameters, kind)) for w in weights):
        return True
    others = [p for p in parameters if not p.is_weight and p.name in known and p.numel >= FEWEST_UNITS]
    constants = [1.0 if kind in _SCALES and p.name.endswith("weight") else 0.0 for p in others]
    if not others:
        return None
    return all(known[p.name].least == known[p.name].most == c for p, c in zip(others, constants, strict=True))


def _bound(parameter: ParameterInfo, among: Sequence[ParameterInfo], kind: str) -> float | None:
    """Bound of the uniform values that PyTorch gives a weight at first: 1 / sqrt(inputs of a unit), or, in a recurrent
    module, 1 / sqrt(units) (documentation of `torch.nn.Linear` and `torch.nn.LSTM`, *Variables*); None when unknown.
    """
    if kind in _RECURRENT:
        units = [other.shape[1] for other in among if other.is_weight and "weight_hh" in other.name]
        inputs = units[0] if units else 0
    else:
        inputs = parameter.numel // parameter.shape[0] if parameter.shape[0] else 0
    return 1.0 / math.sqrt(inputs) if inputs else None


def _uniform(values: _Values, count: int, bound: float | None) -> bool:
    """Whether ``count`` values are spread evenly from -bound to bound, and none is beyond."""
    if bound is None or count < FEWEST_WEIGHTS or max(-values.least, values.most) > bound * (1.0 + 1e-4):
        return False
    even = abs(values.spread * math.sqrt(3.0) / bound - 1.0) < SPREAD / math.sqrt(count)
    return even and min(-values.least, values.most) > REACHED * bound


@dataclass(frozen=True)
class _Values:
    """Least, largest and standard deviation of a parameter at its first frame, and whether any of them changed."""

    least: float
    most: float
    spread: float
    moved: bool


def _values(view: RunView, name: str) -> _Values | None:
    first = []
    moved = False
    for kind in ("weight_min", "weight_max", "weight_std"):
        table = view.layers(kind)
        if table is None or name not in table.layers:
            return None
        one = table.pick([name])
        seen = one.values[one.measured]
        if not len(seen) or not np.isfinite(seen).all():
            return None
        first.append(float(seen[0]))
        moved |= bool(np.ptp(seen) > 0)
    return _Values(first[0], first[1], first[2], moved)
