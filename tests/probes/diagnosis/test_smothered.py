"""Adam after a gradient that no frame shows: real runs, and made logs of what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.smothered import smothered
from probes.diagnosis.view import RunView


def recorded(run_dir, times, optimizer=torch.optim.Adam, steps=160):
    """A regression with noise, whose gradient is ``times`` as large at step 7, between two frames."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = optimizer(net.parameters(), lr=0.003)
    with probes.watch(net, opt, run_dir=run_dir, every=10) as probe:
        for step in range(1, steps + 1):
            x = torch.randn(32, 4)
            loss = (net(x) - x.sum(1, keepdim=True) - torch.randn(32, 1)).square().mean()
            opt.zero_grad()
            loss.backward()
            if step == 7:
                net[0].weight.grad *= times
            opt.step()
            probe.log("train", loss=loss)
    return RunView.of_run(probes.open_run(run_dir))


def told(view):
    return [f for f in judge(view, [RULES["exploding-gradients"]]).findings if f.severity != "info"]


def test_one_gradient_that_was_millions_of_times_too_large(tmp_path):
    (finding,) = told(recorded(tmp_path / "run", 1e7))
    assert finding.layers == ("0.weight",) and "mean of squares" in finding.message


@pytest.mark.parametrize(("times", "optimizer"), [(1.0, torch.optim.Adam), (1e7, torch.optim.Adagrad)])
def test_none_or_an_optimizer_that_is_meant_to_remember(tmp_path, times, optimizer):
    assert told(recorded(tmp_path / "run", times, optimizer)) == []


STEPS = np.r_[1, 2, 5, 10, np.arange(20, 401, 20)]


def made(gradient=1.0, step=1e-6, lr=0.01, kind="Adam", eps=1e-8):
    """(gradient, step) of one weight of 100 numbers, [T] or single: a due step is 10 * lr."""
    parameters = [{"name": "w", "module": "0", "shape": [10, 10], "numel": 100, "trainable": True}]
    optimizers = [{"class": kind, "groups": [{"lr": lr, "eps": eps, "parameters": ["w"]}]}]
    kept = np.where(STEPS < 20, 10 * lr, np.broadcast_to(step, STEPS.shape))
    layers = {
        "grad_norm": (["w"], STEPS, np.broadcast_to(gradient, STEPS.shape)[:, None]),
        "update_norm": (["w"], STEPS, kept[:, None]),
    }
    manifest = {"model": {"parameters": parameters}, "optimizers": optimizers}
    return RunView.of_arrays({}, layers, manifest=manifest)


def test_what_explains_small_steps_otherwise():
    found = smothered(made())
    assert found is not None and found.weights == ("w",) and found.since == 20
    assert found.share == pytest.approx(1e-5)
    assert smothered(made(step=1e-3)) is None  # a hundredth of what is due: signs that change
    assert smothered(made(gradient=np.where(STEPS < 20, 1.0, 1e-4))) is None  # it has faded, and v remembers
    assert smothered(made(gradient=1e-4, eps=10.0, step=1e-7)) is None  # eps is far above the gradient
    assert smothered(made(lr=1e-7, step=1e-6)) is None  # the rate is as small
    assert smothered(made(kind="SGD")) is None
    assert smothered(made(step=np.where(STEPS == 400, 0.05, 1e-6))) is None  # it was forgotten
