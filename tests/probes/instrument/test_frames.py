"""What a frame records, against an obvious twin: hooks of its own, float64 NumPy, no sampling."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes import buckets
from probes.instrument.filters import arrange, next_snapshot

STEPS = 4


class Twin:
    """Measures the slow way: keeps everything, computes in float64."""

    def __init__(self, model: nn.Module) -> None:
        self.activations: dict[str, np.ndarray] = {}
        self.gradients: dict[str, np.ndarray] = {}
        for name, module in model.named_modules():
            if not list(module.children()):
                module.register_forward_hook(self._hook(name))

    def _hook(self, name: str):
        def hook(module: nn.Module, args: object, output: torch.Tensor) -> None:
            self.activations[name] = output.detach().clone().double().numpy()
            output.register_hook(lambda g: self.gradients.__setitem__(name, g.clone().double().numpy()))

        return hook


@pytest.fixture
def trained(tmp_path: Path) -> dict[str, object]:
    """A small net trained for four steps with a frame at each, and what the twin saw at the last one."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Linear(4 * 36, 12), nn.Tanh(), nn.Linear(12, 5), nn.Sigmoid(),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    inputs, targets = torch.randn(20, 2, 6, 6) * 3 + 1, torch.rand(20, 5)
    twin = Twin(model)
    seen: dict[str, object] = {"initial": [p.detach().double().numpy().copy() for p in model.parameters()]}
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for _ in range(STEPS):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            seen["before"] = [p.detach().double().numpy().copy() for p in model.parameters()]
            seen["grads"] = [p.grad.double().numpy().copy() for p in model.parameters()]
            optimizer.step()
            probe.log("train", loss=0.0)
    seen["after"] = [p.detach().double().numpy().copy() for p in model.parameters()]
    return seen | {"run": probes.open_run(tmp_path / "run"), "twin": twin, "model": model, "inputs": inputs}


def last(run: probes.Run, kind: str) -> dict[str, float]:
    series = run.layer_series(kind)
    assert series.steps[-1] == STEPS
    return dict(zip(series.layers, series.values[-1].tolist(), strict=True))


def test_norms_of_weights_gradients_and_updates(trained):
    names = [n for n, _ in trained["model"].named_parameters()]
    weight, grad = last(trained["run"], "weight_norm"), last(trained["run"], "grad_norm")
    update, ratio = last(trained["run"], "update_norm"), last(trained["run"], "update_ratio")
    assert list(weight) == names
    for i, name in enumerate(names):
        after, change = trained["after"][i], trained["after"][i] - trained["before"][i]
        size = np.linalg.norm(after.ravel())
        assert weight[name] == pytest.approx(size, rel=1e-5)
        assert grad[name] == pytest.approx(np.linalg.norm(trained["grads"][i].ravel()), rel=1e-5)
        assert update[name] == pytest.approx(np.linalg.norm(change.ravel()), rel=1e-4, abs=1e-9)
        assert ratio[name] == pytest.approx(np.linalg.norm(change.ravel()) / size, rel=1e-4, abs=1e-9)


def test_statistics_of_weights_and_gradients(trained):
    run = trained["run"]
    for prefix, tensors in (("weight", trained["after"]), ("grad", trained["grads"])):
        means, stds = last(run, f"{prefix}_mean"), last(run, f"{prefix}_std")
        for (name, _), values in zip(trained["model"].named_parameters(), tensors, strict=True):
            assert means[name] == pytest.approx(values.mean(), rel=1e-4, abs=1e-6 * values.std() + 1e-12)
            assert stds[name] == pytest.approx(values.std(), rel=1e-3, abs=1e-10)
    for i, (name, _) in enumerate(trained["model"].named_parameters()):
        assert last(run, "weight_min")[name] == pytest.approx(trained["after"][i].min())
        assert last(run, "weight_max")[name] == pytest.approx(trained["after"][i].max())
        assert last(run, "grad_max_abs")[name] == pytest.approx(np.abs(trained["grads"][i]).max())
        assert last(run, "weight_nonfinite")[name] == last(run, "grad_nonfinite")[name] == 0


def test_statistics_of_outputs_and_their_gradients(trained):
    run, twin = trained["run"], trained["twin"]
    measured = last(run, "activation_mean")
    assert list(measured) == ["0", "1", "2", "4", "5", "6", "7"]  # Flatten only hands on
    for name in measured:
        values, gradient = twin.activations[name], twin.gradients[name]
        assert measured[name] == pytest.approx(values.mean(), rel=1e-4, abs=1e-6)
        assert last(run, "activation_std")[name] == pytest.approx(values.std(), rel=1e-4)
        assert last(run, "activation_max_abs")[name] == pytest.approx(np.abs(values).max(), rel=1e-6)
        assert last(run, "zero_fraction")[name] == pytest.approx((values == 0).mean(), abs=1e-6)
        assert last(run, "activation_grad_norm")[name] == pytest.approx(np.linalg.norm(gradient.ravel()), rel=1e-4)
        assert last(run, "activation_grad_std")[name] == pytest.approx(gradient.std(), rel=1e-3)
        variation = np.sqrt(values.var(axis=0).mean() / values.var())
        assert last(run, "batch_variation")[name] == pytest.approx(variation, rel=1e-4)
    saturated = last(run, "saturated_fraction")
    assert saturated["5"] == pytest.approx((np.abs(twin.activations["5"]) > 0.95).mean(), abs=0.02)
    assert saturated["7"] == pytest.approx((np.abs(twin.activations["7"] - 0.5) > 0.475).mean(), abs=0.02)
    assert np.isnan(saturated["0"])


def test_histograms_count_the_same_values(trained):
    run, twin = trained["run"], trained["twin"]
    names = [n for n, _ in trained["model"].named_parameters()]
    expected = {("activation", n): v for n, v in twin.activations.items() if n != "3"}
    expected |= {("activation_gradient", n): v for n, v in twin.gradients.items() if n != "3"}
    for i, name in enumerate(names):
        expected[("weight", name)] = trained["after"][i]
        expected[("gradient", name)] = trained["grads"][i]
    for (kind, name), values in expected.items():
        found = run.histograms(kind, name)
        assert found.steps[-1] == STEPS
        np.testing.assert_array_equal(found.edges, buckets.EDGES)
        counts, _ = buckets.histogram(values.astype(np.float32))
        np.testing.assert_array_equal(found.counts[-1], counts, err_msg=f"{kind} {name}")


def test_updates_keep_their_sign(trained):
    for i, (name, _) in enumerate(trained["model"].named_parameters()):
        change = trained["after"][i] - trained["before"][i]
        counts = trained["run"].histograms("update", name).counts[-1]
        middle = buckets.BINS // 2
        assert counts[middle + 1 :].sum() == (change >= 2.0**-32).sum()
        assert counts[:middle].sum() == (change <= -(2.0**-32)).sum()


def test_the_input_as_the_net_sees_it(trained):
    channels = trained["inputs"].double().movedim(1, 0).reshape(2, -1).numpy()
    series = trained["run"].layer_series("input_mean")
    assert series.layers == ["0", "1"]
    assert series.values[-1] == pytest.approx(channels.mean(1), rel=1e-5)
    for kind, expected in (("std", channels.std(1)), ("min", channels.min(1)), ("max", channels.max(1))):
        assert list(last(trained["run"], f"input_{kind}").values()) == pytest.approx(expected.tolist(), rel=1e-5)


def test_the_first_frame_holds_the_weights_before_training(trained):
    series = trained["run"].layer_series("weight_norm")
    assert series.steps.tolist() == [0, 1, 2, 3, 4]
    expected = [np.linalg.norm(w.ravel()) for w in trained["initial"]]
    assert series.values[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("steps", "most"), [(10_000, 34), (1_000_000, 52)])
def test_the_schedule_of_filters_is_dense_and_bounded(steps: int, most: int):
    taken = [0]
    while next_snapshot(taken[-1]) <= steps:
        taken.append(next_snapshot(taken[-1]))
    assert taken[:12] == [0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 34]
    assert all(later <= 1.3 * earlier + 1 for earlier, later in pairwise(taken))
    assert len(taken) <= most


def test_filters_are_taken_by_the_schedule_and_at_the_end_once(tmp_path: Path):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=100):
        for _ in range(13):
            optimizer.zero_grad()
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()
    assert probes.open_run(tmp_path / "run").filters(0).steps.tolist() == [0, 1, 2, 3, 4, 6, 8, 11, 13]


def test_a_snapshot_of_a_large_dense_layer_is_cut_to_its_first_filters():
    kept = arrange(torch.randn(512, 784))
    assert kept.shape == (32_768 // 784, 784)
    assert arrange(torch.randn(64, 3, 11, 11)).shape == (64, 3, 11, 11)


def test_first_layer_filters_at_the_start_and_at_the_end(trained):
    run = trained["run"]
    assert run.filters(0).weights == pytest.approx(trained["initial"][0].astype(np.float32))
    assert run.filters().weights == pytest.approx(trained["after"][0].astype(np.float32))
    assert run.filters().weights.shape == (4, 2, 3, 3)


def test_the_manifest_lists_modules_in_forward_order(trained):
    model = trained["run"].model
    assert model["class"] == "Sequential"
    assert [m["name"] for m in model["modules"]] == ["0", "1", "2", "4", "5", "6", "7"]
    assert [m["activation"] for m in model["modules"]] == [None, None, "relu", None, "tanh", None, "sigmoid"]
    assert model["modules"][0]["output_shape"] == [20, 4, 6, 6]
    assert model["input_shape"] == [2, 6, 6]
    assert model["parameters"][0] == {
        "name": "0.weight", "module": "0", "shape": [4, 2, 3, 3], "dtype": "float32", "numel": 72,
        "trainable": True,
    }  # fmt: skip


class Backwards(nn.Module):
    """Registers its layers in the opposite order of their use."""

    def __init__(self) -> None:
        super().__init__()
        self.third, self.second, self.first = nn.Linear(4, 2), nn.ReLU(), nn.Linear(3, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(self.second(self.first(x)))


def test_forward_order_is_learned_and_unused_modules_come_last(tmp_path: Path):
    model = Backwards()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(5, 3)).sum().backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert [m["name"] for m in run.model["modules"]] == ["first", "second", "third", "unused"]
    values = run.layer_series("activation_std").values[-1]
    assert np.isfinite(values[:3]).all()
    assert np.isnan(values[3])
    assert run.filters(0).layer == "first"


def test_a_single_nan_that_the_sample_misses_is_still_noticed(tmp_path: Path):
    model = nn.Linear(1000, 100)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for step in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 1000)).sum().backward()
            if step == 2:
                model.weight.grad[57, 57] = float("nan")
                model.bias.grad[3] = float("inf")
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("grad_nonfinite").values.tolist() == [[0, 0], [0, 0], [1, 1]]
    assert np.isnan(run.layer_series("grad_norm").values[-1, 0])
    assert run.layer_series("grad_norm").values[-1, 1] == np.inf
    assert (run.layer_series("weight_nonfinite").values[-1] >= 1).all()


def test_dead_units_are_told_after_enough_examples(tmp_path: Path):
    model = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 1))
    with torch.no_grad():
        model[0].bias[:4] = -100.0
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(6):
            optimizer.zero_grad()
            model(torch.randn(64, 3)).sum().backward()
            optimizer.step()
    dead = probes.open_run(tmp_path / "run").layer_series("dead_fraction")
    assert dead.steps.tolist() == [4, 5, 6]  # the 192 examples of the first three are too few to say
    assert dead.values[:, 1] == pytest.approx(0.4)
    assert np.isnan(dead.values[:, [0, 2]]).all()


@pytest.mark.parametrize("size", [1e-28, 1e-22, 1e22])
def test_norms_whose_squares_float32_cannot_hold_are_estimated(size: float, tmp_path: Path):
    model = nn.Linear(30, 20)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(4, 30)).sum().backward()
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter) * size
        model.bias.grad.zero_()
        expected = np.linalg.norm(model.weight.grad.double().numpy().ravel())
        optimizer.step()
    norms = probes.open_run(tmp_path / "run").layer_series("grad_norm").values[-1]
    assert norms[0] == pytest.approx(expected, rel=0.15)
    assert norms[1] == 0
