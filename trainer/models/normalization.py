"""Normalisation layers by the field's names, for images [N, C, H, W] and vectors [N, D]."""

from __future__ import annotations

import copy
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.errors import RecipeError, unknown_name
from trainer.typed import OneOf

NORMALIZATIONS = ("none", "batch", "layer")

Normalization = Annotated[str, OneOf(lambda: NORMALIZATIONS)]


def make_normalization(name: str, features: int, dimensions: int) -> nn.Module | None:
    """The layer for ``features`` channels (``dimensions`` 2: images) or units (0: vectors); None for "none".

    Layer normalisation of images is over channels and positions together, which is group normalisation with
    one group (Y. Wu and K. He, Group Normalization, 2018).
    """
    if name not in NORMALIZATIONS:
        raise unknown_name("normalization", name, NORMALIZATIONS)
    if name == "batch":
        return nn.BatchNorm2d(features) if dimensions == 2 else nn.BatchNorm1d(features)
    if name == "layer":
        return nn.GroupNorm(1, features) if dimensions == 2 else nn.LayerNorm(features)
    return None


def check_single_example(model: nn.Module, example: Tensor) -> None:
    """Raises `RecipeError` when the model cannot be trained on one example [1, ...] at a time: batch normalisation of
    a single number has no variance."""
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return
    trial = copy.deepcopy(model).train()  # its running statistics are moved by the trial
    try:
        with torch.no_grad(), torch.random.fork_rng():
            trial(example)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise RecipeError(
            "training.batch_size: a batch of this recipe holds one example, which batch normalisation cannot do here; "
            "take another size, training.drop_last = true, or model.norm = layer"
        ) from None
