"""Training with probes gives the same weights, losses, buffers and random numbers, to the bit."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x.view(-1, 4, 4))[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x.view(-1, 4, 4)).mean(1))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)),
    "cnn": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.Dropout2d(0.2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3),
    ),
    "lstm": Recurrent,
    "transformer": Attention,
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, probe: probes.Probe | None) -> list[object]:
    """Eight steps with an evaluation in the middle; returns everything that could differ."""
    torch.manual_seed(7), np.random.seed(7), random.seed(7)  # noqa: NPY002  the global state is the point
    loss_fn = nn.functional.cross_entropy if probe is None else probe.loss_fn
    losses = []
    for step in range(8):
        inputs, targets = torch.randn(12, 16), torch.randint(3, (12,))

        def closure(inputs=inputs, targets=targets) -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_fn(model(inputs), targets)
            loss.backward()
            return loss

        if isinstance(optimizer, torch.optim.LBFGS):
            loss = optimizer.step(closure)
        else:
            loss = closure()
            optimizer.step()
        losses.append(loss.item())
        if probe is not None:
            probe.log("train", loss=loss)
        if step == 4:
            model.eval()
            with torch.no_grad():
                losses.append(model(inputs).sum().item())
            model.train()
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    numbers = [
        torch.get_rng_state(),
        torch.tensor(np.random.get_state()[1].astype(np.int64)),  # noqa: NPY002
        random.random(),
    ]
    return [losses, model.state_dict(), optimizer.state_dict(), grads, numbers]


def same(left: object, right: object) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
@pytest.mark.parametrize("model_name", MODELS)
def test_nothing_differs(model_name: str, optimizer_name: str, tmp_path: Path):
    torch.manual_seed(0)
    plain = MODELS[model_name]()
    watched = copy.deepcopy(plain)
    expected = train(plain, (o := OPTIMIZERS[optimizer_name](plain.parameters())), None)
    optimizer = OPTIMIZERS[optimizer_name](watched.parameters())
    with probes.watch(watched, optimizer, tmp_path / "run", every=1, loss_fn=nn.functional.cross_entropy) as probe:
        found = train(watched, optimizer, probe)
    assert same(expected, found)
    assert same(o.state_dict(), optimizer.state_dict())
    assert probe.step == 8
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("update_norm").steps.tolist() == list(range(1, 9))
    assert np.isfinite(run.layer_series("grad_norm").values).all()
    assert (run.layer_series("activation_std").steps == np.arange(1, 9)).all()


class Encoder(nn.TransformerEncoderLayer):
    """The model is the layer itself: its forward cannot be followed by a hook either."""

    def __init__(self) -> None:
        super().__init__(16, 2, 24, dropout=0.1, batch_first=True)


@pytest.mark.parametrize("make", [Encoder, lambda: nn.TransformerEncoder(Encoder(), 2), Attention])
def test_evaluations_between_forward_and_step_take_the_same_path(
    make: Callable[[], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In evaluation a TransformerEncoderLayer runs a fused kernel, and rounds otherwise, if no part has a hook."""
    fused = []
    kernel = torch._transformer_encoder_layer_fwd
    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", lambda *a: fused.append(1) or kernel(*a))
    results, calls = [], []
    for watched in (False, True):
        torch.manual_seed(0)
        model = make()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        probe = probes.watch(model, optimizer, tmp_path / "run", every=1) if watched else None
        seen = []

        def evaluate(model: nn.Module = model, seen: list[torch.Tensor] = seen) -> None:
            model.eval()
            with torch.no_grad():
                seen.append(model(torch.linspace(-1, 1, 5 * 3 * 16).view(5, 3, 16)).clone())
            model.train()

        for _ in range(3):
            evaluate()
            optimizer.zero_grad()
            loss = model(torch.randn(5, 3, 16)).square().sum()
            evaluate()
            loss.backward()
            evaluate()
            optimizer.step()
        if probe is not None:
            probe.close()
        results.append(seen)
        calls.append(len(fused))
        fused.clear()
    assert same(*results)
    assert calls[0] == calls[1] >= 9
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("activation_std").steps.tolist() == [1, 2, 3]
    assert any(name.endswith("linear1") for name in run.layer_series("activation_std").layers)
    assert np.isfinite(run.layer_series("activation_std").values).all()


def test_the_comparison_itself_notices_a_difference():
    a = {"x": [torch.zeros(2), 1.0]}
    assert same(a, copy.deepcopy(a))
    assert not same(a, {"x": [torch.zeros(2), 1.0000001]})
    assert not same(a, {"x": [torch.tensor([0.0, 1e-45]), 1.0]})
