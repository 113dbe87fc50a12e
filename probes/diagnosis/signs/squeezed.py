"""A hidden layer of hardly any units in a chain of dense layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from probes.diagnosis.manifest import ParameterInfo

FEW = 2
"""Units of a hidden layer, and outputs of a model, that are few."""


def squeezed_by(weights: Sequence[ParameterInfo], types: Mapping[str, str]) -> tuple[str, int, int] | None:
    """(layer, its units, inputs of the model) of the narrowest hidden layer, when it is too narrow; None otherwise.

    The model must be a chain of dense layers, each reading what the one before gives, with `FEW` outputs at most: what
    gives more draws them from a few numbers on purpose. The layer has `FEW` units at most, and fewer than half as many
    as the model has inputs.

    Args:
        weights: the weight matrices and kernels, in forward order.
        types: the type of each module, by its name.
    """
    if len(weights) < 2 or any(types.get(w.module) != "Linear" or len(w.shape) != 2 for w in weights):
        return None
    if any(before.shape[0] != after.shape[1] for before, after in pairwise(weights)):
        return None
    inputs, outputs = weights[0].shape[1], weights[-1].shape[0]
    narrow = min(weights[:-1], key=lambda weight: weight.shape[0])
    units = narrow.shape[0]
    if units > FEW or outputs > FEW or 2 * units >= inputs:
        return None
    return narrow.module, units, inputs
