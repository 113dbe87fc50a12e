"""Trainings of a few dozen steps: epochs of hardly a step each, and one epoch without an accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 37)
GUESSING = float(np.log(3))
MANIFEST = {
    "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
    "data": {"classes": 3, "label_counts": [99] * 3},
}


def told(series, manifest=None, layers=None):
    report = judge(RunView.of_arrays(series, layers, manifest=manifest or {}), [RULES["training-too-short"]])
    return [f.message for f in report.findings]


def twelve_epochs(
    *, fall=0.03, noise=0.002, right=0.38, validations=12, held=None, start=GUESSING, settles=False, rate=0.05
):
    """36 steps on batches of thousands: a loss that has lost ``fall`` of that of guessing, validated now and then."""
    rng = np.random.default_rng(0)
    part = 1 - np.exp(-STEPS / 5.0) if settles else STEPS / 36
    at = np.linspace(36 // validations, 36, validations).astype(int)
    course = start * (1 - fall * part)
    validated = course[at - 1] + 0.005 if held is None else held + np.zeros(validations)
    series = {
        "train/loss": (STEPS, course + noise * rng.standard_normal(36)),
        "val/loss": (at, validated + 0.0005 * rng.standard_normal(validations)),
        "val/accuracy": (at, np.linspace(0.34, right, validations)),
        "optimizer/lr": (STEPS, np.broadcast_to(rate, 36)),
    }
    return told(series, MANIFEST)


def test_a_loss_near_guessing_that_falls_over_epochs_of_three_steps_is_told():
    (message,) = twelve_epochs()
    assert "still falling" in message
    assert "36 steps" in message


@pytest.mark.parametrize(
    "other",
    [
        {"right": 0.9},
        {"noise": 0.05},
        {"validations": 3},
        {"held": GUESSING},
        {"start": 0.6},
        {"settles": True},
        {"rate": np.linspace(0.05, 0.02, 36)},
    ],
)
def test_what_is_right_unsure_a_trial_or_at_rest_is_let_be(other):
    assert twelve_epochs()
    assert twelve_epochs(**other) == []


def test_an_accuracy_counts_the_epochs_where_no_validation_loss_was_logged():
    loss = 2.3 - 0.35 * (STEPS / 36) ** 1.5 + 0.001 * np.random.default_rng(0).standard_normal(36)
    series = {"train/loss": (STEPS, loss), "optimizer/lr": (STEPS, np.full(36, 0.01))}
    right = {"val/accuracy": (STEPS, np.linspace(0.1, 0.5, 36))}
    assert len(told(series | right)) == 1
    assert told(series | {"val/accuracy": (STEPS[[17, 35]], np.array([0.3, 0.5]))}) == []


def one_epoch(*, left=0.48, noise=0.1, settles=False, steps=36, validations=1, biases=(-0.2, 0.2)):
    """A squared error over one epoch, validated at its end (or ``validations`` times), of a layer that reads 16 numbers
    and begins with these ``biases`` (lowest, highest).
    """
    along = np.arange(1, steps + 1)
    part = 1 - np.exp(-along / 6.0) if settles else along / steps
    loss = 1.1 * (1 - (1 - left) * part) + noise * np.random.default_rng(3).standard_normal(steps)
    at = np.linspace(steps / validations, steps, validations).astype(int)
    series = {
        "train/loss": (along, loss),
        "val/loss": (at, np.full(validations, 1.1 * left)),
        "optimizer/lr": (along, np.full(steps, 2e-3)),
    }
    parameters = [
        {"name": "out.weight", "module": "out", "shape": [4, 16], "trainable": True},
        {"name": "out.bias", "module": "out", "shape": [4], "trainable": True},
    ]
    layers = {
        kind: (["out.bias"], np.array([0, 1]), np.full(2, value))
        for kind, value in zip(("weight_min", "weight_max"), biases, strict=True)
    }
    return told(series, {"model": {"parameters": parameters}}, layers)


def test_one_epoch_of_few_steps_whose_loss_still_falls_is_told_without_an_accuracy():
    (message,) = one_epoch()
    assert "still falling" in message


@pytest.mark.parametrize(
    "other",
    [{"left": 0.2}, {"settles": True}, {"steps": 200}, {"noise": 0.5}, {"validations": 3}, {"biases": (-0.9, 0.9)}],
)
def test_an_epoch_that_came_to_something_or_rests_or_was_long_is_let_be(other):
    assert one_epoch(**other) == []
