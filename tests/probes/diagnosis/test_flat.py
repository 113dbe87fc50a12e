"""A loss that sends nothing back while much of it is left: real nets with a clipped error, and made series."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200, 300, 400])


def trained(folder, error):
    """What is said of 300 steps towards targets of 20 and more, and the mean distance from them."""
    torch.manual_seed(0)
    x = torch.randn(512, 6)
    y = 20.0 + 10.0 * torch.rand(512) * (x[:, 0] > 0)
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    with probes.watch(net, optimizer, folder) as probe:
        for step in range(300):
            rows = torch.arange(64) + 64 * (step % 8)
            loss = error(net(x[rows]).squeeze(1) - torch.where(rows % 4 == 0, y[rows], torch.zeros(64)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return probes.diagnose(probes.open_run(folder), rules=["missing-gradients"]).findings


def test_an_error_that_is_clipped_before_it_is_squared_and_a_hubers_loss(tmp_path):
    (finding,) = trained(tmp_path / "cut", lambda off: off.clamp(-1, 1).square().mean())
    assert finding.severity == "warning" and "flat where the outputs are" in finding.message
    huber = trained(tmp_path / "huber", lambda off: nn.functional.smooth_l1_loss(off, torch.zeros_like(off)))
    assert huber == []


def said(gradient, loss, *, outputs=None, names=("train/loss",), extra=None, status="finished", at_step=None):
    """Severities of what is said of a gradient per frame, [T], and a loss over its first value, [T] frames."""
    outputs = gradient if outputs is None else outputs
    layers = {
        "grad_norm": (("b.weight",), FRAMES, np.asarray(gradient)[:, None]),
        "activation_grad_norm": (("a", "b"), FRAMES, np.stack([np.asarray(outputs) * 0.5, outputs], 1)),
    }
    curve = np.interp(STEPS, FRAMES, 3.0 * np.asarray(loss))
    manifest = {
        "model": {
            "modules": [
                {"name": n, "type": "Linear", "activation": None, "output_shape": [8, width]}
                for n, width in (("a", 16), ("b", 4))
            ],
            "parameters": [{"name": "b.weight", "module": "b", "shape": [4, 16], "numel": 64, "trainable": True}],
        },
    }
    series = dict.fromkeys(names, (STEPS, curve)) | (extra or {})
    view = RunView.of_arrays(series, layers, manifest=manifest, status=status, at_step=at_step)
    report = judge(view, [RULES["missing-gradients"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [finding.severity for finding in report.findings]


GONE = np.geomspace(1.0, 1e-5, 10)
STANDS = np.linspace(1.0, 0.9, 10)


@pytest.mark.parametrize("status", ["finished", "running"])
def test_a_gradient_that_goes_while_the_loss_stays(status):
    assert said(GONE, STANDS, status=status) == ["warning"]
    assert said(GONE, np.linspace(1.0, 0.4, 10), status=status) == ["warning"]


def test_not_where_the_gradient_goes_with_the_loss():
    assert said(GONE, GONE) == []  # a cross-entropy
    assert said(np.sqrt(GONE), GONE) == []  # a squared error
    assert said(np.geomspace(1.0, 0.01, 10), np.geomspace(1.0, 0.01, 10) * 0.75 + 0.25) == []  # targets that are shares
    assert said(GONE, np.linspace(1.0, 0.1, 10)) == []


def test_nor_where_each_example_still_asks_for_something_and_the_parameters_are_at_their_best():
    assert said(GONE, STANDS, outputs=np.linspace(1.0, 0.9, 10)) == []


def test_nor_where_the_outputs_get_nothing_and_their_derivatives_do():
    assert said(np.linspace(1.0, 0.5, 10), STANDS, outputs=GONE) == []


def test_nor_with_the_answers_right_or_within_a_hundred_steps():
    right = {"train/accuracy": (STEPS, np.linspace(0.1, 1.0, 400))}
    assert said(GONE, STANDS, extra=right) == []
    assert said(np.geomspace(1.0, 1e-9, 10), STANDS, at_step=99) == []


def test_a_loss_that_need_not_fall_takes_a_gradient_of_zero():
    nothing = np.array([1.0, 0.9, 0.5, 0, 0, 0, 0, 0, 0, 0])
    reward = {"episode/reward": (STEPS, np.full(400, -30.0))}
    assert said(nothing, STANDS, names=("dqn/loss",), extra=reward) == ["warning"]
    assert said(GONE, STANDS, names=("dqn/loss",), extra=reward) == []
    assert said(nothing, np.geomspace(1.0, 1e-3, 10), names=("dqn/loss",), extra=reward) == []


def test_so_does_a_loss_that_may_keep_a_constant():
    assert said(GONE, STANDS, names=("train/nll",)) == []
    assert said(np.where(FRAMES < 20, 1.0, 0.0), STANDS, names=("train/nll",)) == ["warning"]


def test_nor_is_anything_said_of_a_loss_whose_beginning_is_not_known():
    late = {"train/loss": (STEPS[100:], np.ones(300))}
    assert said(np.where(FRAMES < 30, 1.0, 1e-5), STANDS, names=(), extra=late) == []
