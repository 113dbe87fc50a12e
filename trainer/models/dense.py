"""Softmax regression and the multi-layer perceptron."""

from __future__ import annotations

import math

from torch import nn

from trainer.models.activations import Activation, make_activation
from trainer.models.base import MODELS, Layers, need_numbers
from trainer.models.initialization import Initialization, initialize
from trainer.models.normalization import Normalization, make_normalization
from trainer.tasks.base import Spec
from trainer.typed import Count, Fraction


class MLP(nn.Sequential):
    """Dense layers in a row."""


@MODELS.register("softmax-regression")
def softmax_regression(spec: Spec, *, head_init: Initialization = "small-normal") -> nn.Module:
    """One dense layer on the flattened input: a linear classifier (or linear regression, as the task has
    it)."""
    return mlp(spec, widths=(), head_init=head_init)


@MODELS.register("mlp")
def mlp(
    spec: Spec,
    *,
    widths: tuple[Count, ...] = (128, 64),
    activation: Activation = "relu",
    norm: Normalization = "none",
    dropout: Fraction = 0.0,
    init: Initialization = "he-normal",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Multi-layer perceptron: dense layers of the given widths, each followed by norm, activation and
    dropout."""
    need_numbers(spec, "a dense network")
    layers = Layers()
    layers.add("flatten", nn.Flatten() if len(spec.shape) > 1 else None)
    features = math.prod(spec.shape)
    for index, width in enumerate(widths, 1):
        layers.add(f"fc{index}", nn.Linear(features, width))
        layers.add(f"norm{index}", make_normalization(norm, width, dimensions=0))
        layers.add(f"act{index}", make_activation(activation))
        layers.add(f"dropout{index}", nn.Dropout(dropout) if dropout else None)
        features = width
    layers.add("head", nn.Linear(features, spec.outputs))
    model = MLP(layers.by_name)
    initialize(model, init, head_init)
    return model
