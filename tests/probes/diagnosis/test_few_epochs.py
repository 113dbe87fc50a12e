"""A loss that is logged once an epoch, of few epochs: each value is the mean of many steps."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(40, 401, 40)
NOISE = 0.004 * np.random.default_rng(0).standard_normal(10)
CLASSES = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 6}}
SQUARES = {"loss": {"class": "MSELoss", "reduction": "mean"}}


def verdict(slug, series, manifest, status="finished"):
    """(loud findings, reasons why it was not judged)."""
    report = judge(RunView.of_arrays(series, manifest=manifest, status=status), [RULES[slug]])
    return [f for f in report.findings if f.severity != "info"], [r.reason for r in report.not_judged]


class TestALossThatStandsStill:
    def run(self, loss, manifest=CLASSES, **options):
        spread = {"data/target_std": (STEPS, np.full(10, 1.0))}
        return verdict("loss-not-decreasing", {"train/loss": (STEPS, loss)} | spread, manifest, **options)

    @pytest.mark.parametrize("level, manifest", [(1.79, CLASSES), (1.0, SQUARES)])
    def test_ten_epochs_at_the_loss_of_knowing_nothing(self, level, manifest):
        found, _ = self.run(level + NOISE, manifest)
        assert len(found) == 1

    def test_one_that_falls_or_was_learned_within_the_first_epoch(self):
        assert self.run(1.79 - 0.3 * np.arange(10) / 9 + NOISE) == ([], [])
        assert not self.run(1.2 + NOISE)[0]
        assert not self.run(0.85 + NOISE, SQUARES)[0]

    def test_while_it_runs_or_where_nothing_says_what_is_learned_it_is_not_judged(self):
        assert "needs 30" in self.run(1.79 + NOISE, status="running")[1][0]
        assert self.run(1.0 + NOISE, {})[1]


class TestTargetsFarFromZero:
    """Squared errors from 4 times the variance of the targets: the mean is learned first, and the rest in a line."""

    steps = np.arange(50, 1501, 50)
    part = np.arange(30) / 29

    def run(self, rest, start=4.0, rates=None):
        mean = (start - 1.0) * np.clip(1.0 - self.part / 0.2, 0.0, None)
        every = np.arange(1, 1501)
        series = {
            "train/loss": (self.steps, 1e4 * (mean + rest) * (1 + 0.3 * np.tile(NOISE, 3))),
            "optimizer/lr": (every, np.full(1500, 1e-3) if rates is None else rates),
            "data/target_std": (self.steps, np.full(30, 100.0)),
        }
        return verdict("slow-convergence", series, SQUARES)[0]

    def test_what_they_vary_by_is_learned_late_and_slowly(self):
        found = self.run(0.7 - 0.5 * self.part)
        assert len(found) == 1 and "variance of the targets" in found[0].message

    def test_let_be_where_it_slows_down_or_is_nearly_all_learned(self):
        assert not self.run(0.2 + 0.5 * np.exp(-6 * self.part))
        assert not self.run(0.55 - 0.5 * self.part)

    def test_nor_with_targets_around_zero_or_a_rate_that_falls(self):
        assert not self.run(0.7 - 0.5 * self.part, start=1.2)
        assert not self.run(0.7 - 0.5 * self.part, rates=np.linspace(1e-3, 1e-6, 1500))
