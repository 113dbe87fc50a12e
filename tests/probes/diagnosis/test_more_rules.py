"""Rules on gradients, updates, activations, losses and the system, on made series whose right answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.rules.exploding_gradients import usual_size
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = STEPS[::10]
RNG = np.random.default_rng(0)
LOSS = 0.2 + 2.1 * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)
FLAT = 2.3 + 0.02 * RNG.standard_normal(400)


def table(values, names=("a", "b", "c"), frames=FRAMES):
    values = np.asarray(values, dtype=float)
    return names, frames, np.broadcast_to(values, (len(frames), len(names)))


def manifest(names=("a", "b", "c"), *, held=None, optimizer="SGD", lr=0.1, activation=None, shape=(8, 8), **more):
    parameters = [{"name": n, "module": n, "shape": list(shape), "trainable": True} for n in names]
    modules = [{"name": n, "type": "X", "activation": activation, "output_shape": [64, 8]} for n in names]
    group = {"lr": lr, "parameters": list(names if held is None else held)}
    return {
        "model": {"parameters": parameters, "modules": modules},
        "optimizers": [{"class": optimizer, "groups": [group]}],
    } | more


def judged(slug, loss=LOSS, layers=None, described=None, status="finished", **series):
    curves = {name.replace("__", "/"): (STEPS, values) for name, values in series.items()}
    if loss is not None:
        curves["train/loss"] = (STEPS[: len(loss)], loss)
    view = RunView.of_arrays(curves, layers, manifest=described, status=status)
    report = judge(view, [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return report


def found(slug, *arguments, **options):
    return judged(slug, *arguments, **options).findings


def reason(slug, *arguments, **options):
    ((_, why),) = judged(slug, *arguments, **options).not_judged
    return why


class TestMissingGradients:
    slug = "missing-gradients"

    def test_only_zeros_fire_and_name_the_layer(self):
        (finding,) = found(self.slug, LOSS, {"grad_norm": table([0.0, 1.0, 1.0])}, manifest())
        assert (finding.layers, finding.severity) == (("a",), "warning")

    def test_half_of_all_weights_is_critical(self):
        (finding,) = found(self.slug, LOSS, {"grad_norm": table([0.0, 0.0, 1.0])}, manifest())
        assert finding.severity == "critical"

    def test_no_gradient_at_all(self):
        view = RunView.of_arrays({}, {"grad_norm": table([np.nan, 1.0, 1.0])}, manifest=manifest())
        view._read_layers("grad_norm").measured[:, 0] = False
        (finding,) = judge(view, [RULES[self.slug]]).findings
        assert "never got a gradient" in finding.message

    def test_zeros_of_the_first_step_only_are_healthy(self):
        values = np.ones((40, 3))
        values[0, :2] = 0.0
        assert found(self.slug, LOSS, {"grad_norm": table(values)}, manifest()) == []

    def test_biases_and_frozen_parameters_are_left_out(self):
        described = manifest(shape=(8,))
        assert found(self.slug, LOSS, {"grad_norm": table([0.0, 1.0, 1.0])}, described) == []
        described = manifest()
        described["model"]["parameters"][0]["trainable"] = False
        assert found(self.slug, LOSS, {"grad_norm": table([0.0, 1.0, 1.0])}, described) == []


HEALTHY_UPDATES = {"update_norm": table([1e-3] * 3), "grad_norm": table([1.0] * 3)}


class TestParametersNotUpdated:
    slug = "parameters-not-updated"

    def test_a_parameter_outside_every_optimizer(self):
        (finding,) = found(self.slug, LOSS, HEALTHY_UPDATES, manifest(held=["a", "c"]))
        assert (finding.layers, finding.severity) == (("b",), "warning")

    def test_a_body_left_out_below_a_head_that_learns_is_information(self):
        (finding,) = found(self.slug, LOSS, HEALTHY_UPDATES, manifest(held=["c"]))
        assert finding.severity == "info"
        (finding,) = found(self.slug, FLAT, HEALTHY_UPDATES, manifest(held=["c"]))
        assert finding.severity == "warning"

    def test_updates_of_exactly_zero(self):
        still = {"update_norm": table([1e-3, 0.0, 1e-3]), "grad_norm": table([1.0] * 3)}
        (finding,) = found(self.slug, LOSS, still, manifest())
        assert finding.layers == ("b",)
        still["update_norm"] = table([0.0] * 3)
        (finding,) = found(self.slug, LOSS, still, manifest(lr=0.0))
        assert finding.severity == "critical"

    def test_a_warm_up_from_zero_and_a_group_at_rest_are_healthy(self):
        values = np.full((40, 3), 1e-3)
        values[0] = 0.0
        assert found(self.slug, LOSS, HEALTHY_UPDATES | {"update_norm": table(values)}, manifest()) == []
        described = manifest(held=["a", "b"])
        described["optimizers"][0]["groups"].append({"lr": 0.0, "parameters": ["c"]})
        assert found(self.slug, LOSS, HEALTHY_UPDATES | {"update_norm": table([1.0, 1.0, 0.0])}, described) == []

    def test_without_a_manifest_it_is_not_judged(self):
        assert "manifest" in reason(self.slug, LOSS, HEALTHY_UPDATES, {})


class TestLearningRateTooHigh:
    slug = "learning-rate-too-high"

    def run(self, sizes, loss):
        sizes = np.broadcast_to(np.asarray(sizes, dtype=float), (400,))
        layers = {
            "update_norm": (["a"], STEPS, sizes * 10),
            "weight_norm": (["a"], np.arange(401), np.full(401, 10.0)),
        }
        return found(self.slug, loss, layers, manifest(["a"]), optimizer__lr=np.full(400, 0.5))

    def test_a_blow_from_which_the_loss_does_not_recover(self):
        sizes = np.where(STEPS == 100, 1.0, 1e-3)
        loss = np.where(STEPS <= 100, LOSS, 3.0)
        (finding,) = self.run(sizes, loss)
        assert (finding.severity, finding.first_step) == ("critical", 100)
        assert finding.suggestions[0] == "lower the learning rate from 0.5 to about 0.005"

    def test_large_steps_of_a_run_that_learns_are_fine(self):
        assert self.run(0.15, LOSS) == []
        assert self.run(np.where(STEPS < 5, 2.0, 1e-3), LOSS) == []

    def test_restless_without_progress(self):
        (finding,) = self.run(0.08, FLAT)
        assert finding.severity == "warning"
        assert self.run(1e-3, FLAT) == []

    def test_a_run_that_goes_on_and_gets_on_slowly_makes_progress(self):
        layers = {"update_norm": (["a"], STEPS, np.full(400, 0.4)), "weight_norm": (["a"], STEPS, np.full(400, 10.0))}
        slowly = 2.3 - 0.0005 * STEPS + 0.01 * np.random.default_rng(6).standard_normal(400)
        rate = np.full(400, 0.5)
        going = {"status": "running", "optimizer__lr": rate}
        assert found(self.slug, slowly, layers, manifest(["a"]), **going) == []
        assert len(found(self.slug, FLAT, layers, manifest(["a"]), **going)) == 1
        assert len(found(self.slug, slowly, layers, manifest(["a"]), optimizer__lr=rate)) == 1

    def raised(self, rates, loss, status="finished"):
        layers = {"update_norm": (["a"], STEPS, np.full(400, 0.01)), "weight_norm": (["a"], STEPS, np.full(400, 10.0))}
        return found(self.slug, loss, layers, manifest(["a"]), status=status, optimizer__lr=rates)

    def test_a_rate_that_is_raised_on_from_where_the_loss_was_best(self):
        noise = 0.02 * np.random.default_rng(5).standard_normal(400)
        lost = np.interp(STEPS, [1, 100, 220, 400], [2.0, 0.3, 1.0, 1.1]) + noise
        grows = 0.001 * 1000 ** (STEPS / 400)
        (finding,) = self.raised(grows, lost)
        assert finding.severity == "warning" and "at its best" in finding.message
        assert self.raised(grows, lost, "running") == [], "a cycle of the rate may bring it back"
        assert self.raised(np.full(400, 0.01), lost) == [], "it is not the rate that changed"
        assert self.raised(grows[::-1], lost) == []
        assert self.raised(grows, np.interp(STEPS, [1, 100, 400], [2.0, 0.3, 0.4]) + noise) == []
        late = np.interp(STEPS, [1, 340, 400], [2.0, 0.3, 1.1]) + noise
        assert self.raised(grows, late) == [], "not for long"

    def test_a_blow_that_ends_in_nan(self):
        (finding,) = self.run(np.where(STEPS == 50, 5.0, 1e-3), np.where(STEPS <= 50, LOSS, np.nan))
        assert finding.first_step == 50

    def test_weights_that_begin_at_zero_have_no_size(self):
        layers = {
            "update_norm": (["a"], STEPS, np.full(400, 0.1)),
            "weight_norm": (["a"], np.arange(401), np.where(np.arange(401) == 0, 0.0, 100.0)),
        }
        assert found(self.slug, np.where(STEPS < 2, 2.0, 3.5), layers, manifest(["a"])) == []


class TestDeadUnits:
    slug = "dead-units"
    described = manifest(activation="relu")

    def test_a_dead_layer_in_a_run_that_does_not_learn(self):
        values = np.where(FRAMES[:, None] < 100, 0.1, [0.1, 1.0, 0.1])
        (finding,) = found(self.slug, FLAT, {"dead_fraction": table(values)}, self.described)
        assert (finding.layers, finding.severity, finding.first_step) == (("b",), "critical", 101)

    def test_dead_units_that_do_no_harm(self):
        assert found(self.slug, LOSS, {"dead_fraction": table([0.9, 0.9, 0.1])}, self.described) == []

    def test_sparse_is_not_dead(self):
        layers = {"dead_fraction": table([0.4, 0.6, 0.5]), "zero_fraction": table([0.9, 0.95, 0.9])}
        assert found(self.slug, FLAT, layers, self.described) == []

    def test_an_output_that_ignores_its_input_is_harm_whatever_the_loss_says(self):
        from_far = 1e3 * np.exp(-STEPS / 5) + FLAT
        layers = {"zero_fraction": table([0.5, 1.0, 0.5]), "batch_variation": table([0.5, 0.5, 1e-6])}
        (finding,) = found(self.slug, from_far, layers, self.described)
        assert (finding.layers, finding.severity) == (("b",), "critical")
        layers["batch_variation"] = table([0.5, 0.5, 0.3])
        assert found(self.slug, from_far, layers, self.described) == []


class TestSaturatedActivations:
    slug = "saturated-activations"
    described = manifest(activation="tanh")

    def test_saturated_hidden_layers_in_a_run_that_does_not_learn(self):
        (finding,) = found(self.slug, FLAT, {"saturated_fraction": table([0.9, 0.2, 0.2])}, self.described)
        assert (finding.layers, finding.severity) == (("a",), "critical")

    def test_a_run_that_learns_and_a_sure_output_are_healthy(self):
        assert found(self.slug, LOSS, {"saturated_fraction": table([0.9, 0.9, 0.2])}, self.described) == []
        assert found(self.slug, FLAT, {"saturated_fraction": table([0.2, 0.2, 1.0])}, self.described) == []

    def test_a_little_more_than_half_of_the_loss_gone_and_poor_answers(self):
        loss = 1.0 + 1.3 * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)
        layers = {"saturated_fraction": table([0.9, 0.2, 0.2])}
        poor, good = np.full(400, 0.45), np.full(400, 0.8)
        assert [f.severity for f in found(self.slug, loss, layers, self.described, train__accuracy=poor)] == ["warning"]
        assert found(self.slug, loss, layers, self.described, train__accuracy=good) == []
        assert found(self.slug, loss, layers, self.described) == []

    def test_saturation_that_passes_is_none(self):
        values = np.where(FRAMES[:, None] < 150, 0.9, 0.2) * np.ones(3)
        assert found(self.slug, FLAT, {"saturated_fraction": table(values)}, self.described) == []


class TestSymmetricInitialization:
    slug = "symmetric-initialization"

    def run(self, low, high, loss=FLAT):
        frames = np.arange(0, 400, 10)
        layers = {"weight_min": table(low, frames=frames), "weight_max": table(high, frames=frames)}
        return found(self.slug, loss, layers, manifest())

    def test_two_constant_layers_in_a_row(self):
        (finding,) = self.run([0.1, 0.1, -1.0], [0.1, 0.1, 1.0])
        assert (finding.layers, finding.severity, finding.first_step) == (("a", "b"), "critical", 0)

    def test_one_constant_layer_or_a_run_that_learns(self):
        assert self.run([-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]) == []
        assert self.run([0.0, 1.0, 0.0], [0.0, 2.0, 0.0]) == []
        assert self.run([0.1] * 3, [0.1] * 3, LOSS) == []

    def test_without_the_weights_of_step_0_it_is_not_judged(self):
        layers = {"weight_min": table([0.1] * 3), "weight_max": table([0.1] * 3)}
        assert "before the first update" in reason(self.slug, FLAT, layers, manifest())


class TestUnexpectedInitialLoss:
    slug = "unexpected-initial-loss"
    cross_entropy = manifest(loss={"class": "CrossEntropyLoss"}, data={"classes": 10})

    def test_a_summed_loss_is_found_and_an_average_one_is_not(self):
        (finding,) = found(self.slug, 64 * FLAT, None, self.cross_entropy)
        assert (finding.severity, finding.first_step) == ("warning", 1)
        assert f"{math.log(10):.3g}" in finding.message
        assert found(self.slug, FLAT, None, self.cross_entropy) == []

    def test_a_bad_beginning_that_is_overcome_is_information(self):
        (finding,) = found(self.slug, 0.1 + 20 * np.exp(-STEPS / 10), None, self.cross_entropy)
        assert finding.severity == "info"

    def test_other_and_unknown_losses_are_not_judged(self):
        assert "give loss_fn" in reason(self.slug, FLAT, None, manifest())
        assert "MSELoss" in reason(self.slug, FLAT, None, manifest(loss={"class": "MSELoss"}))


class TestLossNotDecreasing:
    slug = "loss-not-decreasing"

    def test_flat_fires_and_falling_does_not(self):
        (finding,) = found(self.slug, FLAT, None, manifest(shape=(10, 8)))
        assert "guessing among 10 classes" in finding.message
        assert found(self.slug, LOSS) == []

    def test_a_slow_but_steady_fall_is_a_fall(self):
        assert found(self.slug, 2.3 - 0.0002 * STEPS + 0.001 * RNG.standard_normal(400)) == []

    def test_a_rise_that_only_falls_back_is_no_learning(self):
        # Eight sigmoid layers look like this: ln 10, a little more in the middle, and ln 10 again.
        back = np.log(10) + 0.03 * np.sin(np.pi * STEPS / 400) + 0.004 * RNG.standard_normal(400)
        assert [f.severity for f in found(self.slug, back)] == ["warning"]
        live = RunView.of_arrays({"train/loss": (STEPS, back)}, status="running")
        assert judge(live, [RULES[self.slug]]).findings == [], "it may be on its way down from a rise"
        below = (
            np.log(10) + 0.03 * np.sin(np.pi * STEPS / 400) - 0.04 * (STEPS > 380) + 0.001 * RNG.standard_normal(400)
        )
        leaving = np.where(STEPS < 300, back, back - 0.0006 * (STEPS - 300))
        for curve in (leaving, below - 0.0001 * STEPS):
            assert found(self.slug, curve) == []

    def test_fine_tuning_that_begins_well_is_fine(self):
        assert found(self.slug, 0.05 + 0.001 * RNG.standard_normal(400), None, manifest(shape=(10, 8))) == []
        assert found(self.slug, FLAT, train__accuracy=np.full(400, 0.9)) == []

    def test_an_accuracy_in_percent_says_what_the_same_in_shares_says(self):
        for right, findings in ((0.65, 1), (0.95, 0)):
            for one in (1.0, 100.0):
                assert len(found(self.slug, FLAT, train__accuracy=np.full(400, one * right))) == findings

    def test_noise_that_hides_a_fall_is_not_judged(self):
        for seed in range(20):
            noisy = 2.3 * np.random.default_rng(seed).gamma(0.7, 1.4, 60)
            assert judged(self.slug, np.resize(noisy, 120)).findings == []
        assert "30 in 100" in reason(self.slug, FLAT[:60])


class TestLossDiverging:
    slug = "loss-diverging"

    def test_above_the_start(self):
        (finding,) = found(self.slug, np.where(STEPS < 200, LOSS, 50.0))
        assert (finding.severity, finding.first_step) == ("critical", 200)

    def test_lost_again(self):
        (finding,) = found(self.slug, np.where(STEPS < 200, LOSS, 2.2 + 0.01 * RNG.standard_normal(400)))
        assert finding.severity == "warning"
        assert abs(finding.first_step - 200) <= 10

    def test_a_loss_that_is_lost_again_is_told_within_twenty_steps(self):
        lost = np.where(STEPS < 300, LOSS, 2.2 + 0.01 * RNG.standard_normal(400))
        assert found(self.slug, lost[:310], status="running") == [], "it may be a spike yet"
        assert len(found(self.slug, lost[:320], status="running")) == 1

    def test_a_loss_that_falls_again_while_the_run_goes_on_is_on_its_way_back(self):
        """New classes at every hundredth step: each time the loss begins anew, and falls."""
        lessons = 0.05 + 2.2 * np.exp(-((STEPS - 1) % 100) / 25) + 0.01 * RNG.standard_normal(400)
        for steps in range(205, 400, 5):
            assert found(self.slug, lessons[:steps], status="running") == []

    def test_spikes_restarts_and_noise_are_none(self):
        assert found(self.slug, np.where((STEPS > 200) & (STEPS < 230), 50.0, LOSS)) == []
        restarts = 0.3 + 2.0 * np.exp(-STEPS / 40) + 0.5 * np.exp(-((STEPS - 1) % 100) / 30)
        assert found(self.slug, restarts) == []
        for seed in range(30):
            assert found(self.slug, 2.3 * np.random.default_rng(seed).gamma(2.0, 0.5, 400)) == []

    def test_a_loss_around_zero_has_no_scale(self):
        assert found(self.slug, RNG.standard_normal(400) + 0.02 * STEPS) == []


class TestSystem:
    def test_waiting_for_data(self):
        (finding,) = found(
            "input-bottleneck", system__step_time=np.full(400, 0.32), system__data_wait=np.full(400, 0.3)
        )
        assert "94%" in finding.message
        small = {"system__step_time": np.full(400, 1e-4), "system__data_wait": np.full(400, 2e-3)}
        assert found("input-bottleneck", **small) == []
        busy = {"system__step_time": np.full(400, 0.5), "system__data_wait": np.full(400, 0.1)}
        assert found("input-bottleneck", **busy) == []

    @pytest.mark.parametrize(
        ("status", "severities"),
        [("stalled", ["warning"]), ("crashed", ["info"]), ("running", []), ("finished", [])],
    )
    def test_stalled_runs(self, status, severities):
        assert [f.severity for f in found("stalled-run", status=status)] == severities


def test_several_losses_are_not_mistaken_for_one():
    """The losses of a GAN answer each other: neither has to fall."""
    series = {"train/loss_d": (STEPS, FLAT), "train/loss_g": (STEPS, np.linspace(0.7, 9, 400))}
    for slug in ("loss-not-decreasing", "loss-diverging", "learning-rate-too-high"):
        report = judge(RunView.of_arrays(series), [RULES[slug]])
        assert report.findings == []
        assert report.not_judged


def test_the_usual_gradient_norm_equals_its_plain_definition():
    """The lowest running median (5) of all earlier finite positive norms, computed one by one."""
    rng = np.random.default_rng(0)
    for length in list(range(1, 30)) * 5:
        values = rng.random(length)
        values[rng.random(length) < 0.3] = rng.choice([np.nan, np.inf, 0.0])
        wanted = []
        past: list[float] = []
        lowest = math.inf
        for value in values:
            lowest = min(lowest, float(np.median(past[-5:]))) if past else lowest
            wanted.append(lowest if past else value)
            past += [float(value)] if np.isfinite(value) and value > 0 else []
        np.testing.assert_array_equal(usual_size(values), wanted)
