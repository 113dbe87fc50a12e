"""Residual networks for small images, and their plain twins without shortcuts (He et al. 2016, section
4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.models.activations import Activation, make_activation
from trainer.models.base import MODELS, Layers, image_shape
from trainer.models.initialization import Initialization, initialize
from trainer.models.normalization import Normalization, make_normalization
from trainer.tasks.base import Spec
from trainer.typed import Count


class Block(nn.Module):
    """Two 3x3 convolutions; their result is added to the input when ``shortcut``, or stands alone.

    Where the shape changes, the input passes through a 1x1 convolution (option B of the paper).
    """

    def __init__(self, into: int, out: int, stride: int, activation: str, norm: str, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, padding=1)
        self.norm1 = make_normalization(norm, out, dimensions=2) or nn.Identity()
        self.act1 = make_activation(activation)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.norm2 = make_normalization(norm, out, dimensions=2) or nn.Identity()
        self.act2 = make_activation(activation)
        self.shortcut: nn.Module | None = None
        if shortcut:
            same = into == out and stride == 1
            self.shortcut = nn.Identity() if same else nn.Conv2d(into, out, 1, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, into, H, W] -> [N, out, H/stride, W/stride]."""
        outputs = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(inputs)))))
        if self.shortcut is not None:
            outputs = outputs + self.shortcut(inputs)
        return self.act2(outputs)


class ResNet(nn.Sequential):
    """Blocks with shortcuts."""


class PlainNet(nn.Sequential):
    """The same blocks without."""


@MODELS.register("resnet")
def resnet(
    spec: Spec,
    *,
    widths: tuple[Count, ...] = (16, 32, 64),
    blocks: Count = 1,
    shortcuts: bool = True,
    kernel: Count = 3,
    activation: Activation = "relu",
    norm: Normalization = "batch",
    init: Initialization = "he-normal",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Residual network: for each width ``blocks`` blocks of two convolutions; halves the image between
    widths.

    ``shortcuts = false`` gives the plain twin: the same layers, which become hard to train when there are
    many.
    """
    depth, _, _ = image_shape(spec, "a residual network")
    if not widths:
        raise RecipeError("model.widths: found [], allowed: at least one width")
    layers = Layers()
    layers.add("conv1", nn.Conv2d(depth, widths[0], kernel, padding=kernel // 2))
    layers.add("norm1", make_normalization(norm, widths[0], dimensions=2))
    layers.add("act1", make_activation(activation))
    before = widths[0]
    for stage, width in enumerate(widths, 1):
        for number in range(1, blocks + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            layers.add(f"stage{stage}_block{number}", Block(before, width, stride, activation, norm, shortcuts))
            before = width
    layers.add("pool", nn.AdaptiveAvgPool2d(1))
    layers.add("flatten", nn.Flatten())
    layers.add("head", nn.Linear(before, spec.outputs))
    model = (ResNet if shortcuts else PlainNet)(layers.by_name)
    initialize(model, init, head_init)
    return model
