"""Recurrent weights beyond any scheme in use, against the spectral radius itself, and what becomes of their nets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.multiplied import multiplied
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 400])
NAMES = ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "head.weight"]


def view(radius=8.0, end=1.4, units=32, frames=FRAMES, trainable=True, status="finished", validated=None, bias=0.1):
    """A recurrent classifier of five classes whose loss falls from 1.6 to ``end``; or, where the mean squared error of
    validation is given, a regression to targets of variance 1, with biases of at most ``bias``.
    """
    shapes = [[units, 8], [units, units], [5, units]]
    parameters = [
        {"name": n, "module": n.split(".")[0], "shape": s, "trainable": trainable}
        for n, s in zip(NAMES, shapes, strict=True)
    ]
    modules = [{"name": "rnn", "type": "RNN", "output_shape": [32, 20, units]}]
    modules.append({"name": "head", "type": "Linear", "output_shape": [32, 5]})
    manifest = {
        "model": {"parameters": parameters, "modules": modules},
        "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
        "data": {"classes": 5, "label_counts": [30] * 5},
    }
    stds = np.tile([1 / np.sqrt(8), radius / np.sqrt(units), 0.1], (len(frames), 1))
    late = FRAMES[1:]
    layers = {
        "weight_std": (NAMES, frames, stds),
        "activation_std": (["rnn", "head"], late, np.tile([0.9, 0.06], (len(late), 1))),
    }
    loss = end + (1.6 - end) * np.exp(-STEPS / 60) + 0.01 * np.random.default_rng(0).standard_normal(400)
    series = {"train/loss": (STEPS, loss)}
    if validated is not None:
        series |= {"data/target_std": (STEPS, np.ones(400)), "val/loss": (STEPS[19::20], np.full(20, validated))}
        parameters.append({"name": "rnn.bias_hh_l0", "module": "rnn", "shape": [units], "trainable": True})
        manifest |= {"loss": {"class": "MSELoss", "reduction": "mean"}, "data": {}}
        for kind, sign in (("weight_min", -1.0), ("weight_max", 1.0)):
            layers[kind] = (["rnn.bias_hh_l0"], frames, np.full((len(frames), 1), sign * bias))
    return RunView.of_arrays(series, layers, manifest=manifest, status=status)


def said(**options):
    report = judge(view(**options), [RULES["poor-initialization"]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return report.findings


def test_a_radius_beyond_any_scheme_in_a_net_that_learns_little():
    (finding,) = said()
    assert finding.severity == "warning"
    assert finding.layers == ("rnn.weight_hh_l0",)
    assert "spectral radius of about 8" in finding.message


@pytest.mark.parametrize(
    "healthy",
    [
        {"radius": 1.0},  # orthogonal
        {"radius": 1.5},  # beyond He
        {"end": 0.1},  # it learns all the same
        {"trainable": False},  # a reservoir
        {"frames": FRAMES[1:]},  # the beginning was not seen
    ],
)
def test_usual_weights_and_nets_that_learn(healthy):
    assert said(**healthy) == []


@pytest.mark.parametrize(
    ("seen", "said_of_it"),
    [
        ({"validated": 0.3}, ["warning"]),  # the examples are fitted, not the rule
        ({"validated": 0.05}, []),
        ({"validated": 0.3, "radius": 1.0}, []),
        ({"validated": 0.3, "bias": 2.0}, []),  # trained before
        ({"validated": 0.3, "status": "running"}, []),
    ],
)
def test_a_regression_is_held_to_the_variance_of_its_targets(seen, said_of_it):
    assert [finding.severity for finding in said(end=0.05, **seen)] == said_of_it


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_the_radius_is_that_of_the_matrix(scale):
    torch.manual_seed(0)
    weight = scale * torch.randn(200, 200) / np.sqrt(200)
    true = float(torch.linalg.eigvals(weight).abs().max())
    told = multiplied(view(radius=float(weight.std()) * np.sqrt(200), units=200))
    assert [weight.radius for weight in told] == ([pytest.approx(true, rel=0.1)] if scale > 3 else [])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("init", [None, nn.init.orthogonal_, nn.init.xavier_uniform_, nn.init.kaiming_normal_])
def test_no_scheme_in_use_comes_near_the_limit(kind, init):
    torch.manual_seed(0)
    weight = kind(16, 64).weight_hh_l0.detach()
    if init is not None:
        init(weight)
    assert multiplied(view(radius=float(weight.std()) * 8.0, units=64)) == ()
