"""Schedules against PyTorch's own, and warm-up against its definition."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.optim import lr_scheduler

from trainer.schedules import SCHEDULES, set_learning_rates

EPOCHS, STEPS = 8, 10


def ours(name: str, **options) -> list[float]:
    schedule = SCHEDULES[name].make(EPOCHS, **options)
    return [schedule(step, STEPS) for step in range(EPOCHS * STEPS)]


def torchs(make, per_step: bool) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for step in range(EPOCHS * STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if per_step or (step + 1) % STEPS == 0:
            scheduler.step()
    return rates


def test_step():
    expected = torchs(lambda o: lr_scheduler.MultiStepLR(o, [4, 6], gamma=0.1), per_step=False)
    assert ours("step", milestones=(0.5, 0.75), gamma=0.1) == pytest.approx(expected)


def test_exponential():
    expected = torchs(lambda o: lr_scheduler.ExponentialLR(o, 0.7), per_step=False)
    assert ours("exponential", gamma=0.7) == pytest.approx(expected)


def test_cosine_by_step():
    expected = torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * STEPS, eta_min=0.1), per_step=True)
    assert ours("cosine", final=0.1) == pytest.approx(expected)


def test_cosine_by_epoch():
    expected = torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS), per_step=False)
    assert ours("cosine", stepped="epoch") == pytest.approx(expected)


def test_constant():
    assert set(ours("constant")) == {1.0}


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_rises_evenly_and_then_hands_over(name):
    factors = ours(name, warmup=1.5)
    rising = factors[:16]
    assert 0 < rising[0] < 0.1
    assert all(b - a == pytest.approx(rising[0]) for a, b in pairwise(rising[:15]))
    assert max(factors) <= 1.0 + 1e-12


def test_learning_rates_of_all_groups_are_set_from_their_own():
    a, b = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 0.1}])
    for factor in (0.5, 0.25):
        set_learning_rates(optimizer, factor)
        assert [g["lr"] for g in optimizer.param_groups] == [factor, 0.1 * factor]
