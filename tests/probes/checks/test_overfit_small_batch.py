"""Overfitting a few examples: what can be learned by heart passes, what cannot does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Only = Callable[..., Any]
Data = tuple[Tensor, Tensor]
SLUG = "overfit-small-batch"


def test_an_mlp_learns_twenty_examples(only: Only, mlp: Any, classification: Data) -> None:
    result = only(SLUG, mlp(), nn.CrossEntropyLoss(), classification)
    assert result.status == "pass"
    assert result.evidence["examples"] == 20 and result.evidence["accuracy"] == 1.0
    curve = result.evidence["curves"][-1]
    assert len(curve["loss"]) == len(curve["accuracy"]) > 5
    assert curve["loss"][-1] < 0.05 * curve["loss"][0]


def test_random_labels_are_learned_by_heart_too(only: Only, mlp: Any) -> None:
    data = torch.randn(64, 8), torch.randint(0, 3, (64,))
    assert only(SLUG, mlp(hidden=64), nn.CrossEntropyLoss(), data).status == "pass"


def test_weight_decay_and_dropout_are_off(only: Only, classification: Data) -> None:
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.95), nn.Linear(32, 3))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e3)
    assert only(SLUG, model, nn.CrossEntropyLoss(), classification, optimizer=optimizer).status == "pass"


def test_a_model_that_does_not_see_its_input_fails(only: Only, classification: Data) -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(torch.zeros_like(x))

    result = only(SLUG, Blind(), nn.CrossEntropyLoss(), classification)
    assert result.status == "fail" and result.evidence["share_left"] > 0.9


def test_symmetric_weights_do_not_pass(only: Only, mlp: Any) -> None:
    model = mlp(hidden=8)
    for p in model.parameters():
        nn.init.constant_(p, 0.1)
    data = torch.randn(64, 8), torch.randint(0, 3, (64,))
    assert only(SLUG, model, nn.CrossEntropyLoss(), data).status in ("warn", "fail")


def test_regression_counts_from_the_best_constant(only: Only, mlp: Any) -> None:
    x = torch.randn(64, 8)
    t = 100.0 + x[:, :1]
    model = mlp(out=1)
    with torch.no_grad():
        model[-1].bias.fill_(100.0)
    result = only(SLUG, model, nn.MSELoss(), (x, t))
    assert result.status == "pass"
    chosen = t[:20]
    assert abs(result.evidence["loss_constant"] - float(chosen.var(correction=0))) < 1e-3


def test_label_smoothing_and_soft_targets_have_a_floor(only: Only, mlp: Any, classification: Data) -> None:
    x, y = classification
    smoothed = only(SLUG, mlp(), nn.CrossEntropyLoss(label_smoothing=0.2), (x, y))
    q = torch.tensor([0.8 + 0.2 / 3, 0.2 / 3, 0.2 / 3])
    assert smoothed.status == "pass"
    assert abs(smoothed.evidence["loss_floor"] - float(-(q * q.log()).sum())) < 1e-5
    soft = 0.1 + 0.8 * torch.rand(64, 8)
    auto = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8))
    result = only(SLUG, auto, nn.BCEWithLogitsLoss(), (x, soft))
    assert result.status == "pass", result.message
    assert result.evidence["loss_floor"] > 0.3


def test_every_class_comes_twice(only: Only, classification: Data) -> None:
    x, _ = classification
    y = torch.zeros(64, dtype=torch.long)
    y[-2:], y[10:12] = 1, 2  # two rare classes
    seen: list[Tensor] = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(targets)
        return F.cross_entropy(outputs, targets)

    assert only(SLUG, nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)), loss, (x, y)).status == "pass"
    small = next(t for t in reversed(seen) if len(t) <= 20)
    assert torch.bincount(small).tolist() == [16, 2, 2]


def test_contradicting_examples_are_left_out(only: Only, mlp: Any) -> None:
    x = torch.randn(32, 8).repeat(2, 1)
    y = torch.cat([torch.zeros(32), torch.ones(32)]).long()
    assert only(SLUG, mlp(), nn.CrossEntropyLoss(), (x, y)).status == "pass"


def test_a_custom_loss_is_judged_by_its_fall(only: Only, mlp: Any) -> None:
    x = torch.randn(64, 8)

    def mine(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().pow(1.7).mean()

    assert only(SLUG, mlp(out=1), mine, (x, x[:, :1])).status == "pass"


def test_a_linear_model_with_few_parameters_gets_fewer_examples(only: Only) -> None:
    x = torch.randn(64, 10)
    result = only(SLUG, nn.Linear(10, 1), nn.MSELoss(), (x, torch.randn(64, 1)))
    assert result.status == "pass", result.message
    assert result.evidence["examples"] == 5


def test_out_of_time_is_a_warning_that_says_so(only: Only, mlp: Any, classification: Data) -> None:
    ticks = iter(range(10**6))
    result = only(SLUG, mlp(), nn.CrossEntropyLoss(), classification, budget=60.0, clock=lambda: float(next(ticks)))
    assert result.status == "warn" and "time ran out" in result.message


def test_frozen_models_are_skipped(only: Only, mlp: Any, classification: Data) -> None:
    assert only(SLUG, mlp().requires_grad_(False), nn.CrossEntropyLoss(), classification).status == "skip"
