"""Parameters that rest while others are trained, in real trainings: each mistake beside its mended twin."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes

PICTURES = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
LABELS = PICTURES[:, :4].argmax(1)


def net(hidden=6):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, hidden), nn.Tanh(), nn.Linear(hidden, 4))


def run(run_dir, model, optimizers, steps=240, before=lambda step: None, step_all=True, labels=LABELS):
    """Train; ``before(step)`` runs ahead of each step; only the first optimizer steps unless ``step_all``."""
    with probes.watch(model, optimizers, run_dir, every=5) as probe:
        for step in range(steps):
            before(step)
            loss = nn.functional.cross_entropy(model(PICTURES), labels)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers if step_all else optimizers[:1]:
                optimizer.step()
            probe.log("train", loss=loss)
    return probes.diagnose(run_dir)


def loud(report, slug=None):
    return [f.rule for f in report.findings if f.severity != "info" and slug in (None, f.rule)]


@pytest.mark.parametrize("mended", [False, True])
def test_of_two_optimizers_one_never_steps(tmp_path, mended):
    model = net()
    optimizers = [torch.optim.SGD(model[:3].parameters(), lr=0.1), torch.optim.SGD(model[3:].parameters(), lr=0.1)]
    report = run(tmp_path, model, optimizers, step_all=mended)
    assert loud(report, "missing-gradients") == []  # they have one, which nobody uses
    found = [f for f in report.findings if f.rule == "parameters-not-updated"]
    assert bool(found) is not mended
    if found:
        assert (found[0].severity, found[0].layers) == ("warning", ("4.weight", "4.bias"))


@pytest.mark.parametrize("mended", [False, True])
def test_layers_thawed_after_the_optimizer_was_built(tmp_path, mended):
    model = net(hidden=2)
    body = list(model[:3].parameters())
    for parameter in body:
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(model[4].parameters(), lr=1e-3)

    def thaw(step):
        if step == 60:
            for parameter in body:
                parameter.requires_grad_(True)
            if mended:
                optimizer.add_param_group({"params": body, "lr": 1e-2})

    report = run(tmp_path, model, [optimizer], before=thaw)
    assert loud(report, "parameters-not-updated") == ([] if mended else ["parameters-not-updated"])
    assert loud(report, "missing-gradients") == []
    early = probes.diagnose(tmp_path, at_step=65)  # the manifest knows of the thawing already, the frames do not
    assert loud(early, "missing-gradients") == []


@pytest.mark.parametrize(("freeze_at", "severity"), [(10, "warning"), (150, None), (None, None)])
def test_layers_frozen_at_the_beginning_and_never_thawed(tmp_path, freeze_at, severity):
    model = net(hidden=2)

    def freeze(step):
        if step == freeze_at:
            model[:3].requires_grad_(False)

    report = run(tmp_path, model, [torch.optim.SGD(model.parameters(), lr=0.05)], before=freeze)
    found = [f for f in report.findings if f.rule == "parameters-not-updated"]
    assert [f.severity for f in found] == ([severity] if severity else [])
    assert not found or found[0].first_step == 10


class Blocks(nn.Module):
    """Blocks that pass on what they leave over: what the last one passes on is used by nothing."""

    def __init__(self, cut=None):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.back = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.ahead = nn.ModuleList(nn.Linear(16, 4) for _ in range(3))
        self.cut = cut

    def forward(self, rest):
        scores = torch.zeros(len(rest), 4)
        for place, (body, back, ahead) in enumerate(zip(self.body, self.back, self.ahead, strict=True)):
            hidden = torch.relu(body(rest))
            rest, scores = rest - back(hidden), scores + ahead(hidden.detach() if place == self.cut else hidden)
        return scores


def test_a_loose_end_does_no_harm_and_is_information(tmp_path):
    model = Blocks()
    report = run(tmp_path, model, [torch.optim.Adam(model.parameters(), lr=1e-2)])
    found = [f for f in report.findings if f.rule == "missing-gradients"]
    assert [(f.severity, f.layers) for f in found] == [("info", ("back.2.weight", "back.2.bias"))]
    for step in (20, 60, 120):
        assert loud(probes.diagnose(tmp_path, at_step=step), "missing-gradients") == []


def test_a_graph_cut_after_the_first_layer_is_told(tmp_path):
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = net(hidden=16)

        def forward(self, x):
            return self.layers[1:](self.layers[0](x).detach())

    model = Cut()
    report = run(tmp_path, model, [torch.optim.Adam(model.parameters(), lr=1e-2)])
    assert loud(report, "missing-gradients") == ["missing-gradients"]


def test_a_loose_end_in_a_run_that_came_to_little_is_told(tmp_path):
    model = Blocks()
    noise = torch.randint(0, 4, (64,), generator=torch.Generator().manual_seed(3))
    report = run(tmp_path, model, [torch.optim.SGD(model.parameters(), lr=1e-4)], labels=noise)
    assert loud(report, "missing-gradients") == ["missing-gradients"]
