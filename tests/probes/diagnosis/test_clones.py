"""Modules that are copies of one another for the whole of a training, beside those that merely begin so."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.signs.clones import clones
from probes.diagnosis.view import RunView

X = 4 * torch.rand(200, 1, generator=torch.Generator().manual_seed(0)) - 2
Y = torch.sin(5 * X)


class Mixture(nn.Module):
    def __init__(self, copied: bool, gate_at_zero: bool):
        super().__init__()
        torch.manual_seed(1)
        one = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1))
        self.experts = nn.ModuleList(copy.deepcopy(one) for _ in range(4))
        self.gate = nn.Linear(1, 4)
        if gate_at_zero:
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)
        if not copied:
            for expert in self.experts[1:]:
                expert[0].reset_parameters()
                expert[2].reset_parameters()

    def forward(self, x):
        said = torch.cat([expert(x) for expert in self.experts], 1)
        return (self.gate(x).softmax(1) * said).sum(1, keepdim=True)


def train(model, run_dir, log=True):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with probes.watch(model, optimizer, run_dir, every=20) as probe:
        for _ in range(150):
            loss = nn.functional.mse_loss(model(X), Y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if log:
                probe.log("train", loss=loss)
    return [f for f in probes.diagnose(run_dir).findings if f.rule == "symmetric-initialization"]


@pytest.mark.parametrize("log", [True, False])
def test_copies_that_never_part_are_told_and_without_a_loss_are_information(tmp_path, log):
    (finding,) = train(Mixture(copied=True, gate_at_zero=True), tmp_path, log)
    assert finding.severity == ("warning" if log else "info")
    assert set(finding.layers) == {f"experts.{i}.{j}.weight" for i in range(4) for j in (0, 2)}


@pytest.mark.parametrize(("copied", "gate_at_zero"), [(False, True), (True, False)])
def test_experts_of_their_own_and_copies_that_a_gate_tells_apart_are_healthy(tmp_path, copied, gate_at_zero):
    assert train(Mixture(copied, gate_at_zero), tmp_path) == []
    assert clones(RunView.of_run(probes.open_run(tmp_path))) == ()
