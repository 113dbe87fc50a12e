"""Rare events of which none is ever said: on trainings, each with twins that are as they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes


def told(folder, *, weight=None, ranked=False, rare=0.95, validations=10):
    """Train on 2000 rows of which a few are 1, told by two features and much noise; what is said of the classes."""
    torch.manual_seed(0)
    x = torch.randn(2000, 6)
    score = x[:, 0] + x[:, 1] + 2.0 * torch.randn(2000)
    y = (score > score.quantile(rare)).float()
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss(pos_weight=None if weight is None else torch.tensor(weight))
    with probes.watch(net, optimizer, folder, loss_fn=criterion, every=10) as probe:
        for step in range(200):
            rows = torch.randint(1500, (50,))
            loss = probe.loss_fn(net(x[rows]).squeeze(1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            if step % (200 // validations) == 19 % (200 // validations) and step > 10:
                with torch.no_grad():
                    out = net(x[1500:]).squeeze(1)
                right = ((out > 0) == (y[1500:] > 0.5)).float().mean()
                ranks = out.argsort().argsort().float()
                probe.log("val", loss=criterion(out, y[1500:]), acc=right)
                if ranked:
                    probe.log("val", auc=ranks[y[1500:] > 0.5].mean() / len(ranks))
    report = probes.diagnose(folder, rules=["class-imbalance"])
    return [(f.severity, f.message) for f in report.findings if f.severity != "info"]


def test_an_accuracy_that_never_moves_is_that_of_always_saying_no(tmp_path):
    ((severity, message),) = told(tmp_path / "run")
    assert severity == "warning"
    assert "always saying no" in message
    run = probes.open_run(tmp_path / "run")
    right = run.series("val/acc").values
    assert np.ptp(right) == 0.0
    midway = probes.diagnose(run, ["class-imbalance"], at_step=195).findings
    assert all(finding.severity == "info" for finding in midway)


@pytest.mark.parametrize(
    "others",
    [
        {"weight": 19.0},  # what is rare counts for more
        {"ranked": True},  # a risk: its measure is the area under the curve
        {"rare": 0.6},  # not rare
        {"validations": 4},  # too few to tell
    ],
)
def test_nothing_is_said_of_what_is_weighted_ranked_frequent_or_hardly_seen(tmp_path, others):
    assert not told(tmp_path / "run", **others)
