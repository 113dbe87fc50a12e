"""What is known of validation by a measure that is no loss. On made series, each with its healthy twin."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 601)
TIMES = np.arange(40, 601, 40)
CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 10}}


def findings(slug, series, manifest=CLASSIFIER, status="finished"):
    report = judge(RunView.of_arrays(series, manifest=manifest, status=status), [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return report.findings


def falls_to(end):
    return STEPS, end + (2.3 - end) * np.exp(-STEPS / 60)


class TestAccuracyInPlaceOfALoss:
    """Teacher forcing without its shift: all is right in training, and one in ten is in validation."""

    def run(self, end, right, name="val/token_acc"):
        jitter = 0.004 * np.random.default_rng(0).standard_normal(len(TIMES))
        return findings("no-generalization", {"train/loss": falls_to(end), name: (TIMES, right + jitter)})

    @pytest.mark.parametrize("name", ["val/token_acc", "val/acc", "epoch/val_accuracy"])
    def test_validation_at_chance_beside_a_cross_entropy_of_next_to_nothing(self, name):
        (finding,) = self.run(0.01, 0.1, name)
        assert finding.severity == "warning"
        assert "99% or more" in finding.message  # 1 - 0.01 / ln 2, and what is left of the fall
        assert "10%" in finding.message

    def test_validation_that_rises_above_chance_by_a_little(self):
        assert not self.run(0.01, 0.2)

    def test_training_that_need_not_be_right_more_often(self):
        assert not self.run(0.4, 0.1)  # 1 - 0.4 / ln 2 is 0.42 only

    def test_whole_sequences_are_another_measure(self):
        assert not self.run(0.01, 0.1, "val/sequence_acc")


class TestClassLeftOut:
    """ignore_index=0 where class 0 is the background: the loss is next to nothing, and most pixels are wrong."""

    def run(self, ignored, held, right):
        loss = {"class": "CrossEntropyLoss", "reduction": "mean", "ignore_index": ignored}
        manifest = {"loss": loss, "data": {"classes": 3, "label_counts": [810, 90, 100]}}
        series = {
            "train/loss": falls_to(held),
            "val/loss": (TIMES, np.full(len(TIMES), held)),
            "val/pixel_acc": (TIMES, np.full(len(TIMES), right)),
        }
        return findings("validation-anomaly", series, manifest)

    def test_a_loss_that_its_accuracy_does_not_allow(self):
        (finding,) = self.run(0, 0.01, 0.19)
        assert finding.severity == "warning"
        assert "ignore_index=0" in finding.suggestions[0]
        assert "81%" in finding.suggestions[0]

    def test_the_usual_index_is_no_class(self):
        (finding,) = self.run(-100, 0.01, 0.19)
        assert "ignore_index" not in finding.suggestions[0]

    def test_pixels_that_are_right(self):
        assert not self.run(0, 0.01, 0.985)


class TestExplainedVariance:
    """exp in the model, and once more in the loss: the likelihood is learned, the outputs are no counts."""

    def run(self, r2, held=-6.5, status="finished", manifest=None):
        train = -6.5 + 3.4 * np.exp(-STEPS / 40) + 0.05 * np.random.default_rng(0).standard_normal(600)
        jitter = 0.02 * np.random.default_rng(1).standard_normal(len(TIMES))
        series = {
            "train/loss": (STEPS, train),
            "val/loss": (TIMES, held + 3.4 * np.exp(-TIMES / 40)),
            "val/r2": (TIMES, r2 + jitter),
        }
        return findings("validation-anomaly", series, manifest or {}, status)

    def test_a_loss_that_was_learned_beside_an_r2_below_zero(self):
        (finding,) = self.run(-0.9)
        assert finding.severity == "warning"
        assert "val/r2" in finding.message

    def test_little_to_explain_or_validation_that_is_worse_or_a_run_that_goes_on(self):
        assert not self.run(0.02)
        assert not self.run(-0.9, held=-4.5)
        assert not self.run(-0.9, status="running")


def test_errors_by_either_order_of_their_names_show_overfitting():
    held = np.where(TIMES < 100, 0.4, 0.4 + (TIMES - 100) / 250)
    fit = 0.3 + 0.1 * np.exp(-TIMES / 100)
    (finding,) = findings("overfitting", {"rms/train": (TIMES, fit), "rms/test": (TIMES, held)}, {})
    assert finding.severity == "warning"
    assert not findings("overfitting", {"rms/train": (TIMES, fit), "rms/test": (TIMES, fit + 0.02)}, {})
