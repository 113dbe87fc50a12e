"""PyTorch's own warning of outputs and targets of different sizes becomes an event of the run, and a finding."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import probes

ROWS = 32


@pytest.fixture(autouse=True)
def as_in_a_program():
    """Warnings as Python handles them outside of tests: printed once for a place, and kept there."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("default")
        for module in (globals(), vars(torch.nn.modules.loss)):
            module.pop("__warningregistry__", None)
        yield


def trained(
    run_dir: Path, loss: Callable[[Tensor, Tensor], Tensor], shape: Callable[[Tensor], Tensor], outputs: int = 1
) -> probes.Run:
    """A regression of 20 steps, whose targets [32] are given ``shape``."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 4)
    values = inputs @ torch.randn(4)
    model = nn.Linear(4, outputs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with probes.watch(model, optimizer, run_dir, every=5) as probe:
        for _ in range(20):
            rows = torch.randint(0, 256, (ROWS,))
            error = loss(model(inputs[rows]), shape(values[rows]))
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            probe.log("train", loss=error)
    return probes.open_run(run_dir)


def told(run: probes.Run) -> list[str]:
    return [f.message for f in probes.diagnose(run).findings if f.rule == "loss-output-mismatch"]


@pytest.mark.parametrize("loss", [nn.HuberLoss(), nn.functional.smooth_l1_loss, nn.MSELoss(), nn.functional.l1_loss])
def test_outputs_beside_a_row_of_targets_are_told_from_the_first_frame_on(loss, tmp_path: Path):
    run = trained(tmp_path / "run", loss, lambda row: row)
    (event,) = [event for event in run.events if event.kind == "size-warning"]
    assert event.step <= 5
    assert "torch.Size([32, 1])" in event.message
    (message,) = told(run)
    assert "[32, 1]" in message and "combined to [32, 32]" in message


def test_sizes_that_agree_are_not(tmp_path: Path):
    run = trained(tmp_path / "run", nn.HuberLoss(), lambda row: row[:, None])
    assert [event.kind for event in run.events if event.kind == "size-warning"] == []
    assert told(run) == []


def test_a_warning_from_before_the_probe_is_another_programs(tmp_path: Path):
    loss = nn.HuberLoss()
    loss(torch.zeros(ROWS, 1), torch.zeros(ROWS))
    assert any(str(key[0]).startswith("Using a target size") for key in _kept() if isinstance(key, tuple))
    run = trained(tmp_path / "run", loss, lambda row: row)
    assert [event.kind for event in run.events if event.kind == "size-warning"] == []


def _kept() -> dict[object, object]:
    """What Python remembers to have warned of in the module of the losses."""
    return vars(torch.nn.modules.loss)["__warningregistry__"]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda row: row[:1], id="one target for all"),
        pytest.param(lambda row: row[None, :], id="pairs, by an axis of one's own"),
    ],
)
def test_what_a_program_may_mean_is_an_event_and_no_finding(shape, tmp_path: Path):
    run = trained(tmp_path / "run", nn.HuberLoss(), shape)
    assert [event.kind for event in run.events if event.kind == "size-warning"] == ["size-warning"]
    assert told(run) == []


def test_the_filters_and_what_is_printed_stay_as_they_were(tmp_path: Path):
    filters, show = list(warnings.filters), warnings.showwarning
    with pytest.warns(UserWarning, match="Using a target size"):
        trained(tmp_path / "run", nn.HuberLoss(), lambda row: row)
    assert (list(warnings.filters), warnings.showwarning) == (filters, show)
