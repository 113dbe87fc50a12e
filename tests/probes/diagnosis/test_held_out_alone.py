"""What little a net has learned holds in validation and hardly in training: many of the training targets are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS, TIMES = np.arange(1, 601), np.arange(0, 601, 40)
GUESSING = math.log(3)


def said(learned=0.008, gained=0.036, *, counts=(84, 87, 85), dropped=None, status="finished", late=False):
    """Severities of validation-anomaly on three classes, of which so much is learned in training and in validation."""
    rng = np.random.default_rng(0)
    rising = np.maximum(0.0, np.linspace(-1.0, 2.0, 600)) if late else 1.0 - np.exp(-STEPS / 60.0)
    reached = rising[np.minimum(TIMES + 40, 600) - 1]  # that of the training which follows
    series = {
        "train/loss": (STEPS, GUESSING - learned * rising + 0.02 * rng.standard_normal(600)),
        "val/loss": (TIMES, GUESSING - gained * reached + 0.002 * rng.standard_normal(len(TIMES))),
    }
    data = {"output_shape": [32, 3], "target_shape": [32], "classes": 3, "label_counts": list(counts)}
    dependent = [] if dropped is None else [{"name": "drop", "dropped": dropped}]
    loss = {"class": "CrossEntropyLoss", "reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0}
    manifest = {"loss": loss, "data": data, "model": {"mode_dependent": dependent}}
    report = judge(RunView.of_arrays(series, {}, manifest=manifest, status=status), [RULES["validation-anomaly"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [finding.severity for finding in report.findings]


def test_validation_that_comes_below_guessing_where_training_hardly_does():
    assert said() == ["warning"]
    assert said(learned=-0.002) == ["warning"]


@pytest.mark.parametrize(
    "healthy",
    [
        {"gained": 0.008},  # as much in both
        {"gained": 0.016},  # twice as much: few examples, or easier ones
        {"learned": 0.3, "gained": 0.5},  # hard or mixed training examples, of which much is learned
        {"learned": 0.0, "gained": 0.001},  # nothing learned in either
        {"dropped": 0.5},
        {"counts": (180, 50, 26)},  # shares that differ from those of validation gain there, too
        {"status": "running"},
        {"learned": 0.05, "gained": 0.05, "late": True},  # validation is ahead by the steps of an epoch
    ],
)
def test_not_where_training_gains_as_well_or_something_explains_it(healthy):
    assert not said(**healthy)


@pytest.mark.parametrize(("wrong", "classes", "times"), [(0.45, 10, 3.0), (0.6, 4, 9.0), (0.0, 10, 1.0)])
def test_how_much_more_shows_on_targets_that_are_right(wrong, classes, times):
    scores = 0.05 * np.random.default_rng(0).standard_normal((20000, classes))
    true = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    lost = wrong * classes / (classes - 1)
    given = (1.0 - lost) * true + lost / classes  # the best answers to the targets that it is trained on
    known = np.log(classes * given)
    in_training, held_out = (given * known).sum(1).mean(), (true * known).sum(1).mean()
    assert held_out / in_training == pytest.approx(times, rel=0.05)
