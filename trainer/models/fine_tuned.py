"""A trained body under a new head: fine-tuning, and feature extraction when the body is frozen.

Source: CS231n, "Transfer Learning".
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from trainer.errors import RecipeError
from trainer.models.base import MODELS
from trainer.tasks.base import Spec


@MODELS.register("fine-tuned")
def fine_tuned(spec: Spec, *, run: str, freeze: bool = True) -> nn.Module:
    """The model of an earlier run (its directory), with the weights it ended with and a head made anew; with
    `freeze` only the head learns."""
    from trainer import checkpoint, recipe  # they know all models: they come after this module

    folder = Path(run)
    path = folder / recipe.KEPT
    if not path.is_file():
        raise RecipeError(f"model.run = '{run}' is no run of this trainer: it holds no {recipe.KEPT}")
    choice = recipe.load_recipe(str(path)).model
    model = MODELS[choice.name].make(spec, **choice.options)
    own = model.state_dict()
    trained = checkpoint.weights(folder / checkpoint.FILE)
    for name in own:
        if "head" in name.split("."):
            continue
        if name not in trained or trained[name].shape != own[name].shape:
            raise RecipeError(
                f"model.run = '{run}': its '{name}' does not fit this task, whose inputs are {list(spec.shape)}; "
                "fine-tune on inputs of the same shape"
            )
        own[name] = trained[name]
    model.load_state_dict(own)
    if freeze:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("head" in name.split("."))
    return model
