"""Classes fitted as numbers by a squared error: on trainings, each with twins that are as they should be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes


def told(folder, labelled, outputs=1):
    """Train on 1200 rows of 16 features; ``labelled`` gives them classes; what is said of outputs and loss."""
    torch.manual_seed(0)
    inputs = torch.randn(1200, 16)
    classes = labelled(inputs)
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, outputs))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, optimizer, folder, every=50) as probe:
        for _ in range(400):
            rows = torch.randint(1200, (40,))
            out, target = net(inputs[rows]), classes[rows]
            if outputs > 1:
                loss, said = nn.functional.cross_entropy(out, target), out.argmax(1)
            else:
                loss, said = (out.squeeze(1) - target.float()).square().mean(), out.squeeze(1).round()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss, acc=(said == target).float().mean())
    report = probes.diagnose(folder, rules=["loss-output-mismatch"])
    return [finding.message for finding in report.findings if finding.severity != "info"]


def named(inputs):
    """Eight classes whose numbers say nothing: those of the largest of eight features."""
    return inputs[:, :8].argmax(1)


def counted(inputs):
    """Eight classes in an order: how large the first feature is, in eighths of all."""
    return (inputs[:, 0].argsort().argsort() * 8).div(len(inputs), rounding_mode="floor")


def test_names_that_are_taken_for_numbers(tmp_path):
    (message,) = told(tmp_path / "run", named)
    assert "8 classes" in message
    run = probes.open_run(tmp_path / "run")
    assert probes.diagnose(run, ["loss-output-mismatch"], at_step=390).findings == []


@pytest.mark.parametrize(("labelled", "outputs"), [(named, 8), (counted, 1)])
def test_an_output_for_each_class_and_numbers_that_are_an_order(labelled, outputs, tmp_path):
    assert not told(tmp_path / "run", labelled, outputs)
