"""A loss of one's own under which a net answers worse than by giving one answer always."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS, FRAMES = np.arange(1, 601), np.array([1, 2, 5, 10, 20, 50, 100, 200, 500])


def said(right=0.07, outranked=0.5, spread=3.0, *, shape=(32,), status="finished", kind="SquaredErrorOfMine"):
    """Whether loss-output-mismatch is told of 600 steps over five uneven classes, 0.32 of one."""
    rng = np.random.default_rng(0)
    series = {
        "train/loss": (STEPS, 1.6 + 0.26 * np.exp(-STEPS / 40.0) + 0.2 * rng.standard_normal(600)),
        "train/accuracy": (STEPS, rng.binomial(32, right, 600) / 32),
        "data/label_outranked": (FRAMES, np.append([0.6, 0.4, 0.5, 0.5], np.full(5, outranked))),
        "data/output_std": (FRAMES, np.geomspace(0.02, spread, 9)),
        "data/output_min": (FRAMES, np.full(9, -0.3)),
        "data/output_max": (FRAMES, np.geomspace(0.1, 6.0, 9)),
        "data/output_mean": (FRAMES, np.geomspace(0.02, 2.0, 9)),
    }
    data = {
        "output_shape": [32, 5],
        "target_shape": list(shape),
        "classes": 5,
        "label_counts": [52, 92, 87, 37, 20],
        "foreign_labels": 0,
    }
    modules = [{"name": "head", "type": "Linear", "output_shape": [32, 5]}]
    manifest = {"loss": {"class": kind}, "data": data, "model": {"modules": modules}}
    report = judge(RunView.of_arrays(series, {}, manifest=manifest, status=status), [RULES["loss-output-mismatch"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [finding.severity for finding in report.findings]


def test_grown_scores_that_are_right_less_often_than_one_answer():
    assert said() == ["warning"]


@pytest.mark.parametrize(
    "healthy",
    [
        {"right": 0.6, "outranked": 0.1},  # learned
        {"right": 0.31},  # always the commonest class
        {"right": 0.2, "outranked": 0.25},  # rare classes weigh more: the label is high up, though not first
        {"spread": 0.05},  # nothing has moved yet
        {"shape": (32, 20)},  # padding may be what is commonest, and be left out of the accuracy
        {"status": "running"},
    ],
)
def test_not_a_net_that_learns_or_has_not_begun(healthy):
    assert not said(**healthy)
