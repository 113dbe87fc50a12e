"""A distance between probabilities and one-hot classes as a loss; and a loss without a bottom in few values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView


def trained(folder, criterion, *, rate, steps=200):
    torch.manual_seed(0)
    x = torch.randn(640, 12)
    y = (x @ torch.randn(12, 8)).argmax(1)
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 8))
    optimizer = torch.optim.Adam(net.parameters(), rate)
    with probes.watch(net, optimizer, folder) as probe:
        for step in range(steps):
            rows = torch.randperm(640)[:32]
            loss = criterion(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 5 == 4:
                with torch.no_grad():
                    probe.log("train", loss=loss, accuracy=(net(x).argmax(1) == y).float().mean())
    found = probes.diagnose(probes.open_run(folder)).findings
    return [f.message for f in found if f.rule == "loss-output-mismatch"]


def absolute(scores, classes):
    return F.l1_loss(scores.softmax(1), F.one_hot(classes, 8).float())


def test_an_absolute_error_of_probabilities_is_told_and_a_squared_one_that_learns_is_not(tmp_path):
    (message,) = trained(tmp_path / "absolute", absolute, rate=5e-4)
    assert "absolute error of a softmax" in message
    assert trained(tmp_path / "entropy", F.cross_entropy, rate=5e-4) == []
    squared = lambda scores, classes: F.mse_loss(scores.softmax(1), F.one_hot(classes, 8).float())  # noqa: E731
    assert trained(tmp_path / "squared", squared, rate=5e-3) == []


STEPS = np.arange(10, 410, 10)


def said(begin, end, right, *, classes=10, status="finished", kind=None, first=10):
    loss = np.linspace(begin, end, 40) * (1 + 0.003 * np.random.default_rng(0).standard_normal(40))
    loss[0] = begin
    series = {
        "train/loss": (STEPS - 10 + first, loss),
        "val/accuracy": (STEPS[::4], np.linspace(1 / classes, right, 10)),
    }
    modules = [{"name": "out", "type": "Linear", "output_shape": [32, classes]}]
    manifest = {"model": {"modules": modules}} | ({"loss": {"class": kind, "reduction": "mean"}} if kind else {})
    view = RunView.of_arrays(series, manifest=manifest, status=status)
    return [f.message for f in judge(view, [RULES["loss-output-mismatch"]]).findings]


@pytest.mark.parametrize("classes", [3, 10, 40])
def test_the_loss_of_equal_probabilities_is_known_for_any_number_of_classes(classes):
    level = 2 * (classes - 1) / classes**2
    (message,) = said(level, 0.97 * level, 1 / classes + 0.08, classes=classes)
    assert "absolute" in message
    (message,) = said(level / 2, 0.48 * level, 1 / classes - 0.05, classes=classes)
    assert "squared" in message


@pytest.mark.parametrize(
    "other",
    [
        {"right": 0.7},
        {"begin": 0.21},
        {"begin": 0.165, "first": 1},
        {"end": 0.06},
        {"status": "running"},
        {"kind": "CrossEntropyLoss"},
    ],
)
def test_what_was_learned_or_began_elsewhere_is_let_be(other):
    usual = {"begin": 0.18, "end": 0.172, "right": 0.2}
    assert said(**usual)
    assert said(**usual | other) == []


def test_sigmoids_that_say_no_to_every_class_are_told():
    (message,) = said(0.5, 0.1, 0.12)
    assert "sigmoid" in message
    assert said(0.5, 0.01, 0.12) == []
    assert said(0.5, 0.1, 0.6) == []
    assert said(0.25, 0.09, 0.12)
    assert said(0.25, 0.04, 0.12) == []


def without_accuracy(end, *, kind="L1Loss", mean=0.1):
    loss = np.linspace(0.18, end, 40)
    frames = np.array([1, 10, 100])
    outputs = {"min": 0.05, "max": 0.2, "mean": mean}
    series = {"train/loss": (STEPS, loss)} | {f"data/output_{k}": (frames, np.full(3, v)) for k, v in outputs.items()}
    modules = [{"name": "out", "type": "Softmax", "output_shape": [32, 10]}]
    manifest = {"model": {"modules": modules}, "loss": {"class": kind, "reduction": "mean"}}
    return [
        f.message for f in judge(RunView.of_arrays(series, manifest=manifest), [RULES["loss-output-mismatch"]]).findings
    ]


def test_without_an_accuracy_outputs_that_sum_to_one_and_the_loss_must_be_known():
    assert without_accuracy(0.176)
    assert without_accuracy(0.12) == []
    assert without_accuracy(0.176, mean=0.12) == []
    assert without_accuracy(0.176, kind="MSELoss") == []


def test_a_hard_task_with_a_squared_error_is_let_be():
    assert said(0.09, 0.088, 0.2)
    assert said(0.09, 0.08, 0.25) == []
    assert said(0.09, 0.085, 0.35) == []


def bottomless(values):
    series = {"train/loss": (np.arange(1, len(values) + 1) * 40, np.asarray(values))}
    return [f.message for f in judge(RunView.of_arrays(series), [RULES["loss-output-mismatch"]]).findings]


def test_means_of_ten_epochs_that_fall_without_a_bottom_are_told():
    """A binary cross-entropy of targets 0 and 255: every step away from zero gains."""
    (message,) = bottomless(-7e4 * np.arange(1, 11) ** 2.9)
    assert "no lowest value" in message


def test_the_likelihood_of_ten_epochs_comes_to_rest():
    epochs = np.arange(1, 11)
    assert bottomless(2.0 - 60.0 * (1 - np.exp(-epochs / 1.5))) == []
    assert bottomless(0.05 - 8.0 * (1 - np.exp(-(epochs - 1) / 1.5))) == []
    assert bottomless(-3.0 * epochs) == []
