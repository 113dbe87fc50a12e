"""Validation inputs that are prepared otherwise than those of the training: told at the second validation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.signs.prepared import prepared_differently
from probes.diagnosis.view import RunView


def net(*more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 64), *more, nn.ReLU(), nn.Linear(64, 8))


def trained(run_dir, model, shift, rate=0.01, steps=24):
    """24 steps, with validations before the first one and at the last; validation inputs are moved by ``shift``."""
    torch.manual_seed(0)
    centres = torch.randn(8, 16)
    labels = torch.arange(256) % 8
    rows, others = (centres[labels] + 0.3 * torch.randn(256, 16) for _ in range(2))
    seen = others + shift * torch.randn(16)  # as what still has its means lies beside standardised rows
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    with probes.watch(model, optimizer, run_dir=run_dir, every=10) as probe:
        for step in range(steps + 1):
            if step in (0, steps):
                model.eval()
                with torch.no_grad():
                    probe.log("val", loss=nn.functional.cross_entropy(model(seen), labels))
                model.train()
            if step < steps:
                batch = slice(32 * (step % 8), 32 * (step % 8) + 32)
                loss = nn.functional.cross_entropy(model(rows[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    return RunView.of_run(probes.open_run(run_dir))


def test_inputs_on_another_scale_are_told_at_the_second_validation(tmp_path):
    seen = prepared_differently(trained(tmp_path / "run", net(), 40))
    assert seen is not None
    assert seen.start > 2 * seen.train_start
    (finding,) = probes.diagnose(tmp_path / "run", ["no-generalization"]).findings
    assert finding.severity == "warning"
    assert "not prepared as those of the training" in finding.message


@pytest.mark.parametrize(
    ("more", "shift", "rate"),
    [
        ((), 0, 0.01),
        ((), 40, 0.0),  # nothing is learned: other inputs, but no harm yet
        ((nn.BatchNorm1d(64),), 40, 0.01),  # in validation another net: nothing can be told so early
    ],
)
def test_inputs_on_the_same_scale_nets_at_rest_and_other_nets_are_not(more, shift, rate, tmp_path):
    assert prepared_differently(trained(tmp_path / "run", net(*more), shift, rate)) is None
