"""A net of one output that found one answer for all: real nets on counts that are mostly zero, and made series."""

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
FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200])
WEIGHTS = [("a.weight", "a", (16, 4)), ("b.weight", "b", (1, 16))]


def trained(folder, criterion):
    """Findings of 500 steps on counts that are mostly zero whatever the input, and R^2."""
    torch.manual_seed(1)
    x = torch.randn(1000, 4)
    y = (torch.rand(1000) < 0.4 * torch.sigmoid(8.0 * x[:, 0])) * (3.0 + torch.poisson(torch.ones(1000)))
    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1), nn.Softplus())
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, optimizer, folder) as probe:
        for step in range(500):
            rows = torch.arange(50) + 50 * (step % 20)
            loss = criterion(net(x[rows]).squeeze(1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        explained = float(1.0 - (net(x)[:, 0] - y).square().mean() / y.var())
    return [
        f.message for f in probes.diagnose(probes.open_run(folder), rules=["constant-predictions"]).findings
    ], explained


def test_the_median_of_mostly_zeros_is_told_and_the_rate_of_a_poisson_is_not(tmp_path):
    (message,), explained = trained(tmp_path / "median", lambda out, target: (out - target).abs().mean())
    assert "one answer for all" in message
    assert explained < 0.05
    silent, explained = trained(
        tmp_path / "rate", lambda out, target: nn.functional.poisson_nll_loss(out, target, log_input=False)
    )
    assert silent == []
    assert explained > 0.15


def said(late=0.01, *, end=0.9, start=1.4, status="finished", weights=WEIGHTS, extra=(), until=1.0):
    """Whether it is said of an output that varied by 0.02 at first and by ``late`` since a tenth of the run."""
    rng = np.random.default_rng(0)
    loss = end + (start - end) * np.exp(-STEPS / (20.0 * until)) + 0.05 * end * rng.standard_normal(400)
    varied = np.where(FRAMES < 40, 0.02, late)[:, None]
    layers = {
        "activation_std": (["b"], FRAMES, varied),
        "batch_variation": (["b"], FRAMES, np.ones_like(varied)),
    }
    shapes = {"a": [50, 16], "mean": [50, 1], "b": [50, 1]}
    called = [name for name in ("a", "mean", "b") if any(module == name for _, module, _ in weights)]
    manifest = {
        "model": {
            "modules": [{"name": n, "type": "Linear", "activation": None, "output_shape": shapes[n]} for n in called],
            "parameters": [{"name": n, "module": m, "shape": list(s), "trainable": True} for n, m, s in weights],
        }
    }
    series = {"train/loss": (STEPS, loss)} | dict.fromkeys(extra, (STEPS, loss))
    report = judge(RunView.of_arrays(series, layers, manifest=manifest, status=status), [RULES["constant-predictions"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [finding.severity for finding in report.findings]


def test_outputs_that_never_varied_beyond_the_untrained_net():
    assert said() == ["warning"]
    assert said(0.02) == ["warning"]


@pytest.mark.parametrize(
    "how",
    [
        {"late": 0.2},  # a twentieth of the variance explained
        {"late": 0.04},  # it has learned to tell a little
        {"end": 0.0005, "start": 0.001},  # targets that vary no more than the outputs do
        {"start": 0.95},  # no tenth of the loss is gone: another rule's
        {"until": 30.0},  # it still falls
        {"status": "running"},
        {"extra": ("train/reward",)},  # a critic
        {"weights": [WEIGHTS[0], ("mean.weight", "mean", (1, 16)), WEIGHTS[1]]},  # a second head: a variance
    ],
)
def test_what_may_be_in_order_is_not_said(how):
    assert said(**how) == []
