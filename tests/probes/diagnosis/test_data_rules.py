"""Rules on gradients that pile up, on inputs, labels and the split, on made series whose right answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.rules.gradients_not_cleared import criterion as piles_up
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = STEPS[::40]
VALIDATIONS = np.arange(0, 401, 20)
RNG = np.random.default_rng(0)
FALLING = 0.2 + 2.1 * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)
FLAT = 2.3 + 0.02 * RNG.standard_normal(400)
CLASSIFIER = {
    "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
    "data": {"classes": 10, "label_counts": [30] * 10},
}


def judged(slug, series, layers=None, manifest=None, status="finished"):
    report = judge(RunView.of_arrays(series, layers, manifest=manifest, status=status), [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return report


def findings(slug, *arguments, **options):
    return judged(slug, *arguments, **options).findings


class TestGradientsNotCleared:
    slug = "gradients-not-cleared"

    @pytest.mark.parametrize("seed", range(5))
    def test_no_single_backward_pass_exceeds_the_bound(self, seed):
        """Cauchy-Schwarz, on real passes: also with outputs' gradients that all point one way."""
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        passed = {}

        def watch(name):
            def seen(module, inputs, output):
                output.register_hook(lambda g: passed.__setitem__(name, (g.norm(), g.numel())))

            net.get_submodule(name).register_forward_hook(seen)

        watch("0")
        watch("3")
        out = net(torch.randn(16, 1, 8, 8))
        (out.sum() if seed % 2 else out.square().sum()).backward()
        for name, (norm, numel) in passed.items():
            bias = net.get_submodule(name).bias
            assert bias.grad.norm() <= math.sqrt(numel / bias.numel()) * norm * (1 + 1e-5)

    def test_growth_beyond_the_bound_fires_and_neither_alone_does(self):
        assert piles_up(np.array([0.2, 0.25, 0.4, 2.0, 9.0])) == 2
        assert piles_up(np.array([4.0, 4.1, 3.9, 4.0])) is None, "accumulation on purpose does not grow"
        assert piles_up(np.array([0.02, 0.1, 0.6, 0.9])) is None, "one pass can do this"
        assert piles_up(np.array([0.2, 9.0, 0.2, 9.0])) is None
        assert piles_up(np.array([0.2, 9.0])) is None

    def run(self, gradients, loss=FALLING):
        frames = FRAMES[: len(gradients)]
        layers = {
            "grad_norm": (["fc.bias"], frames, gradients),
            "activation_grad_norm": (["fc"], frames, np.ones(len(gradients))),
        }
        parameters = [{"name": "fc.bias", "module": "fc", "shape": [4], "trainable": True}]
        modules = [{"name": "fc", "type": "Linear", "output_shape": [16, 4]}]
        described = {"model": {"parameters": parameters, "modules": modules}}
        return findings(self.slug, {"train/loss": (STEPS, loss)}, layers, described)

    def test_severity_follows_the_harm(self):
        # 16 places: one pass reaches sqrt(16) = 4 times the norm of the output's gradient.
        (finding,) = self.run([0.8, 1.0, 3.0, 8.0, 20.0])
        assert (finding.severity, finding.layers, finding.evidence[0].value) == ("warning", ("fc.bias",), 5.0)
        (finding,) = self.run([0.8, 1.0, 3.0, 8.0, 20.0], FLAT)
        assert finding.severity == "critical"
        assert self.run([0.8, 1.0, 3.0, 3.5, 3.9], FLAT) == []


class TestUnnormalizedInputs:
    slug = "unnormalized-inputs"

    def run(self, mean, std, loss=FLAT, **more):
        names = [str(c) for c in range(len(mean))]
        layers = {
            "input_mean": (names, FRAMES, np.tile(mean, (len(FRAMES), 1))),
            "input_std": (names, FRAMES, np.tile(std, (len(FRAMES), 1))),
        }
        return judged(self.slug, {"train/loss": (STEPS, loss)}, layers, CLASSIFIER | more)

    @pytest.mark.parametrize(
        ("mean", "std", "said"),
        [
            ([128.0], [64.0], "mean 128"),
            ([0.0, 300.0], [1.0, 1.0], "channel 1"),
            ([3.0], [0.2], "mean 3"),
            ([0.1, 0.1], [1e-4, 2.0], "reach from 1.0e-04 to 2"),
            ([0.0, 0.0], [0.0, 0.0], "do not vary"),
        ],
    )
    def test_what_is_wrong_is_named_and_loud_only_when_it_harms(self, mean, std, said):
        (finding,) = self.run(mean, std).findings
        assert finding.severity == "warning"
        assert said in finding.message
        assert [f.severity for f in self.run(mean, std, FALLING).findings] == ["info"]

    @pytest.mark.parametrize(
        ("mean", "std"), [([0.0], [1.0]), ([0.13], [0.31]), ([0.9], [0.1]), ([0.5, 0, 0], [0.5, 1, 0])]
    )
    def test_usual_inputs_are_none_even_when_nothing_is_learned(self, mean, std):
        assert self.run(mean, std).findings == []

    def test_a_loss_that_only_falls_to_guessing_is_harm(self):
        from_above = np.log(10) + 40 * np.exp(-STEPS / 10)
        (finding,) = self.run([128.0], [64.0], from_above).findings
        assert finding.severity == "warning"

    def test_a_net_that_normalises_its_inputs_is_not_judged(self):
        modules = [{"name": "bn", "type": "BatchNorm2d", "output_shape": [8, 1, 8, 8]}]
        report = self.run([128.0], [64.0], model={"modules": modules})
        assert "begins with a normalisation layer" in report.not_judged[0].reason


class TestNoGeneralization:
    slug = "no-generalization"

    def run(self, validation, accuracy=None, loss=FALLING, manifest=CLASSIFIER):
        series = {"train/loss": (STEPS, loss), "val/loss": (VALIDATIONS, validation)}
        if accuracy is not None:
            series["val/accuracy"] = (VALIDATIONS, accuracy)
        return judged(self.slug, series, manifest=manifest)

    chance = 2.3 + 0.002 * VALIDATIONS

    def test_learning_by_heart_fires(self):
        (finding,) = self.run(self.chance, 0.1 + 0.01 * RNG.standard_normal(21)).findings
        assert "guessing gives 2.3" in finding.message
        assert len(self.run(self.chance).findings) == 1

    def test_a_rise_after_learning_is_overfitting_instead(self):
        assert self.run(np.where(VALIDATIONS < 100, 1.5, self.chance)).findings == []

    def test_an_accuracy_above_chance_says_that_something_is_learned(self):
        assert self.run(self.chance, np.linspace(0.1, 0.4, 21)).findings == []

    def test_a_net_that_learns_nothing_at_all_is_another_illness(self):
        assert self.run(self.chance, loss=FLAT).findings == []

    def test_without_a_level_of_guessing_nothing_is_said(self):
        series = {"train/loss": (STEPS, FALLING), "val/loss": (VALIDATIONS[1:], self.chance[1:])}
        assert "guessing is not known" in judged(self.slug, series).not_judged[0].reason
        assert len(self.run(self.chance, manifest={}).findings) == 1, "the value before the first step is that level"


class TestLossThatFallsToGuessing:
    slug = "loss-not-decreasing"
    from_above = np.log(10) + 40 * np.exp(-STEPS / 10) + 0.005 * RNG.standard_normal(400)

    def test_scores_that_shrink_are_no_learning(self):
        assert len(findings(self.slug, {"train/loss": (STEPS, self.from_above)}, manifest=CLASSIFIER)) == 1
        summed = CLASSIFIER | {"loss": {"class": "CrossEntropyLoss", "reduction": "sum"}}
        for unknown in ({}, summed):
            assert findings(self.slug, {"train/loss": (STEPS, self.from_above)}, manifest=unknown) == []
        learned = np.where(STEPS < 300, self.from_above, 1.5)
        assert findings(self.slug, {"train/loss": (STEPS, learned)}, manifest=CLASSIFIER) == []

    def test_a_loss_on_its_way_down_is_let_be(self):
        falling = np.log(10) + 40 - 0.1 * STEPS
        assert findings(self.slug, {"train/loss": (STEPS, falling)}, manifest=CLASSIFIER) == []

    def test_an_accuracy_that_rises_to_chance_is_no_learning(self):
        for last, fires in ((0.34, True), (0.55, False)):
            three = {"data": {"classes": 3, "label_counts": [82, 80, 84]}}
            series = {"train/loss": (STEPS, FLAT), "val/accuracy": (VALIDATIONS, np.linspace(0.1, last, 21))}
            assert bool(findings(self.slug, series, manifest=three)) == fires
