"""Mistakes that a falling loss hides, on made series, each beside a healthy twin that looks alike."""

from __future__ import annotations

import numpy as np

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = STEPS[::40]
RNG = np.random.default_rng(0)


def report(slug, series, layers=None, manifest=None, **more):
    found = judge(RunView.of_arrays(series, layers, manifest=manifest, **more), [RULES[slug]])
    assert not [r for r in found.not_judged if "failed" in r.reason], found.not_judged
    return found


def parameters(*shapes):
    return [{"name": f"w{i}", "module": f"m{i}", "shape": s, "trainable": True} for i, s in enumerate(shapes)]


class TestWeightsThatAreGone:
    """Tables decayed to nothing under a bias that learns the mean: the loss falls by four fifths all the same."""

    def run(self, end):
        names = ["w0"]
        sizes = np.geomspace(30.0, end, len(FRAMES))[:, None]
        group = {"lr": 0.01, "weight_decay": 0.1, "parameters": names}
        manifest = {
            "model": {"parameters": parameters([150, 6])},
            "optimizers": [{"class": "Adam", "groups": [group]}],
        }
        layers = {"weight_norm": (names, FRAMES, sizes), "grad_norm": (names, FRAMES, 0.05 * sizes)}
        loss = 3.0 + 14.0 * np.exp(-STEPS / 40) + 0.1 * RNG.standard_normal(len(STEPS))
        return report("weight-decay-too-strong", {"train/loss": (STEPS, loss)}, layers, manifest).findings

    def test_no_fall_of_the_loss_excuses_it(self):
        (finding,) = self.run(0.01)
        assert finding.severity == "warning"

    def test_weights_that_were_made_smaller_are_not_gone(self):
        assert self.run(6.0) == []
