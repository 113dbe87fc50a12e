"""Nothing is learned, told by rewards, by an accuracy, or at the margin: made series, each beside a healthy twin."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
EPOCHS = STEPS[19::20]
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(len(STEPS))


def said(series, layers=None, outputs=10, status="finished"):
    weights = [{"name": "w", "module": "m", "shape": [outputs, 32], "trainable": True}]
    view = RunView.of_arrays(series, layers, manifest={"model": {"parameters": weights}}, status=status)
    report = judge(view, [RULES["loss-not-decreasing"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [f.severity for f in report.findings]


class TestRewards:
    falling = 0.3 * np.exp(-STEPS / 40) + 0.02 * NOISE

    @pytest.mark.parametrize("name", ["train/reward", "charts/episodic_return", "episode/mean_reward"])
    def test_an_agent_that_gets_less_than_at_first(self, name):
        assert said({name: (STEPS, self.falling)}) == ["warning"]

    def test_it_may_come_back_while_the_run_goes_on(self):
        assert said({"train/reward": (STEPS, self.falling)}, status="running") == []

    @pytest.mark.parametrize("name", ["train/rewards/rejected", "train/reward_std", "train/intrinsic_reward"])
    def test_not_every_series_of_rewards_is_to_rise(self, name):
        assert said({name: (STEPS, self.falling)}) == []

    @pytest.mark.parametrize(
        "rewards",
        [0.3 - falling, 0.3 + 0.2 * NOISE, 20 + 0 * NOISE, np.where((STEPS > 30) & (STEPS < 300), -5.0, 3.0)],
    )
    def test_rewards_that_rise_stay_or_come_back(self, rewards):
        assert said({"train/reward": (STEPS, rewards)}) == []

    def test_another_measure_of_the_same_agent_may_rise(self):
        both = {"train/reward": (STEPS, self.falling), "train/episode_return": (STEPS, 0.3 - self.falling)}
        assert said(both) == []


class TestGainsThatAreLost:
    """A reward of -50 at first, with episodes that differ by 5."""

    def run(self, level, status="finished", **beside):
        return said({"train/reward": (STEPS, level + 5.0 * NOISE)} | beside, status=status)

    def test_more_than_half_of_it_through_the_latter_half(self):
        lost = np.where(STEPS < 180, -50.0 + STEPS / 9.0, -46.0)
        assert self.run(lost) == ["warning"]
        assert self.run(lost, status="running") == []

    @pytest.mark.parametrize(
        "level",
        [
            -50.0 + STEPS / 9.0,
            np.where(STEPS < 180, -50.0 + STEPS / 9.0, -36.0),  # less than half
            np.where((STEPS > 180) & (STEPS < 330), -46.0, -50.0 + 20.0 * np.minimum(STEPS / 180.0, 1.0)),  # back
            np.where(STEPS < 320, -50.0 + 20.0 * np.minimum(STEPS / 180.0, 1.0), -46.0),  # in the last fifth alone
            np.full(400, -50.0),  # nothing was gained
        ],
    )
    def test_what_is_kept_or_comes_back_or_was_lost_a_moment_ago(self, level):
        assert self.run(level) == []

    def test_another_measure_that_keeps_it(self):
        lost = np.where(STEPS < 180, -50.0 + STEPS / 9.0, -46.0)
        assert self.run(lost, **{"eval/return": (STEPS, STEPS / 9.0 + NOISE)}) == []


class TestAccuracyWithoutALoss:
    def run(self, start, end, outputs=10, **series):
        values = end + (start - end) * np.exp(-np.arange(len(EPOCHS))) + 0.005 * NOISE[: len(EPOCHS)]
        return said({"val/acc": (EPOCHS, values)} | series, outputs=outputs)

    def test_answers_that_fall_to_chance(self):
        assert self.run(0.3, 0.1) == ["warning"]

    def test_a_loss_too_noisy_to_judge_is_none(self):
        loss = 200.0 * np.exp(2.0 * NOISE)
        assert self.run(0.3, 0.1, **{"train/loss": (STEPS, loss)}) == ["warning"]

    def test_answers_above_chance_or_on_their_way_there(self):
        assert self.run(0.3, 0.2) == []
        assert self.run(0.05, 0.12) == []
        assert self.run(0.62, 0.6, outputs=2) == [], "of two classes one is often the more frequent"


class TestTripletsAtTheMargin:
    def run(self, end, variation=0.2, name="train/triplet"):
        loss = end + 0.07 * np.exp(-STEPS / 10) + 0.015 * NOISE
        frames = STEPS[::50]
        table = {"batch_variation": (["m"], frames, np.linspace(0.4, variation, len(frames))[:, None])}
        return said({name: (STEPS, loss)}, table, outputs=8)

    @pytest.mark.parametrize("name", ["train/triplet", "train/triplet_loss"])
    def test_outputs_that_are_all_the_same(self, name):
        assert self.run(1.0, name=name) == ["warning"]

    def test_a_net_that_tells_them_apart(self):
        assert self.run(0.6) == []
        assert self.run(1.0, variation=0.9) == [], "hard triplets cost about the margin, of outputs that differ"
        assert self.run(1.0, name="train/loss") == []


@pytest.mark.parametrize(("status", "expected"), [("running", []), ("finished", ["warning"])])
def test_a_fall_in_doubt_is_one_while_the_run_goes_on(status, expected):
    """Between `fall` and what is plainly more: diffusion models fall that slowly at first."""
    steps = np.arange(1, 1201)
    loss = 1.0 - 0.028 * (1.0 - np.exp(-steps / 100)) + 0.05 * np.random.default_rng(0).standard_normal(1200)
    assert said({"train/loss": (steps, loss)}, outputs=1, status=status) == expected


SQUARES = {
    "recognised_loss": {"class": "MSELoss", "reduction": "mean", "weighted": False, "label_smoothing": 0.0},
    "data": {"output_shape": [16, 1, 8, 8]},
}


class TestMeanOfTheTargets:
    """A squared error that came down from a poor start to the variance of the targets: the net answers their mean."""

    frames = np.array([1, 2, 5, 10, 20, 50, 100, 200, 400])

    def said(self, floor, spread=0.0, status="finished"):
        loss = floor + 0.06 * np.exp(-STEPS / 20)
        spreads = 0.08 * (1.0 + spread * np.random.default_rng(1).standard_normal(9))
        series = {
            "train/loss": (STEPS, loss),
            "data/recognised": (self.frames, loss[self.frames - 1]),
            "data/target_std": (self.frames, spreads),
        }
        report = judge(RunView.of_arrays(series, manifest=SQUARES, status=status), [RULES["loss-not-decreasing"]])
        return [f.message for f in report.findings]

    def test_maps_that_stay_black(self):
        (message,) = self.said(0.08**2)
        assert "about the variance of the targets, 0.0064" in message

    def test_a_tenth_explained_or_a_variance_that_is_not_known_well_or_a_run_that_goes_on(self):
        assert self.said(0.9 * 0.08**2) == []
        assert self.said(0.08**2, spread=0.2) == []
        assert self.said(0.08**2, status="running") == []
