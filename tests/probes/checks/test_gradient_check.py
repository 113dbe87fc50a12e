"""The gradient check against torch.autograd.gradcheck, and backwards that are wrong on purpose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from probes.checks.gradients import check_entry, relative_error

Only = Callable[..., Any]
Data = tuple[Tensor, Tensor]


class Scaled(torch.autograd.Function):
    """x -> x^2 whose backward is multiplied by `factor`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.factor * 2 * x * gradient, None


class Square(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return Scaled.apply(x, self.factor)


@pytest.mark.parametrize("factor", [1.0, 0.5, -1.0, 1.05])
def test_agrees_with_gradcheck_about_a_custom_function(only: Only, classification: Data, factor: float) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    truth = torch.autograd.gradcheck(lambda v: Scaled.apply(v, factor), (x,), raise_exception=False)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), Square(factor), nn.Linear(16, 3))
    result = only("gradient-check", model, nn.CrossEntropyLoss(), classification)
    assert (result.status == "pass") == truth, result.message
    if not truth:
        assert result.status == "fail"
        assert result.evidence["culprit"] == "2" and "Square" in result.message
        assert {"0.weight", "0.bias"} == set(result.evidence["wrong_parameters"])


def test_a_small_error_warns(only: Only, classification: Data) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), Square(1.002), nn.Linear(16, 3))
    assert only("gradient-check", model, nn.CrossEntropyLoss(), classification).status == "warn"


def test_a_wrong_backward_called_inside_a_forward_blames_that_module(only: Only, classification: Data) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return Scaled.apply(self.inner(x), 0.3)

    model = nn.Sequential(nn.Linear(8, 8), Block(), nn.Linear(8, 3))
    result = only("gradient-check", model, nn.CrossEntropyLoss(), classification)
    assert result.status == "fail" and result.evidence["culprit"] == "1"


def test_a_wrong_gradient_of_a_parameter_itself(only: Only, classification: Data) -> None:
    class Gain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(8))

        def forward(self, x: Tensor) -> Tensor:
            return x * Scaled.apply(self.gain, 3.0)

    model = nn.Sequential(nn.Linear(8, 8), Gain(), nn.Linear(8, 3))
    result = only("gradient-check", model, nn.CrossEntropyLoss(), classification)
    assert result.evidence["wrong_parameters"] == ["1.gain"] and result.evidence["culprit"] == "1"


def test_a_detached_tensor_is_named(only: Only, classification: Data) -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach()

    model = nn.Sequential(nn.Linear(8, 8), Cut(), nn.Linear(8, 3))
    result = only("gradient-check", model, nn.CrossEntropyLoss(), classification)
    assert result.status == "fail" and "0.weight" in result.message and "detach" in " ".join(result.suggestions)


def healthy_models() -> dict[str, tuple[nn.Module, Any, Any]]:
    torch.manual_seed(0)
    x, y = torch.randn(16, 8), torch.arange(16) % 3
    images = torch.randn(8, 3, 8, 8)
    sequences = torch.randn(8, 5, 8)

    class Last(nn.Module):
        def __init__(self, kind: type[nn.RNNBase]) -> None:
            super().__init__()
            self.rnn = kind(8, 6, num_layers=2, dropout=0.4, batch_first=True)
            self.head = nn.Linear(6, 3)

        def forward(self, s: Tensor) -> Tensor:
            return self.head(self.rnn(s)[0][:, -1])

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, s: Tensor) -> Tensor:
            return self.head(self.block(s).mean(1))

    ce = nn.CrossEntropyLoss()
    return {
        "dropout": (
            nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3)),
            ce,
            (x, y),
        ),
        "batchnorm": (
            nn.Sequential(nn.Linear(8, 16, bias=True), nn.BatchNorm1d(16), nn.Linear(16, 3)),
            ce,
            (x, y),
        ),
        "pooling": (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)),
            ce,
            (images, y[:8]),
        ),
        "zero inputs to relu": (
            nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 3)),
            ce,
            (torch.zeros(16, 8), y),
        ),
        "deep sigmoid": (
            nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(8, 8), nn.Sigmoid())]),
            ce,
            (x, y),
        ),
        "lstm": (Last(nn.LSTM), ce, (sequences, y[:8])),
        "gru": (Last(nn.GRU), ce, (sequences, y[:8])),
        "attention": (Attention(), ce, (sequences, y[:8])),
        "embedding": (
            nn.Sequential(nn.Embedding(20, 6, sparse=True), nn.Flatten(), nn.Linear(30, 3)),
            ce,
            (torch.randint(0, 20, (16, 5)), y),
        ),
        "l1 loss": (nn.Linear(8, 1), nn.L1Loss(), (x, x[:, :1])),
        "huge inputs": (nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)), ce, (1000 * x, y)),
        "tiny outputs": (
            nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)),
            nn.MSELoss(),
            (1e-4 * x, 1e-4 * x[:, :1]),
        ),
        "half precision": (nn.Linear(8, 3).bfloat16(), ce, (x.bfloat16(), y)),
    }


@pytest.mark.parametrize("name", list(healthy_models()))
def test_healthy_gradients_pass(only: Only, name: str) -> None:
    model, loss, data = healthy_models()[name]
    result = only("gradient-check", model, loss, data)
    assert result.status == "pass", result.message
    named = {entry["name"] for entry in result.evidence["parameters"]}
    assert named == {key for key, _ in model.named_parameters()}


def test_a_kink_is_told_from_an_error(only: Only) -> None:
    # All pre-activations are exactly 0: autograd's ReLU'(0) = 0, the centred difference is half the slope.
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    result = only("gradient-check", model, nn.MSELoss(), (torch.rand(8, 4) + 0.5, torch.ones(8, 1)))
    assert result.status == "pass", result.message
    assert result.evidence["kinks"] > 0 and "kink" in result.message


class Lower(nn.Module):
    """Casts to a lower precision on the way, as mixed precision does; `wrong` doubles the gradient besides."""

    def __init__(self, how: str, wrong: bool) -> None:
        super().__init__()
        self.layer, self.head, self.how, self.wrong = nn.Linear(8, 16), nn.Linear(16, 3), how, wrong

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.how == "autocast"):
            h = self.layer(x)
        if self.how == "softmax":
            h = h * torch.softmax(h, 1, dtype=torch.float32).to(h.dtype)
        if self.how == "zeros":
            h = h + torch.zeros(len(x), 16) @ torch.ones(16, 16)
        if self.wrong:
            h = Doubled.apply(h)
        return self.head(torch.tanh(h.to(self.head.weight.dtype))).float()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 2 * gradients[0]


@pytest.mark.parametrize("how", ["plain", "autocast", "softmax", "zeros"])
@pytest.mark.parametrize("wrong", [False, True])
def test_casts_to_a_lower_precision_are_left_out(how: str, wrong: bool, only: Only, classification: Data) -> None:
    result = only("gradient-check", Lower(how, wrong), nn.CrossEntropyLoss(), classification)
    assert result.status == ("fail" if wrong else "pass"), result.message
    if not wrong:  # in float32 the differences would be wrong by a hundredth
        assert result.evidence["worst_relative_error"] < 1e-5
    assert torch.get_default_dtype() == torch.float32


def test_a_forward_that_cannot_run_in_float64_is_skipped(only: Only, classification: Data) -> None:
    class Float32(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) @ torch.ones(3, 3, dtype=torch.float32)

    result = only("gradient-check", Float32(8, 3), nn.CrossEntropyLoss(), classification)
    assert result.status == "skip" and "float64" in result.message
    assert torch.get_default_dtype() == torch.float32


def test_a_short_budget_is_reported(only: Only, classification: Data) -> None:
    ticks = iter(range(10**6))
    model = nn.Sequential(*[nn.Linear(8, 8) for _ in range(20)], nn.Linear(8, 3))
    result = only(
        "gradient-check",
        model,
        nn.CrossEntropyLoss(),
        classification,
        budget=40.0,
        clock=lambda: float(next(ticks)),
    )
    assert "cut short" in result.message and result.evidence["not_reached"]


@pytest.mark.parametrize(
    ("a", "n", "error"),
    [(1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (1.0, 0.5, 0.5), (0.0, 3.0, 1.0), (-1.0, 1.0, 2.0)],
)
def test_relative_error_is_cs231n_s(a: float, n: float, error: float) -> None:
    assert relative_error(a, n) == error


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_entries_of_any_size(scale: float) -> None:
    point = torch.tensor([0.3, -0.7], dtype=torch.float64) * scale

    def function() -> float:
        return float(torch.sin(point / scale).sum())

    entry = check_entry(function, point, 1, math.cos(-0.7) / scale)
    assert entry.verdict == "agrees"
    assert check_entry(function, point, 1, 1.1 * math.cos(-0.7) / scale).verdict == "differs"


def test_kinks_of_the_absolute_value() -> None:
    point = torch.zeros(1, dtype=torch.float64)

    def function() -> float:
        return float(point.abs().sum())

    assert check_entry(function, point, 0, 0.5).verdict == "kink", "any subgradient in [-1, 1] will do"
    assert check_entry(function, point, 0, 1.5).verdict == "at a kink", "no subgradient"
    assert float(point) == 0.0


def test_curvature_is_not_a_kink() -> None:
    point = torch.zeros(1, dtype=torch.float64)
    assert check_entry(lambda: float((1e4 * point**2 + point).sum()), point, 0, 1.3).verdict == "differs"
