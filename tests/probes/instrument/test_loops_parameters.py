"""Parameters of every kind: tied, frozen, added later, sparse, complex, and those that hold no numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes

Measured = Callable[[probes.Run, str, str], dict[int, float]]


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def loss_of(model: nn.Module, batch: int = 10) -> torch.Tensor:
    return nn.functional.cross_entropy(model(torch.randn(batch, 6)), torch.randint(3, (batch,)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(tokens))


def test_tied_parameters_appear_once(tmp_path: Path):
    model = Tied()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        optimizer.zero_grad()
        model(torch.tensor([[1, 2]])).sum().backward()
        optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("grad_norm").layers == ["embed.weight"]
    assert run.layer_series("activation_std").layers == ["embed", "head"]


def test_frozen_then_unfrozen_parameters(tmp_path: Path, measured: Measured):
    model = small()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for step in range(4):
            if step == 2:
                model[0].requires_grad_(True)
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "0.weight")) == [3, 4]
    assert list(measured(run, "update_norm", "0.weight")) == [3, 4]
    assert list(measured(run, "weight_norm", "0.weight")) == [0, 1, 2, 3, 4]
    assert list(measured(run, "activation_std", "0")) == [1, 2, 3, 4]  # its outputs belong to trained passes


def test_parameters_outside_the_optimizer_show_no_update(tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert measured(run, "update_norm", "0.weight") == {1: 0.0, 2: 0.0}
    assert measured(run, "update_norm", "2.weight")[2] > 0


def test_a_module_added_later_is_measured_from_then_on(tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for step in range(4):
            if step == 2:
                model.append(nn.Linear(3, 3))
                optimizer.add_param_group({"params": model[3].parameters()})
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "3.weight")) == [3, 4]
    assert list(measured(run, "update_norm", "3.weight")) == [3, 4]
    assert list(measured(run, "activation_std", "3")) == [3, 4]
    assert list(measured(run, "grad_norm", "0.weight")) == [1, 2, 3, 4]
    assert "3.weight" in [p["name"] for p in run.model["parameters"]]


def test_what_is_known_of_the_modules_outlives_a_group_of_parameters_that_is_added(tmp_path: Path):
    """A body that is thawed: the manifest is written anew."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=5) as probe:
        for step in range(20):
            if step == 10:
                optimizer.add_param_group({"params": model[0].parameters()})
            optimizer.zero_grad()
            sum(model(torch.randn(10, 3)).square().mean() for _ in range(2)).backward()
            optimizer.step()
            probe.log("train", loss=1.0)
    run = probes.open_run(tmp_path / "run")
    assert [group["parameters"] for group in run.manifest["optimizers"][0]["groups"]] == [
        ["2.weight", "2.bias"],
        ["0.weight", "0.bias"],
    ]
    assert [module["output_shape"] for module in run.model["modules"]] == [[10, 4], [10, 4], [10, 2]]
    assert [module["calls"] for module in run.model["modules"]] == [2, 2, 2]


def test_sparse_embeddings(tmp_path: Path, measured: Measured):
    model = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2))
    optimizer = torch.optim.SparseAdam([model[0].weight])
    dense = torch.optim.SGD(model[2].parameters(), lr=0.1)
    expected = []
    with probes.watch(model, [optimizer, dense], tmp_path / "run", every=1):
        for _ in range(3):
            model.zero_grad()
            model(torch.tensor([[1, 1, 2], [3, 1, 4]])).pow(2).sum().backward()
            expected.append(model[0].weight.grad.to_dense().norm().item())
            optimizer.step()
            dense.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "0.weight").values()) == pytest.approx(expected, rel=1e-5)
    assert measured(run, "update_norm", "0.weight")[3] > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_float_types(dtype: torch.dtype, tmp_path: Path, measured: Measured):
    model = small().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(10, 6, dtype=dtype)).square().sum().backward()
        expected = model[0].weight.grad.double().norm().item()
        optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert measured(run, "grad_norm", "0.weight")[1] == pytest.approx(expected, rel=1e-5)
    assert measured(run, "activation_std", "0")[1] > 0
    assert run.model["parameters"][0]["dtype"] == str(dtype).removeprefix("torch.")


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(4, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * self.mix, n=6)


def test_complex_parameters(tmp_path: Path, measured: Measured):
    model = Spectral()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(3, 6)).square().sum().backward()
        expected = model.mix.grad.norm().item()
        optimizer.step()
    assert measured(probes.open_run(tmp_path / "run"), "grad_norm", "mix")[1] == pytest.approx(expected, rel=1e-5)


def test_channels_last_weights_keep_their_filters(tmp_path: Path, measured: Measured):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).to(memory_format=torch.channels_last)
    weights = model[0].weight.detach().clone().contiguous().numpy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)).sum().backward()
        optimizer.step()
    run = probes.open_run(tmp_path / "run")
    np.testing.assert_array_equal(run.filters(0).weights, weights)
    assert measured(run, "weight_norm", "0.weight")[0] == pytest.approx(np.linalg.norm(weights), rel=1e-5)


def test_meta_quantised_and_lazy_parameters_are_named_and_left_out(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 3), nn.LazyLinear(2))
    model.codes = nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False)
    model.ghost = nn.Parameter(torch.zeros(3, device="meta"))
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model[0](torch.randn(2, 6)).sum().backward()
        optimizer.step()
    notes = " | ".join(probes.open_run(tmp_path / "run").model["notes"])
    for name in ("codes", "ghost", "1.weight"):
        assert f"{name} is not measured" in notes
