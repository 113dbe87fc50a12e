"""Normalisation layers by the field's names, for images [N, C, H, W] and vectors [N, D]."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from trainer.errors import unknown_name
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
