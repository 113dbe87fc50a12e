"""Trainings without a torch optimizer: their steps are told from what they log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import probes

Measured = Callable[[probes.Run, str, str], dict[int, float]]


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def in_place(parameter: torch.Tensor, change: torch.Tensor) -> None:
    with torch.no_grad():
        parameter -= change


def by_data(parameter: torch.Tensor, change: torch.Tensor) -> None:
    parameter.data.sub_(change)


def by_replacement(parameter: torch.Tensor, change: torch.Tensor) -> None:
    parameter.data = parameter.data - change


@pytest.mark.parametrize("change", [in_place, by_data, by_replacement])
@pytest.mark.parametrize("keep_gradients", [True, False])
def test_weights_changed_by_hand(change: Callable, keep_gradients: bool, tmp_path: Path, measured: Measured):
    model = small()
    updates, gradients, losses = [], [], []
    with probes.watch(model, run_dir=tmp_path / "run", every=2) as probe:
        probe.log("val", loss=3.0)
        for step in range(1, 9):
            model.zero_grad(set_to_none=step % 2 == 0)
            loss = model(torch.randn(10, 6)).square().mean()
            loss.backward()
            gradients.append(model[0].weight.grad.norm().item())
            updates.append(0.1 * gradients[-1])
            for parameter in model.parameters():
                change(parameter, 0.1 * parameter.grad)
            if not keep_gradients:
                model.zero_grad(set_to_none=False)
            losses.append(loss.item())
            probe.log("train", loss=loss)
            probe.log("train", accuracy=0.5)  # another number of the same step
            assert probe.step == step
        weights = model[0].weight.detach().norm().item()
        probe.log("val", loss=2.0)
        assert probe.step == 8
    run = probes.open_run(tmp_path / "run")
    assert run.series("train/loss").steps.tolist() == list(range(1, 9))
    assert run.series("train/loss").values.tolist() == pytest.approx(losses)
    assert run.series("train/accuracy").steps.tolist() == list(range(1, 9))
    assert run.series("val/loss").steps.tolist() == [0, 8]
    assert measured(run, "weight_norm", "0.weight")[8] == pytest.approx(weights)
    found = measured(run, "update_norm", "0.weight")
    assert found == pytest.approx({s: updates[s - 1] for s in (2, 4, 6, 8)}, rel=1e-4)
    if keep_gradients:
        found = measured(run, "grad_norm", "0.weight")
        assert found == pytest.approx({s: gradients[s - 1] for s in (1, 2, 4, 6, 8)}, rel=1e-5)
    else:
        assert "grad_norm" not in run.layer_kinds
    assert set(measured(run, "activation_grad_norm", "0")) == {1, 2, 4, 6, 8}
    assert any("no torch optimizer" in note for note in run.model["notes"])
    assert [e.kind for e in run.events] == ["steps-by-hand"]


def test_accumulation_before_the_first_step_is_no_step_by_hand(tmp_path: Path):
    model = small()
    probe = probes.watch(model, run_dir=tmp_path / "run", every=1)
    nn.init.zeros_(model[0].bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probe:
        for step in range(1, 4):
            for _ in range(5):
                loss = model(torch.randn(10, 6)).square().mean()
                loss.backward()
                probe.log("train", loss=loss)
            optimizer.step()
            assert probe.step == step
    assert probes.open_run(tmp_path / "run").events == []


@pytest.mark.parametrize("given", [True, False])
def test_a_training_without_steps_is_said_once(
    given: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, expects_complaints: None
):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer if given else None, tmp_path / "run") as probe:
        for _ in range(250):
            probe.log("train", loss=1.0)
        assert probe.step == 0
    (said,) = [r.getMessage() for r in caplog.records if r.name == "babysit"]
    assert "no optimizer has stepped the watched model in 100 rounds" in said
    assert ("give watch the optimizer" in said) == given


def test_weights_changed_by_hand_beside_a_given_optimizer_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, expects_complaints: None
):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run") as probe:
        for _ in range(5):
            model(torch.randn(10, 6)).square().mean().backward()
            for parameter in model.parameters():
                by_data(parameter, 0.1 * parameter.grad)
            probe.log("train", loss=1.0)
        optimizer.step()
        assert probe.step == 1
    (said,) = [r.getMessage() for r in caplog.records if r.name == "babysit"]
    assert "no optimizer has stepped the watched model: steps are not counted" in said


def test_a_failure_while_steps_are_told_from_log_calls_does_not_reach_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(self: object, names: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("probes.instrument.by_hand.StepsByHand.logged", broken)
    with probes.watch(nn.Linear(2, 1), run_dir=tmp_path / "run") as probe:
        for _ in range(3):
            probe.log("train", loss=1.0)
    assert len(probes.open_run(tmp_path / "run").series("train/loss")) > 0
    assert sum("broken on purpose" in record.getMessage() for record in caplog.records) == 1
