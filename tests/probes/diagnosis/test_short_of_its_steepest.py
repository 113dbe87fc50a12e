"""Trainings that end before the steepest part of their fall, told from few values; and falls that are no such thing."""

from __future__ import annotations

import numpy as np

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

SLUG = "training-too-short"
CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 6}}


def loud(series, manifest=CLASSIFIER):
    report = judge(RunView.of_arrays(series, manifest=manifest), [RULES[SLUG]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [finding for finding in report.findings if finding.severity != "info"]


def normal(count, seed=0):
    return np.random.default_rng(seed).standard_normal(count)


class TestTenEpochsOfManySteps:
    """One value an epoch, 200 steps in all, cross-entropy from 1.79: many answers are right, and unsure."""

    steps = np.arange(20, 201, 20)
    part = np.arange(10) / 9

    def run(self, fell, right=0.75, rates=None):
        every = np.arange(1, 201)
        return loud(
            {
                "train/loss": (self.steps, 1.79 - fell + 0.004 * normal(10)),
                "optimizer/lr": (every, np.full(200, 0.1) if rates is None else rates),
                "val/acc": (self.steps, 0.2 + (right - 0.2) * self.part),
            }
        )

    def test_a_loss_that_falls_faster_and_faster_is_on_its_way(self):
        assert "faster" not in self.run(0.4 * self.part**2)[0].title
        assert self.run(0.4 * self.part**2)

    def test_one_that_slows_down_at_such_an_accuracy_is_let_be(self):
        assert not self.run(0.4 * self.part)
        assert not self.run(0.4 * np.sqrt(self.part))

    def test_so_is_one_whose_answers_are_right(self):
        assert not self.run(0.4 * self.part**2, right=0.95)

    def test_so_is_one_that_falls_because_its_rate_does(self):
        assert not self.run(0.4 * self.part**2, rates=np.where(np.arange(200) < 140, 0.1, 0.05))


class TestATrialOfThirtySteps:
    """Cross-entropy that has lost a sixth in 36 steps, faster and faster."""

    steps = np.arange(1, 37)

    def run(self, validations, power=2):
        loss = 1.79 - 0.3 * (self.steps / 36) ** power + 0.002 * normal(36)
        at = np.linspace(36 // validations, 36, validations).astype(int)
        rates = np.full(36, 0.01)
        series = {"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, rates)}
        right = np.linspace(0.2, 0.55, validations)
        return loud(series | {"val/loss": (at, 1.79 - 0.2 * (at / 36) ** power), "val/acc": (at, right)})

    def test_validated_like_epochs_it_is_no_trial(self):
        assert self.run(6)

    def test_a_trial_is_let_be(self):
        assert not self.run(2)
        assert not self.run(6, power=1)


class TestAScoreThatIsNoAccuracy:
    """A loss of pixels that slows down once the share of the few is learned, and Dice once an epoch."""

    steps = np.arange(1, 36)

    def run(self, dice, name="validation/dice", rate=None):
        loss = 0.28 + 0.42 * np.exp(-self.steps / 20) + 0.004 * normal(35)
        rates = np.full(35, 2e-4) if rate is None else rate
        at = self.steps[6::7]
        return loud({"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, rates), name: (at, dice)}, {})

    def test_dice_that_rises_as_fast_as_ever_has_far_to_go(self):
        found = self.run([0.0, 0.05, 0.17, 0.29, 0.43])
        assert len(found) == 1 and "validation/dice" in found[0].message

    def test_one_that_comes_to_rest_or_swings_or_is_good(self):
        assert not self.run([0.0, 0.3, 0.4, 0.43, 0.44])
        assert not self.run([0.1, 0.35, 0.2, 0.1, 0.43])
        assert not self.run([0.3, 0.4, 0.5, 0.65, 0.8])

    def test_nor_where_the_rate_was_lowered_or_the_name_says_nothing(self):
        assert not self.run([0.0, 0.05, 0.17, 0.29, 0.43], rate=np.linspace(2e-4, 1e-4, 35))
        assert not self.run([0.0, 0.05, 0.17, 0.29, 0.43], name="validation/threshold")


class TestTheEndOfAWarmUpThatNoiseHides:
    steps = np.arange(1, 61)

    def run(self, rates, right=0.4):
        loss = 1.79 - 0.3 * self.steps / 60 + 0.3 * normal(60, seed=9)
        return loud(
            {"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, rates), "val/acc": ([0, 60], [0.2, right])}
        )

    def test_the_whole_run_shows_the_fall(self):
        found = self.run(0.002 * self.steps / 60)
        assert len(found) == 1 and "ended within the warm-up" in found[0].message

    def test_not_at_a_rate_that_was_reached_or_answers_that_are_good(self):
        assert not self.run(np.full(60, 0.002))
        assert not self.run(0.002 * self.steps / 60, right=0.9)


class TestNothingYetWithinAWarmUp:
    steps = np.arange(1, 61)

    def run(self, rates=0.002 * steps / 60, right=0.2, last=1.79):
        loss = np.linspace(1.79, last, 60) + 0.02 * normal(60)
        return loud(
            {"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, rates), "val/acc": ([0, 60], [0.17, right])}
        )

    def test_a_rate_that_was_not_reached_and_a_loss_at_guessing(self):
        (finding,) = self.run()
        assert "had not begun to fall, while its learning rate was still being raised" in finding.message

    def test_not_at_a_steady_rate_or_right_answers(self):
        assert not self.run(np.full(60, 0.002))
        assert not self.run(right=0.8)

    def test_a_loss_that_rose_has_other_troubles(self):
        assert not self.run(last=2.4)


class TestValidatedBeforeAndAfterAWarmUp:
    """A regression in noisy batches: what it gained is seen on the same examples before and after."""

    steps = np.arange(1, 31)

    def run(self, end, rates=1e-4 * steps, score=None):
        series = {
            "train/loss": (self.steps, 1.0 + 0.2 * normal(30)),
            "optimizer/lr": (self.steps, rates),
            "val/loss": ([0, 30], [1.02, end]),
        }
        series |= {"val/explained": ([0, 30], [-0.02, 1.0 - end])} if score is None else score
        return loud(series, {"loss": {"class": "MSELoss", "reduction": "mean"}})

    def test_a_third_of_the_variance_explained(self):
        (finding,) = self.run(0.67)
        assert "val/loss went from 1.02 to 0.67, with a validation score of 33%" in finding.message

    def test_the_variance_of_the_targets_tells_as_much(self):
        known = {"data/target_std": ([1, 10, 20], np.full(3, 1.0))}
        (finding,) = self.run(0.67, score=known)
        assert "with an R^2 of 33%" in finding.message
        assert not self.run(0.2, score=known)
        assert not self.run(0.67, score={}), "nothing is known of what the targets vary by"

    def test_not_where_most_is_explained_or_nothing_gained_or_the_rate_reached(self):
        assert not self.run(0.2)
        assert not self.run(1.01)
        assert not self.run(0.67, rates=np.full(30, 1e-3))


class TestAllExamplesInEveryStep:
    """25 steps on all examples at a rate that a cosine takes to zero: the loss falls in each of them."""

    steps = np.arange(1, 26)
    rates = 0.5 * (1 + np.cos(np.pi * steps / 26))

    def run(self, pace, right=0.8, noise=0.0, validated=25):
        gone = 1.0 - np.exp(-pace * np.cumsum(self.rates) / self.rates.sum())
        at = np.linspace(1, 25, validated).astype(int)
        series = {
            "train/loss": (self.steps, 1.79 - 1.6 * gone + noise * normal(25)),
            "optimizer/lr": (self.steps, 0.01 * self.rates),
            "val/loss": (at, (1.79 - 1.5 * gone)[at - 1]),
            "val/acc": (at, np.linspace(0.2, right, validated)),
        }
        return loud(series)

    def test_it_falls_along_the_rate_and_as_much_again_would_halve_it(self):
        (finding,) = self.run(1.6)
        assert "by the sum of the learning rate" in finding.message

    def test_not_when_it_came_to_rest_or_answers_well(self):
        assert not self.run(5.0)
        assert not self.run(1.6, right=0.95)

    def test_nor_from_batches_that_gain_as_the_rate_goes_or_in_a_trial(self):
        assert not self.run(1.6, noise=0.03)
        assert not self.run(1.6, validated=3)


class TestALossThatCalmsDown:
    """600 steps at a rate that is lowered to nothing, 1.4 at the end."""

    steps = np.arange(1, 601)

    def run(self, top):
        weight = self.steps / 600
        loss = np.where(weight < 0.5, top, top - (top - 1.4) * (weight - 0.5) / 0.5) + 0.05 * normal(600)
        loss[:20] = 1.65
        rates = 0.3 * 0.5 * (1 + np.cos(np.pi * weight))
        return loud(
            {"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, rates), "val/acc": ([0, 600], [0.2, 0.45])}
        )

    def test_thrown_about_by_the_rate_it_is_not_too_short_a_training(self):
        assert not self.run(2.2)

    def test_left_where_it_was_it_is(self):
        assert self.run(1.64)


class TestAnEpochOfFewSteps:
    """Validated before and after one epoch, at a steady rate: what the last steps gain is hidden by noise."""

    def run(self, last=70, pace=0.5, right=0.4, gone=0.5, rates=None, at=(0.0, 1.0), noise=0.04):
        steps = np.arange(1, last + 1)
        part = np.minimum(steps / last / 0.33, 1.0)  # all of the fall but ``pace`` of it is in the first third
        fallen = gone * ((1.0 - pace) * part + pace * steps / last)
        times = (last * np.array(at)).astype(int)
        series = {
            "train/loss": (steps, 1.79 * (1.0 - fallen) + noise * normal(last, seed=4)),
            "optimizer/lr": (steps, np.full(last, 0.05) if rates is None else rates),
            "val/acc": (times, np.linspace(0.17, right, len(times))),
        }
        return loud(series)

    def test_poor_answers_and_a_loss_that_is_not_at_rest(self):
        assert len(self.run()) == 1
        assert len(self.run(last=44)) == 1
        assert len(self.run(at=(1.0,), right=0.17)) == 1, "validated after it only"

    def test_of_a_handful_a_fall_is_enough(self):
        assert len(self.run(last=30, pace=0.1, gone=0.4)) == 1
        assert not self.run(last=60, pace=0.1, gone=0.4)

    def test_not_with_good_answers_or_a_loss_at_rest(self):
        assert not self.run(right=0.9)
        assert not self.run(gone=0.8)
        assert not self.run(pace=0.0)

    def test_nor_in_a_trial_or_a_longer_run(self):
        assert not self.run(last=44, at=(0.0, 0.5, 1.0))
        assert not self.run(last=44, at=(0.0, 0.5))
        assert not self.run(last=400, pace=0.45)
