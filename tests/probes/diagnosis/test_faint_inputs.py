"""Inputs that hardly vary: real nets on features whose range an outlier set, and made frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView


def trained(folder, *, clipped):
    """Findings on features scaled by minimum and maximum, one value in each a thousand times too large."""
    torch.manual_seed(0)
    x = torch.rand(640, 4)
    y = (x[:, 0] - x[:, 1] + x[:, 2] * x[:, 3] - 0.25) / 0.5
    x[torch.arange(4), torch.arange(4)] = 1e5
    x = (x.clamp(max=1.0) if clipped else x) / (1.0 if clipped else 1e5)
    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, optimizer, folder) as probe:
        for _ in range(200):
            rows = torch.randperm(640)[:32]
            loss = (net(x[rows])[:, 0] - y[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return [f for f in probes.diagnose(probes.open_run(folder)).findings if f.rule == "unnormalized-inputs"]


def test_a_range_that_an_outlier_set_is_told_and_one_of_clipped_values_is_not(tmp_path):
    (finding,) = trained(tmp_path / "outlier", clipped=False)
    assert (finding.severity, finding.layers) == ("warning", ("0",))
    assert "hardly vary" in finding.message
    assert trained(tmp_path / "clipped", clipped=True) == []


FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200])
STEPS = np.arange(1, 401)
STUCK = 2.3 + 0.02 * np.random.default_rng(0).standard_normal(400)
LEARNED = np.linspace(2.3, 1.2, 400) + 0.02 * np.random.default_rng(0).standard_normal(400)


def seen(loss=STUCK, *, deviation=0.002, variation=0.01, highest=0.004, status="finished", steps=STEPS):
    """Findings of the rule on inputs [0] that vary by ``deviation`` and as much of what "fc" makes of them."""
    kept = FRAMES[steps[-1] >= FRAMES]
    layers = {
        kind: (["0"], kept, np.broadcast_to(values, FRAMES.shape)[: len(kept)])
        for kind, values in (("input_mean", 0.001), ("input_std", deviation), ("input_max", highest))
    }
    layers["batch_variation"] = (["fc"], kept, np.broadcast_to(variation, FRAMES.shape)[: len(kept)])
    manifest = {"model": {"parameters": [{"name": "fc.weight", "module": "fc", "shape": [8, 1], "trainable": True}]}}
    series = {"train/loss": (steps, loss[: len(steps)])}
    return judge(
        RunView.of_arrays(series, layers, manifest=manifest, status=status), [RULES["unnormalized-inputs"]]
    ).findings


def test_an_outlier_in_a_frame_is_named():
    (finding,) = seen(highest=np.array([0.004, 0.004, 1.0, *[0.004] * 5]))
    assert finding.severity == "warning"
    assert "as large as 1" in finding.suggestions[0]
    (finding,) = seen()
    assert not any("as large as" in text for text in finding.suggestions)


def test_a_net_that_learns_from_small_inputs_has_information_only():
    assert [f.severity for f in seen(LEARNED)] == ["info"]


def test_a_run_that_goes_on_may_be_on_a_plateau():
    assert [f.severity for f in seen(status="running")] == ["info"]


@pytest.mark.parametrize("other", [{"deviation": 0.3}, {"variation": 0.7}, {"steps": STEPS[:4]}])
def test_usual_inputs_and_layers_that_tell_them_apart_are_let_be(other):
    assert not any("hardly" in f.message for f in seen(**other))


def test_a_layer_that_has_come_to_tell_them_apart_is_let_be():
    assert seen(variation=np.array([0.01] * 4 + [0.5] * 4)) == []
