"""Clipping that leaves nothing of the gradient beside the weight decay."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([1, 10, 50, 100, 200, 300, 400])
SHRINKS = np.array([8.0, 7.9, 7.5, 6.0, 4.0, 2.0, 1.0])


def run(clip=1e-4, decay=0.002, kind="Adam", gradients=None, end=1.36, status="finished"):
    norms = np.full(7, clip) if gradients is None else gradients
    manifest = {
        "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
        "data": {"classes": 4},
        "model": {"parameters": [{"name": "w", "module": "", "shape": [4, 16], "numel": 64, "trainable": True}]},
        "optimizers": [{"class": kind, "groups": [{"lr": 1e-3, "weight_decay": decay, "parameters": ["w"]}]}],
    }
    layers = {
        "grad_norm": (("w",), FRAMES, norms[:, None]),
        "weight_norm": (("w",), FRAMES, SHRINKS[:, None]),
        "update_norm": (("w",), FRAMES, 0.01 * SHRINKS[:, None]),
    }
    view = RunView.of_arrays(
        {"train/loss": (STEPS, np.linspace(1.386, end, 400))}, layers, manifest=manifest, status=status
    )
    report = judge(view, [RULES["learning-rate-too-low"]])
    assert not [reason for reason in report.not_judged if "failed" in reason.reason]
    return [finding for finding in report.findings if finding.severity != "info"]


@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_a_gradient_clipped_to_a_hundredth_of_the_decay(kind):
    found = run(kind=kind)
    assert len(found) == 1 and "clipped at a norm of 1.0e-04" in found[0].message


def test_not_where_the_gradient_is_the_larger_or_the_decay_apart():
    assert not run(clip=1.0)
    assert not run(decay=1e-6)
    assert not run(kind="AdamW")


def test_nor_where_it_is_not_clipped_or_something_was_learned_or_while_it_runs():
    assert not run(gradients=1e-4 * np.array([1.0, 0.8, 0.5, 0.9, 0.3, 0.2, 0.1]))
    assert not run(end=0.7)
    assert not run(status="running")
