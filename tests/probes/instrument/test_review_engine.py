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


class Careful(torch.optim.SGD):
    """Derived from an optimizer and calling its step, as people do."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        super().step()
        if self.param_groups[0].get("fails"):
            raise ArithmeticError("made up")


@pytest.mark.parametrize("given", [True, False])
def test_a_derived_optimizer_counts_once_also_after_a_step_that_raised(given: bool, tmp_path: Path):
    model = small()
    torch.optim.SGD(model.parameters(), lr=0.1)  # from now on torch wraps the step of SGD as well
    optimizer = Careful(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer if given else None, tmp_path / "run", every=1) as probe:
        for _ in range(3):
            update(model, optimizer)
        assert probe.step == 3
        optimizer.param_groups[0]["fails"] = True
        with pytest.raises(ArithmeticError):
            update(model, optimizer)
        optimizer.param_groups[0]["fails"] = False
        for _ in range(3):
            update(model, optimizer)
        assert probe.step == 6
    steps = list(measured(probes.open_run(tmp_path / "run"), "update_norm", "0.weight"))
    assert steps[:3] + steps[-2:] == [1, 2, 3, 5, 6]


@pytest.mark.parametrize("given", [True, False])
def test_optimizers_used_one_after_the_other(given: bool, tmp_path: Path):
    model = small()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1), torch.optim.Adam(model.parameters(), lr=0.01)]
    with probes.watch(model, optimizers if given else None, tmp_path / "run", every=1) as probe:
        for optimizer in optimizers:
            for _ in range(20):
                update(model, optimizer)
        assert probe.step == 40
    run = probes.open_run(tmp_path / "run")
    assert set(measured(run, "update_norm", "0.weight")) >= {*range(1, 20), *range(21, 40)}


def test_an_optimizer_made_anew_takes_the_place_of_the_old(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for rate in (0.1, 0.05):
            optimizer = torch.optim.SGD(model.parameters(), lr=rate)
            for _ in range(10):
                update(model, optimizer)
    assert probe.step >= 18  # one step of each is needed to tell
    run = probes.open_run(tmp_path / "run")
    assert set(run.series("optimizer/lr").values.tolist()) == {0.1, 0.05}
    assert measured(run, "update_norm", "0.weight")[probe.step] > 0
    assert not optimizer._optimizer_step_pre_hooks


def test_a_foreign_optimizer_is_not_followed(tmp_path: Path):
    model, other = small(), small()
    optimizer, foreign = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, other))
    with probes.watch(model, None, tmp_path / "run") as probe:
        for _ in range(3):
            update(other, foreign)
            update(model, optimizer)
            update(other, foreign)
        assert probe.step == 3


class Composite(torch.optim.Optimizer):
    """An optimizer made of others, of which torch knows nothing."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {"lr": 0.1})
        self.parts = parts

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()


@pytest.mark.parametrize("given", ["whole", "parts", "none"])
def test_an_optimizer_made_of_others(given: str, tmp_path: Path):
    model = small()
    whole = Composite([torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.SGD(model[2].parameters(), lr=0.1)])
    followed = {"whole": whole, "parts": whole.parts, "none": None}[given]
    with probes.watch(model, followed, tmp_path / "run", every=1) as probe:
        for _ in range(4):
            update(model, whole)
        assert probe.step == 4
    run = probes.open_run(tmp_path / "run")
    for layer in ("0.weight", "2.weight"):
        assert list(measured(run, "update_norm", layer)) == [1, 2, 3, 4]
