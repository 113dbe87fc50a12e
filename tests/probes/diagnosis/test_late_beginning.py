"""A log that begins in the middle of a training: what it began with is no beginning, and no rule takes it for one."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from late import without_beginning
from torch import nn
from trainings import train
from zoo import HEALTHY

from probes.diagnosis import RULES
from probes.diagnosis.beginning import begins_late
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

TRAININGS = ("mlp-converged-adam", "mlp-cosine-to-zero", "diabetes-mlp", "mlp-sigmoid-2", "lstm-sgd-clipped")


@functools.cache
def whole(name):
    return HEALTHY[name](0)


@functools.cache
def warnings(name, share, told):
    view = whole(name)
    report = judge(without_beginning(view, int(share * view.last_step), told=told), RULES.values())
    assert not [entry for entry in report.not_judged if "failed" in entry.reason]
    return {finding.rule for finding in report.findings if finding.severity != "info"}


@pytest.mark.parametrize("slug", RULES)
def test_no_rule_warns_of_a_healthy_training_that_was_watched_from_a_later_step_on(slug):
    found = {
        (name, share, told)
        for name in TRAININGS
        for share in (0.1, 0.3, 0.6)
        for told in (True, False)
        if slug in warnings(name, share, told)
    }
    assert not found


def rested(loss, level, *, start, classes=None):
    """A view of a loss that rests at ``level`` from step ``start`` on."""
    steps = np.arange(start + 1, start + 1001)
    values = level * (1 + 0.01 * np.random.default_rng(0).standard_normal(len(steps)))
    manifest = {
        "sessions": [{"start_step": start}],
        "loss": {"class": loss, "reduction": "mean"},
        "data": {"classes": classes} if classes else {},
    }
    return RunView.of_arrays({"train/loss": (steps, values)}, manifest=manifest)


def reasons(view):
    return {entry.rule: entry.reason for entry in judge(view, RULES.values()).not_judged}


def test_a_loss_at_rest_is_not_judged_where_its_beginning_is_not_known():
    assert "the beginning of the training was not watched" in reasons(rested("MSELoss", 0.1, start=10_000))[
        "loss-not-decreasing"
    ]  # fmt: skip


def test_a_loss_at_rest_at_that_of_guessing_is_told_although_the_beginning_is_not_known():
    view = rested("CrossEntropyLoss", float(np.log(10)), start=10_000, classes=10)
    assert "loss-not-decreasing" in {finding.rule for finding in judge(view, RULES.values()).findings}


def test_a_loss_at_rest_far_below_that_of_guessing_is_clear_although_the_beginning_is_not_known():
    view = rested("CrossEntropyLoss", 0.1, start=10_000, classes=10)
    assert [finding.rule for finding in judge(view, RULES.values()).findings] == []


@pytest.mark.parametrize(
    ("steps", "late"),
    [
        (np.arange(1, 50), False),
        (np.arange(100, 5000, 100), False),
        (np.arange(10_000, 10_100), True),
        (np.arange(10_000, 20_000, 100), True),
        (np.array([450]), False),
    ],
)
def test_a_series_begins_late_by_its_own_distances(steps, late):
    assert begins_late(RunView.of_arrays({"train/loss": (steps, np.ones(len(steps)))}), steps) is late


def test_a_disaster_is_found_in_a_log_that_begins_late():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    grows = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < 80 else 1e6)
    view = without_beginning(train(model, optimizer, schedule=grows), 50)
    found = [finding.rule for finding in judge(view, RULES.values()).findings if finding.severity == "critical"]
    assert set(found) & {"nonfinite-values", "exploding-gradients", "loss-diverging", "learning-rate-too-high"}
