"""The bound on the copies of the weights that a frame makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import probes
from probes.instrument.parameters import Copies

Measured = Callable[[probes.Run, str, str], dict[int, float]]


def test_what_does_not_fit_is_estimated_from_a_sample(
    tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Copies, "MOST_BYTES", 1 << 20)
    model = nn.Sequential(nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 200))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    updates: dict[str, list[float]] = {"0.weight": [], "2.weight": [], "0.bias": []}
    copied = []
    original = Copies.of
    monkeypatch.setattr(
        Copies, "of", lambda self, t: copied.append(sum(x.nbytes for x in t.values())) or original(self, t)
    )
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(8, 1000)).square().mean().backward()
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            optimizer.step()
            for name, values in updates.items():
                values.append((model.get_parameter(name).detach() - before[name]).norm().item())
    run = probes.open_run(tmp_path / "run")
    assert max(copied) <= 1 << 20
    assert list(measured(run, "update_norm", "0.bias").values()) == pytest.approx(updates["0.bias"], rel=1e-5)
    assert list(measured(run, "update_norm", "2.weight").values()) == pytest.approx(updates["2.weight"], rel=1e-5)
    assert list(measured(run, "update_norm", "0.weight").values()) == pytest.approx(updates["0.weight"], rel=0.1)
    assert measured(run, "update_ratio", "0.weight")[3] > 0
    assert run.histograms("update", "0.weight").counts[-1].sum() > 1000
    (note,) = run.model["notes"]
    assert "the updates of the 1 largest of 4 parameters are estimated from samples" in note


def test_a_model_that_fits_is_copied_whole():
    tensors = {n: torch.zeros(100) for n in range(5)}
    assert Copies().room_for(tensors) == set(range(5))
