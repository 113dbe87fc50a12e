"""The first four rules on made series, where the right answer is known, and on what must not set them off."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
RNG = np.random.default_rng(0)
LOSS = 0.2 + 2.1 * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)


def findings(slug, series, layers=None, manifest=None, **thresholds):
    view = RunView.of_arrays(series, layers, manifest=manifest)
    report = judge(view, [RULES[slug]], {slug: thresholds})
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return report.findings


def described(names, shape=(8, 8)):
    return {"model": {"parameters": [{"name": n, "module": n, "shape": list(shape), "trainable": True} for n in names]}}


class TestNonfiniteValues:
    slug = "nonfinite-values"

    def test_the_onset_is_the_first_step_that_is_not_finite(self):
        loss = np.where(STEPS >= 123, np.nan, LOSS)
        (finding,) = findings(self.slug, {"train/loss": (STEPS, loss)})
        assert (finding.severity, finding.first_step, finding.active) == ("critical", 123, True)
        assert "step 122" in finding.message

    def test_a_disaster_shows_at_its_first_value(self):
        loss = np.where(STEPS >= 400, np.inf, LOSS)
        (finding,) = findings(self.slug, {"train/loss": (STEPS, loss)})
        assert (finding.severity, finding.first_step) == ("critical", 400)

    def test_steps_that_a_scaler_skips_are_its_normal_work(self):
        skipped = np.isin(STEPS, [1, 2, 3, 4, 200])
        layers = {
            "grad_norm": (["w"], STEPS, np.where(skipped, np.inf, 1.0)),
            "weight_norm": (["w"], STEPS, np.ones(400)),
            "update_norm": (["w"], STEPS, np.where(skipped, 0.0, 0.01)),
        }
        series = {
            "train/loss": (STEPS, np.where(skipped, np.inf, LOSS)),
            "optimizer/skipped": (STEPS, skipped.astype(float)),
        }
        assert findings(self.slug, series, layers) == []
        del series["optimizer/skipped"]
        (finding,) = findings(self.slug, series, layers)
        assert finding.severity == "warning"

    def test_a_scaler_that_skips_for_ever_is_a_disaster(self):
        skipped = STEPS > 370
        for kept in (STEPS > 0, skipped):  # with a value for every step, or for the skipped ones only
            series = {"train/loss": (STEPS, LOSS), "optimizer/skipped": (STEPS[kept], skipped[kept].astype(float))}
            (finding,) = findings(self.slug, series)
            assert (finding.severity, finding.first_step) == ("critical", 371)

    def test_skips_that_are_far_apart_are_no_row(self):
        far = STEPS[STEPS % 10 == 0]
        series = {"train/loss": (STEPS, LOSS), "optimizer/skipped": (far, np.ones(len(far)))}
        assert findings(self.slug, series) == []

    def test_a_loss_that_recovers_is_no_disaster(self):
        loss = np.where(STEPS == 50, np.nan, LOSS)
        (finding,) = findings(self.slug, {"train/loss": (STEPS, loss)})
        assert (finding.severity, finding.first_step, finding.last_step, finding.active) == (
            "info",
            50,
            50,
            False,
        )

    def test_broken_weights_are_found_without_any_loss(self):
        weights = np.ones((40, 2))
        weights[25:, 1] = np.nan
        layers = {"weight_norm": (["a", "b"], STEPS[:40], weights)}
        (finding,) = findings(self.slug, {}, layers)
        assert (finding.first_step, finding.layers) == (26, ("b",))

    def test_infinities_that_are_meant_are_let_be(self):
        layers = {
            "weight_nonfinite": (["mask", "w"], STEPS[:40], np.tile([9.0, 0.0], (40, 1))),
            "activation_nonfinite": (["scores"], STEPS[:40], np.full(40, 3.0)),
        }
        series = {"train/loss": (STEPS, LOSS), "val/perplexity": (STEPS, np.full(400, np.inf))}
        assert findings(self.slug, series, layers) == []

    def test_a_placeholder_for_no_validation_yet_is_no_finding(self):
        values = np.where(STEPS % 100 == 0, 1.0, np.nan)
        assert findings(self.slug, {"train/loss": (STEPS, LOSS), "val/loss": (STEPS, values)}) == []

    def test_a_validation_loss_that_stays_nan_is_a_warning(self):
        values = np.where(STEPS > 380, np.nan, 1.0)
        (finding,) = findings(self.slug, {"train/loss": (STEPS, LOSS), "val/loss": (STEPS, values)})
        assert (finding.severity, finding.first_step) == ("warning", 381)

    def test_the_layer_where_it_began_is_named_when_the_frame_is_that_of_the_onset(self):
        broken = np.zeros((400, 3))
        broken[99:] = [0, 5, 5]
        layers = {
            "activation_nonfinite": (["in", "middle", "out"], STEPS, broken),
            "weight_norm": (["w"], STEPS, np.ones(400)),
        }
        loss = np.where(STEPS >= 100, np.nan, LOSS)
        (finding,) = findings(self.slug, {"train/loss": (STEPS, loss)}, layers)
        assert finding.layers == ("middle",)

    def test_the_advice_carries_the_numbers_of_the_run(self):
        loss = np.where(STEPS >= 30, np.nan, 2.0 * 1.5**STEPS)
        series = {"train/loss": (STEPS, loss), "optimizer/lr": (STEPS, np.full(400, 0.5))}
        (finding,) = findings(self.slug, series)
        assert finding.suggestions[0] == "lower the learning rate from 0.5 to about 0.05"


class TestVanishingGradients:
    slug = "vanishing-gradients"
    names = tuple(f"l{i}.weight" for i in range(8))

    def run(self, gradients, updates, loss, more=None, **manifest):
        frames = STEPS[::10]
        layers = {
            "grad_norm": (self.names, frames, np.broadcast_to(gradients, (40, 8))),
            "update_ratio": (self.names, frames, np.broadcast_to(updates, (40, 8))),
        } | (more or {})
        return findings(self.slug, {"train/loss": (STEPS, loss)}, layers, described(self.names) | manifest)

    falling = 10.0 ** np.arange(-8, 0)
    flat_loss = np.full(400, 2.3)

    def test_a_trend_through_depth_with_still_first_layers_fires(self):
        (finding,) = self.run(self.falling, self.falling, self.flat_loss)
        assert finding.severity == "critical"
        assert finding.first_step == 1
        assert finding.layers[0] == "l0.weight"
        assert "l7.weight" not in finding.layers

    def test_healthy_updates_say_that_nothing_is_wrong(self):
        assert self.run(self.falling, np.full(8, 1e-3), self.flat_loss) == []

    def test_a_net_that_has_learned_is_not_ill(self):
        assert self.run(self.falling, self.falling, 2.3 * np.exp(-STEPS / 50)) == []

    def test_small_everywhere_is_converged_not_vanishing(self):
        assert self.run(np.full(8, 1e-9), np.full(8, 1e-9), self.flat_loss) == []

    def test_one_small_layer_is_no_trend(self):
        gradients = np.full(8, 1e-1)
        gradients[:3] = [1e-8, 1e-1, 1e-8]
        assert self.run(gradients, gradients, self.flat_loss) == []

    def test_adam_moves_layers_with_small_gradients(self):
        adam = {"optimizers": [{"class": "Adam", "groups": [{"lr": 1e-3}]}]}
        steady = 10.0 ** np.linspace(-4, 0, 8)
        assert self.run(steady, np.full(8, 1e-3), self.flat_loss, **adam) == []
        assert len(self.run(10.0 ** np.linspace(-10, 0, 8), np.full(8, 1e-3), self.flat_loss, **adam)) == 1
        assert self.run(10.0 ** np.linspace(-10, 0, 8), np.full(8, 1e-3), LOSS, **adam) == []

    def test_adam_with_a_loss_that_stands_still_or_layers_below_its_epsilon(self):
        adam = {"optimizers": [{"class": "Adam", "groups": [{"lr": 1e-3}]}]}
        steady = 10.0 ** np.linspace(-4.2, 0, 8)  # 3.6 orders of magnitude between the thirds
        slow = 2.3 * (1 - 0.3 * STEPS / 400)
        passed = {"activation_grad_std": (self.names, STEPS[::10], np.tile(steady, (40, 1)))}
        assert self.run(steady, np.full(8, 1e-3), self.flat_loss, **adam) == [], "the weights' gradients alone"
        (finding,) = self.run(steady, np.full(8, 1e-3), self.flat_loss, more=passed, **adam)
        assert finding.severity == "critical"
        assert self.run(steady, np.full(8, 1e-3), 0.95 * slow, more=passed, **adam) == []
        small = 10.0 ** np.linspace(-12, 0, 8)
        assert [f.severity for f in self.run(small, 1e-3 * small, slow, **adam)] == ["warning"]
        assert self.run(small, np.full(8, 1e-3), slow, **adam) == []

    @pytest.mark.parametrize(("decay", "vanishes"), [(5e-3, True), (0.0, False)])
    def test_what_weight_decay_moves_is_no_learning(self, decay, vanishes):
        # Plain SGD by hand: gradients fall through depth, so small that only the decay moves the lower layers; or,
        # without decay, the same updates made by gradients that are large enough for them.
        rate, size = 0.05, np.full(8, 10.0)
        gradients = self.falling if decay else np.maximum(self.falling, 2.5e-4 * size / rate)
        updates = (rate * gradients + rate * decay * size) / size
        assert (updates > 2e-4).all()
        layers = {"weight_norm": (self.names, STEPS[::10], np.tile(size, (40, 1)))}
        group = {"lr": rate, "momentum": 0.0, "weight_decay": decay, "parameters": list(self.names)}
        sgd = {"optimizers": [{"class": "SGD", "groups": [group]}]}
        found = self.run(gradients, updates, self.flat_loss, more=layers, **sgd)
        assert [f.severity for f in found] == (["critical"] if vanishes else [])

    def test_a_beginning_that_is_overcome_is_no_finding(self):
        ill = np.arange(40)[:, None] < 8
        gradients = np.where(ill, self.falling, 1e-1)
        assert self.run(gradients, gradients, self.flat_loss) == []

    def test_frozen_layers_are_left_out(self):
        gradients, updates = self.falling.copy(), self.falling.copy()
        updates[:5] = 0.0
        frames = STEPS[::10]
        layers = {
            "grad_norm": (self.names, frames, np.broadcast_to(gradients, (40, 8))),
            "update_ratio": (self.names, frames, np.broadcast_to(updates, (40, 8))),
        }
        view = RunView.of_arrays({"train/loss": (STEPS, self.flat_loss)}, layers, manifest=described(self.names))
        report = judge(view, [RULES[self.slug]])
        assert "3 weights that are trained" in report.not_judged[0].reason


class TestExplodingGradients:
    slug = "exploding-gradients"

    def run(self, norm, loss, **layers):
        tables = {"grad_norm": (["w"], STEPS, norm)} | layers
        return findings(self.slug, {"train/loss": (STEPS, loss)}, tables, described(["w"]))

    def test_growth_that_ruins_the_loss_fires_at_its_onset(self):
        norm = np.where(STEPS < 250, 1.0, 5000.0)
        loss = np.where(STEPS < 250, LOSS, 40.0)
        (finding,) = self.run(norm, loss)
        assert (finding.severity, finding.first_step, finding.active) == ("critical", 250, True)

    def test_a_spike_that_recovers_is_none(self):
        spike = (STEPS >= 250) & (STEPS < 256)
        assert self.run(np.where(spike, 1e6, 1.0), np.where(spike, 100.0, LOSS)) == []

    def test_leaving_a_plateau_is_none(self):
        norm = np.where(STEPS < 200, 1e-5, 1.0)
        assert self.run(norm, np.where(STEPS < 200, 2.3, 2.3 * np.exp(-(STEPS - 200) / 50))) == []

    def test_large_but_steady_is_none(self):
        assert self.run(1e4 * (1 + 0.3 * RNG.random(400)), LOSS) == []

    def test_growth_that_ends_in_nan_fires_before_it(self):
        norm = np.where(STEPS < 100, 1.0, 10.0 ** np.minimum((STEPS - 99) / 2, 300))
        norm[STEPS >= 112] = np.nan
        loss = np.where(STEPS >= 112, np.nan, LOSS)
        (finding,) = self.run(norm, loss)
        assert 101 <= finding.first_step <= 103

    def test_nan_out_of_calm_is_none(self):
        norm = np.where(STEPS < 112, 1.0, np.nan)
        assert self.run(norm, np.where(STEPS < 112, LOSS, np.nan)) == []

    def test_updates_larger_than_the_weights_from_the_start(self):
        norm = np.where(STEPS < 3, 1e5, 0.0)
        loss = np.where(STEPS < 2, 2.3, 1e4)
        sizes = {"update_norm": (["w"], STEPS, norm), "weight_norm": (["w"], STEPS, np.full(400, 10.0))}
        (finding,) = self.run(norm, loss, **sizes)
        assert finding.first_step == 1

    def test_growth_without_measure_needs_no_loss(self):
        def unheard(norm):
            view = RunView.of_arrays({}, {"grad_norm": (["w"], STEPS, norm[:, None])}, manifest=described(["w"]))
            return [f.severity for f in judge(view, [RULES[self.slug]]).findings]

        assert unheard(10.0 ** (STEPS / 20)) == ["critical"]
        assert unheard(10.0 ** (STEPS / 100)) == [], "rewards grow by thousands, and gradients with them"
        assert unheard(np.where(STEPS < 390, 10.0 ** (STEPS / 20), 1.0)) == [], "it has come back"


class TestOverfitting:
    slug = "overfitting"
    at = np.arange(20, 401, 20)

    def run(self, validation, loss=LOSS, **more):
        return findings(self.slug, {"train/loss": (STEPS, loss), "val/loss": (self.at, validation)} | more)

    falling = 0.4 + 1.9 * np.exp(-at / 60)
    turning = np.where(at < 160, falling, falling + (at - 160) * 0.004)

    def test_a_rise_while_training_falls_fires_at_the_minimum(self):
        (finding,) = self.run(self.turning)
        assert finding.severity == "warning"
        assert abs(finding.first_step - 160) <= 20
        assert f"stop at step {finding.first_step}" in finding.suggestions[0]

    def test_a_rise_of_both_is_another_illness(self):
        assert self.run(self.turning, np.where(STEPS < 160, LOSS, LOSS + (STEPS - 160) * 0.02)) == []

    def test_noise_is_no_rise(self):
        for seed in range(50):
            noisy = self.falling * (1 + 0.15 * np.random.default_rng(seed).standard_normal(20))
            assert self.run(noisy) == []

    def test_a_small_rise_near_zero_harms_nobody(self):
        assert self.run(np.where(self.at < 160, 0.05, 0.08)) == []

    def test_a_rise_that_falls_again_is_none(self):
        bump = self.falling + np.where((self.at > 120) & (self.at < 260), 1.0, 0.0)
        assert self.run(bump) == []

    def test_a_moderate_rise_with_steady_accuracy_is_information(self):
        mild = np.where(self.at < 160, self.falling, self.falling[7] + (self.at - 160) * 0.001)
        accuracy = {"val/accuracy": (self.at, 1 - 0.5 * np.exp(-self.at / 60))}
        assert [f.severity for f in self.run(mild)] == ["warning"]
        assert [f.severity for f in self.run(mild, **accuracy)] == ["info"]

    def test_a_wide_gap_without_a_rise_fires(self):
        (finding,) = self.run(np.full(20, 1.4), 2.3 * np.exp(-STEPS / 30))
        assert finding.severity == "warning"
        assert "by heart" in finding.message

    def test_a_wide_gap_that_still_closes_counts_where_the_schedule_is_over(self):
        """Validation creeps down to the end, training is done: nothing more is to come where the rate has gone."""
        creeps = np.interp(self.at, [20, 120, 400], [2.3, 2.6, 1.6])
        learned = 0.05 + 2.3 * np.exp(-STEPS / 30)
        gone, steady = (
            {"optimizer/lr": (STEPS, np.linspace(0.1, 0.0, 400))},
            {"optimizer/lr": (STEPS, np.full(400, 0.1))},
        )
        (finding,) = self.run(creeps, learned, **gone)
        assert finding.severity == "warning" and "ends at 1.6" in finding.message
        assert self.run(creeps, learned, **steady) == []
        assert self.run(0.25 * creeps, learned, **gone) == [], "most of it was learned"

    def test_four_values_are_too_few(self):
        view = RunView.of_arrays({"train/loss": (STEPS, LOSS), "val/loss": (self.at[:4], self.turning[:4])})
        assert "needs 5" in judge(view, [RULES[self.slug]]).not_judged[0].reason

    @pytest.mark.parametrize(
        "names", [("training/loss", "valid/loss"), ("train/nll", "test/nll"), ("train/loss", "eval/loss")]
    )
    def test_splits_and_losses_go_by_many_names(self, names):
        series = {names[0]: (STEPS, LOSS), names[1]: (self.at, self.turning)}
        assert [f.rule for f in findings(self.slug, series)] == [self.slug]
