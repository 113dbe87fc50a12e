"""Scores that become large without the answers becoming right, for a loss that does not mind: told within 40 steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView


class SquaredNumbers(nn.Module):
    """The number of the class, as if it were an amount that each score should have."""

    def forward(self, scores, labels):
        return (scores.sigmoid() - labels[:, None]).square().mean()


class Focal(nn.Module):
    def forward(self, scores, labels):
        right = scores.log_softmax(1).gather(1, labels[:, None])[:, 0]
        return -((1.0 - right.exp()).square() * right).mean()


def trained(run_dir, loss_fn, rate=0.05, steps=40):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    labels = torch.arange(640) % 10
    rows = torch.randn(10, 16)[labels] + 0.3 * torch.randn(640, 16)
    with probes.watch(model, optimizer, loss_fn=loss_fn, run_dir=run_dir, every=10) as probe:
        for step in range(steps):
            batch = slice(32 * (step % 20), 32 * (step % 20) + 32)
            scores = model(rows[batch])
            loss = loss_fn(scores, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss, accuracy=(scores.argmax(1) == labels[batch]).float().mean())
    return run_dir


def test_a_squared_error_to_class_numbers_is_told_within_40_steps(tmp_path):
    (finding,) = probes.diagnose(trained(tmp_path / "run", SquaredNumbers()), ["loss-output-mismatch"]).findings
    assert finding.severity == "warning"
    assert "what this loss rewards is not to be right" in finding.message


@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_a_loss_of_classes_is_not_whether_it_learns_or_not(rate, tmp_path):
    report = probes.diagnose(trained(tmp_path / "run", Focal(), rate), ["loss-output-mismatch"])
    assert report.findings == []


STEPS = np.arange(1, 61)


def said(spread, accuracy=0.1, loss=20.0, counts=(30,) * 10):
    """What is said of 60 steps on 10 classes, with scores of this spread in the last of four frames."""
    noise = np.random.default_rng(0)
    frames = [1, 5, 20, 50]
    series = {
        "train/loss": (STEPS, 20.0 + (loss - 20.0) * STEPS / 60 + noise.normal(0, 0.3, 60)),
        "train/accuracy": (STEPS, np.clip(accuracy + noise.normal(0, 0.05, 60), 0, 1)),
        "data/output_std": (frames, [0.1, 0.2, 0.6 * spread, spread]),
        "data/output_min": (frames, [-0.3, -0.6, -1.8 * spread, -3 * spread]),
        "data/output_max": (frames, [0.3, 0.6, 1.8 * spread, 3 * spread]),
        "data/output_mean": (frames, [0.0] * 4),
    }
    manifest = {
        "loss": {"class": "Homemade"},
        "data": {"classes": 10, "label_counts": list(counts), "output_shape": [32, 10]},
        "model": {"modules": [{"name": "out", "type": "Linear", "output_shape": [32, 10]}], "parameters": []},
    }
    view = RunView.of_arrays(series, {}, manifest=manifest, status="running")
    return judge(view, [RULES["loss-output-mismatch"]]).findings


def test_each_part_of_the_criterion_is_needed():
    assert said(4.0)
    assert not said(0.3), "small scores cost next to nothing, whatever they say"
    assert not said(4.0, accuracy=0.3), "they become right"
    assert not said(4.0, loss=30.0), "they cost what they should"
    assert not said(4.0, counts=(210, *(10,) * 9)), "frequent classes rightly have higher scores"
