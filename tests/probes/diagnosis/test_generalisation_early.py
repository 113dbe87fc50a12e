"""What validation tells after a few validations only, each beside a healthy twin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from probes.diagnosis.registry import RULES
from probes.diagnosis.view import NotJudged, RunView

CLASSES = {"data": {"classes": 10, "label_counts": [30] * 10}, "loss": {"class": "CrossEntropyLoss"}}


def said(rule: str, train: npt.ArrayLike, validation: list[float], right: tuple[float, float]) -> list[str]:
    """Severities of what a rule says of a run that goes on, validated before the first step and every 40 steps."""
    loss = np.asarray(train)
    steps, times = np.arange(1, len(loss) + 1), 40 * np.arange(len(validation))
    series = {
        "train/loss": (steps, loss),
        "train/accuracy": (steps, np.full(len(loss), right[0])),
        "val/loss": (times, np.asarray(validation)),
        "val/accuracy": (times, np.full(len(validation), right[1])),
    }
    view = RunView.of_arrays(series, {}, manifest=CLASSES, status="running")
    return [f.severity for f in RULES[rule].judge(view, **RULES[rule].thresholds)]


class TestKnownByHeart:
    LOSS = 2.3 * np.exp(-np.arange(130) / 8.0)

    def test_three_validations_beside_a_training_loss_that_is_used_up_tell_it(self) -> None:
        assert said("overfitting", self.LOSS, [2.3, 1.6, 1.6, 1.62], (1.0, 0.5)) == ["warning"]

    def test_a_net_that_is_right_elsewhere_as_well_is_none(self) -> None:
        with pytest.raises(NotJudged, match="needs 5 for a rise"):
            said("overfitting", self.LOSS, [2.3, 0.4, 0.3, 0.3], (1.0, 0.93))

    def test_a_training_loss_that_has_much_to_say_yet_is_none(self) -> None:
        slow = 2.3 * np.exp(-np.arange(130) / 80.0)
        with pytest.raises(NotJudged, match="needs 5 for a rise"):
            said("overfitting", slow, [2.3, 1.6, 1.5, 1.45], (0.8, 0.6))

    def test_a_rise_takes_one_more_validation(self) -> None:
        falls = 2.3 * np.exp(-np.arange(200) / 80.0)
        with pytest.raises(NotJudged, match="needs 5 for a rise"):
            said("overfitting", falls[:130], [2.3, 1.0, 1.3, 1.6], (0.8, 0.5))
        assert said("overfitting", falls[:170], [2.3, 1.0, 1.3, 1.6, 1.9], (0.8, 0.5)) == ["info"]

    def test_two_validations_are_too_few(self) -> None:
        with pytest.raises(NotJudged, match="needs 4"):
            said("overfitting", self.LOSS, [2.3, 1.6, 1.6], (1.0, 0.5))


class TestChanceAgreement:
    """A little that random labels share with others: it comes in the first validations, and is lost again."""

    LOSS = np.linspace(2.31, 2.14, 260)

    def test_a_gain_that_is_lost_again_is_none(self) -> None:
        assert said("no-generalization", self.LOSS, [2.3, 2.27, 2.25, 2.26, 2.29, 2.32, 2.34], (0.2, 0.1)) == [
            "warning"
        ]

    def test_a_gain_that_stays_may_become_more(self) -> None:
        assert said("no-generalization", self.LOSS, [2.3, 2.27, 2.25, 2.24, 2.23, 2.22, 2.22], (0.2, 0.1)) == []

    def test_a_single_bad_validation_is_no_loss_of_it(self) -> None:
        assert said("no-generalization", self.LOSS, [2.3, 2.27, 2.25, 2.24, 2.23, 2.22, 2.34], (0.2, 0.1)) == []

    def test_what_was_learned_first_is_not_forgotten_over_a_later_rise(self) -> None:
        assert said("no-generalization", self.LOSS, [2.3, 2.2, 2.1, 2.15, 2.3, 2.35, 2.4], (0.2, 0.1)) == []


class TestRegressions:
    """The parts of the variance that are explained lead where there is no accuracy."""

    @staticmethod
    def of(left: float, noise: float = 1.0) -> list[str]:
        """A net that learns 200 examples to nothing, of which validation leaves ``left`` of a variance of one."""
        steps, times, frames = np.arange(1, 401), np.arange(0, 401, 40), np.array([1, 2, 5, 10, 20, 50, 100, 200])
        series = {
            "train/loss": (steps, np.exp(-steps / 20.0)),
            "val/loss": (times, np.r_[1.0, np.full(len(times) - 1, left)]),
            "data/target_std": (frames, np.full(len(frames), noise)),
        }
        manifest = {"loss": {"class": "MSELoss", "reduction": "mean"}}
        view = RunView.of_arrays(series, {}, manifest=manifest, status="finished")
        return [f.severity for f in RULES["overfitting"].judge(view, **RULES["overfitting"].thresholds)]

    def test_known_by_heart_with_a_fifth_of_the_variance_left_elsewhere(self) -> None:
        assert self.of(0.25) == ["warning"]

    def test_a_regression_that_explains_nine_tenths_elsewhere_is_none(self) -> None:
        assert self.of(0.1) == []


def test_errors_that_are_far_flung_cost_a_batch_more_in_the_mean_than_in_the_median() -> None:
    """One batch in five meets an outlier; the whole validation set meets them all."""

    def said_of(outliers: float) -> list[str]:
        steps, times, frames = np.arange(1, 1001), np.arange(0, 1001, 100), np.array([1, 2, 5, 10, 20, 50, 100, 200])
        series = {
            "train/loss": (steps, 2.0 + 5.0 * np.exp(-steps / 100.0) + np.where(steps % 5 == 0, outliers, 0.0)),
            "val/loss": (times, 5.5 + 2.0 * np.exp(-times / 100.0)),
            "data/target_std": (frames, np.full(len(frames), 2.7)),
        }
        manifest = {"loss": {"class": "MSELoss", "reduction": "mean"}}
        view = RunView.of_arrays(series, {}, manifest=manifest, status="finished")
        return [f.severity for f in RULES["overfitting"].judge(view, **RULES["overfitting"].thresholds)]

    assert said_of(outliers=15.0) == []
    assert said_of(outliers=0.0) == ["warning"]


def test_two_validation_examples_that_turn_wrong_are_chance() -> None:
    """The loss creeps up by two fifths while 2 of 113 answers change; with 6 of them it is overfitting."""

    def severity(turned: int, top: float = 0.104) -> list[str]:
        times = 40 * np.arange(12)
        right = np.r_[0.4, 0.9, np.full(4, 110 / 113), np.full(3, 109 / 113), np.full(3, (110 - turned) / 113)]
        steps = np.arange(1, 481)
        series = {
            "train/loss": (steps, 0.7 * np.exp(-steps / 40.0)),
            "train/accuracy": (steps, np.full(480, 1.0)),
            "val/loss": (times, np.r_[0.7, 0.2, 0.08, 0.07, 0.07, 0.07, 0.08, 0.09, 0.1, top, top, top]),
            "val/accuracy": (times, right),
        }
        view = RunView.of_arrays(series, {}, manifest=CLASSES, status="finished")
        return [f.severity for f in RULES["overfitting"].judge(view, **RULES["overfitting"].thresholds)]

    assert severity(2) == ["info"]
    assert severity(6) == ["warning"]
    assert severity(2, top=0.16) == ["info"]  # overconfident in the three that are wrong
    assert severity(6, top=0.16) == ["warning"]
