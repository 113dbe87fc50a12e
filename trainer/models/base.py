"""The registry of models, and what their builders share.

A builder is a function ``(spec: Spec, *, options...) -> nn.Module``. It names its layers (``conv1``,
``act1``, ``head``), because these names are what a person reads on every chart.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from trainer.errors import RecipeError
from trainer.registry import Registry
from trainer.tasks.base import Spec

MODELS = Registry("model")


class Layers:
    """An ordered list of named layers for an ``nn.Sequential``; None is left out."""

    def __init__(self) -> None:
        self._layers: OrderedDict[str, nn.Module] = OrderedDict()

    def add(self, name: str, layer: nn.Module | None) -> None:
        if layer is not None:
            self._layers[name] = layer

    @property
    def by_name(self) -> OrderedDict[str, nn.Module]:
        return self._layers


def image_shape(spec: Spec, model: str) -> tuple[int, int, int]:
    """(channels, height, width) of the inputs; raises `RecipeError` when they are not images."""
    if len(spec.shape) != 3:
        raise RecipeError(
            f"{model} needs images [channels, height, width], this task's inputs are "
            f"{list(spec.shape)}; choose another model.name (mlp takes any numbers)"
        )
    return spec.shape[0], spec.shape[1], spec.shape[2]


def need_numbers(spec: Spec, model: str) -> None:
    if spec.vocabulary is not None:
        raise RecipeError(
            f"{model} needs numbers, this task's inputs are symbols; choose rnn, gru, lstm or transformer as model.name"
        )
