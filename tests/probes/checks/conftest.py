"""Small set-ups, and a photograph of everything a check must leave alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def make_classification(n: int = 64, features: int = 8, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Learnable: the class is the largest of the first features."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, features, generator=generator)
    return x, x[:, :classes].argmax(1)


def make_mlp(features: int = 8, out: int = 3, hidden: int = 32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, out))


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def take_photograph(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """Everything observable as plain values: compare two photographs with ==."""
    picture: dict[str, Any] = {
        "random": (random.getstate(), str(np.random.get_state()), bits(torch.get_rng_state())),  # noqa: NPY002
        "modules": [],
        "tensors": [],
    }
    for name, module in model.named_modules():
        hooks = {
            key: list(value.items())
            for key, value in vars(module).items()
            if isinstance(value, dict) and "hooks" in key
        }
        picture["modules"].append((name, id(module), module.training, sorted(vars(module)), hooks))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        gradient = None if tensor.grad is None else (id(tensor.grad), bits(tensor.grad))
        picture["tensors"].append(
            (name, id(tensor), tensor.data_ptr(), tensor.dtype, bits(tensor), tensor.requires_grad, gradient)
        )
    if optimizer is not None:
        picture["groups"] = [
            {key: [id(p) for p in value] if key == "params" else value for key, value in group.items()}
            for group in optimizer.param_groups
        ]
        picture["state"] = [
            (id(p), {k: (id(v), bits(v)) if isinstance(v, Tensor) else v for k, v in state.items()})
            for p, state in optimizer.state.items()
        ]
    return picture


@pytest.fixture
def classification() -> tuple[Tensor, Tensor]:
    """64 examples of 8 features in 3 classes."""
    return make_classification()


@pytest.fixture
def mlp() -> Callable[..., nn.Sequential]:
    """mlp(features=8, out=3, hidden=32) -> a model."""
    return make_mlp


@pytest.fixture
def photograph() -> Callable[..., dict[str, Any]]:
    """photograph(model, optimizer=None) -> everything observable, comparable with ==."""
    return take_photograph


@pytest.fixture
def only() -> Callable[..., Any]:
    """`probes.check` for one check: returns its result."""
    from probes.checks import check

    def run(slug: str, model: nn.Module, loss_fn: Any, data: Any, **options: Any) -> Any:
        return check(model, loss_fn, data, checks=[slug], **options)[slug]

    return run
