"""Targets between 0 and 1 under a binary cross-entropy: its floor, and what is held against it. With healthy twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import probes
from probes.diagnosis.engine import judge
from probes.diagnosis.fractions import entropy, fractions
from probes.diagnosis.outcome import knowledge_left
from probes.diagnosis.progress import progress
from probes.diagnosis.registry import RULES
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 601)
FRAMES = np.arange(0, 600, 50)
LOSS = {"class": "BCEWithLogitsLoss", "reduction": "mean"}


def seen(targets, loss=LOSS, **series):
    """A view of a run whose frames saw batches of these ``targets``, [T, n]."""
    steps = np.arange(1, len(targets) + 1)
    of = {
        "data/target_mean": (steps, targets.mean(1)),
        "data/target_std": (steps, targets.std(1)),
        "data/target_min": (steps, targets.min(1)),
        "data/target_max": (steps, targets.max(1)),
    }
    return RunView.of_arrays(of | series, manifest={"loss": loss}, status="finished")


def mean_entropy(targets):
    return float(np.mean([entropy(t) for t in targets.ravel()]))


class TestBounds:
    @pytest.mark.parametrize("shape", [(0.5, 0.5), (2, 2), (1, 4), (4, 4), (0.3, 0.6)])
    def test_the_entropy_of_the_targets_lies_between_them(self, shape):
        targets = np.random.default_rng(0).beta(*shape, (40, 64))
        found = fractions(seen(targets))
        assert found.least <= mean_entropy(targets) <= found.most
        assert abs(found.floor - mean_entropy(targets)) < 0.05
        assert found.guessing == pytest.approx(entropy(targets.mean()))
        assert found.left(found.guessing) == pytest.approx(1.0)
        assert found.left(mean_entropy(targets)) <= 0.0

    def test_smoothed_labels_are_fractions(self):
        targets = np.random.default_rng(0).choice([0.05, 0.95], (40, 64))
        found = fractions(seen(targets))
        assert found.least < entropy(0.05) < found.most

    def test_others_are_not(self):
        rng = np.random.default_rng(0)
        targets = rng.beta(2, 2, (40, 64))
        assert fractions(seen(rng.choice([0.0, 1.0], (40, 64)))) is None
        assert fractions(seen(1.5 * targets)) is None
        assert fractions(seen(np.full((40, 64), 0.9))) is None  # one value: there is nothing to learn
        assert fractions(seen(rng.beta(20, 20, (40, 64)))) is None  # next to nothing
        assert fractions(seen(targets, loss={"class": "MSELoss", "reduction": "mean"})) is None
        assert fractions(seen(targets, loss=LOSS | {"weighted": True})) is None
        assert fractions(seen(targets, loss=LOSS | {"reduction": "sum"})) is None

    def test_what_is_learned_lies_between_guessing_and_the_floor(self):
        targets = np.random.default_rng(0).beta(2, 2, (40, 64))
        floor = mean_entropy(targets)
        for end, least, most in ((0.693, -0.05, 0.05), (floor, 0.75, 1.1), (8.0, -np.inf, -10.0)):
            loss = end + (9.0 - end) * np.exp(-STEPS / 20)
            view = seen(targets, **{"train/loss": (STEPS, loss), "val/loss": (STEPS[::50], loss[::50])})
            assert least < progress(view).share < most
        assert knowledge_left(view) > 10


class Net(nn.Module):
    def __init__(self, between=torch.relu, width=32):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.between = between

    def forward(self, x):
        return self.c(self.between(self.b(self.between(self.a(x)))))


def shares(examples, seed=0):
    """Inputs [n, 8], and the share [n, 1] that is to be told from them: a bend in one direction, and a slope."""
    x = torch.randn(examples, 8, generator=torch.Generator().manual_seed(seed))
    return x, torch.sigmoid(2.5 * (x[:, :1].abs() - 0.8) + 2.5 * x[:, 1:2])


def trained(run_dir, net, examples=1500, steps=300, rate=5e-3, given=None):
    """The warnings on a net that is trained to tell shares."""
    torch.manual_seed(1)
    x, y = shares(examples)
    held = shares(400, seed=9)
    optimizer = torch.optim.Adam(given or net.parameters(), lr=rate)
    loss_fn = nn.BCEWithLogitsLoss()
    with probes.watch(net, optimizer, run_dir=run_dir, every=20, loss_fn=loss_fn) as probe:
        for step in range(steps):
            part = torch.randint(examples, (40,))
            loss = loss_fn(net(x[part]), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            if step % 40 == 39:
                with torch.no_grad():
                    probe.log("val", loss=loss_fn(net(held[0]), held[1]))
    found = probes.diagnose(run_dir).findings
    return [finding.rule for finding in found if finding.severity in ("warning", "critical")]


def filled(value):
    net = Net()
    for parameter in net.parameters():
        nn.init.constant_(parameter, value)
    return net


def enlarged(factor):
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        for layer in (net.a, net.b, net.c):
            layer.weight.mul_(factor)
    return net


def fresh(between=torch.relu):
    torch.manual_seed(0)
    net = Net(between)
    for layer in (net.a, net.b):
        nn.init.kaiming_normal_(layer.weight)
    return net


def half_given(units):
    """A net whose first layer, of so many units, the optimizer lacks, and what the optimizer has."""
    torch.manual_seed(0)
    net = Net()
    net.a, net.b = nn.Linear(8, units), nn.Linear(units, 32)
    return net, [*net.b.parameters(), *net.c.parameters()]


class TestTrainings:
    @pytest.mark.parametrize("between", [torch.relu, F.elu])
    def test_a_healthy_one_is_quiet(self, between, tmp_path):
        assert trained(tmp_path / "run", fresh(between)) == []

    def test_equal_weights(self, tmp_path):
        assert trained(tmp_path / "run", filled(0.1))[0] == "symmetric-initialization"

    def test_far_too_large_weights(self, tmp_path):
        assert trained(tmp_path / "run", enlarged(12.0), rate=1e-3)[0] == "poor-initialization"

    def test_no_activations(self, tmp_path):
        assert trained(tmp_path / "run", fresh(lambda x: x)) == ["underfitting"]

    def test_thirty_examples_known_by_heart(self, tmp_path):
        assert trained(tmp_path / "run", fresh(), examples=30, steps=400) == ["overfitting"]

    def test_a_layer_that_was_left_out_and_is_missed(self, tmp_path):
        net, given = half_given(10)
        assert trained(tmp_path / "run", net, given=given) == ["parameters-not-updated"]
        view = RunView.of_run(probes.open_run(tmp_path / "run"))
        assert progress(view).share > 0.5

    def test_random_features_that_serve_and_trained_ones_are_kept_on_purpose(self, tmp_path):
        net, given = half_given(14)
        assert trained(tmp_path / "random", net, given=given) == []
        net, given = half_given(10)
        with torch.no_grad():
            net.a.bias[0] = 0.5  # beyond 1 / sqrt(8), within which it is drawn
        assert "parameters-not-updated" not in trained(tmp_path / "taken over", net, given=given)


class TestKnownByHeart:
    """What a loss of fractions keeps is no gap, and small rises above it are rises."""

    def run(self, held, last):
        targets = np.random.default_rng(0).beta(2, 2, (12, 64))
        floor = mean_entropy(targets)
        guessing = math.log(2.0)
        times = np.arange(0, 601, 40)
        norms = np.where(FRAMES < 300, 0.05 * np.exp(-FRAMES / 60), 0.05 * last)
        of = {
            "data/target_mean": (FRAMES, targets.mean(1)),
            "data/target_std": (FRAMES, targets.std(1)),
            "data/target_min": (FRAMES, targets.min(1)),
            "data/target_max": (FRAMES, targets.max(1)),
            "train/loss": (STEPS, floor + (guessing - floor) * np.exp(-STEPS / 20)),
            "val/loss": (times, floor + held + (guessing - floor - held) * np.exp(-times / 30)),
        }
        layers = {"activation_grad_norm": (["head"], FRAMES, norms[:, None])}
        modules = [{"name": "head", "type": "Linear", "output_shape": [64, 1]}]
        manifest = {"loss": LOSS, "model": {"modules": modules}}
        view = RunView.of_arrays(of, layers, manifest=manifest, status="finished")
        return [f.severity for f in judge(view, [RULES["overfitting"]]).findings]

    def test_validation_that_lacks_half_of_what_training_learned(self):
        assert self.run(0.05, last=0.001) == ["warning"]

    def test_its_twins_are_quiet(self):
        assert self.run(0.004, last=0.001) == []
        assert self.run(0.05, last=0.3) == []  # the answers are off: what training keeps is not known
