"""Weights that the first steps make grow until the net forgets its inputs: a made log, and real transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.overgrown import Overgrown, overgrown
from probes.diagnosis.view import RunView

LETTERS, LENGTH = 24, 12


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.place = nn.Embedding(LETTERS, 32), nn.Embedding(LENGTH, 32)
        self.block = nn.TransformerEncoderLayer(32, 2, 64, 0.0, batch_first=True)
        self.out = nn.Linear(32, LETTERS)

    def forward(self, x):
        return self.out(self.block(self.token(x) + self.place(torch.arange(LENGTH))))


def recorded(run_dir, rate, steps):
    """Learn to tell each letter's successor in an alphabet whose letters are not equally frequent."""
    torch.manual_seed(0)
    net = Reader()
    opt = torch.optim.Adam(net.parameters(), lr=rate)
    frequent = 1.0 / torch.arange(1, LETTERS + 1)
    with probes.watch(net, opt, run_dir=run_dir, every=10) as probe:
        for _ in range(steps):
            x = torch.multinomial(frequent, 16 * LENGTH, replacement=True).view(16, LENGTH)
            loss = nn.functional.cross_entropy(net(x).flatten(0, 1), ((x + 1) % LETTERS).flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    return run_dir


STEPS = np.arange(1, 401)
STUCK = np.r_[4.2, 3.4, 3.2, np.full(397, 3.0)] + 0.05 * np.random.default_rng(0).standard_normal(400)


def made(growth=3.0, left=0.002, loss=STUCK):
    """A log as a language model leaves it: a table of letters that hardly grows, and two layers that do."""
    shapes = {"token": (60, 32), "hidden": (64, 32), "out": (60, 64)}
    kinds = {"token": "Embedding", "hidden": "Linear", "out": "Linear"}
    parameters = [{"name": f"{m}.weight", "module": m, "shape": shape} for m, shape in shapes.items()]
    modules = [{"name": m, "type": kinds[m], "output_shape": [16, 12, 60]} for m in shapes]
    optimizer = {"class": "Adam", "groups": [{"lr": 0.05, "parameters": [p["name"] for p in parameters]}]}
    manifest = {"model": {"parameters": parameters, "modules": modules}, "optimizers": [optimizer]}
    frames = np.array([1, 2, 5, 10, 50, 100, 200])
    sizes = np.interp(frames, [1, 10], [1.0, growth])
    norms = np.stack([50 + 0 * sizes, 6 * sizes, 5 * sizes], axis=1)
    names = [p["name"] for p in parameters]
    layers = {
        "weight_norm": (names, frames, norms),
        "update_norm": (names, frames, np.full((7, 3), 0.5)),
        "batch_variation": (["out"], frames, 0.7 * np.where((frames > 2) & (frames < 100), left, 1.0)),
    }
    return RunView.of_arrays({"train/loss": (STEPS, loss)}, layers, manifest=manifest)


def warned(view):
    return [finding.severity for finding in judge(view, [RULES["learning-rate-too-high"]]).findings]


def test_weights_that_double_and_outputs_that_become_alike():
    assert overgrown(made()) == Overgrown(10, pytest.approx(3.0), pytest.approx(0.002))
    assert warned(made()) == ["warning"]


def test_what_grows_less_or_keeps_its_differences_or_learns_is_none():
    assert warned(made(growth=1.5)) == []
    assert warned(made(left=0.3)) == []
    assert warned(made(loss=3.0 * np.exp(-STEPS / 50))) == []


def test_weights_that_grow_as_much_in_a_net_that_learns_are_none(tmp_path):
    run = recorded(tmp_path / "run", 0.1, 110)
    assert overgrown(RunView.of_run(probes.open_run(run))) is None


@pytest.mark.parametrize("rate", [1e-3, 3e-3])
def test_usual_rates_do_not(rate, tmp_path):
    run = recorded(tmp_path / "run", rate, 110)
    assert overgrown(RunView.of_run(probes.open_run(run))) is None
    assert probes.diagnose(run, ["learning-rate-too-high"]).findings == []
