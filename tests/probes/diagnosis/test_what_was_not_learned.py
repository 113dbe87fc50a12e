"""What the splits tell of each other: examples known by heart, gains lost again. On made series, each with its twin."""

from __future__ import annotations

import numpy as np

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 601)
TIMES = np.arange(0, 601, 40)
CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 10}}


def findings(slug, series, layers=None, manifest=CLASSIFIER, status="finished"):
    report = judge(RunView.of_arrays(series, layers, manifest=manifest, status=status), [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [(f.severity, f.message) for f in report.findings]


def loud(*arguments, **options):
    return [severity for severity, _ in findings(*arguments, **options) if severity != "info"]


class TestKnownByHeart:
    """Sixty examples, over and over: the training loss goes to nothing, the validation loss stays and creeps down."""

    def run(self, last, held, right=1.0):
        series = {
            "train/loss": (STEPS, last + 2.3 * np.exp(-STEPS / 20)),
            "val/loss": (TIMES, held + (2.3 - held) * np.exp(-TIMES / 30) - 0.0002 * TIMES),
            "train/accuracy": (STEPS, np.full(600, right)),
            "val/accuracy": (TIMES, 0.83 * (1 - np.exp(-TIMES / 30)) + 0.02 * (held < 0.5)),
        }
        return findings("overfitting", series)

    def test_a_net_with_nothing_left_to_learn_and_one_in_eight_wrong(self):
        ((severity, message),) = self.run(0.002, 0.75)
        assert severity == "warning"
        assert "by heart" in message
        assert "ahead by 17%" in message

    def test_its_twins_are_no_more_than_information(self):
        for last, held, right in ((0.08, 0.75, 1.0), (0.002, 0.45, 1.0), (0.002, 0.75, 0.93)):
            assert [severity for severity, _ in self.run(last, held, right)] in ([], ["info"])


class TestAllGainsLost:
    def run(self, end, noise=0.002, low=2.15, seed=0):
        late = low + (end - low) * np.clip((TIMES - 80) / 400, 0, 1)
        validation = np.where(TIMES <= 80, low + (80 - TIMES) * (2.303 - low) / 80, late)
        series = {
            "train/loss": (STEPS, 2.3 - 0.6 * STEPS / 600),
            "val/loss": (TIMES, validation + noise * np.random.default_rng(seed).standard_normal(len(TIMES))),
            "val/accuracy": (TIMES, np.full(len(TIMES), 0.12)),
        }
        return loud("overfitting", series)

    def test_a_small_rise_beyond_the_start_is_one(self):
        assert self.run(2.45) == ["warning"]

    def test_the_same_rise_below_the_start_is_none(self):
        assert self.run(2.29) == []

    def test_noise_around_the_start_is_none(self):
        assert [seed for seed in range(200) if self.run(2.303, noise=0.08, low=2.303, seed=seed)] == []


class TestSmotheredByDropout:
    """Dropout of 95%: as good as nothing is learned in training, and what is learned shows in validation alone."""

    def run(self, dropped, held):
        series = {
            "train/loss": (STEPS, 2.3 - 0.1 * STEPS / 600),
            "val/loss": (TIMES, np.full(len(TIMES), 2.29)),
            "train/accuracy": (STEPS, np.full(600, 0.18)),
            "val/accuracy": (TIMES, np.full(len(TIMES), held)),
        }
        model = {"mode_dependent": [{"name": "drop", "type": "Dropout", "dropped": dropped}]}
        return loud("underfitting", series, manifest=CLASSIFIER | {"model": model})

    def test_validation_far_ahead_of_training_names_it(self):
        assert self.run(0.95, 0.54) == ["warning"]

    def test_usual_dropout_or_no_lead_does_not(self):
        assert self.run(0.5, 0.54) == []
        assert self.run(0.85, 0.2) == []

    def test_where_next_to_no_units_are_left_poor_answers_are_enough(self):
        assert self.run(0.95, 0.2) == ["warning"]


def test_what_babysit_measures_itself_is_no_validation():
    """A GAN's passes without gradients run in training mode at every step; at its validations they do not."""
    passes = np.ones(600)
    passes[TIMES[1:] - 1] = passes[TIMES[1:-1]] = 0.0
    series = {
        "system/evaluation_mode": (STEPS, passes),
        "system/training_mode": (STEPS[:1], np.ones(1)),
        "val/distance": (TIMES[1:], np.linspace(2, 1, len(TIMES) - 1)),
    }
    model = {"mode_dependent": [{"name": "norm", "type": "BatchNorm1d", "dropped": None}]}
    assert loud("validation-anomaly", series, manifest={"model": model}) == []
    series["system/evaluation_mode"] = (STEPS, np.ones(600))
    assert loud("validation-anomaly", series, manifest={"model": model}) == ["warning"]


class TestLossUnderASplitOfItsOwn:
    """A language model that sees the next letter: its loss goes to nothing, that of what it writes rises above all."""

    def run(self, name="sampled/loss", end=8.0, seen=TIMES + 1, **more):
        series = {
            "train/loss": (STEPS, 0.1 + 4.1 * np.exp(-STEPS / 60)),
            name: (TIMES, 3.0 + (end - 3.0) * (1 - np.exp(-TIMES / 150))),
            "system/evaluation_mode": (seen, np.zeros(len(seen))),
        }
        return findings("overfitting", series | more)

    def test_the_only_one_where_the_net_is_evaluated(self):
        ((severity, message),) = self.run()
        assert severity == "warning"
        assert message.startswith("sampled/loss rose")

    def test_less_than_all_lost_is_not_told_of_a_split_that_does_not_say_what_it_is(self):
        assert self.run(end=3.8) == []
        assert self.run("val/loss", end=3.8) != []

    def test_other_inputs_other_nets_or_several(self):
        assert self.run("adv/loss") == []
        assert self.run("teacher/loss") == []
        assert self.run(seen=TIMES[:3]) == []
        assert self.run(**{"other/loss": (TIMES, np.full(len(TIMES), 2.0))}) == []
