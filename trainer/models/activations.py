"""Activations by the field's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from torch import nn

from trainer.errors import unknown_name
from trainer.typed import OneOf

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.01),
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

Activation = Annotated[str, OneOf(lambda: ACTIVATIONS)]


def make_activation(name: str) -> nn.Module:
    """A fresh activation module. Raises `UnknownNameError`."""
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()
