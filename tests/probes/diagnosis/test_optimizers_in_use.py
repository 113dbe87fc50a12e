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
from probes.diagnosis.rules.learning_rate_too_low import criterion as too_low
from probes.diagnosis.signs.memory import forgetful
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


class TestStepsThatCease:
    def told(self, steps_of_the_values, end=1.0):
        loss = np.linspace(2.3, end, len(steps_of_the_values))
        parameters = [{"name": "w", "module": "w", "shape": [8, 8], "trainable": True}]
        manifest = {
            "model": {"parameters": parameters},
            "optimizers": [{"class": "SGD", "groups": [{"lr": 0.1, "parameters": ["w"]}]}],
        }
        return loud("parameters-not-updated", {"train/loss": (steps_of_the_values, loss)}, manifest=manifest)

    def test_batches_that_no_step_follows_are_told(self):
        (message,) = self.told(np.concatenate((np.arange(150), np.full(1000, 150))))
        since = int(message.split("since step ")[1].split(",")[0])
        assert 90 <= since <= 150

    @pytest.mark.parametrize("micro", [1, 4, 16])
    def test_gradients_gathered_over_several_batches_are_healthy(self, micro):
        assert not self.told(np.arange(1200) // micro)

    def test_so_is_gathering_more_of_them_later(self):
        assert not self.told(np.concatenate((np.arange(400), 400 + np.arange(800) // 8)))

    def test_and_a_run_that_had_learned_before(self):
        assert not self.told(np.concatenate((np.arange(150), np.full(1000, 150))), end=0.1)


class TestLabelsOfAnotherBatch:
    """A loss that comes down to that of guessing, with an accuracy of one in ten."""

    def told(self, end, right):
        steps = np.arange(1, 501)
        random = np.random.default_rng(0)
        loss = end + (2.6 - end) * np.exp(-steps / 60) + 0.02 * random.standard_normal(500)
        accuracy = right + 0.05 * random.standard_normal(500)
        manifest = {"model": {"parameters": [{"name": "w", "module": "w", "shape": [10, 64], "trainable": True}]}}
        return loud(
            "loss-not-decreasing", {"train/loss": (steps, loss), "train/accuracy": (steps, accuracy)}, None, manifest
        )

    def test_to_come_down_to_guessing_is_no_learning(self):
        (message,) = self.told(2.31, 0.1)
        assert "10 classes" in message

    @pytest.mark.parametrize(("end", "right"), [(2.31, 0.3), (1.9, 0.1)])
    def test_to_be_right_more_often_or_to_go_below_is(self, end, right):
        assert not self.told(end, right)


class TestAHandfulOfSteps:
    def told(self, begin, end, outputs=10, steps=12):
        at = np.arange(1, steps + 1)
        loss = begin + (end - begin) * (at - 1) / (steps - 1) + 0.02 * np.random.default_rng(0).standard_normal(steps)
        manifest = {"model": {"parameters": [{"name": "w", "module": "w", "shape": [outputs, 64], "trainable": True}]}}
        return loud("training-too-short", {"train/loss": (at, loss)}, None, manifest)

    def test_from_guessing_and_hardly_below_it(self):
        assert self.told(2.31, 2.17)

    @pytest.mark.parametrize(
        ("begin", "end", "outputs"),
        [(2.31, 1.5, 10), (2.31, 2.31, 10), (0.5, 0.45, 10), (2.31, 2.17, 1)],
    )
    def test_what_has_learned_stands_still_or_began_elsewhere_is_not_told(self, begin, end, outputs):
        assert not self.told(begin, end, outputs)


class TestALineWhereACurveIsNeeded:
    def told(self, shapes, cls="Sequential", between=(), end=0.4):
        steps = np.arange(1, 2001, 20)
        loss = end + (0.6 - end) * np.exp(-steps / 100) + 0.01 * np.random.default_rng(0).standard_normal(100)
        names = [str(2 * place) for place in range(len(shapes))]
        modules = [
            {"name": n, "type": "Linear", "output_shape": [32, s[0]]} for n, s in zip(names, shapes, strict=True)
        ]
        modules += [{"name": n, "type": t, "activation": t.lower(), "output_shape": [32, 8]} for n, t in between]
        parameters = [
            {"name": f"{n}.weight", "module": n, "shape": list(s), "trainable": True}
            for n, s in zip(names, shapes, strict=True)
        ]
        manifest = {"model": {"class": cls, "modules": modules, "parameters": parameters}}
        return loud("underfitting", {"train/loss": (steps, loss)}, None, manifest)

    STACK = ((32, 1), (32, 32), (1, 32))

    def test_dense_layers_in_a_row_are_one(self):
        (message,) = self.told(self.STACK)
        assert "one linear map" in message

    def test_an_activation_or_a_forward_of_its_own_may_bend_it(self):
        assert not self.told(self.STACK, between=[("1", "Tanh")])
        assert not self.told(self.STACK, cls="Net")

    @pytest.mark.parametrize("shapes", [((3, 64), (64, 3)), ((2, 20), (30, 2))])
    def test_an_autoencoder_and_a_factorisation_are_meant(self, shapes):
        assert not self.told(shapes)

    def test_a_line_that_fits_is_enough(self):
        assert not self.told(self.STACK, end=0.1)

    CLASSIFIER = ((64, 2), (64, 64), (2, 64))

    @pytest.mark.parametrize(
        ("shapes", "between", "end", "right", "said"),
        [
            (CLASSIFIER, (), 0.27, 0.88, True),  # two moons, parted by a line
            (CLASSIFIER, [("1", "ReLU")], 0.27, 0.88, False),
            (CLASSIFIER, (), 0.08, 0.97, False),  # a line parts them
            (((4, 20), (10, 4)), (), 0.9, 0.6, False),  # a factorisation
        ],
    )
    def test_dense_layers_alone_that_part_classes_by_a_plane(self, shapes, between, end, right, said):
        steps = np.arange(37, 1110, 37)
        draws = np.random.default_rng(0)
        loss = end * (1.0 + 0.01 * draws.standard_normal(len(steps)))
        names = [str(2 * place) for place in range(len(shapes))]
        modules = [
            {"name": n, "type": "Linear", "output_shape": [32, s[0]]} for n, s in zip(names, shapes, strict=True)
        ]
        modules += [{"name": n, "type": t, "activation": t.lower(), "output_shape": [32, 64]} for n, t in between]
        parameters = [
            {"name": f"{n}.weight", "module": n, "shape": list(s), "trainable": True}
            for n, s in zip(names, shapes, strict=True)
        ]
        manifest = {
            "model": {"class": "Sequential", "modules": modules, "parameters": parameters},
            "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
            "data": {"output_shape": [32, shapes[-1][0]], "label_counts": [160] * shapes[-1][0]},
        }
        scalars = {
            "train/loss": (steps, loss),
            "val/loss": (steps, 0.95 * loss),
            "val/acc": (steps, right + 0.004 * draws.standard_normal(len(steps))),
        }
        found = loud("underfitting", scalars, None, manifest)
        assert bool(found) is said
        assert not found or "one linear map" in found[0]


class TestRatesGradedByDepth:
    """The body at a hundred-thousandth of the head's rate, with a loss of which a fifth is gone."""

    def told(self, body=1e-7, largest=0.98, end=0.8):
        frames, steps = np.array([0, 1, 10, 50, 100, 200, 299]), np.arange(1, 301)
        names = ("body.weight", "body.bias", "head.weight")
        shapes = ((10, 10), (10,), (1, 10))
        bound = 1.0 / np.sqrt(10.0)
        rates = (body, body, 0.01)
        loss = end + (1.0 - end) * np.exp(-steps / 40) + 0.01 * np.random.default_rng(0).standard_normal(300)
        most = np.tile([largest * bound, 0.5 * bound, 0.9 * bound], (len(frames), 1))
        layers = {
            "update_ratio": (names, frames[1:], np.tile(np.array(rates) / 0.2, (len(frames) - 1, 1))),
            "weight_min": (names, frames, -most),
            "weight_max": (names, frames, most),
            "weight_norm": (names, frames, np.ones((len(frames), 3))),
            "update_norm": (names, frames[1:], np.tile(np.array(rates), (len(frames) - 1, 1))),
        }
        groups = [{"lr": body, "parameters": list(names[:2])}, {"lr": 0.01, "parameters": [names[2]]}]
        manifest = {
            "model": {
                "modules": [{"name": n, "type": "Linear", "output_shape": [32, 10]} for n in ("body", "head")],
                "parameters": [
                    {"name": n, "module": n.split(".")[0], "shape": list(s), "trainable": True}
                    for n, s in zip(names, shapes, strict=True)
                ],
            },
            "optimizers": [{"class": "Adam", "groups": groups}],
        }
        return loud("learning-rate-too-low", {"train/loss": (steps, loss)}, layers, manifest)

    def test_random_weights_that_hardly_move_are_told(self):
        (message,) = self.told()
        assert "body.weight" in message
        assert "head" not in message

    @pytest.mark.parametrize("change", [{"largest": 1.7}, {"body": 1e-3}, {"end": 0.2}])
    def test_pretrained_ones_usual_rates_and_a_loss_that_falls_are_healthy(self, change):
        assert not self.told(**change)


class TestALayerThatIsExtinctWithNoLossLogged:
    def told(self, zeros=1.0, gradient=0.0, variation=1e-8):
        """Eight frames, the last of which shows the layer behind the second weight."""
        frames = np.array([1, 2, 5, 10, 20, 50, 100, 200])
        modules = ("a", "act1", "b", "act2", "c")
        weights = ("a.weight", "b.weight", "c.weight")
        silence, force, varied = np.full((8, 2), 0.5), np.ones((8, 3)), np.full((8, 5), 0.7)
        silence[-1, 1], force[-1, :2], varied[-1, -1] = zeros, gradient, variation
        layers = {
            "zero_fraction": (("act1", "act2"), frames, silence),
            "grad_norm": (weights, frames, force),
            "batch_variation": (modules, frames, varied),
        }
        manifest = {
            "model": {
                "modules": [
                    {"name": n, "type": "ReLU", "activation": "relu", "output_shape": [32, 8]}
                    if n.startswith("act")
                    else {"name": n, "type": "Linear", "output_shape": [32, 8]}
                    for n in modules
                ],
                "parameters": [{"name": w, "module": w[0], "shape": [8, 8], "trainable": True} for w in weights],
            }
        }
        return loud("dead-units", {"val/accuracy": (frames, np.full(8, 0.1))}, layers, manifest)

    def test_one_frame_is_enough(self):
        (message,) = self.told()
        assert message.startswith("act2 ")

    @pytest.mark.parametrize("change", [{"zeros": 0.9}, {"gradient": 1e-6}, {"variation": 0.3}])
    def test_as_long_as_anything_passes_it_is_not_told(self, change):
        assert not self.told(**change)
