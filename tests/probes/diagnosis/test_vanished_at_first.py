"""Gradients that vanish at first and come back late: eight LSTM layers, one on the other. On made series."""

from __future__ import annotations

import numpy as np

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200, 400])
NAMES = [f"layer{i}.weight" for i in range(8)]


def run(end=1.4, decades=3.2, until=20, plateau=45, status="finished", level=2.3, data=None):
    """A loss that leaves ``level`` after ``plateau`` steps, and gradients that fall through depth up to ``until``.

    It begins at 2.3, and comes to the level in its first steps.
    """
    loss = level - (level - end) * (1 - np.exp(-np.maximum(STEPS - plateau, 0) / 60))
    loss += (2.3 - level) * np.exp(-STEPS / 4.0)
    loss += 0.02 * np.random.default_rng(0).standard_normal(400)
    falls = np.where(until >= FRAMES, decades, 0.5)[:, None]
    gradient = 0.1 * 10.0 ** (falls * (np.linspace(0, 1.4, 8)[None] - 1.4))
    manifest = {
        "model": {"parameters": [{"name": n, "module": n[:-7], "shape": [32, 32], "trainable": True} for n in NAMES]},
        "optimizers": [{"class": "torch.optim.Adam", "groups": [{"lr": 0.002, "parameters": NAMES}]}],
        **({"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": data} if data is not None else {}),
    }
    layers = {
        "grad_norm": (NAMES, FRAMES, gradient),
        "update_ratio": (NAMES, FRAMES, np.full((9, 8), 0.01)),
    }
    view = RunView.of_arrays({"train/loss": (STEPS, loss)}, layers, manifest=manifest, status=status)
    report = judge(view, [RULES["vanishing-gradients"]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [(finding.severity, finding.message) for finding in report.findings]


def test_a_run_that_lost_its_first_steps_and_ends_with_little_learned():
    ((severity, message),) = run()
    assert severity == "warning"
    assert "to step 20 at least" in message


def test_what_was_learned_in_spite_of_it_or_may_be_yet():
    assert run(end=0.5) == []
    assert run(status="running") == []


def test_gradients_that_came_through_or_a_loss_that_fell_meanwhile():
    assert run(decades=1.5) == []
    assert run(until=5) == []
    assert run(plateau=0) == []


def test_nothing_learned_at_all_is_laid_to_them_only_where_they_lasted():
    ((severity, message),) = run(end=2.3, until=100, plateau=400)
    assert severity == "warning"
    assert "to step 100 at least" in message
    assert run(end=2.3, until=50, plateau=400) == [], "most of the run something else kept it from learning"


def test_the_shares_of_uneven_classes_are_learned_without_a_gradient_through_depth():
    counts = [600] + [100] * 9
    shares = np.array(counts) / sum(counts)
    entropy = float(-(shares * np.log(shares)).sum())
    data = {"target_shape": [32], "classes": 10, "label_counts": counts}
    ((_, message),) = run(end=1.4, level=entropy, data=data)
    assert "what the shares alone cost" in message
    assert run(end=1.4, level=entropy) == [], "a loss that fell meanwhile, for all that is known"
    assert run(end=1.4, level=entropy - 0.3, data=data) == [], "more than the shares was learned"
    assert run(end=0.5, level=entropy, data=data) == []
