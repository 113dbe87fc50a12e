"""Trainings that are unusual and legal: each is measured, counted and left as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step of a training loop."""
    optimizer.zero_grad()
    model(torch.randn(4, 6)).square().sum().backward()
    optimizer.step()


def measured(run: probes.Run, kind: str, layer: str) -> dict[int, float]:
    """Step -> value, where there is one."""
    series = run.layer_series(kind)
    column = series.values[:, series.layers.index(layer)]
    return {int(s): float(v) for s, v in zip(series.steps, column, strict=True) if not np.isnan(v)}


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, torch.float16])
def test_another_default_type_changes_no_measurement(default: torch.dtype, tmp_path: Path):
    torch.set_default_dtype(default)
    try:
        model = small().float()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with probes.watch(model, optimizer, tmp_path / "run", every=1):
            for _ in range(2):
                optimizer.zero_grad()
                model(torch.randn(4, 6, dtype=torch.float32)).square().sum().backward()
                optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    weight = model[0].weight.detach()
    run = probes.open_run(tmp_path / "run")
    assert measured(run, "weight_mean", "0.weight")[2] == pytest.approx(weight.mean().item(), rel=1e-4)
    assert measured(run, "weight_std", "0.weight")[2] == pytest.approx(weight.std(correction=0).item(), rel=1e-5)
    histogram = run.histograms("weight", "0.weight")
    assert histogram.counts[-1].sum() == 48
    assert measured(run, "activation_std", "0")[2] > 0
