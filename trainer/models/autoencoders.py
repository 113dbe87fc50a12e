"""Autoencoders: squeeze the input through a narrow layer and make it out of that again."""

from __future__ import annotations

import math

from torch import nn

from trainer.errors import RecipeError
from trainer.models.activations import Activation, make_activation
from trainer.models.base import MODELS, Layers, need_numbers
from trainer.models.initialization import Initialization, initialize
from trainer.tasks.base import Spec
from trainer.typed import Count


class Autoencoder(nn.Sequential):
    """Dense layers that narrow and widen again."""


@MODELS.register("autoencoder")
def autoencoder(
    spec: Spec,
    *,
    widths: tuple[Count, ...] = (48,),
    code: Count = 12,
    activation: Activation = "relu",
    init: Initialization = "he-normal",
    head_init: Initialization = "default",
) -> nn.Module:
    """Dense encoder of the given widths, a linear code, and the mirrored decoder (Hinton and Salakhutdinov
    2006)."""
    need_numbers(spec, "an autoencoder")
    if spec.outputs != math.prod(spec.shape):
        raise RecipeError(
            f"an autoencoder puts out what it takes in: {math.prod(spec.shape)} numbers, this task wants "
            f"{spec.outputs}; choose task.name = digits-reconstruction, or another model.name"
        )
    layers = Layers()
    layers.add("flatten", nn.Flatten() if len(spec.shape) > 1 else None)
    features = math.prod(spec.shape)
    for index, width in enumerate(widths, 1):
        layers.add(f"encoder{index}", nn.Linear(features, width))
        layers.add(f"encoder{index}_act", make_activation(activation))
        features = width
    layers.add("code", nn.Linear(features, code))
    features = code
    for index, width in enumerate(reversed(widths), 1):
        layers.add(f"decoder{index}", nn.Linear(features, width))
        layers.add(f"decoder{index}_act", make_activation(activation))
        features = width
    layers.add("head", nn.Linear(features, spec.outputs))
    model = Autoencoder(layers.by_name)
    initialize(model, init, head_init)
    return model
