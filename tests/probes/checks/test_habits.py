"""Models that differentiate in forward, write to their inputs or are complex; losses that broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probes.checks import check

Only = Callable[..., Any]
Data = tuple[Tensor, Tensor]
Photograph = Callable[..., dict[str, Any]]


class Slope(nn.Module):
    """Returns u(t) and its derivative, which takes a graph also under no_grad."""

    def __init__(self, keep: bool = True) -> None:
        super().__init__()
        self.net, self.keep = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)), keep

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        t = t.clone().requires_grad_(True)
        u = self.net(t)
        return u, torch.autograd.grad(u.sum(), t, create_graph=self.keep)[0]


def residual(outputs: tuple[Tensor, Tensor], start: Tensor) -> Tensor:
    u, slope = outputs
    return (slope + u).square().mean() + (start * (u - 1)).square().mean()


def test_a_model_that_differentiates_in_forward_is_checked() -> None:
    t = 2 * torch.rand(32, 1)
    report = check(Slope(), residual, (t, (t < 0.2).float()))
    assert report.ok, str(report)
    assert report["gradient-check"].status == "pass" and report["overfit-small-batch"].status == "pass"
    assert not [r.message for r in report.results if "broke" in r.message]


def test_a_backward_that_raises_is_told_once_with_a_remedy() -> None:
    t = 2 * torch.rand(32, 1)
    report = check(Slope(keep=False), residual, (t, (t < 0.2).float()))
    first = report["finite-forward-backward"]
    assert first.status == "fail" and "backward pass" in first.message and "create_graph=True" in first.suggestions[0]
    assert report["initialization"].status == "skip" and "finite-forward-backward" in report["initialization"].message


def test_a_gradient_penalty_in_the_loss(classification: Data) -> None:
    x, _ = classification
    critic = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))

    def loss(outputs: Tensor, real: Tensor) -> Tensor:
        points = x[: len(outputs)].clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return (outputs * (1 - 2 * real)).mean() + 10 * (slope.norm(dim=1) - 1).square().mean()

    report = check(critic, loss, (x, (torch.arange(64) % 2).float()[:, None]), checks=["finite-forward-backward"])
    assert report.ok, str(report)


@pytest.mark.parametrize("where", ["inputs", "targets"])
def test_what_is_written_to_in_place_is_a_copy(where: str, photograph: Photograph) -> None:
    class Shifts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            if where == "inputs":
                x -= 0.5
            return self.layer(x)

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        if where == "targets":
            labels[labels == 1] = 2
        return F.cross_entropy(scores, labels)

    x, y = torch.randn(64, 8), torch.arange(64) % 3
    before = x.clone(), y.clone()
    report = check(Shifts(), loss, (x, y), checks=["determinism", "initial-loss", "batch-independence"])
    assert torch.equal(x, before[0]) and torch.equal(y, before[1]), "the user's data is as it was"
    assert report["determinism"].status == "pass", str(report)


class Complex(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 5, dtype=torch.complex64))
        self.head, self.wrong = nn.Linear(5, 3), wrong

    def forward(self, x: Tensor) -> Tensor:
        mixed = x.to(self.weight.dtype) @ self.weight
        if self.wrong:
            mixed = torch.view_as_complex(Halved.apply(torch.view_as_real(mixed)))
        return self.head(mixed.abs())


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 0.5 * gradients[0]


@pytest.mark.parametrize("wrong", [False, True])
def test_complex_parameters(wrong: bool, classification: Data, photograph: Photograph) -> None:
    model = Complex(wrong)
    before = photograph(model)
    report = check(model, nn.CrossEntropyLoss(), classification)
    assert photograph(model) == before
    result = report["gradient-check"]
    assert result.status == ("fail" if wrong else "pass"), result.message
    assert {p["name"] for p in result.evidence["parameters"]} == {"weight", "head.weight", "head.bias"}
    assert not [r.message for r in report.results if "broke" in r.message]


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean()


def ranking(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.softplus((outputs - outputs.t()) * torch.sign(targets.t() - targets)).mean()


def all_pairs(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs @ targets.t()).sigmoid().mean() + (outputs.squeeze(1)[:, None] - targets.squeeze(1)).abs().mean()


@pytest.mark.parametrize(
    ("loss", "shape", "status"),
    [
        (squared, [64], "fail"),
        (squared, [64, 1], "pass"),
        (ranking, [64, 1], "skip"),
        (all_pairs, [64, 1], "skip"),
    ],
)
def test_broadcasting_in_a_loss_of_ones_own(loss: Any, shape: list[int], status: str, only: Only) -> None:
    x = torch.randn(64, 8)
    result = only("loss-output-pairing", nn.Linear(8, 1), loss, (x, x[:, 0].reshape(shape)))
    assert result.status == status, result.message
    if status == "fail":
        assert "outputs [64, 1] meets targets [64]" in result.message and "unsqueeze" in result.suggestions[0]
