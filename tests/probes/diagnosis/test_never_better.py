"""A first validation that stands in for guessing, where nothing was validated before the first step."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 601)
TIMES = np.arange(60, 601, 60)
STEADY = np.linspace(1.05, 0.82, 600)
WORSE = np.linspace(0.76, 0.91, 10)


def said(train=STEADY, validation=WORSE, right=None, *, since=1, status="finished"):
    """Messages of no-generalization about a loss that nobody knows, validated once an epoch of 60 steps."""
    noisy = train * (1.0 + 0.05 * np.random.default_rng(0).standard_normal(len(train)))
    series = {
        "train/contrastive_loss": (STEPS[since - 1 :: since], noisy[since - 1 :: since]),
        "test/contrastive_loss": (TIMES, validation),
    }
    if right is not None:
        series["test/accuracy"] = (TIMES, np.asarray(right))
    report = judge(RunView.of_arrays(series, {}, status=status), [RULES["no-generalization"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [finding.message for finding in report.findings if finding.severity == "warning"]


@pytest.mark.parametrize("status", ["finished", "running"])
def test_validation_that_only_gets_worse_while_training_learns(status):
    (message,) = said(status=status)
    assert "never been lower than 0.777" in message
    assert said(right=np.linspace(0.7, 0.62, 10), status=status)


def test_not_where_it_was_better_once_or_stays_level():
    assert not said(validation=np.concatenate(([0.76, 0.75], WORSE[2:])))
    assert not said(validation=np.linspace(0.76, 0.78, 10))


def test_nor_within_its_noise_or_where_more_answers_are_right():
    assert not said(validation=0.76 + 0.2 * np.tile([0.0, 1.0], 5))
    assert not said(right=np.linspace(0.55, 0.7, 10))


def test_nor_where_much_was_learned_before_the_first_validation():
    assert not said(train=0.82 + 0.23 * np.exp(-STEPS / 30.0))
    assert not said(since=60)  # one value of the loss by then: nobody knows


def test_nor_where_training_learns_nothing():
    assert not said(train=np.linspace(1.05, 1.04, 600))
