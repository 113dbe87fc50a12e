"""Whether the training loss has come down: against its noise, its beginning, and the loss of guessing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from probes.diagnosis.descent import descent
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

TEN_CLASSES = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 10}}


def found(values, manifest=None, name="train/loss"):
    values = np.asarray(values, dtype=float)
    return descent(RunView.of_arrays({name: (np.arange(1, len(values) + 1), values)}, manifest=manifest))


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_a_level_is_no_descent_and_a_fall_beyond_it_is_one(seed):
    rng = np.random.default_rng(seed)
    assert not found(2.3 + rng.normal(0, 0.1, 200)).fell
    assert found(np.linspace(2.3, 1.8, 200) + rng.normal(0, 0.1, 200)).fell


def test_a_loss_that_starts_high_must_come_below_guessing_where_that_is_known():
    scores_shrink = 2.31 + 20 * np.exp(-np.arange(200) / 10)
    assert found(scores_shrink).fell
    known = found(scores_shrink, TEN_CLASSES)
    assert not known.fell
    assert known.guessing == pytest.approx(math.log(10))
    assert found(scores_shrink - 1.0, TEN_CLASSES).fell


def test_a_finetuned_net_below_guessing_from_the_start_must_still_come_down():
    assert not found(np.full(100, 0.5), TEN_CLASSES).fell
    assert found(np.linspace(0.5, 0.4, 100), TEN_CLASSES).fell


def test_holes_in_the_loss_are_left_out_and_too_little_is_none():
    values = np.linspace(2, 1, 60)
    values[::3] = np.nan
    assert found(values).fell
    values[:45] = np.inf
    assert found(values) is None
    assert found(np.linspace(2, 1, 60), name="val/loss") is None


def test_the_report_carries_it_as_plain_json():
    steps = np.arange(1, 101)
    report = judge(RunView.of_arrays({"train/loss": (steps, np.linspace(2, 1, 100))}), [])
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["descent"] == {
        "series": "train/loss",
        "start": report.descent.start,
        "end": report.descent.end,
        "guessing": None,
        "fell": True,
    }
