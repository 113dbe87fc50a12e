"""What `babysit check RECIPE` looks at."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.assembly import assemble
from trainer.parts import Parts
from trainer.recipe import load_recipe


def check_target(recipe: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Arguments of `probes.check` for a recipe: ``model``, ``loss_fn``, ``data`` (training batches),
    ``optimizer``. Of a GAN the discriminator is looked at, the player with data of its own.

    Raises `UnknownNameError` and `RecipeError` as `trainer.recipe.load_recipe` does.
    """
    parts = assemble(load_recipe(recipe, overrides))
    game = parts.discriminator_optimizer is not None
    return {
        "model": parts.model.discriminator if game else parts.model,
        "loss_fn": parts.loss_fn,
        "data": RealAndGenerated(parts) if game else parts.batches,
        "optimizer": parts.discriminator_optimizer if game else parts.optimizer,
    }


class RealAndGenerated:
    """Batches (images, 1 for real and 0 for generated), half and half, the same whenever they are gone through.

    The generated images are those of the generator as it is when this is made.
    """

    def __init__(self, parts: Parts) -> None:
        self._real = parts.batches
        gan = copy.deepcopy(parts.model).eval()
        with torch.no_grad():
            self._generated = gan(gan.noise(parts.settings.batch_size, torch.Generator().manual_seed(0)))

    def __len__(self) -> int:
        return len(self._real)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for real, ones in self._real:
            generated = self._generated[: len(real)]
            yield torch.cat([real, generated]), torch.cat([ones, torch.zeros_like(ones)])
