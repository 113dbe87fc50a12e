"""What `babysit check RECIPE` looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.assembly import assemble
from trainer.recipe import load_recipe


def check_target(recipe: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Arguments of `probes.check` for a recipe: ``model``, ``loss_fn``, ``data`` (training batches),
    ``optimizer``.

    Raises `UnknownNameError` and `RecipeError` as `trainer.recipe.load_recipe` does.
    """
    parts = assemble(load_recipe(recipe, overrides))
    return {
        "model": parts.model,
        "loss_fn": parts.loss_fn,
        "data": parts.batches,
        "optimizer": parts.optimizer,
    }
