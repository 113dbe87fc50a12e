"""Rules on gradients that pile up, on inputs, labels and the split, on made series whose right answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.rules.gradients_not_cleared import criterion as piles_up
from probes.diagnosis.signs.late_start import late_start
from probes.diagnosis.view import Curve, RunView

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
        assert piles_up(np.array([0.2, 0.25, 0.4, 2.0, 9.0]), np.ones(5)) == 2
        assert piles_up(np.array([4.0, 4.1, 3.9, 4.0]), np.ones(4)) is None, "accumulation on purpose does not grow"
        assert piles_up(np.array([0.02, 0.1, 0.6, 0.9]), np.ones(4)) is None, "one pass can do this"
        assert piles_up(np.array([0.2, 9.0, 0.2, 9.0]), np.ones(4)) is None
        assert piles_up(np.array([0.2, 9.0]), np.ones(2)) is None

    def test_what_is_beyond_the_bound_from_the_first_frame_on_was_added(self):
        """As the noise of Langevin dynamics is, beside which the gradients of outputs get smaller as it learns."""
        assert piles_up(np.array([11.0, 20.0, 35.0]), np.ones(3)) is None
        assert piles_up(np.array([1.0, 20.0, 35.0]), np.ones(3)) == 1
        assert piles_up(np.array([11.0, 60.0, 90.0]), np.ones(3)) == 1

    def test_one_frame_is_enough_when_the_gradients_have_grown_as_much(self):
        assert piles_up(np.array([0.2, 0.5, 3.6]), np.array([1.0, 5.0, 39.0])) == 1
        assert piles_up(np.array([0.2, 4.0]), np.array([1.0, 55.0])) == 1
        assert piles_up(np.array([0.2, 0.5, 3.6]), np.array([1.0, 1.2, 1.5])) is None, "a batch that is larger"
        assert piles_up(np.array([0.4, 0.7, 1.4]), np.array([1.0, 5.0, 39.0])) is None
        assert piles_up(np.array([0.2, 4.0, 0.3, 4.0]), np.array([1.0, 55.0, 3.0, 55.0])) is None

    def test_calls_of_one_step_share_the_bound(self):
        """A net that is asked once for each move of an episode: its bias adds up over all of the calls."""
        torch.manual_seed(0)
        net, passed = nn.Linear(3, 4), []

        def watch(module, inputs, output):
            output.register_hook(lambda gradient: passed.append(gradient.square().sum()))

        net.register_forward_hook(watch)
        torch.cat([net(torch.randn(16, 3)) for _ in range(6)]).sum().backward()
        one_call, all_calls = math.sqrt(16 * sum(passed)), math.sqrt(16 * len(passed) * sum(passed))
        assert one_call < net.bias.grad.norm() <= all_calls * (1 + 1e-5)

        piled = [0.8, 1.0, 3.0, 8.0, 12.0]
        assert len(self.run(piled, FLAT, calls=1)) == 1
        assert len(self.run(piled, FLAT, calls=3)) == 1, "more than three calls can make it"
        assert self.run(piled, FLAT, calls=7) == [], "7 calls of 16 places: sqrt(112) times the norm, 10.6"
        assert self.run(piled, FLAT, calls=8) == [], "not all calls were seen"

    def run(self, gradients, loss=FALLING, calls=None):
        frames = FRAMES[: len(gradients)]
        layers = {
            "grad_norm": (["fc.bias"], frames, gradients),
            "activation_grad_norm": (["fc"], frames, np.ones(len(gradients))),
        }
        parameters = [{"name": "fc.bias", "module": "fc", "shape": [4], "trainable": True}]
        modules = [{"name": "fc", "type": "Linear", "output_shape": [16, 4], "calls": calls}]
        described = {"model": {"parameters": parameters, "modules": modules}}
        return findings(self.slug, {"train/loss": (STEPS, loss)}, layers, described)

    def test_gradients_that_explode_do_not_hide_what_piled_up_before(self):
        """Beside the gradient of a loss of 1e6, those of earlier steps are small again."""
        piled = [0.8, 16.0, 140.0, 2.4]
        exploded = np.where(STEPS < 200, FALLING, np.nan)
        (finding,) = self.run(piled, exploded)
        assert (finding.severity, finding.evidence[0].value) == ("warning", 35.0)
        assert self.run(piled) == [], "without a disaster the last frame is the best witness"
        assert self.run([0.8, 2.0, 3.0, 2.4], exploded) == [], "one pass can do this"

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
            ([0.1, 0.1], [1e-4, 2.0], "reach from 1.0e-04 or less to 2"),
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

    def large(self, loss, right=None, saturated=None, status="finished", size=128.0, manifest=None):
        """Inputs of this size, with the loss, the accuracy of validation at the end, and the first tanh as given."""
        layers = {k: (["0"], FRAMES, np.full(10, v)) for k, v in (("input_mean", size), ("input_std", size / 2))}
        if saturated is not None:
            layers["saturated_fraction"] = (["act1", "act2"], FRAMES, np.tile([saturated, 0.1], (10, 1)))
        series = {"train/loss": (STEPS, loss)}
        if right is not None:
            series["val/accuracy"] = (VALIDATIONS, right * (1 - np.exp(-VALIDATIONS / 50)))
        report = judged(self.slug, series, layers, manifest or CLASSIFIER, status=status)
        return [finding.severity for finding in report.findings]

    def test_a_loss_that_large_inputs_made_large_does_not_excuse_poor_answers(self):
        margin = {"loss": {"class": "Hinge"}, "data": {"classes": 10, "label_counts": [30] * 10}}
        from_above = 3.0 + 16 * np.exp(-STEPS / 20) + 0.02 * RNG.standard_normal(400)
        assert self.large(from_above, right=0.6, manifest=margin) == ["warning"]
        assert self.large(from_above, right=0.95, manifest=margin) == ["info"]
        assert self.large(from_above, right=0.6, status="running", manifest=margin) == ["info"], "it may get better yet"
        assert self.large(from_above, right=0.6, size=0.5, manifest=margin) == [], "usual inputs"
        half = 1.4 + 0.9 * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)
        assert self.large(half, right=0.6) == ["warning"]
        assert self.large(half, right=0.9) == ["info"]

    def test_a_first_activation_that_passes_only_signs_is_harm(self):
        own = {"loss": {"class": "MSELoss", "reduction": "mean"}}
        partly = 0.3 + 0.7 * np.exp(-STEPS / 60) + 0.005 * RNG.standard_normal(400)
        assert self.large(partly, saturated=0.99, manifest=own) == ["warning"]
        assert self.large(partly, saturated=0.5, manifest=own) == ["info"]
        assert self.large(0.1 * partly + 0.9 * np.exp(-STEPS / 40), saturated=0.99, manifest=own) == ["info"], (
            "nothing is lost"
        )

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

    @pytest.mark.parametrize(
        ("last", "level", "every", "said"),
        [
            (120, 2.35, 40, True),  # three validations above guessing, and a tenth of the training loss is gone
            (120, 2.25, 40, False),  # three below it are too few
            (80, 2.35, 20, False),  # too early for a net that has hardly begun
        ],
    )
    def test_what_is_above_guessing_is_said_early(self, last, level, every, said):
        steps, times = np.arange(1, last + 1), np.arange(0, last + 1, every)
        series = {"train/loss": (steps, 2.3 - 0.6 * steps / last), "val/loss": (times, np.full(len(times), level))}
        assert bool(judged(self.slug, series, manifest=CLASSIFIER, status="running").findings) == said

    @pytest.mark.parametrize(
        ("fallen", "level", "status", "said"),
        [
            (0.12, 2.31, "finished", True),  # a run of 80 steps that learned for certain
            (0.12, 2.31, "running", False),  # too early to tell
            (0.12, 2.15, "finished", False),  # validation learned as well
            (0.02, 2.31, "finished", False),  # nothing was learned for certain
        ],
    )
    def test_a_short_run_that_is_over(self, fallen, level, status, said):
        steps, times = np.arange(1, 81), np.arange(0, 81, 10)
        loss = 2.3 - fallen * steps / 80 + 0.02 * np.random.default_rng(1).standard_normal(80)
        series = {"train/loss": (steps, loss), "val/loss": (times, np.full(len(times), level))}
        assert bool(judged(self.slug, series, manifest=CLASSIFIER, status=status).findings) == said

    @pytest.mark.parametrize(
        ("least", "end", "said"),
        [
            (2.14, 2.29, True),  # what was gained by chance is lost again
            (2.14, 2.2, False),  # it is kept
            (1.95, 2.29, False),  # too much for chance: overfitting
        ],
    )
    def test_what_was_gained_by_chance_for_a_while(self, least, end, said):
        validation = np.interp(VALIDATIONS, [0, 60, 200, 400], [2.3, least, end, end])
        assert bool(self.run(validation).findings) == said

    def test_a_rise_after_learning_is_overfitting_instead(self):
        assert self.run(np.where(VALIDATIONS < 100, 1.5, self.chance)).findings == []

    def test_an_accuracy_above_chance_says_that_something_is_learned(self):
        assert self.run(self.chance, np.linspace(0.1, 0.4, 21)).findings == []

    def test_a_net_that_learns_nothing_at_all_is_another_illness(self):
        assert self.run(self.chance, loss=FLAT).findings == []

    def test_without_a_level_of_guessing_nothing_is_said(self):
        series = {"train/loss": (STEPS, FALLING), "val/loss": (VALIDATIONS[1:], self.chance[:0:-1])}
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

    def test_answers_hardly_better_than_guessing_after_a_fall_of_a_thirtieth(self):
        slightly = np.log(10) * (1.0 - 0.035 * STEPS / 400) + 0.01 * RNG.standard_normal(400)
        for right, classes, fires in ((0.17, 10, True), (0.23, 10, False), (0.545, 2, False)):
            loss = slightly * np.log(classes) / np.log(10)
            own = CLASSIFIER | {"data": {"classes": classes, "label_counts": [30] * classes}}
            accuracy = np.linspace(1 / classes, right, 21)
            series = {"train/loss": (STEPS, loss), "val/accuracy": (VALIDATIONS, accuracy)}
            assert bool(findings(self.slug, series, manifest=own)) == fires

    def test_an_accuracy_that_rises_to_chance_is_no_learning(self):
        for last, fires in ((0.34, True), (0.55, False)):
            three = {"data": {"classes": 3, "label_counts": [82, 80, 84]}}
            series = {"train/loss": (STEPS, FLAT), "val/accuracy": (VALIDATIONS, np.linspace(0.1, last, 21))}
            assert bool(findings(self.slug, series, manifest=three)) == fires


class TestLearningRateTooLow:
    slug = "learning-rate-too-low"

    def run(self, size, loss=FLAT, rates=None, status="finished", optimizers=()):
        parameters = [{"name": "w", "module": "w", "shape": [8, 8], "trainable": True}]
        layers = {
            "update_norm": (["w"], FRAMES, 10.0 * np.broadcast_to(size, len(FRAMES))),
            "weight_norm": (["w"], FRAMES, np.full(len(FRAMES), 10.0)),
        }
        rates = np.full(400, 1e-5) if rates is None else rates
        series = {"train/loss": (STEPS, loss), "optimizer/lr": (STEPS, rates)}
        manifest = {"model": {"parameters": parameters}, "optimizers": list(optimizers)} | CLASSIFIER
        return findings(self.slug, series, layers, manifest, status=status)

    def test_small_steps_and_no_learning_fire_with_a_rate_to_try(self):
        (finding,) = self.run(1e-5)
        assert finding.suggestions[0] == "raise the learning rate from 1.0e-05 to about 0.001"
        # 9 gaps of 40 steps, 1e-5 each
        assert finding.evidence[1].value == pytest.approx(360e-5)

    @pytest.mark.parametrize(("size", "steps", "told"), [(1e-5, 20, True), (1e-5, 19, False), (6e-5, 20, False)])
    def test_steps_that_are_far_too_small_are_told_after_a_tenth_of_the_steps_needed(self, size, steps, told):
        frames = np.array([1, 2, 5, 10, 15, 20])
        frames = frames[frames <= steps]
        layers = {
            "update_norm": (["w"], frames, np.full(len(frames), 10.0 * size)),
            "weight_norm": (["w"], frames, np.full(len(frames), 10.0)),
        }
        parameters = [{"name": "w", "module": "w", "shape": [8, 8], "trainable": True}]
        series = {"train/loss": (STEPS[:steps], FLAT[:steps])}
        manifest = {"model": {"parameters": parameters}} | CLASSIFIER
        assert bool(findings(self.slug, series, layers, manifest, status="running")) == told

    def test_either_alone_is_fine(self):
        assert self.run(1e-5, FALLING) == []
        assert self.run(1e-3) == []

    def test_weights_that_stand_still_are_another_fault(self):
        assert self.run(0.0) == []

    def test_a_rate_that_is_still_rising_may_yet_do_unless_the_run_is_over(self):
        assert self.run(1e-5, rates=1e-7 * STEPS, status="running") == []
        (finding,) = self.run(1e-5, rates=1e-7 * STEPS)
        assert "warm-up" in finding.suggestions[0]

    def test_what_weight_decay_takes_is_no_part_of_a_step(self):
        """At rate 0.1, a decay of 0.01 takes a thousandth of the weights in a step, and moves them nowhere useful."""
        group = {"lr": 0.1, "weight_decay": 0.01, "momentum": 0.0, "parameters": ["w"]}
        sgd = {"class": "torch.optim.SGD", "groups": [group]}
        assert self.run(1.01e-3, rates=np.full(400, 1e-3), optimizers=[sgd]) == []
        assert self.run(1.01e-3, rates=np.full(400, 0.1)) == []
        # Of plain gradient descent at a usual rate it is the gradient that is missing, and not the rate.
        assert self.run(1.01e-3, rates=np.full(400, 0.1), optimizers=[sgd]) == []
        low = {"class": "torch.optim.SGD", "groups": [group | {"weight_decay": 1.0}]}
        assert [f.rule for f in self.run(1.01e-3, rates=np.full(400, 1e-3), optimizers=[low])] == [self.slug]

    def test_fine_tuning_that_begins_well_is_fine(self):
        assert self.run(1e-5, 0.3 + 0.01 * RNG.standard_normal(400)) == []


class TestClassImbalance:
    slug = "class-imbalance"

    def run(self, counts, train=0.99, validation=0.7):
        accuracies = {
            "train/accuracy": (STEPS, np.full(400, train)),
            "val/accuracy": (VALIDATIONS, np.full(21, validation)),
        }
        manifest = CLASSIFIER | {"data": {"classes": len(counts), "label_counts": counts}}
        return judged(self.slug, accuracies, manifest=manifest)

    @pytest.mark.parametrize("counts", [[700] + [10] * 9, [950, 50], [30, 920, 50]])
    def test_one_frequent_class_is_loud_only_when_validation_falls_behind(self, counts):
        (finding,) = self.run(counts).findings
        assert finding.severity == "warning"
        assert [f.severity for f in self.run(counts, validation=0.98).findings] == ["info"]

    @pytest.mark.parametrize(
        "counts", [[120, 100], [70, 30], [300, 250, 10], list(range(20, 120, 10)), [200, 190, 1, 1]]
    )
    def test_uneven_classes_are_usual(self, counts):
        assert self.run(counts).findings == []

    def test_a_few_targets_say_nothing(self):
        assert "needs 30" in self.run([20, 2]).not_judged[0].reason

    def test_few_targets_must_be_clearly_of_one_class(self):
        """Ten frames of four: 33 of 40 are more than half by four standard errors, 23 of 40 by one."""
        assert len(self.run([33, 0, 1, 0, 1, 3, 1, 1, 0, 0]).findings) == 1
        assert self.run([23, 2, 2, 2, 2, 2, 2, 2, 2, 1]).findings == []


class TestConstantPredictions:
    slug = "constant-predictions"

    def run(self, predictions, labels=0.2, status="finished", batch=32):
        series = {
            "train/loss": (STEPS, FLAT),
            "data/largest_prediction_share": (FRAMES, np.broadcast_to(predictions, len(FRAMES))),
            "data/largest_label_share": (FRAMES, np.broadcast_to(labels, len(FRAMES))),
        }
        manifest = CLASSIFIER | {"data": {"classes": 10, "output_shape": [batch, 10]}}
        return judged(self.slug, series, manifest=manifest, status=status)

    def test_one_answer_to_all_fires_once_the_run_has_ended(self):
        assert [f.severity for f in self.run(1.0).findings] == ["warning"]
        assert [f.severity for f in self.run(1.0, status="running").findings] == ["info"]

    def test_a_plateau_that_was_left_is_none(self):
        assert self.run(np.where(FRAMES < 200, 1.0, 0.25)).findings == []

    def test_targets_that_are_all_alike_allow_it(self):
        assert self.run(1.0, labels=0.9).findings == []

    @pytest.mark.parametrize(
        ("low", "high", "yes", "spread", "fires"),
        [
            (0.4, 8.0, 0.28, 0.45, True),  # always yes, where yes is rare: the weight of the positives is too large
            (-8.0, -0.4, 0.72, 0.45, True),  # always no, where no is rare
            (-8.0, -0.4, 0.28, 0.45, False),  # always the more frequent answer: nothing else may be known
            (-1.0, 8.0, 0.28, 0.45, False),
            (0.4, 8.0, 0.0, 0.0, False),  # a batch of one kind, as a discriminator is given
        ],
    )
    def test_scores_of_one_sign_give_one_answer(self, low, high, yes, spread, fires):
        values = {"output_min": low, "output_max": high, "target_mean": yes}
        values |= {"target_min": 0.0 if spread else yes, "target_max": 1.0 if spread else yes}
        series = {f"data/{name}": (FRAMES, np.full(len(FRAMES), value)) for name, value in values.items()}
        manifest = {"loss": {"class": "BCEWithLogitsLoss"}, "data": {"output_shape": [32]}}
        said = judged(self.slug, series | {"train/loss": (STEPS, FLAT)}, manifest=manifest).findings
        assert [f.severity for f in said] == (["warning"] if fires else [])
        said = judged(self.slug, series, manifest=manifest | {"loss": {"class": "MSELoss"}})
        assert said.not_judged

    def test_tiny_batches_are_not_judged(self):
        assert "too small" in self.run(1.0, labels=0.5, batch=2).not_judged[0].reason


class TestPoorInitialization:
    slug = "poor-initialization"

    def run(self, output, loss=FLAT, size=1.0, spread=0.1, varying=1.0):
        parameters = [{"name": f"{n}.weight", "module": n, "shape": [8, 8], "trainable": True} for n in ("a", "b")]
        layers = {
            "activation_std": (["a", "relu", "b", "softmax"], FRAMES, np.tile([1.0, 0.5, output, 0.1], (10, 1))),
            "batch_variation": (["a", "relu", "b", "softmax"], FRAMES, np.tile([1.0, 1.0, varying, 1.0], (10, 1))),
            "input_mean": (["all"], FRAMES, np.zeros(10)),
            "input_std": (["all"], FRAMES, np.full(10, size)),
            "weight_std": (["a.weight", "b.weight"], FRAMES, np.full((10, 2), spread)),
        }
        return findings(
            self.slug, {"train/loss": (STEPS, loss)}, layers, {"model": {"parameters": parameters}} | CLASSIFIER
        )

    @pytest.mark.parametrize(("output", "word"), [(200.0, "large"), (1e-5, "small")])
    def test_outputs_far_off_fire_when_nothing_is_learned(self, output, word):
        spread = {"large": 1.0, "small": 0.05}[word]  # fan-in 8: 2.8 and 0.14, where 1 is usual
        (finding,) = self.run(output, spread=spread)
        assert f"far too {word}" in finding.message
        assert finding.layers == ("b",)
        assert self.run(output, FALLING, spread=spread) == []
        assert self.run(output, spread=0.35) == [], "usual weights are not to blame"

    @pytest.mark.parametrize("output", [0.0, 0.01, 0.3, 3.0])
    def test_usual_outputs_and_a_head_of_zeros_are_none(self, output):
        assert self.run(output, spread=0.05) == []

    def test_outputs_are_measured_by_the_inputs(self):
        assert self.run(100.0, size=130.0, spread=1.0) == []

    def test_biases_do_not_hide_inputs_that_all_look_alike(self):
        assert self.run(0.3, varying=0.9, spread=0.05) == []
        (finding,) = self.run(0.3, varying=1e-4, spread=0.05)
        assert "from example to example" in finding.message

    def test_constant_weights_are_told_by_another_rule(self):
        assert self.run(200.0, spread=0.0) == []

    def half_learned(self, right, **seen):
        """A loss that falls by 0.3 from that of guessing, with this accuracy at the end."""
        loss = 2.3 - 0.7 * (1 - np.exp(-STEPS / 60)) + 0.02 * RNG.standard_normal(400)
        return self.seen(loss, {"val/accuracy": (VALIDATIONS, np.linspace(0.1, right, len(VALIDATIONS)))}, **seen)

    def seen(self, loss, more=(), layers=2, spread=0.35, stds=None, varying=None, saturated=None, status="finished",
             manifest=CLASSIFIER):  # fmt: skip
        names = [f"layer{n}" for n in range(layers)]
        parameters = [{"name": f"{n}.weight", "module": n, "shape": [8, 8], "trainable": True} for n in names]
        wide = lambda row: np.tile(np.broadcast_to(row, layers), (10, 1))  # noqa: E731
        tables = {
            "activation_std": (names, FRAMES, wide(1.0 if stds is None else stds)),
            "batch_variation": (names, FRAMES, wide(1.0 if varying is None else varying)),
            "weight_std": ([f"{n}.weight" for n in names], FRAMES, wide(spread)),
        }
        if saturated is not None:
            tables["saturated_fraction"] = (names, FRAMES, wide(saturated))
        series = {"train/loss": (STEPS, loss)} | dict(more)
        manifest = {"model": {"parameters": parameters}} | manifest
        return findings(self.slug, series, tables, manifest, status=status)

    @pytest.mark.parametrize(
        "seen", [{"stds": 200.0, "spread": 1.0}, {"stds": 1.0, "spread": 1.0, "saturated": 0.8},
                 {"varying": 1e-5, "spread": 0.05}],
    )  # fmt: skip
    def test_what_began_badly_and_came_to_little_is_told_and_what_came_to_something_is_not(self, seen):
        assert len(self.half_learned(0.4, **seen)) == 1
        assert self.half_learned(0.9, **seen) == [], "it was overcome"
        assert self.half_learned(0.4, **seen | {"spread": 0.35}) == [], "usual weights are not to blame"

    @pytest.mark.parametrize(("held", "told"), [(0.72, 1), (0.93, 0)])
    def test_large_weights_that_learn_their_examples_and_little_about_others(self, held, told):
        """Everything is right in training; validation stays behind, or does not."""
        accuracies = {
            "train/accuracy": (STEPS, np.linspace(0.1, 1.0, len(STEPS))),
            "val/accuracy": (VALIDATIONS, np.linspace(0.1, held, len(VALIDATIONS))),
        }
        assert len(self.seen(FALLING, accuracies, stds=200.0, spread=1.0)) == told
        assert self.seen(FALLING, accuracies) == [], "usual weights are not to blame"

    @pytest.mark.parametrize(("leaves", "told"), [(250, 1), (60, 0)])
    def test_small_weights_that_stay_on_a_plateau(self, leaves, told):
        loss = 0.1 + 2.2 / (1 + np.exp((STEPS - leaves) / 8)) + 0.02 * np.random.default_rng(3).standard_normal(400)
        assert len(self.seen(loss, varying=1e-5, spread=0.05)) == told
        assert self.seen(loss) == [], "usual weights are not to blame"

    @pytest.mark.parametrize(("end", "told"), [(2.0, 1), (0.3, 0)])
    def test_an_absolute_error_is_measured_from_what_the_mean_of_the_targets_costs(self, end, told):
        """Outputs two hundred times too large: to come down from 150 to 2 is no success where the mean costs 0.8."""
        loss = end + (150 - end) * np.exp(-STEPS / 20) + 0.02 * np.random.default_rng(4).standard_normal(400)
        manifest = {"loss": {"class": "L1Loss", "reduction": "mean"}, "data": {}}
        spread = {"data/target_std": (FRAMES, np.ones(10))}
        assert len(self.seen(loss, spread, stds=200.0, spread=1.0, manifest=manifest)) == told

    def test_large_weights_show_in_the_first_loss(self):
        sure = 2.0 + 9.0 * np.exp(-STEPS / 40)
        (finding,) = self.seen(sure, spread=1.0)
        assert "far too large" in finding.message
        assert self.seen(FLAT, spread=1.0) == [], "large weights that nothing shows of (they are scaled elsewhere)"

    def test_a_signal_that_fades_through_the_depth_is_told_where_nothing_is_learned(self):
        fading = 0.3 ** np.arange(10)
        (finding,) = self.seen(FLAT, layers=10, stds=fading)
        assert "dies on its way up" in finding.message
        assert self.seen(FLAT, layers=10, stds=fading, status="running") == [], "it may leave the plateau yet"
        assert self.seen(FALLING, layers=10, stds=fading) == [], "it learns"
        assert self.seen(FLAT, layers=10, stds=0.8 ** np.arange(10)) == [], "the signal arrives"
        assert self.seen(FLAT, layers=10, stds=fading, saturated=0.0) == [], "sigmoids shrink it, whatever the weights"
        head_of_zeros = np.where(np.arange(10) < 9, 1.0, 0.0)
        assert self.seen(FLAT, layers=10, stds=head_of_zeros) == []

    def test_half_a_fade_counts_where_nothing_arrives_at_the_output(self):
        fading = np.append(0.6 ** np.arange(9), 2e-4)  # 0.02 of the signal is left, and the head is small
        assert len(self.seen(FLAT, layers=10, stds=fading)) == 1
        assert self.seen(FLAT, layers=10, stds=np.append(fading[:-1], 0.01)) == [], "what is left arrives"
        small_head = np.append(np.ones(9), 2e-4)
        assert self.seen(FLAT, layers=10, stds=small_head) == [], "a small head on a signal that arrives is usual"

    @pytest.mark.parametrize("step", [2e-5, 1e-3])
    def test_large_weights_show_in_the_steps_of_a_net_that_normalises(self, step):
        weights = ["a.weight", "b.weight"]
        parameters = [{"name": n, "module": n[0], "shape": [8, 8], "trainable": True} for n in weights]
        modules = [{"name": "a", "type": "Linear"}, {"name": "n", "type": "BatchNorm1d"}]
        tables = {
            "activation_std": (["a", "b"], FRAMES, np.ones((10, 2))),
            "weight_std": (weights, FRAMES, np.ones((10, 2))),
            "weight_norm": (weights, FRAMES, np.full((10, 2), 8.0)),
            "update_norm": (weights, FRAMES, np.full((10, 2), 8.0 * step)),
        }
        slowly = 2.3 - 0.5 * STEPS / 400 + 0.02 * RNG.standard_normal(400)
        series = {"train/loss": (STEPS, slowly), "val/accuracy": (VALIDATIONS, np.linspace(0.1, 0.4, len(VALIDATIONS)))}
        plain = {"model": {"parameters": parameters, "modules": modules[:1]}} | CLASSIFIER
        normalised = {"model": {"parameters": parameters, "modules": modules}} | CLASSIFIER
        assert len(findings(self.slug, series, tables, normalised)) == (step < 1e-4)
        assert findings(self.slug, series, tables, plain) == []

    def test_rows_that_are_looked_up_are_no_large_weights(self):
        """torch's own initialisation of an embedding is a standard deviation of 1, over 64 columns: a gain of 8."""
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(50, 64), nn.Flatten(), nn.Linear(64 * 4, 5))
        names = ["0.weight", "2.weight"]
        stds = [float(p.detach().std()) for p in (net[0].weight, net[2].weight)]
        modules = [{"name": "0", "type": "Embedding"}, {"name": "2", "type": "Linear"}]
        parameters = [{"name": n, "module": n[0], "shape": s, "trainable": True} for n, s in
                      zip(names, ([50, 64], [5, 256]), strict=True)]  # fmt: skip
        tables = {
            "activation_std": (["0", "2"], FRAMES, np.tile([1.0, 0.6], (10, 1))),
            "weight_std": (names, FRAMES, np.tile(stds, (10, 1))),
        }
        manifest = {"model": {"parameters": parameters, "modules": modules}} | CLASSIFIER
        sure = 2.0 + 9.0 * np.exp(-STEPS / 40)
        assert findings(self.slug, {"train/loss": (STEPS, sure)}, tables, manifest) == []

    def test_letters_of_a_text_are_no_classes_out_of_balance(self):
        counts = [1400] + [400] * 10 + [20] * 81
        assert TestClassImbalance().run(counts, train=0.16, validation=0.12).findings == []


def test_a_plateau_at_the_beginning_is_information_while_the_run_goes_on():
    series = {"train/loss": (STEPS, FLAT)}
    for status, severity in (("running", "info"), ("crashed", "warning")):
        (finding,) = findings("loss-not-decreasing", series, status=status)
        assert finding.severity == severity


def test_a_run_that_is_resumed_and_rolled_back_is_judged_by_every_rule_that_can(tmp_path):
    """A real one: 60 steps, then from the weights of step 40 again, to 120."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 20)
    targets = (inputs @ torch.randn(20, 5)).argmax(1)
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def go(probe, steps):
        for _ in range(steps):
            rows = torch.randint(0, 256, (32,))
            loss = nn.functional.cross_entropy(net(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)

    with probes.watch(net, optimizer, run_dir=tmp_path / "run", every=5) as probe:
        go(probe, 40)
        kept = {name: value.clone() for name, value in net.state_dict().items()}
        go(probe, 20)
    net.load_state_dict(kept)
    with probes.watch(net, optimizer, run_dir=tmp_path / "run", every=5, step=40) as probe:
        go(probe, 80)
    report = probes.diagnose(tmp_path / "run")
    assert report.step == 120
    assert [f for f in report.findings if f.severity != "info"] == []
    assert [r for r in report.not_judged if "failed" in r.reason] == []
    assert "learning-rate-too-high" in report.clear


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("course", "late"),
    [
        (lambda t: 1.0 - 0.6 / (1 + np.exp(-(t - 0.6) / 0.02)), True),
        (lambda t: 0.1 + 0.9 * np.exp(-6 * t), False),
        (lambda t: 0.4 + 0.6 * np.exp(-20 * t), False),
        (lambda t: 1.0 - 0.3 * t, False),
        (lambda t: np.where(t < 0.3, 1.0, 0.7) - 0.1 * (t > 0.6), False),
        (lambda t: np.ones_like(t), False),
    ],
)
def test_a_plateau_that_was_left_late(course, late, seed):
    steps = np.arange(1, 601)
    noise = 0.05 * np.random.default_rng(seed).standard_normal(600)
    found = late_start(Curve(steps, course(steps / 600) + noise))
    assert (found is not None) is late
    if found is not None:
        assert found.level == pytest.approx(1.0, abs=0.03) and 240 <= found.ends <= 390
