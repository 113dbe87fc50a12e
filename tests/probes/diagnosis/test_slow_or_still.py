"""Rates that are gone or too small, and losses that stay at guessing, where epochs are all that was logged."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 4}}


def loud(slug, series, layers=None, manifest=None, status="finished"):
    report = judge(RunView.of_arrays(series, layers, manifest=manifest or {}, status=status), [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [finding for finding in report.findings if finding.severity != "info"]


class TestRateOfZero:
    """A linear decay over 75 of 900 steps, in epochs of 15 with a rate of their own."""

    def run(self, end, rate_until=75, floor=0.0, status="finished", other=None):
        steps = np.arange(1, 901)
        rates = np.maximum(0.1 * (1.0 - 15 * ((steps - 1) // 15) / rate_until), floor)
        loss = end + (1.0 - end) * np.exp(-np.minimum(steps, rate_until) / 20)
        loss += 0.02 * np.random.default_rng(0).standard_normal(900)
        series = {"train/loss": (steps, loss), "optimizer/lr/0": (steps, rates)}
        if other is not None:
            series["optimizer/lr/1"] = (steps, np.full(900, other))
        return loud("learning-rate-too-low", series, status=status)

    def test_most_of_a_run_at_zero(self):
        (finding,) = self.run(0.15)
        assert "Since step 76 of 900" in finding.message

    def test_a_rate_that_lasts_or_is_only_small_or_another_group_that_goes_on(self):
        assert not self.run(0.15, rate_until=900)
        assert not self.run(0.15, floor=1e-6)
        assert not self.run(0.15, other=0.01)

    def test_a_run_that_goes_on_or_has_learned_it_all(self):
        assert not self.run(0.15, status="running")
        assert not self.run(0.001)


class TestSmallStepsAtAPoorAccuracy:
    def run(self, right, size=1e-4):
        steps, frames = np.arange(1, 801), np.arange(10, 801, 10)
        loss = 1.39 - 0.45 * (1 - np.exp(-steps / 900)) / (1 - np.exp(-800 / 900))
        loss += 0.02 * np.random.default_rng(0).standard_normal(800)
        series = {"train/loss": (steps, loss), "val/acc": (steps[39::40], np.full(20, right))}
        names = ["0.weight"]
        layers = {
            "weight_norm": (names, frames, np.full((80, 1), 5.0)),
            "update_norm": (names, frames, np.full((80, 1), 5.0 * size)),
        }
        parameters = [{"name": "0.weight", "module": "0", "shape": [4, 8], "trainable": True}]
        return loud("slow-convergence", series, layers, CLASSIFIER | {"model": {"parameters": parameters}})

    def test_a_third_of_the_loss_gone_and_half_of_the_answers_wrong(self):
        (finding,) = self.run(0.5)
        assert "1.0e-04 of their size" in finding.message

    def test_most_answers_right_or_steps_of_the_usual_size(self):
        assert not self.run(0.85)
        assert not self.run(0.5, size=2e-3)


class TestDividedByTheClasses:
    """nn.KLDivLoss() on 80 soft labels: its default divides by 80 as well."""

    def run(self, reduction="mean", optimizer="SGD", pace=400):
        epochs = np.arange(40, 1601, 40)
        manifest = {
            "loss": {"class": "KLDivLoss", "reduction": reduction},
            "data": {"output_shape": [50, 80]},
            "optimizers": [{"class": f"torch.optim.{optimizer}", "groups": [{"lr": 0.2, "parameters": ["0.weight"]}]}],
        }
        loss = 0.002 + 0.02 * np.exp(-epochs / pace)
        series = {"loss/train": (epochs, loss), "optimizer/lr": (epochs, np.full(40, 0.2))}
        return loud("slow-convergence", series, manifest=manifest)

    def test_gradient_descent_that_is_not_done(self):
        (finding,) = self.run(pace=800)
        assert "80 times smaller" in finding.message
        assert "16 instead of 0.2" in finding.suggestions[1]

    def test_the_divergence_itself_or_an_adaptive_optimizer_or_a_loss_at_rest(self):
        assert not self.run(reduction="batchmean", pace=800)
        assert not self.run(optimizer="Adam", pace=800)
        assert not self.run(pace=60)


class TestGuessingAllAlong:
    """Fifteen epochs, each logged once."""

    def run(self, loss, right, status="finished"):
        times = np.arange(30, 451, 30)
        luck = np.random.default_rng(0).standard_normal((2, 15))
        series = {
            "train/loss": (times, loss + 0.008 * luck[0]),
            "val/acc": (times, right + 0.01 * luck[1]),
        }
        return loud("loss-not-decreasing", series, manifest=CLASSIFIER, status=status)

    def test_loss_and_accuracy_that_stay_at_guessing(self):
        (finding,) = self.run(np.full(15, math.log(4)), 0.25)
        assert "in 450 steps" in finding.message

    def test_a_loss_that_comes_down_late(self):
        assert not self.run(np.linspace(math.log(4), 1.2, 15), 0.25)

    def test_answers_that_are_right_more_often(self):
        assert not self.run(np.full(15, math.log(4) - 0.02), 0.36)

    def test_a_run_that_goes_on(self):
        assert not self.run(np.full(15, math.log(4)), 0.25, status="running")


class TestFallsThatFewValuesShow:
    """A loss whose last part is too short to tell its fall from the noise, while the whole run leaves no doubt."""

    steps = np.arange(1, 61)
    noise = 0.04 * np.random.default_rng(4).standard_normal(60)

    def too_short(self, loss, right):
        series = {"train/loss": (self.steps, loss), "val/acc": ([20, 40, 60], [0.3, 0.33, right])}
        return loud("training-too-short", series, manifest=CLASSIFIER)

    def test_a_training_left_while_it_falls_as_fast_as_ever(self):
        loss = 1.39 - 0.2 * self.steps / 60 + self.noise
        assert self.too_short(loss, 0.45)
        assert not self.too_short(loss, 0.95)

    def test_a_fall_that_came_to_rest_or_is_none(self):
        assert not self.too_short(1.19 + 0.2 * np.exp(-self.steps / 15) + self.noise, 0.45)
        assert not self.too_short(1.39 + self.noise, 0.45)

    def slow(self, loss, size):
        at, frames = np.arange(1, 301, 10), np.arange(10, 301, 10)
        layers = {
            "weight_norm": (["0.weight"], frames, np.full((30, 1), 5.0)),
            "update_norm": (["0.weight"], frames, np.full((30, 1), 5.0 * size)),
        }
        parameters = [{"name": "0.weight", "module": "0", "shape": [4, 8], "trainable": True}]
        manifest = CLASSIFIER | {"model": {"parameters": parameters}}
        return loud("slow-convergence", {"train/loss": (at, loss)}, layers, manifest)

    def test_every_tenth_step_of_a_loss_that_hardly_falls(self):
        loss = 1.39 - 0.05 * np.arange(30) / 30 + 0.01 * np.random.default_rng(4).standard_normal(30)
        (finding,) = self.slow(loss, 1e-4)
        assert "falling all the time" in finding.message
        assert not self.slow(loss, 2e-3)
        assert not self.slow(1.39 - 0.05 * (1 - np.exp(-np.arange(30) / 6)), 1e-4)


class TestDividedOnceMore:
    """loss = criterion(out, y) / 1500, under gradient descent at a tenth."""

    frames = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])

    def run(self, times=1500.0, size=2e-5, optimizer="SGD", right=0.45, status="finished"):
        steps = np.arange(1, 1501)
        loss = 1.1 - 0.02 * steps / 1500 + 0.02 * np.random.default_rng(0).standard_normal(1500)
        manifest = {
            "recognised_loss": {"class": "CrossEntropyLoss", "reduction": None, "weighted": False},
            "data": {"classes": 3, "label_counts": [40, 40, 40], "output_shape": [25, 3]},
            "optimizers": [{"class": f"torch.optim.{optimizer}", "groups": [{"lr": 0.1, "parameters": ["0.weight"]}]}],
            "model": {"parameters": [{"name": "0.weight", "module": "0", "shape": [3, 8], "trainable": True}]},
        }
        series = {
            "train/loss": (steps, loss / times),
            "train/acc": (steps[59::60], np.full(25, right)),
            "data/recognised": (self.frames, loss[self.frames - 1]),
            "optimizer/lr": (steps, np.full(1500, 0.1)),
        }
        moved = 5.0 * size * (1.0 + 0.1 * np.arange(10) / 10)
        layers = {
            "weight_norm": (["0.weight"], self.frames, np.full((10, 1), 5.0)),
            "update_norm": (["0.weight"], self.frames, moved[:, None]),
        }
        return loud("slow-convergence", series, layers, manifest, status)

    def test_a_mean_that_was_divided_by_all_examples(self):
        (finding,) = self.run()
        assert "divided by 1,500" in finding.message

    def test_a_loss_divided_for_the_log_alone_or_that_learned_or_goes_on(self):
        assert not self.run(size=1e-3)
        assert not self.run(times=4.0)
        assert not self.run(optimizer="Adam")
        assert not self.run(right=0.95)
        assert not self.run(status="running")
