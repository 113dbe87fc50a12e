"""The expected loss against closed forms worked out here from label counts, weights and target moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Only = Callable[..., Any]
N, C = 240, 5


class Fixed(nn.Module):
    """Outputs a constant (zeros by default) that still depends on a parameter."""

    def __init__(self, shape: tuple[int, ...], value: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.value = nn.Parameter(torch.full((), value))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(len(x), *self.shape) * 1.0


def labels(skewed: bool = False, n: int = N, c: int = C) -> Tensor:
    y = torch.arange(n) % c
    return torch.where(torch.arange(n) < n // 2, torch.zeros_like(y), y) if skewed else y


X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
T = 3.0 + 2.0 * torch.randn(N, 1, generator=torch.Generator().manual_seed(1))
BITS = (torch.arange(N) % 4 == 0).float().reshape(-1, 1)
W = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
IGNORING = torch.where(torch.arange(N) % 3 == 0, torch.tensor(-100), labels())
SOFT = F.one_hot(labels(), C).float() * 0.9 + 0.02
UNIFORM = torch.full((N, C), 1 / C)

# (name, loss, targets, output shape, the loss of zero scores worked out by hand)
CLOSED_FORMS = [
    ("balanced", nn.CrossEntropyLoss(), labels(), (C,), math.log(C)),
    ("imbalanced", nn.CrossEntropyLoss(), labels(True), (C,), math.log(C)),
    ("weights", nn.CrossEntropyLoss(weight=W), labels(True), (C,), math.log(C)),
    ("weights summed", nn.CrossEntropyLoss(weight=W, reduction="sum"), labels(), (C,), N * 3.0 * math.log(C)),
    ("sum", nn.CrossEntropyLoss(reduction="sum"), labels(), (C,), N * math.log(C)),
    ("none", nn.CrossEntropyLoss(reduction="none"), labels(), (C,), math.log(C)),
    ("smoothing", nn.CrossEntropyLoss(label_smoothing=0.1), labels(), (C,), math.log(C)),
    ("ignored", nn.CrossEntropyLoss(), IGNORING, (C,), math.log(C)),
    ("soft labels", nn.CrossEntropyLoss(), SOFT, (C,), math.log(C)),
    ("tokens", nn.CrossEntropyLoss(), labels().reshape(-1, 1).repeat(1, 7), (C, 7), math.log(C)),
    ("function", F.cross_entropy, labels(), (C,), math.log(C)),
    ("bce", nn.BCEWithLogitsLoss(), BITS, (1,), math.log(2)),
    ("bce summed", nn.BCEWithLogitsLoss(reduction="sum"), BITS, (1,), N * math.log(2)),
    # a quarter are positives and count five times: ln 2 (0.75 + 0.25 * 5)
    ("pos_weight", nn.BCEWithLogitsLoss(pos_weight=torch.tensor([5.0])), BITS, (1,), 2 * math.log(2)),
    ("multi-label", nn.MultiLabelSoftMarginLoss(), BITS.repeat(1, 3), (3,), math.log(2)),
    ("mse", nn.MSELoss(), T, (1,), float(T.var(correction=0) + T.mean() ** 2)),
    ("l1", nn.L1Loss(), T, (1,), float(T.abs().mean())),
    (
        "smooth l1",
        nn.SmoothL1Loss(),
        T,
        (1,),
        float(torch.where(T.abs() < 1, T**2 / 2, T.abs() - 0.5).mean()),
    ),
    (
        "huber",
        nn.HuberLoss(delta=2.0),
        T,
        (1,),
        float(torch.where(T.abs() < 2, T**2 / 2, 2 * (T.abs() - 1)).mean()),
    ),
    ("lambda mse", lambda o, t: ((o - t) ** 2).mean(), T, (1,), float((T**2).mean())),
]


@pytest.mark.parametrize(
    ("loss", "targets", "shape", "expected"), [c[1:] for c in CLOSED_FORMS], ids=[c[0] for c in CLOSED_FORMS]
)
def test_zero_scores_have_exactly_the_expected_loss(
    only: Only, loss: Any, targets: Tensor, shape: tuple[int, ...], expected: float
) -> None:
    result = only("initial-loss", Fixed(shape), loss, (X, targets))
    assert result.status == "pass", result.message
    assert result.evidence["expected"] == pytest.approx(expected, rel=1e-5)
    assert result.evidence["loss"] == pytest.approx(expected, rel=1e-5)


def test_nll_wants_log_probabilities(only: Only) -> None:
    model = nn.Sequential(Fixed((C,)), nn.LogSoftmax(1))
    result = only("initial-loss", model, nn.NLLLoss(weight=W), (X, labels()))
    assert (result.status, result.evidence["expected"]) == ("pass", pytest.approx(math.log(C)))


def test_bce_wants_probabilities(only: Only) -> None:
    result = only("initial-loss", nn.Sequential(Fixed((1,)), nn.Sigmoid()), nn.BCELoss(), (X, BITS))
    assert (result.status, result.evidence["expected"]) == ("pass", pytest.approx(math.log(2)))


def test_kl_divergence_from_uniform(only: Only) -> None:
    model = nn.Sequential(Fixed((C,)), nn.LogSoftmax(1))
    result = only("initial-loss", model, nn.KLDivLoss(reduction="batchmean"), (X, SOFT))
    by_hand = float((SOFT * (SOFT.log() - UNIFORM.log())).sum(1).mean())
    assert result.evidence["expected"] == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize(
    ("wrapper", "targets", "shape"),
    [
        (
            lambda o, t: F.cross_entropy(o.reshape(-1, C), t.reshape(-1)),
            labels().reshape(-1, 1).repeat(1, 6),
            (6, C),
        ),
        (
            lambda o, t: F.cross_entropy(o.transpose(1, 2), t, ignore_index=0),
            labels().reshape(-1, 1).repeat(1, 6),
            (6, C),
        ),
        (lambda o, t: -o.log_softmax(-1).gather(1, t[:, None]).mean(), labels(), (C,)),
    ],
    ids=["flattened", "padding ignored", "by hand"],
)
def test_a_wrapper_is_recognised_by_what_it_computes(only: Only, wrapper: Any, targets: Tensor, shape: Any) -> None:
    result = only("initial-loss", Fixed(shape), wrapper, (X, targets))
    assert result.evidence["kind"] == "cross-entropy"
    assert result.evidence["expected"] == pytest.approx(math.log(C))


class Scores(nn.Module):
    """Random scores of a given standard deviation, independent of the labels."""

    def __init__(self, std: float, width: int = C) -> None:
        super().__init__()
        self.std = nn.Parameter(torch.tensor(std))
        self.register_buffer("noise", torch.randn(4096, width, generator=torch.Generator().manual_seed(9)))

    def forward(self, x: Tensor) -> Tensor:
        return self.std * self.noise[: len(x)]


@pytest.mark.parametrize(
    ("std", "status"), [(0.1, "pass"), (1.0, "pass"), (3.0, "warn"), (8.0, "fail"), (300.0, "fail")]
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_overconfident_scores(only: Only, std: float, status: str, reduction: str) -> None:
    x, y = torch.zeros(2000, 4), labels(n=2000)
    assert only("initial-loss", Scores(std), nn.CrossEntropyLoss(reduction=reduction), (x, y)).status == status


@pytest.mark.parametrize(("std", "status"), [(0.5, "pass"), (3.0, "warn"), (8.0, "fail")])
def test_overconfident_binary_scores(only: Only, std: float, status: str) -> None:
    x, y = torch.zeros(2000, 4), (torch.arange(2000) % 2).float().reshape(-1, 1)
    assert only("initial-loss", Scores(std, 1), nn.BCEWithLogitsLoss(), (x, y)).status == status


def test_outputs_far_larger_than_the_targets(only: Only) -> None:
    x, t = torch.zeros(2000, 4), torch.randn(2000, 1)
    assert only("initial-loss", Scores(1.0, 1), nn.MSELoss(), (x, t)).status == "pass"
    assert only("initial-loss", Scores(20.0, 1), nn.MSELoss(), (x, t)).status == "fail"


def test_a_model_that_knows_the_answers_is_pointed_out(only: Only) -> None:
    y = labels()
    model = nn.Linear(C, C, bias=False)
    with torch.no_grad():
        model.weight.copy_(10 * torch.eye(C))
    result = only("initial-loss", model, nn.CrossEntropyLoss(), (F.one_hot(y, C).float(), y))
    assert result.status == "warn" and "pretrained" in " ".join(result.suggestions)


def test_a_prior_in_the_bias_is_not_a_leak(only: Only) -> None:
    y = labels(True)
    model = nn.Linear(4, C)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_((torch.bincount(y).double() / len(y)).log())
    assert only("initial-loss", model, nn.CrossEntropyLoss(), (X, y)).status == "pass"


def test_nan_fails(only: Only) -> None:
    assert only("initial-loss", Fixed((C,), math.nan), nn.CrossEntropyLoss(), (X, labels())).status == "fail"


def test_a_custom_loss_is_skipped_and_says_what_to_pass(only: Only) -> None:
    def mine(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().pow(1.7).mean()

    result = only("initial-loss", Fixed((1,)), mine, (X, T))
    assert result.status == "skip" and "expected_loss=" in result.message
    expected = float(T.abs().pow(1.7).mean())
    assert only("initial-loss", Fixed((1,)), mine, (X, T), expected_loss=expected).status == "pass"
    assert only("initial-loss", Fixed((1,)), mine, (X, T), expected_loss=expected / 10).status == "fail"
