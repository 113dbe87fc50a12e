"""Weight decay that makes weights forget, on made series: beside normalisation the gradient balances any decay."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.forgotten import shortest_memory
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 400])
RNG = np.random.default_rng(0)


def view(decay=0.1, rate=0.1, momentum=0.9, type_="SGD", left=0.2, end=1.3, right=0.6, status="finished"):
    """A classifier of ten classes whose weights shrink to ``left`` of their norm, under a gradient far above the
    decay's pull, while its loss falls from 2.3 to ``end`` and its accuracy rises to ``right``.
    """
    names = ["a.weight", "b.weight"]
    parameters = [{"name": n, "module": n[0], "shape": [64, 64], "trainable": True} for n in names]
    groups = [{"lr": rate, "momentum": momentum, "weight_decay": decay, "parameters": names}]
    manifest = {
        "model": {"parameters": parameters, "modules": [{"name": n[0], "type": "Linear"} for n in names]},
        "optimizers": [{"class": type_, "groups": groups}],
        "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
        "data": {"classes": 10, "label_counts": [30] * 10},
    }
    norms = np.tile(np.interp(FRAMES, [0, 100], [4.0, 4.0 * left])[:, None], (1, 2))
    layers = {
        "weight_norm": (names, FRAMES, norms),
        "grad_norm": (names, FRAMES[1:], np.full((9, 2), 20.0)),
        "update_norm": (names, FRAMES[1:], np.full((9, 2), 1.0)),
    }
    loss = end + (2.3 - end) * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)
    series = {
        "train/loss": (STEPS, loss),
        "val/accuracy": (STEPS[::20], right * (1 - np.exp(-STEPS[::20] / 40))),
        "optimizer/lr": (STEPS, np.full(400, rate)),
    }
    return RunView.of_arrays(series, layers, manifest=manifest, status=status)


def said(**options):
    report = judge(view(**options), [RULES["weight-decay-too-strong"]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return report.findings


def test_weights_that_forget_within_ten_steps():
    (finding,) = said()
    assert finding.severity == "warning"
    assert "forget what they learned within 10 steps" in finding.message
    assert "0.0005" in finding.suggestions[0]  # (1 - 0.9) / (0.1 * 0.0005) = 2,000 steps


@pytest.mark.parametrize(
    "healthy",
    [
        {"decay": 5e-4},  # as usual
        {"momentum": 0.0},  # a hundred steps
        {"left": 0.9},  # they keep their size
        {"end": 0.3},  # it learns
        {"right": 0.95},
        {"status": "running"},  # it may get better with a lower rate
        {"type_": "Adam"},  # divided by the size of the gradient: not known
    ],
)
def test_a_usual_decay_and_a_net_that_learns(healthy):
    assert said(**healthy) == []


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 10.0),
        ({"momentum": 0.0}, 100.0),
        ({"type_": "AdamW", "momentum": 0.0, "rate": 1e-3}, 1e4),
    ],
)
def test_the_memory_is_that_of_an_exponential_average(options, steps):
    memory = shortest_memory(view(**options))
    assert memory is not None
    assert memory.steps == pytest.approx(steps)


def test_weights_under_decay_alone_really_shrink_to_one_over_e():
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.ones(3, 3))
    optimizer = torch.optim.SGD([weight], lr=0.01, momentum=0.5, weight_decay=0.5)
    for _ in range(100):  # (1 - 0.5) / (0.01 * 0.5)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert float(weight[0, 0].detach()) == pytest.approx(np.exp(-1), rel=0.05)
