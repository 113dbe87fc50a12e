"""Which optimizers are followed, which of their steps count, and the names and values of their learning rates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import probes
from probes.instrument.rates import LearningRates

Measured = Callable[[probes.Run, str, str], dict[int, float]]


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step of a training loop."""
    optimizer.zero_grad()
    model(torch.randn(4, 6)).square().sum().backward()
    optimizer.step()


def test_every_step_of_an_optimizer_made_anew_counts(tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for rate in (0.1, 0.05, 0.025):
            optimizer = torch.optim.SGD(model.parameters(), lr=rate)
            for _ in range(4):
                update(model, optimizer)
        assert probe.step == 12
    run = probes.open_run(tmp_path / "run")
    rates = run.series("optimizer/lr")
    assert rates.steps.tolist() == list(range(1, 13))
    assert rates.values.tolist() == [0.1] * 4 + [0.05] * 4 + [0.025] * 4
    # What the first step of each changed was not seen beforehand.
    assert list(measured(run, "update_norm", "0.weight")) == [2, 3, 4, 6, 7, 8, 10, 11, 12]


def test_one_of_several_optimizers_made_anew_keeps_its_place(tmp_path: Path):
    model = small()
    first, second = (torch.optim.SGD(model[i].parameters(), lr=r) for i, r in ((0, 0.1), (2, 0.2)))
    with probes.watch(model, [first, second], tmp_path / "run") as probe:
        for rate in (0.1, 0.05):
            first = torch.optim.SGD(model[0].parameters(), lr=rate)
            for _ in range(3):
                model(torch.randn(4, 6)).square().sum().backward()
                first.step()
                second.step()
        assert probe.step == 6
    run = probes.open_run(tmp_path / "run")
    assert run.series("optimizer/lr/0").values.tolist() == [0.1] * 3 + [0.05] * 3
    assert run.series("optimizer/lr/1").values.tolist() == [0.2] * 6


def test_a_group_added_later_leaves_the_names_alone(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run"):
        for step in range(4):
            if step == 2:
                optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.5})
            update(model, optimizer)
    run = probes.open_run(tmp_path / "run")
    assert [n for n in run.series_names if "lr" in n] == ["optimizer/lr", "optimizer/lr/1"]
    assert run.series("optimizer/lr").steps.tolist() == [1, 2, 3, 4]
    assert run.series("optimizer/lr/1").steps.tolist() == [3, 4]
    assert run.series("optimizer/lr/1").values.tolist() == [0.5, 0.5]
    assert [g["parameters"] for g in run.manifest["optimizers"][0]["groups"]] == [
        ["0.weight", "0.bias"],
        ["2.weight", "2.bias"],
    ]


class Wrapper(torch.optim.Optimizer):
    """Does something beside the steps of the optimizer it is built on, as sharpness-aware or look-ahead ones do."""

    def __init__(self, base: torch.optim.Optimizer) -> None:
        super().__init__(base.param_groups, {})
        self.base = base

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        self.base.step()


@pytest.mark.parametrize("given", ["both", "base first", "wrapper", "base", "none"])
def test_a_wrapper_and_its_base_are_one_optimizer(given: str, tmp_path: Path, measured: Measured):
    model = small()
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = Wrapper(base)
    followed = {
        "both": [wrapper, base], "base first": [base, wrapper], "wrapper": wrapper, "base": base, "none": None
    }[given]  # fmt: skip
    with probes.watch(model, followed, tmp_path / "run", every=1) as probe:
        for _ in range(4):
            update(model, wrapper)
        assert probe.step == 4
    run = probes.open_run(tmp_path / "run")
    (name,) = [n for n in run.series_names if "lr" in n]
    assert run.series(name).values.tolist() == [0.1] * 4
    assert list(measured(run, "update_norm", "0.weight")) == [1, 2, 3, 4]
    assert list(measured(run, "grad_norm", "0.weight")) == [1, 2, 3, 4]


def test_a_rate_on_a_device_is_not_waited_for():
    """A tensor on the meta device stands in: to read its value raises."""
    rate = torch.tensor(0.1, device="meta")
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=0.1)
    optimizer.param_groups[0]["lr"] = rate
    optimizer.param_groups[1]["lr"] = torch.tensor(0.25)
    host, device, new = LearningRates().read([optimizer])
    assert host == {"optimizer/lr/1": 0.25, "optimizer/lr/2": 0.1}
    assert device["optimizer/lr/0"].device.type == "meta"
    assert new


@pytest.mark.parametrize("given", [True, False])
def test_two_optimizers_have_frames_at_the_cadence_and_no_others(given: bool, tmp_path: Path, measured: Measured):
    model = small()
    optimizers = [torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2)]
    expected: dict[str, dict[int, float]] = {"0.weight": {}, "2.weight": {}}
    with probes.watch(model, optimizers if given else None, tmp_path / "run", every=5) as probe:
        for step in range(1, 23):
            model.zero_grad()
            model(torch.randn(4, 6)).square().sum().backward()
            for name, gradients in expected.items():
                if step == 1 or step % 5 == 0:
                    gradients[step] = model.get_parameter(name).grad.norm().item()
            for optimizer in optimizers:
                optimizer.step()
        assert probe.step == 22
    if not given:  # the first frame ended with the first optimizer found
        del expected["2.weight"][1]
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("weight_norm").steps.tolist() == [0, 1, 5, 10, 15, 20]
    for name, gradients in expected.items():
        assert measured(run, "grad_norm", name) == pytest.approx(gradients, rel=1e-5)
        assert list(measured(run, "update_norm", name)) == list(gradients)
    assert list(measured(run, "activation_grad_norm", "0")) == [1, 5, 10, 15, 20]


def test_optimizers_that_step_inside_the_backward_pass(tmp_path: Path, measured: Measured):
    """One for each parameter, stepped as soon as its gradient is there."""
    model = small()
    optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in model.parameters()}

    def step(parameter: torch.Tensor) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    with probes.watch(model, run_dir=tmp_path / "run", every=1) as probe:
        for _ in range(4):
            model(torch.randn(4, 6)).square().sum().backward()
        assert probe.step == 4
    run = probes.open_run(tmp_path / "run")
    for name in ("0.weight", "2.bias"):
        assert {2, 3, 4} <= set(measured(run, "update_norm", name))
        assert min(measured(run, "update_norm", name).values()) > 0
    assert {2, 3, 4} <= set(measured(run, "activation_grad_norm", "0"))
