"""A mean squared error that begins far above that of answering 0."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes


def said(run_dir, size, steps=40, rate=1e-3):
    """The severities after 40 steps on standardised targets; the last layer begins ``size`` times larger."""
    torch.manual_seed(0)
    rows = torch.randn(256, 8)
    targets = (rows @ torch.randn(8, 1)) / 8**0.5
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    with torch.no_grad():
        model[2].weight *= size
    loss_fn, optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=rate)
    with probes.watch(model, optimizer, loss_fn=loss_fn, run_dir=run_dir, every=10) as probe:
        for step in range(steps):
            batch = slice(32 * (step % 8), 32 * (step % 8) + 32)
            loss = loss_fn(model(rows[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return [finding.severity for finding in probes.diagnose(run_dir, ["unexpected-initial-loss"]).findings]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": 100}, ["warning"]),
        ({"size": 100, "steps": 20}, ["info"]),  # it may come down yet
        ({"size": 100, "rate": 0.3, "steps": 200}, ["info"]),  # it has
        ({"size": 1}, []),
        ({"size": 10}, []),  # several times the targets, as inputs in their own units give
    ],
)
def test_outputs_ten_times_as_large_as_the_targets(options, expected, tmp_path):
    assert said(tmp_path / "run", **options) == expected
