"""Inception networks for small images: GoogLeNet's blocks (Szegedy et al. 2015), a few of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.models.activations import Activation, make_activation
from trainer.models.base import MODELS, Layers, image_shape
from trainer.models.initialization import Initialization, initialize
from trainer.models.normalization import Normalization, make_normalization
from trainer.tasks.base import Spec
from trainer.typed import Count, Fraction


def shares(width: int) -> tuple[int, int, int, int, int, int]:
    """Channels of a block of about ``width``, in the proportions of GoogLeNet's block 3a (table 1 of the paper:
    64, 96 to 128, 16 to 32, and 32 of 256); exact for multiples of 16.

    In order: 1x1; 3x3 before and after; 5x5 before and after; pooled.
    """
    one, before3, three, before5, five, pooled = (max(1, width * part // 16) for part in (4, 6, 8, 1, 2, 2))
    return one, before3, three, before5, five, pooled


class Convolution(nn.Sequential):
    """Convolution that keeps the size of the image, norm, activation."""

    def __init__(self, into: int, out: int, kernel: int, activation: str, norm: str) -> None:
        layers = Layers()
        layers.add("conv", nn.Conv2d(into, out, kernel, padding=kernel // 2))
        layers.add("norm", make_normalization(norm, out, dimensions=2))
        layers.add("act", make_activation(activation))
        super().__init__(layers.by_name)


class InceptionBlock(nn.Module):
    """Four ways through, side by side: 1x1; 1x1 then 3x3; 1x1 then 5x5; 3x3 max pooling then 1x1.

    Attributes:
        channels: of the output, the sum over the four.
    """

    def __init__(self, into: int, width: int, activation: str, norm: str) -> None:
        super().__init__()
        one, before3, three, before5, five, pooled = shares(width)
        self.one = Convolution(into, one, 1, activation, norm)
        self.three = nn.Sequential(
            Convolution(into, before3, 1, activation, norm), Convolution(before3, three, 3, activation, norm)
        )
        self.five = nn.Sequential(
            Convolution(into, before5, 1, activation, norm), Convolution(before5, five, 5, activation, norm)
        )
        self.pooled = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), Convolution(into, pooled, 1, activation, norm)
        )
        self.channels = one + three + five + pooled

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, into, H, W] -> [N, channels, H, W]."""
        return torch.cat([self.one(inputs), self.three(inputs), self.five(inputs), self.pooled(inputs)], 1)


class Inception(nn.Sequential):
    """Inception blocks in a row."""


@MODELS.register("inception")
def inception(
    spec: Spec,
    *,
    stem: Count = 24,
    widths: tuple[Count, ...] = (48, 96),
    blocks: Count = 1,
    dropout: Fraction = 0.0,
    activation: Activation = "relu",
    norm: Normalization = "batch",
    init: Initialization = "he-normal",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Small Inception (GoogLeNet, Szegedy et al. 2015): a 3x3 stem, for each width `blocks` Inception blocks with
    2x2 max pooling between widths, global average pooling. Without auxiliary heads."""
    depth, height, side = image_shape(spec, "an Inception network")
    poolings = len(widths) - 1
    if min(height, side) < 2**poolings:
        raise RecipeError(
            f"model.widths: {len(widths)} widths need images of at least {2**poolings} pixels a side, these have "
            f"{height}x{side}; use fewer"
        )
    layers = Layers()
    layers.add("stem", Convolution(depth, stem, 3, activation, norm))
    before = stem
    for stage, width in enumerate(widths, 1):
        if stage > 1:
            layers.add(f"pool{stage - 1}", nn.MaxPool2d(2))
        for number in range(1, blocks + 1):
            block = InceptionBlock(before, width, activation, norm)
            layers.add(f"stage{stage}_block{number}", block)
            before = block.channels
    layers.add("pool", nn.AdaptiveAvgPool2d(1))
    layers.add("flatten", nn.Flatten())
    layers.add("dropout", nn.Dropout(dropout) if dropout else None)
    layers.add("head", nn.Linear(before, spec.outputs))
    model = Inception(layers.by_name)
    initialize(model, init, head_init)
    return model
