"""Hardly any numbers through which all that a model gives must pass, where that is one number or two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from probes.diagnosis.manifest import ModuleInfo, ParameterInfo
from probes.diagnosis.signs.recurrent import RECURRENT

FEW = 2
"""Units of a hidden layer, and outputs of a model, that are few."""


def squeezed_by(weights: Sequence[ParameterInfo], modules: Mapping[str, ModuleInfo]) -> tuple[str, int, int] | None:
    """(layer, its units, inputs of the model) of the narrowest hidden layer, when it is too narrow; None otherwise.

    The model has `FEW` outputs at most: what gives more draws them from a few numbers on purpose. The layer has `FEW`
    units at most, and fewer than half as many as the model has inputs. It is one of a chain of dense layers, each
    reading what the one before gives; or, in models of images and sequences, the one in front of the last layer, a
    dense one, which reads one number for each of its channels or units.

    Args:
        weights: the weight matrices and kernels, in forward order.
        modules: the modules, by their names.
    """
    if len(weights) < 2 or not _is_dense(weights[-1], modules) or weights[-1].shape[0] > FEW:
        return None
    if all(_is_dense(weight, modules) for weight in weights):
        if any(before.shape[0] != after.shape[1] for before, after in pairwise(weights)):
            return None
        inputs = weights[0].shape[1]
        narrow = min(weights[:-1], key=lambda weight: weight.shape[0])
        units = narrow.shape[0]
    else:
        inputs = _places(modules.get(weights[0].module))
        narrow, units = weights[-2], weights[-1].shape[1]
        if _width(narrow, modules) != units:
            return None
    return (narrow.module, units, inputs) if units <= FEW and 2 * units < inputs else None


def _is_dense(weight: ParameterInfo, modules: Mapping[str, ModuleInfo]) -> bool:
    module = modules.get(weight.module)
    return module is not None and module.type == "Linear" and len(weight.shape) == 2


def _width(weight: ParameterInfo, modules: Mapping[str, ModuleInfo]) -> int | None:
    """Channels of a convolution, or units of a dense layer or a recurrent module; None of others."""
    module = modules.get(weight.module)
    if module is None:
        return None
    if module.type in RECURRENT:
        return weight.shape[1] if "weight_hh" in weight.name else None
    return weight.shape[0] if module.type in ("Linear", "Conv1d", "Conv2d", "Conv3d") else None


def _places(first: ModuleInfo | None) -> int:
    """Places of an image, or moments of a sequence, at which the first module gives numbers; 0 where it is not known.

    A convolution gives [N, C, ...places], a table or a recurrent module [N, moments, C].
    """
    shape = first.output_shape if first is not None else ()
    if first is None or len(shape) < 3:
        return 0
    return math.prod(shape[2:]) if first.type.startswith("Conv") else math.prod(shape[1:-1])
