"""Examples that are normalised alone, and outputs that others outweigh: on made series, with their healthy twins."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 1001)
TIMES = np.arange(100, 1001, 100)


def loud(slug, view):
    report = judge(view, [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [f.severity for f in report.findings if f.severity != "info"]


class TestNormalisedAlone:
    def run(self, batch=1, right=0.27, norm="BatchNorm2d", mode=1.0, status="finished"):
        series = {
            "train/loss": (STEPS, 1.3 + 0.3 * np.random.default_rng(0).standard_normal(1000)),
            "val/loss": (TIMES, np.full(10, 1.4)),
            "val/accuracy": (TIMES, right + 0.03 * np.sin(TIMES)),
            "system/training_mode": (STEPS, np.full(1000, mode)),
        }
        modules = [
            {"name": "0", "type": "Conv2d", "output_shape": [batch, 8, 12, 12]},
            {"name": "1", "type": norm, "output_shape": [batch, 8, 12, 12]},
            {"name": "2", "type": "Linear", "output_shape": [batch, 4]},
        ]
        parameters = [
            {"name": "0.weight", "module": "0", "shape": [8, 1, 3, 3], "trainable": True},
            {"name": "2.weight", "module": "2", "shape": [4, 8], "trainable": True},
        ]
        dependent = [{"name": "1", "dropped": None, "momentum": 0.1}] if norm.startswith("Batch") else []
        manifest = {"model": {"modules": modules, "parameters": parameters, "mode_dependent": dependent}}
        return loud("validation-anomaly", RunView.of_arrays(series, manifest=manifest, status=status))

    def test_near_chance(self):
        assert self.run() == ["warning"]

    @pytest.mark.parametrize(
        "other",
        [{"batch": 8}, {"right": 0.6}, {"norm": "GroupNorm"}, {"mode": 0.0}, {"status": "running"}],
    )
    def test_its_twins_are_quiet(self, other):
        assert self.run(**other) == []


class TestOutweighed:
    """Yields of 6,000 +- 1,100 beside shares of 0.2 +- 0.05: of all variance together the means make up most."""

    def run(self, r2=-0.5, outputs=3, end=3e5, held=3e5, status="finished"):
        fall = 1.2e7 * np.exp(-STEPS / 100)
        series = {
            "train/loss": (STEPS, end + fall),
            "val/loss": (TIMES, held + fall[TIMES - 1]),
            "val/r2": (TIMES, r2 - np.exp(-TIMES / 200)),
            "data/target_std": (TIMES, np.full(10, 2900.0)),
        }
        data = {"output_shape": [32, outputs], "target_min": 0.06, "target_max": 9900.0}
        manifest = {"loss": {"class": "MSELoss", "reduction": "mean"}, "data": data}
        return loud("underfitting", RunView.of_arrays(series, manifest=manifest, status=status))

    def test_r2_below_zero_beside_a_loss_far_below_the_variance(self):
        assert self.run() == ["warning"]

    @pytest.mark.parametrize("other", [{"r2": 0.9}, {"outputs": 1}, {"end": 8e6}, {"held": 8e6}, {"status": "running"}])
    def test_its_twins_are_quiet(self, other):
        assert self.run(**other) == []
