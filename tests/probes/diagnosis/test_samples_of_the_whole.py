"""Optimizers that need all examples at once, on all of them and on batches. On made series."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView


def run(optimizer, noise, end=0.3, status="finished"):
    steps = np.arange(1, 601)
    loss = end + (0.69 - end) * np.exp(-steps / 40) + noise * np.random.default_rng(0).standard_normal(600)
    manifest = {
        "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
        "data": {"classes": 2},
        "optimizers": [{"class": f"torch.optim.{optimizer}", "groups": [{"lr": 0.01, "parameters": ["0.weight"]}]}],
        "model": {"modules": [{"name": "0", "type": "Linear", "output_shape": [10, 2]}]},
    }
    view = RunView.of_arrays({"train/loss": (steps, loss)}, manifest=manifest, status=status)
    report = judge(view, [RULES["noisy-loss"]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [(finding.severity, finding.message) for finding in report.findings]


@pytest.mark.parametrize("optimizer", ["Rprop", "LBFGS"])
def test_batches_under_an_optimizer_for_the_whole(optimizer):
    ((severity, message),) = run(optimizer, 0.15)
    assert severity == "warning"
    assert f"{optimizer} needs the gradient of all examples" in message
    assert "batch of 10 examples" in message
    assert [severity for severity, _ in run(optimizer, 0.15, status="running")] == ["info"]


def test_all_examples_in_each_step_or_a_loss_that_is_low_or_an_optimizer_that_averages():
    assert run("Rprop", 0.002) == []
    assert run("Rprop", 0.1, end=0.05) == []
    assert run("SGD", 0.15) == []
