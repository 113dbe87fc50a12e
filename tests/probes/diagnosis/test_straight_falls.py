"""Losses that fall in a straight line after a quick beginning, and scores that stand in for an accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.slope import fall, is_straight
from probes.diagnosis.task import score_at_end
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 2001)
NOISE = 0.002 * np.random.default_rng(0).standard_normal(2000)


def told(rule, view):
    return [f.severity for f in judge(view, [RULES[rule]]).findings]


def run(loss, size=5e-5, rate=1e-4, status="finished", **more):
    frames = np.arange(0, 2001, 100)
    rates = np.broadcast_to(rate, STEPS.shape)
    parameters = [{"name": "w", "module": "0", "shape": [20, 20], "numel": 400, "trainable": True}]
    optimizers = [{"class": "Adam", "groups": [{"lr": 1e-4, "parameters": ["w"]}]}]
    layers = {
        "weight_norm": (["w"], frames, np.full((21, 1), 10.0)),
        "update_norm": (["w"], frames, np.full((21, 1), 10.0 * size)),
    }
    series = {"train/loss": (STEPS, loss + NOISE), "optimizer/lr": (STEPS, rates), **more}
    manifest = {"model": {"parameters": parameters}, "optimizers": optimizers}
    return RunView.of_arrays(series, layers, manifest=manifest, status=status)


QUICK = np.exp(-STEPS / 60.0)
STRAIGHT = 2.0 * QUICK + 0.5 - 0.2 * STEPS / 2000


def test_what_waits_for_small_steps_is_told_however_much_went_at_first():
    assert told("slow-convergence", run(STRAIGHT)) == ["warning"]
    assert told("slow-convergence", run(STRAIGHT, size=5e-4)) == []  # these are no small steps
    assert told("slow-convergence", run(STRAIGHT, status="running")) == []
    assert told("slow-convergence", run(2.0 * QUICK + 0.2 + 0.3 * (1.0 + STEPS / 100.0) ** -0.5)) == []  # it slows down
    assert told("slow-convergence", run(STRAIGHT, rate=np.where(STEPS < 1800, 1e-4, 5e-5))) == []
    resting = (STEPS[99::100], 0.6 + 0.01 * np.cos(np.arange(20)))
    falling = (STEPS[99::100], 0.1 + STRAIGHT[99::100])
    assert told("slow-convergence", run(STRAIGHT, **{"val/loss": resting})) == []
    assert told("slow-convergence", run(STRAIGHT, **{"val/loss": falling})) == ["warning"]
    right = (STEPS[99::100], np.full(20, 0.95))
    assert told("slow-convergence", run(STRAIGHT, **{"val/accuracy": right})) == []


def test_a_fall_as_fast_as_since_the_first_tenth_ends_too_early():
    barely = 0.12 * np.exp(-STEPS / 60.0) + 1.0 - 0.2 * STEPS / 2000
    view = run(barely, size=1e-3)
    found = fall(STEPS.astype(float), barely + NOISE)
    assert found is not None and found.pace < 0.9 < found.settled
    assert told("training-too-short", view) == ["warning"]
    slower = 0.9 + 0.2 * (1.0 + STEPS / 100.0) ** -0.5
    assert told("training-too-short", run(slower, size=1e-3)) == []
    assert found.settled == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("name", "end", "poor"), [("val/dice", 0.0, True), ("epoch/val_iou", 0.8, False)])
def test_a_score_of_validation_stands_in_for_an_accuracy(name, end, poor):
    half = 1.0 - 0.45 * STEPS / 2000
    view = run(half, size=3e-4, **{name: (STEPS[99::100], np.linspace(0.0, end, 20))})
    assert score_at_end(view) == pytest.approx(end, abs=0.1)
    assert bool(told("slow-convergence", view)) == poor
    assert bool(told("training-too-short", view)) == poor
    assert told("training-too-short", run(half, size=3e-4)) == []  # half of the loss is gone, and nothing else is known


def test_the_measures():
    along = STEPS.astype(float)
    assert is_straight(along, STRAIGHT)
    assert not is_straight(along, QUICK) and not is_straight(along, -STRAIGHT)
    assert not is_straight(along[:5], STRAIGHT[:5])
    assert score_at_end(run(STRAIGHT)) is None
