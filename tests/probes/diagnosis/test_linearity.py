"""Dense layers with nothing between them, told from those with an activation that the forward pass calls."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import probes
from probes.diagnosis.rules.underfitting import _no_nonlinearity
from probes.diagnosis.signs.linearity import certainly_in_a_row, passes_on
from probes.diagnosis.view import RunView


class Net(nn.Module):
    """Three dense layers with ``between`` them."""

    def __init__(self, between, width):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(32, width), nn.Linear(width, width), nn.Linear(width, 5)
        self.between = between

    def forward(self, x):
        return self.c(self.between(self.b(self.between(self.a(x)))))


def recorded(run_dir, between, width=64, seed=0, init=None):
    torch.manual_seed(seed)
    net = Net(between, width)
    for layer in (net.a, net.b, net.c):
        if init is not None:
            init(layer.weight)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, optimizer, run_dir=run_dir, every=1):
        for _ in range(3):
            loss = F.cross_entropy(net(torch.randn(128, 32)), torch.randint(0, 5, (128,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return RunView.of_run(probes.open_run(run_dir))


@pytest.mark.parametrize("init", [None, nn.init.kaiming_normal_, nn.init.orthogonal_])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_has_nothing_between_its_layers_passes_all_on(init, seed, tmp_path):
    assert passes_on(recorded(tmp_path / "run", lambda x: x, seed=seed, init=init))


@pytest.mark.parametrize("between", [F.relu, F.gelu, F.silu, torch.sigmoid, F.softplus, F.leaky_relu])
@pytest.mark.parametrize("init", [None, nn.init.kaiming_normal_])
def test_an_activation_takes_a_part(between, init, tmp_path):
    assert not passes_on(recorded(tmp_path / "run", between, init=init))


@pytest.mark.parametrize(("between", "told"), [(lambda x: x, True), (F.relu, False)])
def test_examples_beyond_the_margin_of_a_hinge_loss_hide_no_missing_activation(between, told, tmp_path):
    """Two blobs and a few examples between them: most cost nothing, and their gradients are zero everywhere."""
    torch.manual_seed(0)
    net, hinge = Net(between, 64), nn.MultiMarginLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    centres = 3.0 * torch.randn(5, 32)
    with probes.watch(net, optimizer, run_dir=tmp_path / "run", every=5):
        for _ in range(60):
            targets = torch.randint(0, 5, (64,))
            loss = hinge(net(centres[targets] + torch.randn(64, 32)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    view = RunView.of_run(probes.open_run(tmp_path / "run"))
    zeros = view.layers("activation_grad_zero_fraction").pick(["a", "b"])
    assert zeros.values.max() > 0.3, "most examples lie beyond the margin"
    assert _no_nonlinearity(view, ["a", "b", "c"]) is told


def test_a_tanh_that_is_driven_takes_a_part(tmp_path):
    assert not passes_on(recorded(tmp_path / "run", torch.tanh, init=nn.init.kaiming_normal_))


def test_narrow_layers_and_a_late_beginning_tell_nothing(tmp_path):
    assert not passes_on(recorded(tmp_path / "narrow", lambda x: x, width=8))
    run = recorded(tmp_path / "run", lambda x: x)
    run.manifest["sessions"][0]["start_step"] = 500
    assert not passes_on(RunView(**late(run)))


def late(view):
    """What a view of the same run is made of, with its manifest as it is now."""
    return {
        "name": view.name,
        "status": view.status,
        "last_step": view.last_step,
        "series_names": view.series_names,
        "read_series": view.series,
        "read_layers": view.layers,
        "manifest": view.manifest,
    }


@pytest.mark.parametrize(("between", "told"), [(lambda x: x, True), (F.relu, False)])
def test_one_linear_map_that_can_learn_nothing_is_told_from_one_that_has_learned_nothing(between, told, tmp_path):
    """Five shells around the origin: no hyperplane tells them apart. With ReLUs, at a rate that moves nothing."""
    torch.manual_seed(0)
    net = Net(between, 64)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3 if told else 1e-7)
    with probes.watch(net, optimizer, run_dir=tmp_path / "run", every=20) as probe:
        for _ in range(200):
            classes = torch.randint(0, 5, (256,))
            x = F.normalize(torch.randn(256, 32)) * (1.0 + 2.0 * classes[:, None])
            scores = net(x)
            loss = F.cross_entropy(scores, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss, accuracy=(scores.argmax(1) == classes).float().mean())
    found = [f.rule for f in probes.diagnose(tmp_path / "run").findings if f.severity == "warning"]
    assert ("underfitting" in found) is told
    assert "loss-not-decreasing" in found


class Regressor(nn.Module):
    """Dense layers from six numbers to ``outputs``, each with ``between`` after it but the last."""

    def __init__(self, between, outputs=1, width=32):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, width), nn.Linear(width, width), nn.Linear(width, outputs)
        self.between = between

    def forward(self, x):
        return self.c(self.between(self.b(self.between(self.a(x)))))


def fitted(run_dir, net, bend, steps=300, scale=1.0):
    """Fit a plane with a bend, of which a linear map leaves a part, or with none."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    x = torch.randn(512, 6)
    y = x @ torch.randn(6, net.c.out_features) / 6**0.5 + bend * (x[:, :1].abs() - 0.8)
    y = (y - y.mean(0)) / y.std(0)
    with probes.watch(net, optimizer, run_dir=run_dir, every=50, loss_fn=nn.MSELoss()) as probe:
        for step in range(steps):
            part = torch.randint(512, (64,))
            loss = F.mse_loss(net(scale * x[part]), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            if step % 25 == 24:
                with torch.no_grad():
                    probe.log("val", loss=F.mse_loss(net(scale * x), y))
    return RunView.of_run(probes.open_run(run_dir)), probes.diagnose(run_dir, ["underfitting"]).findings


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_regression_by_layers_with_nothing_between_them_is_told_where_a_tenth_is_left(outputs, tmp_path):
    torch.manual_seed(1)
    net = Regressor(lambda x: x, outputs)
    for layer in (net.a, net.b):
        nn.init.kaiming_normal_(layer.weight)
    view, found = fitted(tmp_path / "bent", net, bend=0.8)
    assert certainly_in_a_row(view)
    assert [finding.severity for finding in found] == ["warning"]
    assert "one linear map" in found[0].message
    assert fitted(tmp_path / "plane", Regressor(lambda x: x, outputs), bend=0.0)[1] == []


@pytest.mark.parametrize("between", [F.relu, F.gelu, torch.tanh, torch.sin, F.leaky_relu])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_an_activation_that_is_called_is_seen_though_small_signals_may_pass_it(between, scale, tmp_path):
    torch.manual_seed(1)
    assert not certainly_in_a_row(fitted(tmp_path / "run", Regressor(between), bend=0.8, steps=5, scale=scale)[0])
