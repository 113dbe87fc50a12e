"""Trainings in which no step reaches the weights, or not yet some of them: real ones, each beside a healthy twin."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(64, 8, generator=GENERATOR)
CLASSES = INPUTS[:, :3].argmax(1)


def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))


def loud(run_dir, **when):
    return {f.rule: f.severity for f in probes.diagnose(run_dir, **when).findings if f.severity != "info"}


@pytest.mark.parametrize("steps_by", ["another model", "the model", "hand"])
def test_the_optimizer_of_another_model(tmp_path, steps_by):
    """Nothing was given to watch but the model; batches differ, so that the loss is not just the same number."""
    other, model = net(), net()
    optimizer = torch.optim.SGD((model if steps_by == "the model" else other).parameters(), lr=0.1)
    with probes.watch(model, run_dir=tmp_path) as probe:
        for _ in range(240):
            chosen = torch.randperm(64, generator=GENERATOR)[:16]
            loss = nn.functional.cross_entropy(model(INPUTS[chosen]), CLASSES[chosen])
            model.zero_grad()
            loss.backward()
            if steps_by == "hand":
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter -= 0.1 * parameter.grad
            else:
                optimizer.step()
            probe.log("train", loss=loss)
    expected = {"parameters-not-updated": "critical"} if steps_by == "another model" else {}
    assert loud(tmp_path) == expected


@pytest.mark.parametrize("mended", [False, True])
def test_a_loss_that_does_not_depend_on_the_model(tmp_path, mended):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path) as probe:
        for _ in range(60):
            optimizer.zero_grad()
            scores = model(INPUTS)
            if mended:
                loss = nn.functional.cross_entropy(scores, CLASSES)
            else:
                loss = (scores.argmax(1).float() - CLASSES.float()).square().mean().requires_grad_()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    assert loud(tmp_path) == ({} if mended else {"missing-gradients": "critical"})
    assert ("missing-gradients" in loud(tmp_path, at_step=5)) is not mended


@pytest.mark.parametrize("ever", [False, True])
def test_a_head_whose_loss_has_the_weight_zero_at_first(tmp_path, ever):
    """Healthy while the run goes on: its turn may come. It is told of a run that is over."""
    torch.manual_seed(2)
    body, head, side = nn.Sequential(nn.Linear(8, 16), nn.Tanh()), nn.Linear(16, 3), nn.Linear(16, 8)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.side = body, head, side

        def forward(self, x):
            h = self.body(x)
            return self.head(h), self.side(h)

    model = Both()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with probes.watch(model, optimizer, tmp_path, every=2) as probe:
        for step in range(150):
            optimizer.zero_grad()
            scores, again = model(INPUTS)
            weight = 1.0 if ever and step >= 40 else 0.0
            loss = (again - INPUTS).square().mean() + weight * nn.functional.cross_entropy(scores, CLASSES)
            loss.backward()
            optimizer.step()
            probe.log("made", again=(again - INPUTS).square().mean())
    assert "missing-gradients" not in loud(tmp_path, at_step=35)
    assert ("missing-gradients" in loud(tmp_path)) is not ever
