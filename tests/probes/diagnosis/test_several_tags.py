"""Softmax where several tags hold at once: on trainings, each with the twin that is as it should be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes


def trained(folder, last, tags):
    """Train on 600 examples of five tags; ``tags`` maps scores [600, 5] to the targets."""
    torch.manual_seed(0)
    inputs = torch.randn(600, 8)
    targets = tags(inputs @ torch.randn(8, 5))
    net = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 5), last)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, optimizer, folder, loss_fn=nn.BCELoss(), every=10) as probe:
        for step in range(60):
            rows = torch.arange(40) + 40 * (step % 15)
            loss = probe.loss_fn(net(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    report = probes.diagnose(folder, rules=["loss-output-mismatch"])
    return [finding.message for finding in report.findings if finding.severity != "info"]


def several(scores):
    return (scores > 0).float()


def single(scores):
    return nn.functional.one_hot(scores.argmax(1), 5).float()


def test_a_softmax_shares_out_one_where_two_tags_and_more_hold(tmp_path):
    (message,) = trained(tmp_path / "run", nn.Softmax(dim=1), several)
    assert "sum to one over 5 outputs" in message


@pytest.mark.parametrize(("last", "tags"), [(nn.Sigmoid(), several), (nn.Softmax(dim=1), single)])
def test_nothing_is_said_of_a_sigmoid_nor_of_tags_that_exclude_each_other(tmp_path, last, tags):
    assert not trained(tmp_path / "run", last, tags)
