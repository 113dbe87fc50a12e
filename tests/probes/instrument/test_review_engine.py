"""Trainings that are unusual and legal: each is measured, counted and left as it is."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.instrument.guard import Guard


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
    assert probe.step == 20
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


def test_a_learning_rate_that_is_no_number(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for rate in (0.1, None, 0.1):
            optimizer.param_groups[1]["lr"] = 0.1
            optimizer.zero_grad()
            model(torch.randn(4, 6)).square().sum().backward()
            if rate is None:
                model[2].zero_grad()  # SGD itself does nothing with the group then
                optimizer.param_groups[1]["lr"] = None
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert run.series("optimizer/lr/0").steps.tolist() == [1, 2, 3]
    assert run.series("optimizer/lr/1").steps.tolist() == [1, 3]
    assert list(measured(run, "grad_norm", "0.weight")) == [1, 2, 3]


def test_a_failure_is_said_in_one_line_and_the_next_step_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, expects_complaints: None
):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def fail(*_: object) -> None:
        raise ValueError("made\nup")

    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        update(model, optimizer)
        with monkeypatch.context() as broken:
            broken.setattr(probe._engine._share, "update", fail, raising=False)
            update(model, optimizer)
        update(model, optimizer)
    (said,) = [r for r in caplog.records if r.name == "babysit" and r.levelno >= logging.WARNING]
    assert "ValueError: made up" in said.getMessage()
    assert said.exc_info is None
    run = probes.open_run(tmp_path / "run")
    assert run.series("optimizer/lr").steps.tolist() == [1, 2, 3]
    assert run.series("system/step_time").steps.tolist() == [3]  # a first step has no beginning


def test_a_guard_whose_depth_went_wrong_lets_nothing_out_and_recovers():
    errors: list[Exception] = []
    now = 0.0
    guard = Guard(errors.append, lambda: now)
    guard.__enter__()  # an interrupt came before the body
    with guard:
        raise ValueError("made up")
    assert len(errors) == 1
    with guard:
        guard.restart(now)
    now = 5.0
    assert guard.spent(now) == 0.0
    with guard:
        now = 7.0
    assert guard.spent(now) == 2.0


class Table(nn.Module):
    """Hands out its parameter as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(4, 6))

    def forward(self) -> torch.Tensor:
        return self.table


class WithTable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.net = Table(), small()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x + self.table())


def test_a_parameter_that_is_handed_out_keeps_no_hook(tmp_path: Path):
    model = WithTable()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            update(model, optimizer)
            assert not model.table.table._backward_hooks
    assert measured(probes.open_run(tmp_path / "run"), "activation_mean", "table")[3] > 0


def test_a_step_of_another_model_lists_the_parameters_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, other = small(), small()
    foreign = torch.optim.SGD(other.parameters(), lr=0.1)
    listed = 0
    original = model.named_parameters

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal listed
        listed += 1
        return original(*args, **kwargs)

    with probes.watch(model, None, tmp_path / "run") as probe:
        monkeypatch.setattr(model, "named_parameters", counted)
        for _ in range(10):
            update(other, foreign)
        assert listed == 1
        foreign.add_param_group({"params": model.parameters()})
        update(model, foreign)
        assert probe.step == 1


def test_a_watched_model_can_be_traced(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(4, 6)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        update(model, optimizer)
        traced = torch.jit.trace(model, inputs)
        assert torch.equal(traced(inputs), model(inputs))
        assert "index" not in str(traced.inlined_graph)
        update(model, optimizer)


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_parametrized_layers_are_watched_and_left_as_they_are(norm: object, tmp_path: Path):
    def train(watched_in: Path | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        model = small()
        norm(model[0])  # type: ignore[operator]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        probe = probes.watch(model, optimizer, watched_in, every=1) if watched_in else None
        for _ in range(3):
            update(model, optimizer)
        if probe is not None:
            probe.close()
        return model.state_dict()

    expected = train(None)
    found = train(tmp_path / "run")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert probes.open_run(tmp_path / "run").layer_series("activation_std").layers == ["0", "1", "2"]


@pytest.mark.parametrize("keep", ["probe = ", ""])
def test_a_run_that_nobody_closes_has_its_last_filters(keep: str, tmp_path: Path):
    script = textwrap.dedent(f"""
        import sys, torch, probes
        model = torch.nn.Linear(6, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        {keep}probes.watch(model, optimizer, sys.argv[1])
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(4, 6)).sum().backward()
            optimizer.step()
    """)
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, text=True, timeout=100
    )
    assert (result.returncode, result.stderr) == (0, "")
    run = probes.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.filters().step == 5
