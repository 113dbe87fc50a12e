"""AlexNet for small images: the layers of Krizhevsky et al. 2012, narrower and with smaller kernels."""

from __future__ import annotations

from torch import nn

from trainer.errors import RecipeError
from trainer.models.activations import Activation, make_activation
from trainer.models.base import MODELS, Layers, image_shape
from trainer.models.initialization import Initialization, initialize
from trainer.models.normalization import Normalization, make_normalization
from trainer.tasks.base import Spec
from trainer.typed import Count, Fraction

KERNELS = (5, 5, 3, 3, 3)  # pixels; the paper's first is 11, with stride 4, for images of 224 pixels
POOLED = (1, 2, 5)  # the convolutions that overlapping max pooling follows (section 3.4 of the paper)
SMALLEST = 8  # pixels a side: three poolings leave one


class AlexNet(nn.Sequential):
    """Five convolutions and three dense layers."""


@MODELS.register("alexnet")
def alexnet(
    spec: Spec,
    *,
    channels: tuple[Count, ...] = (32, 64, 96, 96, 64),
    hidden: tuple[Count, ...] = (128, 128),
    activation: Activation = "relu",
    norm: Normalization = "none",
    local_response: bool = True,
    dropout: Fraction = 0.5,
    init: Initialization = "he-normal",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Small AlexNet (Krizhevsky et al. 2012): five convolutions, overlapping pooling, local response
    normalisation, two dense layers with dropout. For images from 8x8."""
    depth, height, width = image_shape(spec, "AlexNet")
    if len(channels) != len(KERNELS):
        raise RecipeError(f"model.channels: AlexNet has {len(KERNELS)} convolutions, found {len(channels)} numbers")
    if min(height, width) < SMALLEST:
        raise RecipeError(f"AlexNet needs images of at least {SMALLEST} pixels a side, these have {height}x{width}")
    layers = Layers()
    for index, (out, kernel) in enumerate(zip(channels, KERNELS, strict=True), 1):
        layers.add(f"conv{index}", nn.Conv2d(depth, out, kernel, padding=kernel // 2))
        layers.add(f"norm{index}", make_normalization(norm, out, dimensions=2))
        layers.add(f"act{index}", make_activation(activation))
        depth = out
        if index in POOLED:
            if local_response and index != POOLED[-1]:  # the constants are those of section 3.3
                layers.add(f"response{index}", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0))
            layers.add(f"pool{index}", nn.MaxPool2d(3, stride=2, padding=1))
            height, width = (height + 1) // 2, (width + 1) // 2
    layers.add("flatten", nn.Flatten())
    features = depth * height * width
    for index, units in enumerate(hidden, 1):
        layers.add(f"dropout{index}", nn.Dropout(dropout) if dropout else None)
        layers.add(f"fc{index}", nn.Linear(features, units))
        layers.add(f"fc_act{index}", make_activation(activation))
        features = units
    layers.add("head", nn.Linear(features, spec.outputs))
    model = AlexNet(layers.by_name)
    initialize(model, init, head_init)
    return model
