"""Rules on what the loss is given, on weight decay, on collapse, capacity and validation: on made series whose right
answer is known, and on short real trainings.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from trainings import digits

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.mismatch.bounds import entropy, floor_of
from probes.diagnosis.mismatch.by_floor import criterion as squeezed
from probes.diagnosis.validating.validations import following
from probes.diagnosis.view import Curve, RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200, 400])
RNG = np.random.default_rng(0)
NOISE = 0.01 * RNG.standard_normal(400)
LEARNED = 0.05 + 2.25 * np.exp(-STEPS / 40) + NOISE
STUCK = 2.3 + NOISE
HALFWAY = 1.3 + np.exp(-STEPS / 30) + NOISE
CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 10}}


def judged(slug, series, layers=None, manifest=None, status="finished"):
    report = judge(RunView.of_arrays(series, layers, manifest=manifest, status=status), [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason], report.not_judged
    return report


def findings(slug, *arguments, **options):
    return judged(slug, *arguments, **options).findings


def described(modules=(), weights=(), **more):
    """A manifest of (name, type, activation, output shape) and of (name, module, shape)."""
    return {
        "model": {
            "class": "Net",
            "parameters": [{"name": n, "module": m, "shape": list(s), "trainable": t} for n, m, s, t in weights],
            "modules": [{"name": n, "type": t, "activation": a, "output_shape": list(s)} for n, t, a, s in modules],
            **more,
        }
    }


def watched(model, loss_fn, tmp_path, data=None, steps=60, give=True, lr=0.01):
    """A short real training with the real probes."""
    torch.manual_seed(0)
    inputs, targets = digits() if data is None else data
    inputs, targets = inputs[:640], targets[:640]
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    with probes.watch(model, optimizer, tmp_path / "run", loss_fn=loss_fn if give else None, every=5) as probe:
        for step in range(steps):
            rows = slice(64 * (step % 10), 64 * (step % 10) + 64)
            loss = loss_fn(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return probes.diagnose(tmp_path / "run", ["loss-output-mismatch"])


def net(outputs=10, *ends, inputs=64):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, outputs), *ends)


class TestLossOutputMismatch:
    slug = "loss-output-mismatch"

    @pytest.mark.parametrize("classes", [2, 3, 10, 100])
    def test_the_floor_is_the_cross_entropy_of_perfect_probabilities(self, classes):
        perfect = torch.eye(classes, dtype=torch.float64)
        loss = nn.functional.cross_entropy(perfect, torch.arange(classes))
        assert floor_of(classes) == pytest.approx(loss.item())

    def test_no_distribution_that_is_so_sure_has_a_larger_entropy(self):
        for row in RNG.dirichlet(np.full(6, 0.5), 200):
            assert -(row * np.log(row)).sum() <= entropy(row.max(), 6) + 1e-9

    def test_a_squeezed_loss_fires_and_one_that_goes_below_does_not(self):
        floor = floor_of(10)
        double = floor + 0.02 + (math.log(10) - floor - 0.02) * np.exp(-(STEPS - 1) / 40)
        assert squeezed(double, double.min(), 10, 0.99)
        assert not squeezed(double, floor - 0.1, 10, 0.99), "a loss below the floor has another form"
        assert not squeezed(double, double.min(), 10, 0.3), "a model that is not sure has a high loss by right"
        assert not squeezed(double * 1.3, double.min(), 10, 0.99), "it did not begin at ln C"

    @pytest.mark.parametrize(
        ("loss_fn", "ends"),
        [
            (nn.CrossEntropyLoss(), [nn.Softmax(1)]),
            (nn.CrossEntropyLoss(), [nn.Sigmoid()]),
            (nn.CrossEntropyLoss(), [nn.Tanh()]),
            (nn.NLLLoss(), []),
            (nn.NLLLoss(), [nn.Softmax(1)]),
        ],
    )
    def test_a_wrong_end_is_seen_in_real_trainings(self, loss_fn, ends, tmp_path):
        (finding,) = watched(net(10, *ends), loss_fn, tmp_path).findings
        assert (finding.rule, finding.severity) == (self.slug, "warning")

    @pytest.mark.parametrize(("loss_fn", "ends"), [(nn.CrossEntropyLoss(), []), (nn.NLLLoss(), [nn.LogSoftmax(1)])])
    def test_a_right_end_is_clear(self, loss_fn, ends, tmp_path):
        assert watched(net(10, *ends), loss_fn, tmp_path).clear == [self.slug]

    REST = 0.3 + 0.4 * np.exp(-STEPS / 30) + 0.005 * RNG.standard_normal(400)

    def ended(self, passed, loss=REST, activation="relu", **series):
        """A model that ends in an activation, with the gradient before it over that behind it as given, per frame."""
        modules = [("fc", "Linear", None, (32, 2)), ("end", "ReLU", activation, (32, 2))]
        table = np.stack([0.01 * np.asarray(passed), np.full(9, 0.01)], axis=1)
        more = {name.replace("_", "/"): values for name, values in series.items()}
        return findings(
            self.slug,
            {"train/loss": (STEPS, loss)} | more,
            {"activation_grad_std": (["fc", "end"], FRAMES, table)},
            described(modules),
        )

    def test_a_rectifier_that_cuts_off_what_is_wrong_yet_is_told(self):
        cut, open_ = [1, 0.9, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3, 0.03], [1, 0.9, 0.9, 0.8, 0.8, 0.7, 0.7, 0.8, 0.7]
        (finding,) = self.ended(cut)
        assert (finding.layers, finding.first_step) == (("end",), 100)
        assert "only 3% of its size passes" in finding.message
        right = {"train_accuracy": (STEPS, np.full(400, 0.96))}
        assert self.ended(open_) == [], "amounts that are never below zero"
        assert self.ended(cut, **right) == [], "the answers are right"
        assert self.ended(cut, LEARNED) == [], "the loss is gone"
        assert self.ended(cut, 2.3 - 0.003 * STEPS + NOISE) == [], "it still falls"
        assert self.ended(cut, activation="softplus") == [], "another activation passes all, only scaled"

    @pytest.mark.parametrize("rectified", [True, False])
    def test_scores_of_classes_that_end_at_zero_without_a_module_for_it(self, rectified):
        low = np.zeros(9) if rectified else -np.linspace(0, 3, 9)
        frames = {"data/output_min": (FRAMES, low), "data/output_max": (FRAMES, np.linspace(0.1, 8, 9)),
                  "data/output_mean": (FRAMES, np.full(9, 0.5))}  # fmt: skip
        stuck = 0.5 + 1.8 * np.exp(-STEPS / 30) + NOISE
        series = {"train/loss": (STEPS, stuck), "val/accuracy": (STEPS[::40], np.full(10, 0.78))} | frames
        manifest = CLASSIFIER | {"data": {"classes": 10, "output_shape": [32, 10]}}
        found = findings(self.slug, series, None, manifest)
        assert [("after a ReLU" in finding.message) for finding in found] == [True] * rectified
        assert findings(self.slug, series | {"val/accuracy": (STEPS[::40], np.full(10, 0.97))}, None, manifest) == []

    def test_a_loss_of_ones_own_that_broke_says_nothing_of_what_it_rewards(self):
        own = {"loss": {"class": "Margin"}, "data": {"classes": 10, "label_counts": [10] * 10}}
        rest = 8 + 0.1 * RNG.standard_normal(400)
        chance = {"train/accuracy": (STEPS, np.full(400, 0.1))}
        modules = described([("fc", "Linear", None, (32, 10))])
        assert len(findings(self.slug, {"train/loss": (STEPS, rest)} | chance, None, own | modules)) == 1
        broken = np.where(STEPS < 300, rest, np.nan)
        assert findings(self.slug, {"train/loss": (STEPS, broken)} | chance, None, own | modules) == []

    def test_a_softmax_of_a_single_score(self, tmp_path):
        inputs, labels = digits()
        data = inputs, (labels > 4).float()[:, None]
        (finding,) = watched(net(1, nn.Softmax(1)), nn.BCELoss(), tmp_path, data, steps=20).findings
        assert "all outputs are 1" in finding.message
        shape = {"data": {"output_shape": [64, 1]}, "loss": {"class": "CrossEntropyLoss"}}
        frames = {
            f"data/output_{n}": (FRAMES, RNG.standard_normal(9) - 5 * (n == "min")) for n in ("min", "max", "mean")
        }
        assert "single score is 0" in findings(self.slug, frames, None, shape)[0].message

    def test_classes_that_never_come_make_no_model_sure(self):
        """Scores far below the others in all examples: the loss of guessing among the rest is no floor."""
        modules = [("out", "Linear", None, (64, 5))]
        names, ones = ["out"], np.ones((9, 1))
        losses = math.log(3) + 0.5 * np.exp(-(STEPS - 1) / 20)
        losses[0] = math.log(5)
        for variation, expected in ((0.02, 0), (1.0, 1)):
            layers = {
                "activation_mean": (names, FRAMES, -4 * ones),
                "activation_std": (names, FRAMES, 6 * ones),
                "batch_variation": (names, FRAMES, variation * ones),
            }
            assert len(findings(self.slug, {"train/loss": (STEPS, losses)}, layers, described(modules))) == expected

    def test_a_double_softmax_is_seen_without_the_loss_function(self, tmp_path):
        report = watched(net(10, nn.Softmax(1)), nn.CrossEntropyLoss(), tmp_path, steps=300, give=False)
        assert [f.severity for f in report.findings] == ["warning"]
        assert "1.46" in report.findings[0].message

    @pytest.mark.parametrize(
        ("targets", "ends", "said"),
        [
            (lambda y: y.float(), [], "combined to [64, 64]"),
            (lambda y: y.float()[:, None], [nn.Sigmoid()], "sigmoid"),
            (lambda y: (y.float()[:, None] - 4.5) / 3, [nn.ReLU()], "relu"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Using a target size")
    def test_regression(self, targets, ends, said, tmp_path):
        inputs, labels = digits()
        (finding,) = watched(net(1, *ends), nn.MSELoss(), tmp_path, (inputs, targets(labels))).findings
        assert said in finding.message

    def test_a_range_that_fits_is_clear(self, tmp_path):
        inputs, labels = digits()
        report = watched(net(1, nn.Sigmoid()), nn.MSELoss(), tmp_path, (inputs, labels.float()[:, None] / 9))
        assert report.findings == []

    @pytest.mark.parametrize(("low", "high", "expected"), [(0.0, 1.0, 0), (-1.0, 1.0, 1), (0.0, 4.0, 1)])
    def test_targets_of_the_binary_loss(self, low, high, expected):
        frames = {f"data/output_{n}": (FRAMES, np.full(9, v)) for n, v in (("min", -3.0), ("max", 3.0), ("mean", 0.1))}
        manifest = {"loss": {"class": "BCEWithLogitsLoss"}, "data": {"target_min": low, "target_max": high}}
        assert len(findings(self.slug, frames, None, manifest)) == expected

    @pytest.mark.parametrize(
        ("ends", "said"),
        [
            ([nn.LogSigmoid()], ["never above 0", "a target of 1 costs 0.693"]),
            ([nn.ReLU()], ["never below 0", "a target of 0 costs 0.693"]),
            ([nn.Tanh()], ["0.313 for a target of 1, nor below 0.313 for a target of 0"]),
            ([nn.LeakyReLU()], []),
            ([], []),
        ],
    )
    def test_scores_of_a_yes_or_no_that_an_activation_ends(self, ends, said, tmp_path):
        inputs, labels = digits()
        report = watched(net(1, *ends), nn.BCEWithLogitsLoss(), tmp_path, (inputs, (labels % 2).float()[:, None]))
        told = [f.message for f in report.findings if f.rule == self.slug]
        assert len(told) == bool(said)
        assert all(part in told[0] for part in said)
        limit = torch.nn.functional.binary_cross_entropy_with_logits(torch.ones(1), torch.ones(1))
        assert limit.item() == pytest.approx(0.313, abs=1e-3)


class TestWeightDecayTooStrong:
    slug = "weight-decay-too-strong"

    @pytest.mark.parametrize(("rate", "told"), [(1e-2, 1), (1e-12, 0)])
    def test_a_decay_that_rounds_off_pulls_at_nothing(self, rate, told):
        """AdamW without any update: what the decay takes from a float32, too, is nothing at a rate of next to zero."""
        said = self.run(HALFWAY, np.linspace(5.0, 4.5, 9), 1e-3, 0.1, "AdamW", 1e-15, rate=rate)
        assert len(said) == told
        weight = np.float32(1.0)
        assert (np.float32(weight * (1 - np.float32(rate * 0.1))) != weight) == bool(told)

    def run(self, loss, sizes, gradient, decay, kind="SGD", update=0.01, rate=0.1):
        table = {
            "weight_norm": (["w"], np.append(0, FRAMES), np.append(sizes[0], sizes)),
            "grad_norm": (["w"], FRAMES, np.full(9, gradient)),
            "update_norm": (["w"], FRAMES, np.full(9, update)),
        }
        group = {"lr": rate, "weight_decay": decay, "parameters": ["w"]}
        manifest = described(weights=[("w", "fc", (8, 8), True)]) | {"optimizers": [{"class": kind, "groups": [group]}]}
        return findings(self.slug, {"train/loss": (STEPS, loss)}, table, manifest)

    def test_the_pull_is_the_decay_times_the_norm_over_the_gradient(self):
        (finding,) = self.run(HALFWAY, np.full(9, 4.0), 0.5, 0.1)
        assert finding.severity == "warning"
        assert finding.evidence[0].value == pytest.approx(0.1 * 4.0 / 0.5)

    def test_apart_from_the_gradient_the_update_counts(self):
        (finding,) = self.run(HALFWAY, np.full(9, 4.0), 0.5, 0.1, "AdamW", update=0.02)
        assert finding.evidence[0].value == pytest.approx(0.1 * 0.1 * 4.0 / 0.02)
        assert self.run(HALFWAY, np.full(9, 4.0), 0.5, 0.1, "AdamW", update=0.2) == []

    def test_half_as_much_is_enough_where_half_of_the_weights_is_gone(self):
        shrunk, kept = np.geomspace(4.0, 1.6, 9), np.full(9, 4.0)
        assert len(self.run(HALFWAY, shrunk, 0.5, 0.1, "AdamW", update=0.035)) == 1
        assert self.run(HALFWAY, kept, 0.5, 0.1, "AdamW", update=0.07) == []
        assert self.run(LEARNED, shrunk, 0.5, 0.1, "AdamW", update=0.035) == []

    def test_weights_that_vanish_are_critical(self):
        (finding,) = self.run(STUCK, np.geomspace(4.0, 1e-4, 9), 1e-6, 0.1)
        assert finding.severity == "critical"

    @pytest.mark.parametrize(
        ("right", "smoothing", "sizes", "fires"),
        [
            (0.87, 0.0, np.full(9, 4.0), True),
            (0.6, 0.0, np.full(9, 4.0), False),  # as much as so many wrong answers leave open
            (0.87, 0.2, np.full(9, 4.0), False),  # the targets themselves leave more open
            (0.87, 0.0, np.geomspace(0.5, 4.0, 9), False),  # the weights still grow
        ],
    )
    def test_scores_too_small_for_the_answers(self, right, smoothing, sizes, fires):
        """A loss of 1.26 with 87% right of ten classes: a net that dares to say so has 0.67 or less (Fano)."""
        table = {
            "weight_norm": (["w"], np.append(0, FRAMES), np.append(0.2, sizes)),
            "grad_norm": (["w"], FRAMES, np.full(9, 0.2)),
            "update_norm": (["w"], FRAMES, np.full(9, 0.01)),
        }
        group = {"lr": 0.1, "weight_decay": 0.02, "parameters": ["w"]}
        manifest = described(weights=[("w", "fc", (8, 8), True)]) | {
            "optimizers": [{"class": "SGD", "groups": [group]}],
            "loss": {"class": "CrossEntropyLoss", "reduction": "mean", "label_smoothing": smoothing},
            "data": {"classes": 10},
        }
        loss = 1.26 + (np.log(10) - 1.26) * np.exp(-STEPS / 20)
        series = {"train/loss": (STEPS, loss), "train/accuracy": (STEPS, np.full(len(STEPS), right))}
        assert bool(findings(self.slug, series, table, manifest)) == fires

    def test_what_does_no_harm_is_clear(self):
        assert self.run(LEARNED, np.full(9, 4.0), 0.5, 0.1) == [], "it learned"
        assert self.run(HALFWAY, np.full(9, 4.0), 5.0, 0.1) == [], "the gradient is stronger"
        assert self.run(HALFWAY, np.full(9, 4.0), 0.5, 0.0) == [], "no decay"
        assert self.run(STUCK, np.full(9, 4.0), 0.0, 0.1) == [], "no gradient from the beginning"


class TestCollapsedActivations:
    slug = "collapsed-activations"
    modules = (("a", "Linear", None, (32, 8)), ("b", "ReLU", "relu", (32, 8)), ("c", "Linear", None, (32, 4)))

    def run(self, variation, loss=STUCK, modules=modules, **layers):
        names = [m[0] for m in modules]
        table = {"batch_variation": (names, FRAMES, variation)} | layers
        return judged(self.slug, {"train/loss": (STEPS, loss)}, table, described(modules))

    def test_the_first_layer_of_the_collapse_is_named(self):
        report = self.run(np.tile([0.5, 1e-5, 1e-6], (9, 1)))
        (finding,) = report.findings
        assert (finding.severity, finding.layers, finding.first_step) == ("warning", ("b", "c"), 1)
        assert [f.severity for f in self.run(np.tile([0.5, 1e-5, 1e-6], (9, 1)), LEARNED).findings] == ["info"]

    def test_only_what_lasts_and_reaches_the_output_counts(self):
        assert self.run(np.tile([0.5, 1e-6, 0.4], (9, 1))).findings == [], "the output varies"
        late = np.tile([0.5, 0.5, 0.5], (9, 1))
        late[-1, 2] = 1e-6
        assert self.run(late).findings == [], "one frame"
        early = np.tile([0.5, 0.5, 0.5], (9, 1))
        early[:4, 2] = 0.0
        assert self.run(early).findings == [], "a head that begins at zero"

    def test_a_single_output_is_measured_against_its_size(self):
        modules = (("a", "Linear", None, (32, 8)), ("c", "Linear", None, (32, 1)))
        ones, names = np.ones((9, 2)), ["a", "c"]
        for spread, expected in ((1e-5, 1), (0.3, 0)):
            layers = {"activation_mean": (names, FRAMES, ones), "activation_std": (names, FRAMES, spread * ones)}
            assert len(self.run(ones, STUCK, modules, **layers).findings) == expected

    def test_values_that_are_not_finite_are_no_collapse(self):
        report = self.run(np.tile([0.5, np.nan, np.nan], (9, 1)))
        assert [r.reason for r in report.not_judged] == ["activations are not finite"]


class TestLossWithoutABottom:
    slug = "loss-output-mismatch"

    def run(self, loss):
        return findings(self.slug, {"train/loss": (STEPS, loss + 0.02 * RNG.standard_normal(400))})

    def test_a_straight_line_through_zero_and_on(self):
        (finding,) = self.run(1.5 - 0.1 * STEPS)
        assert "no lowest value" in finding.message

    def test_a_likelihood_that_slows_down_on_its_way_below_zero(self):
        assert self.run(1.5 - 40.0 * (1.0 - np.exp(-STEPS / 250))) == []

    def test_returns_that_grow_were_never_above_zero(self):
        assert self.run(-10.0 - 0.5 * STEPS) == []


class TestWeightsGrowing:
    slug = "weights-growing"

    def run(self, sizes, loss):
        table = {"weight_norm": (["w"], FRAMES, sizes)}
        return findings(self.slug, {"train/loss": (STEPS, loss)}, table, described(weights=[("w", "fc", (8, 8), True)]))

    def test_severity_follows_the_harm(self):
        sizes = np.geomspace(4.0, 400.0, 9)
        assert [f.severity for f in self.run(sizes, STUCK)] == ["warning"]
        assert [f.severity for f in self.run(sizes, LEARNED)] == ["info"]
        (finding,) = self.run(sizes, 2.0 - 0.1 * STEPS)
        assert (finding.severity, "without a bottom" in finding.message) == ("warning", True)

    def test_growth_is_measured_from_the_usual_size(self):
        assert self.run(np.geomspace(0.01, 8.0, 9), STUCK) == [], "it began small: 8 is twice the usual 4"
        assert self.run(np.array([4.0, 200, 400, 400, 400, 400, 400, 400, 400]), STUCK) == [], "it has stopped"


class TestUnderfitting:
    slug = "underfitting"
    modules = (("a", "Linear", None, (32, 2)), ("b", "ReLU", "relu", (32, 2)), ("c", "Linear", None, (32, 10)))
    wide = (("a", "Linear", None, (32, 64)), ("b", "ReLU", "relu", (32, 64)), ("c", "Linear", None, (32, 10)))
    weights = (("a.weight", "a", (64, 64), True), ("c.weight", "c", (10, 64), True))

    def run(self, train=HALFWAY, gap=0.0, modules=wide, weights=weights, series=None, layers=None, **more):
        steps = STEPS[19::20]
        curves = {"train/loss": (STEPS, train), "val/loss": (steps, train[19::20] + gap)} | (series or {})
        return findings(self.slug, curves, layers, described(modules, weights, **more) | CLASSIFIER)

    def test_a_narrow_layer_is_named_with_numbers(self):
        (finding,) = self.run(modules=self.modules)
        assert (finding.severity, finding.layers) == ("warning", ("a",))
        assert "2 units for 10 classes" in finding.message

    def test_without_a_cause_it_is_information(self):
        assert [f.severity for f in self.run()] == ["info"]

    def test_dropout_and_frozen_layers(self):
        drops = [{"name": "d", "type": "Dropout", "dropped": 0.9}]
        assert "dropout of 90%" in self.run(mode_dependent=drops)[0].message
        frozen = (("a.weight", "a", (64, 64), False), ("c.weight", "c", (10, 64), True))
        assert "frozen" in self.run(1.6 + 0.7 * np.exp(-STEPS / 30) + NOISE, weights=frozen)[0].message

    @pytest.mark.parametrize(("dropped", "said"), [(0.95, ["critical"]), (0.5, [])])
    def test_a_loss_that_blows_up_under_dropout_of_nearly_everything(self, dropped, said):
        drops = [{"name": "d", "type": "Dropout", "dropped": dropped}]
        assert [f.severity for f in self.run(2.3 * np.exp(STEPS / 40), mode_dependent=drops)] == said

    @pytest.mark.parametrize(("zeros", "severity"), [(0.0, "warning"), (0.5, "info")])
    def test_layers_without_a_nonlinearity(self, zeros, severity):
        plain = (self.wide[0], self.wide[2])
        layers = {"activation_grad_zero_fraction": (["a", "c"], FRAMES, np.tile([zeros, 0.0], (9, 1)))}
        found = self.run(1.9 + 0.4 * np.exp(-STEPS / 30) + NOISE, modules=plain, layers=layers)
        assert [f.severity for f in found] == [severity], "a ReLU called as a function leaves zeros in the gradient"

    @pytest.mark.parametrize(("channels", "severity"), [(2, "warning"), (32, "info")])
    def test_a_head_that_reads_two_pooled_channels(self, channels, severity):
        pooled = (("a", "Conv2d", None, (32, channels, 8, 8)), ("c", "Linear", None, (32, 10)))
        weights = (("a.weight", "a", (channels, 1, 3, 3), True), ("c.weight", "c", (10, channels), True))
        assert [f.severity for f in self.run(modules=pooled, weights=weights)] == [severity]

    @pytest.mark.parametrize(("end", "said"), [(1e-5, ["warning"]), (0.1, [])])
    def test_a_narrow_layer_has_no_room_when_the_schedule_is_over(self, end, said):
        rates = {"optimizer/lr": (STEPS, np.linspace(0.1, end, len(STEPS)))}
        late = 2.3 - 0.8 * (STEPS / len(STEPS)) ** 2 + NOISE
        assert [f.severity for f in self.run(late, modules=self.modules, series=rates)] == said

    @pytest.mark.parametrize(("end", "said"), [(1e-5, ["warning"]), (0.1, [])])
    def test_dropout_of_nearly_everything_when_the_schedule_is_over(self, end, said):
        rates = {"optimizer/lr": (STEPS, np.linspace(0.1, end, len(STEPS)))}
        drops = [{"name": "d", "type": "Dropout", "dropped": 0.95}]
        late = 2.3 - 0.8 * (STEPS / len(STEPS)) ** 2 + NOISE
        assert [f.severity for f in self.run(late, series=rates, mode_dependent=drops)] == said

    @pytest.mark.parametrize(("fell", "said"), [(0.06, ["warning"]), (0.0, [])])
    def test_a_narrow_net_that_learned_next_to_nothing(self, fell, said):
        rates = {"optimizer/lr": (STEPS, np.linspace(0.1, 1e-5, len(STEPS)))}
        little = 2.3 - fell * STEPS / len(STEPS) + NOISE
        assert [f.severity for f in self.run(little, modules=self.modules, series=rates)] == said
        assert self.run(little, series=rates) == [], "a net with room has other troubles"

    @pytest.mark.parametrize(("fell", "said"), [(0.05, ["warning"]), (0.0, [])])
    def test_a_narrow_net_of_which_only_validation_shows_that_it_learned_a_little(self, fell, said):
        rates = {"optimizer/lr": (STEPS, np.linspace(0.1, 1e-5, len(STEPS)))}
        beside = 2.3 - fell * (1.0 - np.exp(-STEPS[9::10] / 20))
        rates["val/loss"] = (STEPS[9::10], beside)
        assert [f.severity for f in self.run(2.3 + NOISE, modules=self.modules, series=rates)] == said

    def test_what_is_good_or_overfits_or_still_falls_is_clear(self):
        assert self.run(LEARNED, modules=self.modules) == []
        assert self.run(gap=1.0, modules=self.modules) == []
        assert self.run(2.3 - 0.002 * STEPS + NOISE, modules=self.modules) == []
        good = {"val/acc": (STEPS[19::20], np.full(20, 93.0))}
        assert self.run(modules=self.modules, series=good) == []

    @pytest.mark.parametrize(("right", "said"), [(89.0, ["warning"]), (95.0, [])])
    def test_of_two_classes_half_is_right_by_guessing(self, right, said):
        own = (("a", "Linear", None, (32, 2)), ("c", "Linear", None, (32, 2)))
        weights = (("a.weight", "a", (2, 64), True), ("c.weight", "c", (2, 2), True))
        accuracy = {"val/acc": (STEPS[19::20], np.full(20, right))}
        loss = 0.25 + 0.44 * np.exp(-STEPS / 40.0) + 0.1 * NOISE
        curves = {"train/loss": (STEPS, loss), "val/loss": (STEPS[19::20], loss[19::20])} | accuracy
        balanced = {"data": {"classes": 2, "label_counts": [100, 100]}}
        found = findings(self.slug, curves, None, described(own, weights) | CLASSIFIER | balanced)
        assert [f.severity for f in found] == said


class TestValidationAnomaly:
    slug = "validation-anomaly"
    batch_norm = (("n", "BatchNorm1d", None, (32, 8)),)
    times = STEPS[39::40]

    def run(self, loss, series=None, modules=batch_norm, train=LEARNED, manifest=None):
        curves = {"train/loss": (STEPS, train), "val/loss": (self.times, loss)} | (series or {})
        return findings(self.slug, curves, None, described(modules) | (manifest or {}))

    def test_validation_in_training_mode(self):
        told = np.append(self.times[:-1] + 1, self.times[-1])
        loss = LEARNED[39::40]
        (finding,) = self.run(loss, {"system/evaluation_mode": (told, np.ones(10))})
        assert finding.severity == "warning"
        assert "10 of 10 validations" in finding.message
        assert self.run(loss, {"system/evaluation_mode": (told, np.zeros(10))}) == []
        assert self.run(loss, {"system/evaluation_mode": (told, np.ones(10))}, modules=()) == [], (
            "nothing depends on it"
        )

    def test_training_in_evaluation_mode(self):
        loss = LEARNED[39::40]
        assert [f.severity for f in self.run(loss, {"system/training_mode": ([1, 41], [1.0, 0.0])})] == ["warning"]
        assert [f.severity for f in self.run(loss, {"system/training_mode": ([1], [0.0])})] == ["info"]
        assert self.run(loss, {"system/training_mode": ([1, 41, 43], [1.0, 0.0, 1.0])}) == []

    def test_a_cross_entropy_lower_than_its_accuracy_allows(self):
        half = {"val/accuracy": (self.times, np.full(10, 0.5))}
        (finding,) = self.run(np.full(10, 0.01), half, manifest=CLASSIFIER)
        assert "too small" in finding.message
        assert self.run(np.full(10, 0.7), half, manifest=CLASSIFIER) == []
        assert [f.severity for f in self.run(np.full(10, 0.01), half)] == ["info"], "the loss is not known"

    def test_another_scale(self):
        assert [f.severity for f in self.run(STUCK[39::40] / 64, train=STUCK)] == ["warning"]
        jump = STUCK.copy()
        jump[1:] = 90.0
        assert "not measured alike" not in str(self.run(np.full(10, 2.3), train=jump)), "the training jumped"

    def test_better_than_training_is_information_and_dropout_explains_it(self):
        train = 1.0 + NOISE
        assert [f.severity for f in self.run(np.full(10, 0.4), train=train)] == ["info"]
        assert self.run(np.full(10, 0.4), train=train, modules=(("d", "Dropout", None, (32, 8)),)) == []
        assert self.run(np.full(10, 0.8), train=train) == []

    def test_the_training_loss_that_follows(self):
        validation = Curve(np.array([0, 2, 4]), np.zeros(3))
        train = Curve(np.array([1, 2, 3, 4]), np.array([9.0, 7.0, 5.0, 1.0]))
        assert following(validation, train).tolist() == [8.0, 3.0, 1.0]
