"""The rules on the course of the loss and on the first filters, on made series whose right answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.rules.noisy_filters import likeness
from probes.diagnosis.signs.swings import autocorrelation, detrended, rhythm, upswings
from probes.diagnosis.slope import fall
from probes.diagnosis.view import RunView

T = 600
STEPS = np.arange(1, T + 1)
LEARNING = 0.1 + 2.2 * np.exp(-STEPS / 60)
CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 10}}


class Rows(nn.Module):
    """Reads the image row by row; 64 numbers come out."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(8, 64, batch_first=True)

    def forward(self, images):
        return self.cell(images)[0][:, -1]


def noise(scale=1.0, length=T, seed=0):
    return scale * np.random.default_rng(seed).standard_normal(length)


def of_batch(size, **more):
    """A manifest whose modules have outputs of ``size`` examples."""
    modules = [{"name": str(i), "type": "Linear", "output_shape": [size, 8]} for i in range(3)]
    parameters = [{"name": "0.weight", "module": "0", "shape": [8, 8], "trainable": True}]
    return CLASSIFIER | {"model": {"modules": modules, "parameters": parameters}} | more


def report(slug, series, layers=None, manifest=CLASSIFIER, status="finished", **more):
    series = {name: value if isinstance(value, tuple) else (STEPS, value) for name, value in series.items()}
    judged = judge(RunView.of_arrays(series, layers, manifest=manifest, status=status, **more), [RULES[slug]])
    assert not [r for r in judged.not_judged if "failed" in r.reason]
    return judged


def severities(*arguments, **options):
    return [finding.severity for finding in report(*arguments, **options).findings]


class TestSwings:
    def test_autocorrelation_is_that_of_the_definition(self):
        values = noise(length=50) + np.linspace(0, 9, 50)
        line = np.polyval(np.polyfit(np.arange(50), values, 1), np.arange(50))
        rest = values - line
        wanted = [np.mean(rest[: 50 - k] * rest[k:]) / np.mean(rest**2) for k in range(11)]
        assert autocorrelation(values, 10) == pytest.approx(wanted)
        assert detrended(values) == pytest.approx(rest)

    @pytest.mark.parametrize("period", [5, 12, 50])
    def test_the_period_is_found_under_noise(self, period):
        saw = (np.arange(300) % period) / period
        found = rhythm(saw + noise(0.1, 300))
        assert found.period == period
        assert found.strength > 0.6

    @pytest.mark.parametrize("values", [noise(), np.cumsum(noise()), np.where(STEPS < 300, 2.0, 0.1), np.ones(T)])
    def test_noise_drift_and_a_drop_have_none(self, values):
        found = rhythm(values)
        assert found is None or found.strength < 0.6

    def test_upswings_count_rises_of_the_given_height(self):
        values = np.array([0, 2, 0, 0.5, 0, 2, 1.5, 2, 0.0])
        assert upswings(values, 1.0) == [1, 5]
        assert upswings(values, 0.4) == [1, 3, 5, 7]
        assert upswings(values[::-1].cumsum(), 100.0) == []


class TestFall:
    def test_a_straight_line_falls_at_its_mean_pace(self):
        found = fall(STEPS.astype(float), 3.0 - 0.002 * STEPS)
        assert found.rate == pytest.approx(0.002)
        assert found.pace == pytest.approx(1.0, abs=0.01)
        assert found.promise == pytest.approx(0.002 * (T - 1) / 1.8)
        assert found.end == pytest.approx(1.8)

    def test_the_standard_error_is_that_of_least_squares(self):
        values = 3.0 - 0.002 * STEPS + noise(0.05)
        tail = STEPS >= T - 0.4 * (T - 1)
        (slope, _), covariance = np.polyfit(STEPS[tail], values[tail], 1, cov=True)
        assert fall(STEPS.astype(float), values).certainty == pytest.approx(-slope / math.sqrt(covariance[0, 0]))

    def test_a_loss_that_does_not_fall_has_none(self):
        assert fall(STEPS.astype(float), np.ones(T)) is None
        assert fall(STEPS.astype(float), 1.0 + STEPS) is None
        assert fall(np.array([1.0]), np.array([1.0])) is None


class TestOscillatingLoss:
    slug = "oscillating-loss"
    saw = 0.5 + 1.5 * ((STEPS % 20) / 20)

    def test_a_saw_of_the_epoch_fires_and_names_the_period(self):
        (finding,) = report(self.slug, {"train/loss": self.saw + noise(0.1)}).findings
        assert finding.severity == "warning"
        assert "every 20 steps" in finding.message
        assert "shuffle" in finding.suggestions[0]

    def test_the_same_batches_in_the_same_order_are_fair_samples(self):
        epoch = np.tile(noise(0.05, 20), 30)
        assert severities(self.slug, {"train/loss": 0.4 + epoch}, manifest=of_batch(64)) == []
        wide = np.tile(noise(0.5, 20), 30)
        assert severities(self.slug, {"train/loss": 1.5 + wide}, manifest=of_batch(4)) == []

    def test_bouncing_without_falling_fires_once_the_run_is_over(self):
        rng = np.random.default_rng(3)
        waves = np.concatenate([np.sin(np.linspace(0, 2 * np.pi, n)) for n in rng.integers(15, 60, 40)])[:T]
        loss = {"train/loss": 1.6 + 0.8 * waves + noise(0.1)}
        assert severities(self.slug, loss) == ["warning"]
        assert severities(self.slug, loss, status="running") == ["info"]

    @pytest.mark.parametrize("seed", range(5))
    def test_noise_is_no_swing_however_large(self, seed):
        heavy = np.abs(np.random.default_rng(seed).standard_cauchy(T)).clip(0, 20)
        for loss in (LEARNING + np.abs(noise(0.5, seed=seed)), heavy, 1.0 + 0.3 * noise(seed=seed)):
            assert severities(self.slug, {"train/loss": loss}) == []

    def test_early_swings_a_late_drop_and_one_restart_are_none(self):
        calms = np.where(STEPS < 250, 1.5 + np.sin(STEPS / 4), 0.1) + noise(0.02)
        drop = np.where(STEPS < 450, 2.0, 0.1) + noise(0.05)
        restart = LEARNING + np.where(STEPS > 400, 1.2 * np.exp(-(STEPS - 400) / 20), 0.0)
        for loss in (calms, drop, restart):
            assert severities(self.slug, {"train/loss": loss}) == []

    def test_a_cyclic_schedule_is_not_judged(self):
        rates = 0.1 * (1 + (STEPS % 40) / 40)
        judged = report(self.slug, {"train/loss": self.saw, "optimizer/lr": rates})
        assert "by its schedule" in judged.not_judged[0].reason


class TestLossSpikes:
    slug = "loss-spikes"

    def run(self, at, peak=4.0, after=1.0, manifest=CLASSIFIER, usual=0.05):
        loss = LEARNING * np.exp(noise(usual))
        for step in at:
            loss[step] = peak
            loss[step + 1 : step + 4] *= after
        return report(self.slug, {"train/loss": loss}, manifest=manifest)

    def test_bad_batches_that_come_again_fire_with_their_steps(self):
        (finding,) = self.run(range(119, T, 60)).findings
        assert finding.severity == "warning"
        assert "9 times" in finding.message
        assert "480, 540, 600" in finding.suggestions[0]

    def test_one_or_two_spikes_and_early_ones_are_none(self):
        for at in ([300], [200, 500], [70, 120, 170, 220]):
            assert self.run(at).findings == []

    def test_in_a_regression_they_are_loud_only_when_they_cost_something(self):
        at = range(119, T, 60)
        assert [f.severity for f in self.run(at, manifest={}).findings] == ["info"]
        assert [f.severity for f in self.run(at, manifest={}, after=6.0).findings] == ["warning"]

    def test_a_long_tail_is_no_spike(self):
        tail = LEARNING * np.exp(np.abs(noise(1.5)))
        assert severities(self.slug, {"train/loss": tail}) == []
        reason = report(self.slug, {"train/loss": LEARNING}, manifest=of_batch(2)).not_judged[0].reason
        assert "single examples that are hard" in reason


class TestNoisyLoss:
    slug = "noisy-loss"

    def run(self, batch=1, level=1.0, size=0.01, spread=1.2, manifest=None, status="finished"):
        loss = level * np.exp(noise(spread))
        frames = STEPS[::40]
        layers = {
            "update_norm": (["0.weight"], frames, np.full(len(frames), 10 * size)),
            "weight_norm": (["0.weight"], frames, np.full(len(frames), 10.0)),
        }
        return report(self.slug, {"train/loss": loss}, layers, manifest or of_batch(batch), status)

    def test_single_examples_at_a_high_rate_fire(self):
        (finding,) = self.run().findings
        assert finding.severity == "warning"
        assert "batches of 32" in finding.suggestions[0]
        assert [f.severity for f in self.run(status="running").findings] == ["info"]

    @pytest.mark.parametrize("change", [{"batch": 64}, {"level": 0.02}, {"size": 1e-3}, {"spread": 0.2}])
    def test_each_condition_is_needed(self, change):
        assert self.run(**change).findings == []

    def test_a_regression_is_not_judged(self):
        manifest = of_batch(1) | {"loss": {"class": "MSELoss"}}
        assert "regression" in self.run(manifest=manifest).not_judged[0].reason

    @pytest.mark.parametrize(
        ("share", "reached", "said"), [(1.0, 0.4, ["warning"]), (1.0, 0.97, ["info"]), (0.3, 0.4, [])]
    )
    def test_batches_of_one_class(self, share, reached, said):
        manifest = of_batch(32, data={"classes": 10, "label_counts": [60] * 10})
        frames = STEPS[::40]
        series = {
            "train/loss": LEARNING + noise(0.01),
            "data/largest_label_share": (frames, np.full(len(frames), share)),
            "val/accuracy": (frames, np.full(len(frames), reached)),
        }
        assert severities(self.slug, series, manifest=manifest) == said


class TestSlowConvergence:
    slug = "slow-convergence"

    def test_a_rate_that_ran_out_fires_and_says_when(self):
        rates = 0.1 * 0.95**STEPS
        trained = np.cumsum(rates / 0.1)
        loss = 2.3 - 0.03 * trained + noise(0.01)
        (finding,) = report(self.slug, {"train/loss": loss, "optimizer/lr": rates}).findings
        assert finding.severity == "warning"
        # A tenth of the first logged rate: 0.95**45 = 0.0994.
        assert finding.first_step == 46
        assert "count as 20" in finding.message

    @pytest.mark.parametrize(
        ("rates", "loss"),
        [
            (0.1 * 0.97**STEPS, LEARNING),
            (0.1 * 0.5 * (1 + np.cos(np.pi * STEPS / T)), 2.3 - 0.8 * (1 - np.exp(-STEPS / 50))),
            (0.1 * 0.98**STEPS, 2.3 - 0.7 * (1 - np.exp(-np.cumsum(0.98**STEPS) / 4))),
            (np.full(T, 0.1), 2.3 - 0.0002 * STEPS),
        ],
    )
    def test_what_had_converged_or_had_a_rate_is_none(self, rates, loss):
        assert severities(self.slug, {"train/loss": loss + noise(0.005), "optimizer/lr": rates}) == []

    tenth_an_epoch = 0.1 * 0.1 ** ((STEPS - 1) // 44)

    def cut_short(self, loss, rates=tenth_an_epoch, accuracy=0.8):
        reached = (STEPS[99::100], np.full(6, accuracy))
        return severities(self.slug, {"train/loss": loss, "optimizer/lr": rates, "val/accuracy": reached})

    def test_a_rate_that_is_taken_away_on_the_way_fires_where_much_was_learned(self):
        trained = np.cumsum(self.tenth_an_epoch / 0.1)
        loss = 2.3 - 0.03 * trained + noise(0.01)
        assert 0.5 < 1 - loss[-1] / loss[0] < 0.7
        assert self.cut_short(loss) == ["warning"]
        assert self.cut_short(loss, accuracy=0.95) == []

    def test_a_rate_that_is_taken_away_when_the_loss_rests_is_none(self):
        """As on a plateau: with the rate its noise goes, and the loss falls once more."""
        rates = np.where(STEPS <= 80, 0.1, 1e-5)
        rested = 0.9 + 1.4 * np.exp(-STEPS / 10)
        assert self.cut_short(rested + noise(0.01), rates) == []
        assert self.cut_short(rested - np.where(STEPS <= 80, 0.0, 0.2) + noise(0.01), rates) == []

    def steps(self, size, loss, status="finished", trainable=True):
        parameters = [
            {"name": "a", "module": "a", "shape": [8, 8], "trainable": True},
            {"name": "b", "module": "b", "shape": [8, 8], "trainable": trainable},
        ]
        frames = STEPS[::40]
        layers = {
            "update_norm": (["a"], frames, np.full(len(frames), 10 * size)),
            "weight_norm": (["a"], frames, np.full(len(frames), 10.0)),
        }
        manifest = CLASSIFIER | {"model": {"parameters": parameters}}
        series = {"train/loss": loss, "optimizer/lr": np.full(T, 1e-4)}
        return severities(self.slug, series, layers, manifest, status)

    slow = 2.3 - 0.0004 * STEPS + noise(0.005)

    def test_small_steps_under_a_loss_that_falls_all_the_time_fire(self):
        assert self.steps(1e-4, self.slow) == ["warning"]
        assert self.steps(1e-4, self.slow, status="running") == ["info"]

    def test_usual_steps_fine_tuning_and_frozen_weights_are_none(self):
        assert self.steps(2e-3, self.slow) == []
        assert self.steps(1e-4, self.slow - 1.6) == []
        assert self.steps(1e-4, self.slow, trainable=False) == []

    def test_without_rates_and_steps_it_is_not_judged(self):
        assert "neither" in report(self.slug, {"train/loss": self.slow}).not_judged[0].reason


class TestTrainingTooShort:
    slug = "training-too-short"
    steps = np.arange(1, 61)
    falling = 2.3 - 0.006 * steps + noise(0.01, 60)

    def run(self, loss=falling, accuracy=None, status="finished", manifest=CLASSIFIER):
        series = {"train/loss": (self.steps, loss)}
        if accuracy is not None:
            series["val/accuracy"] = (self.steps[9::10], np.linspace(0.1, 1, 6) * accuracy)
        return report(self.slug, series, manifest=manifest, status=status)

    def test_a_loss_that_falls_as_fast_as_ever_fires(self):
        (finding,) = self.run().findings
        assert finding.severity == "warning"
        assert "300 steps instead of 60" in finding.suggestions[0]
        assert [f.severity for f in self.run(accuracy=0.45).findings] == ["warning"]
        assert [f.severity for f in self.run(accuracy=45.0).findings] == ["warning"]

    @pytest.mark.parametrize("status", ["running", "crashed", "stalled"])
    def test_only_a_run_that_ended_by_itself_is_judged(self, status):
        assert "ended by itself" in self.run(status=status).not_judged[0].reason

    def test_a_good_level_a_loss_that_slows_down_and_fine_tuning_are_none(self):
        assert self.run(accuracy=0.8).findings == []
        assert self.run(2.3 - 0.5 * (1 - np.exp(-self.steps / 15)) + noise(0.01, 60)).findings == []
        assert self.run(self.falling - 1.5).findings == []
        assert self.run(2.3 - 0.025 * self.steps).findings == []
        assert self.run(2.3 + noise(0.05, 60)).findings == []


class TestNoisyFilters:
    slug = "noisy-filters"
    noise = noise(length=16 * 49).reshape(16, 1, 7, 7)
    smooth = np.stack([np.outer(np.sin(np.arange(7) / 3 + i), np.cos(np.arange(7) / 3)) for i in range(16)])[:, None]
    stuck = 2.3 + noise.reshape(-1)[:T] * 0.01

    def test_likeness_is_that_of_the_definition(self):
        picture = np.random.default_rng(1).standard_normal((1, 4, 5))
        rest = picture[0] - picture[0].mean()
        pairs = [rest[i, j] * rest[i, j + 1] for i in range(4) for j in range(4)]
        pairs += [rest[i, j] * rest[i + 1, j] for i in range(3) for j in range(5)]
        assert likeness(picture) == pytest.approx(np.mean(pairs) / np.mean(rest**2) + 1 / 19)
        assert abs(likeness(np.random.default_rng(2).standard_normal((5000, 5, 5)))) < 0.01
        assert likeness(self.smooth[:, 0]) > 0.5
        assert likeness(np.ones((3, 5, 5))) == 0.0

    def run(self, last, loss=stuck, status="finished", shape=None):
        manifest = CLASSIFIER | {"model": {"input_shape": shape}}
        return report(
            self.slug, {"train/loss": loss}, manifest=manifest, status=status, filters=[(0, self.noise), (T, last)]
        )

    def test_noise_that_stays_noise_fires_when_nothing_is_learned(self):
        assert [f.severity for f in self.run(1.1 * self.noise).findings] == ["warning"]
        assert [f.severity for f in self.run(1.1 * self.noise, status="running").findings] == ["info"]

    def test_smooth_filters_and_a_net_that_learns_are_none(self):
        assert self.run(self.noise + 3 * self.smooth).findings == []
        assert self.run(self.noise, LEARNING).findings == []

    @pytest.mark.parametrize("weights", [np.ones((8, 3, 3, 3)), np.ones((8, 30)), np.ones((8, 4, 1, 1))])
    def test_small_kernels_and_tables_are_not_judged(self, weights):
        manifest = CLASSIFIER | {"model": {"input_shape": [30]}}
        judged = report(self.slug, {"train/loss": self.stuck}, manifest=manifest, filters=[(0, weights), (T, weights)])
        assert judged.not_judged

    def test_a_later_layer_is_no_first_layer_though_its_size_fits(self, tmp_path):
        torch.manual_seed(0)
        net = nn.Sequential(Rows(), nn.Linear(64, 10))
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
        with probes.watch(net, optimizer, run_dir=tmp_path / "run") as probe:
            for _ in range(320):
                loss = nn.functional.cross_entropy(net(torch.randn(4, 8, 8)), torch.randint(0, 10, (4,)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
        judged = probes.diagnose(tmp_path / "run", ["noisy-filters"])
        assert "not the first layer" in judged.not_judged[0].reason

    def test_a_dense_layer_is_seen_as_the_images_that_it_reads(self):
        weights = noise(length=20 * 64, seed=5).reshape(20, 64)
        manifest = CLASSIFIER | {"model": {"input_shape": [1, 8, 8]}}
        shots = [(0, weights), (T, weights)]
        assert severities(self.slug, {"train/loss": self.stuck}, manifest=manifest, filters=shots) == ["warning"]


@pytest.mark.parametrize(
    "slug", ["oscillating-loss", "loss-spikes", "noisy-loss", "slow-convergence", "training-too-short"]
)
@pytest.mark.parametrize(
    "loss",
    [np.array([1.0]), np.full(T, np.nan), np.zeros(T), np.full(T, 1e300), -LEARNING, np.r_[LEARNING[:-1], np.inf]],
)
def test_odd_series_get_a_sound_answer(slug, loss):
    judged = report(slug, {"train/loss": (STEPS[: len(loss)], loss)}, manifest=of_batch(1))
    assert [f for f in judged.findings if f.severity != "info"] == []
