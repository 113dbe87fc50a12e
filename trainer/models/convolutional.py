"""A small convolutional network in the style of CS231n's CIFAR-10 nets, and LeNet-5."""

from __future__ import annotations

from torch import nn

from trainer.errors import RecipeError
from trainer.models.activations import Activation, make_activation
from trainer.models.base import MODELS, Layers, image_shape
from trainer.models.initialization import Initialization, initialize
from trainer.models.normalization import Normalization, make_normalization
from trainer.tasks.base import Spec
from trainer.typed import Count, Fraction


class CNN(nn.Sequential):
    """Convolutions in a row, then dense layers."""


@MODELS.register("cnn")
def cnn(
    spec: Spec,
    *,
    channels: tuple[Count, ...] = (32, 32, 64),
    kernels: tuple[Count, ...] = (5, 3, 3),
    hidden: tuple[Count, ...] = (64,),
    activation: Activation = "relu",
    norm: Normalization = "none",
    dropout: Fraction = 0.0,
    init: Initialization = "he-normal",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Convolution, norm, activation, 2x2 max pooling, once per entry of channels; then dense layers."""
    depth, height, width = image_shape(spec, "a convolutional network")
    if len(kernels) != len(channels):
        raise RecipeError(f"model cnn: {len(channels)} channels but {len(kernels)} kernels; give one kernel size each")
    if min(height, width) < 2 ** len(channels):
        raise RecipeError(
            f"model cnn: {len(channels)} poolings need images of at least {2 ** len(channels)} pixels a "
            f"side, these have {min(height, width)}; use fewer channels"
        )
    layers = Layers()
    for index, (out, kernel) in enumerate(zip(channels, kernels, strict=True), 1):
        layers.add(f"conv{index}", nn.Conv2d(depth, out, kernel, padding=kernel // 2))
        layers.add(f"norm{index}", make_normalization(norm, out, dimensions=2))
        layers.add(f"act{index}", make_activation(activation))
        layers.add(f"pool{index}", nn.MaxPool2d(2))
        depth, height, width = (
            out,
            (height + 2 * (kernel // 2) - kernel + 1) // 2,
            (width + 2 * (kernel // 2) - kernel + 1) // 2,
        )
    layers.add("flatten", nn.Flatten())
    features = depth * height * width
    for index, units in enumerate(hidden, 1):
        layers.add(f"fc{index}", nn.Linear(features, units))
        layers.add(f"fc_act{index}", make_activation(activation))
        layers.add(f"dropout{index}", nn.Dropout(dropout) if dropout else None)
        features = units
    layers.add("head", nn.Linear(features, spec.outputs))
    model = CNN(layers.by_name)
    initialize(model, init, head_init)
    return model


@MODELS.register("lenet-5")
def lenet5(
    spec: Spec,
    *,
    activation: Activation = "relu",
    init: Initialization = "he-normal",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998): 6 and 16 feature maps of 5x5, then 120 and 84 units. Padded, for small
    images."""
    return cnn(
        spec,
        channels=(6, 16),
        kernels=(5, 5),
        hidden=(120, 84),
        activation=activation,
        init=init,
        head_init=head_init,
    )
