"""Random changes of training inputs that leave their targets true, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from trainer.errors import RecipeError, unknown_name
from trainer.typed import OneOf

MAX_SHIFT = 2  # pixels
NOISE = 0.1  # standard deviation, in units of the preprocessed inputs


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability one half."""
    mirrored = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to two pixels either way, zeros coming in."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (MAX_SHIFT,) * 4)
    down, right = torch.randint(0, 2 * MAX_SHIFT + 1, (2, len(images)), generator=generator).tolist()
    moved = [p[:, d : d + height, r : r + width] for p, d, r in zip(padded, down, right, strict=True)]
    return torch.stack(moved)


def _noise(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise added."""
    return inputs + NOISE * torch.randn(inputs.shape, generator=generator).to(inputs.device)


_IMAGES_ONLY = {"flip": _flip, "shift": _shift}
AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {**_IMAGES_ONLY, "noise": _noise}

Augmentation = Annotated[str, OneOf(lambda: AUGMENTATIONS)]


def augment(inputs: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """``inputs`` [N, ...] put through the named augmentations in order.

    Raises `UnknownNameError` for an unknown name, `RecipeError` for one that does not fit the inputs.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
        if name in _IMAGES_ONLY and inputs.ndim != 4:
            raise RecipeError(f"training.augment: '{name}' is for images [N, C, H, W], found {list(inputs.shape)}")
        if not inputs.is_floating_point():
            raise RecipeError(f"training.augment: '{name}' is for numbers, these inputs are symbols; allowed: []")
        inputs = AUGMENTATIONS[name](inputs, generator)
    return inputs
