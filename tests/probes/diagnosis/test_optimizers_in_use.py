"""Optimizers and schedules used in ways they were not made for, and the logs that show it, beside healthy twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.finding import rank
from probes.diagnosis.memory import forgetful
from probes.diagnosis.rules.learning_rate_too_low import criterion as too_low
from probes.diagnosis.view import Curve, RunView


def loud(slug, series, layers=None, manifest=None, status="finished"):
    """Messages of the findings of one rule that are a warning or more."""
    view = RunView.of_arrays(series, layers, manifest=manifest, status=status)
    report = judge(view, [RULES[slug]])
    assert not [reason for _, reason in report.not_judged if "failed" in reason]
    return [finding.message for finding in report.findings if rank(finding.severity) >= rank("warning")]


class TestScheduleOfALossLoggedByEpoch:
    """Every step's rate counts, also of those before the first value of the loss."""

    steps = np.arange(1, 1021)
    epochs = np.arange(34, 1021, 34)

    def told(self, decay):
        rates = 0.01 / (1.0 + decay * (self.steps - 1))
        trained = np.cumsum(rates / 0.01)[self.epochs - 1]
        loss = 0.02 + 0.68 * np.exp(-trained / 600) + 0.0005 * np.random.default_rng(1).standard_normal(len(trained))
        return loud("slow-convergence", {"optimizer/lr": (self.steps, rates), "epoch/loss": (self.epochs, loss)})

    def test_rate_gone_before_the_first_value(self):
        (message,) = self.told(0.1)
        assert "from 0.01 to" in message  # not from the rate at the first value

    def test_rate_that_lasts_is_healthy(self):
        assert not self.told(1e-4)


class TestStepsThatShrinkWithTime:
    """Adagrad: mean step below 1e-4, travel above the usual limit, hardly any fall."""

    sizes = Curve(np.arange(1, 601, 10), 1e-3 / np.sqrt(np.arange(1, 601, 10)))

    def test_a_loss_that_falls_beyond_doubt_and_hardly_at_all(self):
        travel = np.trapezoid(self.sizes.values, self.sizes.steps)
        assert 0.03 < travel < 0.09
        assert too_low(self.sizes, 0.02, falling=True) is not None

    @pytest.mark.parametrize(("share", "falling"), [(0.02, False), (0.06, True), (0.5, True)])
    def test_one_that_rests_or_has_fallen_is_not_told(self, share, falling):
        assert too_low(self.sizes, share, falling=falling) is None


def trained(run_dir, anew, steps=120, *, betas=(0.9, 0.999)):
    torch.manual_seed(0)
    x = 4 * torch.rand(400, 2) - 2
    y = torch.sin(2 * x[:, :1]) * x[:, 1:]
    net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, betas=betas)
    with probes.watch(net, None, run_dir, every=10) as probe:
        for _ in range(steps):
            if anew:
                optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
            batch = torch.randint(400, (32,))
            loss = F.mse_loss(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", mse=loss)
    return RunView.of_run(probes.open_run(run_dir))


class TestAnOptimizerMadeAnewAtEachStep:
    def test_it_is_told_by_the_length_of_its_steps(self, tmp_path):
        view = trained(tmp_path / "run", anew=True)
        known = forgetful(view)
        assert known is not None
        assert known.type == "Adam"
        assert known.rate == pytest.approx(0.01)
        first, *_ = judge(view, [RULES["learning-rate-too-high"]]).findings
        assert "made anew" in first.message

    @pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.999), (0.5, 0.9)])
    def test_one_that_remembers_is_not(self, tmp_path, betas):
        assert forgetful(trained(tmp_path / "run", anew=False, betas=betas)) is None


class TestWeightsThatOutgrowTheirBeginning:
    frames = np.array([0, 1, 10, 50, 100, 200, 400])
    steps = np.arange(1, 401)

    def told(self, growth, rest, optimizer="Adam", status="finished"):
        """Two layers that grow ``growth`` times by step 100, and a loss from 2.3 to ``rest`` by step 60."""
        names = ("a", "b")
        size = np.interp(self.frames, [0, 100, 400], [1.0, growth, 1.3 * growth])[:, None] * np.array([4.0, 3.0])
        loss = np.where(self.steps < 60, 2.3 + (rest - 2.3) * self.steps / 60, rest)
        loss = loss + 0.03 * np.random.default_rng(0).standard_normal(400)
        layers = {
            "weight_norm": (names, self.frames, size),
            "update_norm": (names, self.frames[1:], 0.01 * size[1:]),
            "weight_std": (names, self.frames, size / 8.0),
        }
        parameters = [{"name": n, "module": n, "shape": [8, 8], "trainable": True} for n in names]
        modules = [{"name": n, "type": "Linear", "output_shape": [32, 8]} for n in names]
        manifest = {
            "model": {"parameters": parameters, "modules": modules},
            "optimizers": [{"class": optimizer, "groups": [{"lr": 0.1, "parameters": list(names)}]}],
        }
        return loud("learning-rate-too-high", {"train/loss": (self.steps, loss)}, layers, manifest, status)

    def test_a_loss_that_rests_far_from_done_is_told(self):
        (message,) = self.told(8.0, 1.0)
        assert "8 times their size" in message

    @pytest.mark.parametrize(("growth", "rest"), [(8.0, 0.3), (2.0, 1.0), (1.2, 1.0)])
    def test_one_that_is_done_and_usual_growth_are_not(self, growth, rest):
        assert not self.told(growth, rest)

    def test_gradient_descent_grows_by_its_gradients(self):
        assert not self.told(8.0, 1.0, optimizer="SGD")


class TestASingleLayerWithNothingToLearn:
    def told(self, loss_class, end):
        steps = np.arange(20, 1201, 20)
        loss = end + 0.002 * np.random.default_rng(0).standard_normal(len(steps))
        layers = {
            "weight_norm": (("w",), steps, np.full((60, 1), 0.05)),
            "update_norm": (("w",), steps, np.full((60, 1), 0.01)),
        }
        manifest = {
            "model": {"parameters": [{"name": "w", "module": "w", "shape": [1, 2], "trainable": True}]},
            "optimizers": [{"class": "SGD", "groups": [{"lr": 0.1, "parameters": ["w"]}]}],
            "loss": {"class": loss_class, "reduction": "mean"},
        }
        return loud("learning-rate-too-high", {"train/loss": (steps, loss)}, layers, manifest)

    def test_steps_are_large_only_against_weights_of_next_to_nothing(self):
        assert not self.told("BCEWithLogitsLoss", 0.694)

    def test_above_guessing_they_keep_it_from_the_best_answer(self):
        assert self.told("BCEWithLogitsLoss", 1.4)
