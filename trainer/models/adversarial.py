"""Generative adversarial networks: a generator of images and a discriminator that tells them from real ones.

The two are one module, so that a recipe names one model, a checkpoint holds both and probes watch both; they
are trained by two optimizers, in turn (Goodfellow et al. 2014). The architecture is DCGAN's (Radford et al.
2016): strided convolutions in place of pooling, batch normalisation everywhere but at the generator's output
and the discriminator's input, ReLU in the generator, leaky ReLU in the discriminator, tanh at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.models.base import MODELS, Layers, image_shape
from trainer.models.initialization import Initialization, initialize
from trainer.models.normalization import Normalization, make_normalization
from trainer.tasks.base import Spec
from trainer.typed import Count

PROBLEM = "generation"  # the kind of task a GAN is for: see `trainer.losses.PROBLEMS`
LEAK = 0.2  # slope of the leaky ReLU for negative inputs (Radford et al. 2016, section 3)
SMALLEST = 4  # pixels a side at which the generator begins and the discriminator ends; less for small images


class Unflatten(nn.Module):
    """[N, C*H*W] -> [N, C, H, W]."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = (channels, height, width)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.view(-1, *self.shape)


class GAN(nn.Module):
    """A generator and a discriminator.

    Attributes:
        generator: noise [N, latent] -> images [N, C, H, W] within [-1, 1].
        discriminator: images [N, C, H, W] -> scores [N, 1], above 0 for "real"; the sigmoid is in the loss.
        latent: length of a noise vector; its entries are drawn from a standard normal distribution.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent: int) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent = latent

    def noise(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal noise [count, latent], on the device of the weights.

        Drawn on the CPU from ``generator`` (the global one if None), so that a seed gives the same noise on
        every device.
        """
        return torch.randn(count, self.latent, generator=generator).to(next(self.parameters()).device)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise [N, latent] -> images [N, C, H, W]: what a trained GAN is used for."""
        return self.generator(noise)


@MODELS.register("dcgan")
def dcgan(
    spec: Spec,
    *,
    latent: Count = 16,
    width: Count = 32,
    norm: Normalization = "batch",
    init: Initialization = "dcgan-normal",
    head_init: Initialization = "dcgan-normal",
) -> nn.Module:
    """Small DCGAN (Radford et al. 2016): generator and discriminator mirror each other; `width` channels next
    to the image, twice as many at every halving."""
    channels, height, side = image_shape(spec, "a DCGAN")
    if spec.problem != PROBLEM:
        raise RecipeError(
            f"model dcgan generates images, this task is of the kind '{spec.problem}'; choose a task of the kind "
            f"'{PROBLEM}', such as task.name = digits-generation, or another model.name"
        )
    steps = halvings(height, side)
    if not steps:
        raise RecipeError(f"model dcgan needs images with an even number of pixels a side, these have {height}x{side}")
    model = GAN(
        _generator(channels, height, side, steps, latent, width, norm),
        _discriminator(channels, height, side, steps, width, norm),
        latent,
    )
    initialize(model, init, head_init)
    return model


def halvings(height: int, width: int) -> int:
    """How often an image is halved: until ``SMALLEST`` pixels a side, but twice where that is possible."""
    steps = 0
    while height % 2 == 0 and width % 2 == 0 and (min(height, width) > SMALLEST or steps < 2):
        height, width, steps = height // 2, width // 2, steps + 1
    return steps


def _generator(channels: int, height: int, side: int, steps: int, latent: int, width: int, norm: str) -> nn.Sequential:
    """Noise to a small image of many channels, then one transposed convolution for each doubling."""
    layers = Layers()
    small = (height >> steps, side >> steps)
    depth = width << (steps - 1)
    layers.add("fc", nn.Linear(latent, depth * small[0] * small[1]))
    layers.add("unflatten", Unflatten(depth, *small))
    layers.add("norm0", make_normalization(norm, depth, dimensions=2))
    layers.add("act0", nn.ReLU())
    for index in range(1, steps):
        layers.add(f"deconv{index}", nn.ConvTranspose2d(depth, depth // 2, 4, stride=2, padding=1))
        layers.add(f"norm{index}", make_normalization(norm, depth // 2, dimensions=2))
        layers.add(f"act{index}", nn.ReLU())
        depth //= 2
    layers.add("head", nn.ConvTranspose2d(depth, channels, 4, stride=2, padding=1))
    layers.add("tanh", nn.Tanh())
    return nn.Sequential(layers.by_name)


def _discriminator(channels: int, height: int, side: int, steps: int, width: int, norm: str) -> nn.Sequential:
    """One strided convolution for each halving, then one score."""
    layers = Layers()
    depth, out = channels, width
    for index in range(1, steps + 1):
        layers.add(f"conv{index}", nn.Conv2d(depth, out, 4, stride=2, padding=1))
        layers.add(f"norm{index}", make_normalization(norm, out, dimensions=2) if index > 1 else None)
        layers.add(f"act{index}", nn.LeakyReLU(LEAK))
        depth, out = out, 2 * out
    layers.add("flatten", nn.Flatten())
    layers.add("head", nn.Linear(depth * (height >> steps) * (side >> steps), 1))
    return nn.Sequential(layers.by_name)
