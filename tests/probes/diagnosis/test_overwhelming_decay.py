"""Weight decay that nothing balances is told before the weights have vanished."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.rules.weight_decay_too_strong import Pull, criterion


def trained(run_dir, optimizer, steps=24, clip=None, rules=("weight-decay-too-strong",)):
    torch.manual_seed(0)
    labels = torch.arange(256) % 8
    rows = torch.randn(8, 16)[labels] + torch.randn(256, 16)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 8))
    chosen = optimizer(model.parameters())
    with probes.watch(model, chosen, run_dir=run_dir, every=4) as probe:
        for step in range(steps):
            batch = slice(32 * (step % 8), 32 * (step % 8) + 32)
            loss = nn.functional.cross_entropy(model(rows[batch]), labels[batch])
            chosen.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            chosen.step()
            probe.log("train", loss=loss)
    return [finding.rule for finding in probes.diagnose(run_dir, list(rules)).findings]


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        (lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=20.0), True),
        (lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=1.0), True),
        (lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-3), False),
        (lambda p: torch.optim.SGD(p, lr=1e-6, weight_decay=20.0), False),  # it pulls, and takes nothing away
    ],
)
def test_a_decay_that_nothing_balances_is_told_within_24_steps(optimizer, told, tmp_path):
    assert bool(trained(tmp_path / "run", optimizer)) == told


@pytest.mark.parametrize("clip", [1e-6, None])
def test_a_gradient_that_is_clipped_to_nothing_is_not_the_fault_of_the_decay(clip, tmp_path):
    rules = ("weight-decay-too-strong", "learning-rate-too-low")
    said = trained(tmp_path / "run", lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.02), 200, clip, rules)
    assert said == (["learning-rate-too-low"] if clip is not None else [])


@pytest.mark.parametrize(
    ("ratio", "left", "share", "told"),
    [(20.0, 0.35, 0.3, True), (20.0, 0.35, 0.55, False), (20.0, 0.8, 0.3, False), (9.0, 0.35, 0.3, False)],
)
def test_a_decay_that_nothing_balances_may_leave_a_little_to_learn(ratio, left, share, told):
    frames = np.array([1, 10, 50, 100, 200])
    pull = Pull(frames, np.full(5, ratio), 12.0 * np.linspace(1.0, left, 5), 12.0, energy=1e-3, decay=5.0, apart=False)
    assert criterion(pull, share, loss=0.7) == told
