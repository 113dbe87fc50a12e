"""Weights that something puts back after each step, beside those that move, hardly move, or keep their length."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.signs.pinned import pinned
from probes.diagnosis.view import RunView

X = torch.randn(128, 6, generator=torch.Generator().manual_seed(0))
Y = ((X[:, 0] * X[:, 1]).abs() + X[:, 2].sin()).float()


class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.out = nn.Linear(6, 8), nn.Linear(8, 1)
        self.kind, self.start = kind, 0.02 * self.first.weight.detach().clone()
        if kind == "overwritten":
            self.first.weight.data.copy_(self.start)

    def forward(self, x):
        if self.kind == "overwritten":
            self.first.weight.data.copy_(self.start)
        if self.kind == "normalised":
            self.first.weight.data.div_(self.first.weight.norm())
        return self.out(torch.relu(self.first(x))).squeeze(1)


def train(run_dir, kind, lr=0.005, noisy=False):
    model = Net(kind)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    targets = torch.randn(128, generator=torch.Generator().manual_seed(2)) if noisy else Y
    with probes.watch(model, optimizer, run_dir, every=50) as probe:
        for _ in range(400):
            rows = torch.randint(128, (16,))
            loss = nn.functional.mse_loss(model(X[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    view = RunView.of_run(probes.open_run(run_dir))
    report = probes.diagnose(run_dir)
    return pinned(view), [f for f in report.findings if f.rule == "parameters-not-updated" and f.severity != "info"]


def test_weights_that_forward_overwrites_are_told(tmp_path):
    (weight,), (finding,) = train(tmp_path, "overwritten", noisy=True)
    assert (weight.name, finding.layers) == ("first.weight", ("first.weight",))
    assert weight.step > 0.1 and weight.distance <= 1.0


@pytest.mark.parametrize(("kind", "lr"), [("plain", 0.005), ("plain", 1e-6), ("normalised", 0.005)])
def test_weights_that_move_or_hardly_do_or_keep_their_length_are_let_be(tmp_path, kind, lr):
    assert train(tmp_path, kind, lr)[1] == []
