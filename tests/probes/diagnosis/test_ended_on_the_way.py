"""Trainings of few steps that end on the way, told by what noise cannot feign."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

SLUG = "training-too-short"
CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 10}}


def loud(series):
    report = judge(RunView.of_arrays(series, manifest=CLASSIFIER), [RULES[SLUG]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [finding for finding in report.findings if finding.severity != "info"]


def cosine(steps):
    return 0.01 * 0.5 * (1 + np.cos(np.pi * (np.arange(1, steps + 1) - 1) / steps))


class TestAllExamplesAtOnce:
    """90 steps, each an epoch of one batch: two thirds of the loss are gone, as fast at the end as at the beginning."""

    steps = np.arange(1, 91)
    weight = np.cumsum(cosine(90)) / cosine(90).sum()

    def run(self, loss, noise=0.0):
        loss = loss + noise * np.random.default_rng(0).standard_normal(90)
        accuracy = (self.steps[9::10], np.linspace(0.1, 0.93, 9))
        return loud({"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, cosine(90)), "val/acc": accuracy})

    def test_a_loss_without_noise_that_as_much_again_would_take(self):
        assert self.run(2.3 - 1.55 * self.weight)

    def test_with_noise_it_may_be_what_a_falling_rate_gains(self):
        assert not self.run(2.3 - 1.55 * self.weight, noise=0.05)

    def test_a_loss_that_slows_down_or_is_nearly_gone(self):
        assert not self.run(0.7 + 1.6 * np.exp(-3 * self.weight))
        assert not self.run(2.3 - 2.0 * self.weight)


class TestNoiseThatTheWholeRunOutweighs:
    steps = np.arange(1, 67)

    def test_a_schedule_over_which_the_loss_fell_all_the_way(self):
        """Batches of two: the last steps alone do not tell the fall from the noise."""
        weight = np.cumsum(cosine(66)) / cosine(66).sum()
        noise = 0.22 * np.random.default_rng(1).standard_normal(66)
        series = {"optimizer/lr": (self.steps, cosine(66)), "val/acc": ([0, 66], [0.1, 0.8])}
        assert loud(series | {"train/loss": (self.steps, 2.3 - 1.15 * weight + noise)})
        assert not loud(series | {"train/loss": (self.steps, 1.15 + 1.15 * np.exp(-6 * weight) + noise)})


class TestEightSteps:
    steps = np.arange(1, 9)

    def run(self, fell, right=0.8, began=2.3):
        loss = began - fell * (self.steps - 1) / 7 + 0.03 * np.random.default_rng(0).standard_normal(8)
        rates = np.full(8, 0.01)
        series = {"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, rates)}
        return loud(series if right is None else series | {"val/acc": ([0, 8], [0.1, right])})

    def test_no_training_ends_after_eight_steps_with_most_of_its_loss_left(self):
        assert self.run(0.9)

    def test_unless_it_has_learned_or_did_not_begin_at_guessing_or_no_result_is_known(self):
        assert not self.run(1.5)
        assert not self.run(0.9, right=0.95)
        assert not self.run(0.9, began=1.6)
        assert not self.run(0.9, right=None)


class TestThreeEpochsOfOneStep:
    def run(self, held, rates=(0.01, 0.0075, 0.0025)):
        steps = np.arange(1, 4)
        loss = (steps, [2.31, 2.27, 2.28])
        series = {"train/loss": loss, "optimizer/lr": (steps, rates)}
        return loud(series | {"val/loss": (np.arange(4), held), "val/acc": (np.arange(4), [0.1, 0.15, 0.2, 0.2])})

    def test_validation_before_and_after(self):
        assert self.run([2.31, 2.27, 2.22, 2.20])
        assert not self.run([2.31, 2.32, 2.31, 2.30])
        assert not self.run([2.31, 2.27, 2.22, 2.20], rates=(0.01, 0.01, 0.01)), "a trial"


class TestRestingValidation:
    """Ten epochs of one step: the last third of the steps has a tenth of the rate."""

    @pytest.mark.parametrize(("fall", "said"), [(1.0, 1), (12.0, 0)])
    def test_it_is_measured_by_what_was_trained(self, fall, said):
        steps = np.arange(1, 11)
        weight = np.r_[0.0, np.cumsum(cosine(10)) / cosine(10).sum()]
        held = 2.3 - 0.14 * (1 - np.exp(-fall * weight)) / (1 - np.exp(-fall))
        held += 0.001 * np.random.default_rng(0).standard_normal(11)
        held[-3:] += [0.000, 0.002, 0.004]
        loss = 2.3 - 0.11 * weight[1:]
        series = {"train/loss": (steps, loss), "optimizer/lr": (steps, cosine(10)), "val/loss": (np.r_[0, steps], held)}
        assert len(loud(series)) == said
