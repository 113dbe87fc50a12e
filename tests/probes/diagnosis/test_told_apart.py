"""What a fitted net tells of its examples, against R^2 counted from targets and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from probes.diagnosis.registry import RULES
from probes.diagnosis.signs import told_apart
from probes.diagnosis.view import RunView

FRAMES = [1, 2, 5, 10, 20, 50, 100, 200]
RULE = RULES["loss-not-decreasing"]


def fitted(
    explained: float,
    *,
    mean: float = 0.0,
    status: str = "finished",
    other: float = 1.0,
    kind: str = "MSELoss",
    length: int = 300,
) -> tuple[RunView, float]:
    """A view of a regression of ``length`` steps that has come to rest, and its R^2.

    The targets are a line of the inputs and noise, around ``mean``; the net answers the line. ``other`` scales the
    spread of the last module against that of what the loss compares.
    """
    rng = np.random.default_rng(4)
    x, noise = rng.standard_normal((2, 50_000))
    answers = mean + np.sqrt(explained) * x
    targets = answers + np.sqrt(1.0 - explained) * noise
    error = answers - targets
    left = float({"MSELoss": np.mean(error**2), "L1Loss": np.mean(np.abs(error))}[kind])
    steps = np.arange(1, length + 1)
    loss = left + (2.0 + mean**2) * np.exp(-steps / 15.0) + 0.02 * left * rng.standard_normal(length)
    deviation, many = float(answers.std()), len(FRAMES)
    series = {
        "train/loss": (steps, loss),
        "data/output_std": (FRAMES, np.full(many, deviation)),
        "data/target_std": (FRAMES, targets[: 32 * many].reshape(many, 32).std(1)),
    }
    layers = {
        "batch_variation": (["head"], FRAMES, np.ones((many, 1))),
        "activation_std": (["head"], FRAMES, np.full((many, 1), other * deviation)),
    }
    head = {"name": "head", "type": "Linear", "activation": None, "output_shape": [32, 1], "parameters": []}
    manifest: dict[str, Any] = {"model": {"modules": [head]}, "loss": {"class": kind, "reduction": "mean"}}
    view = RunView.of_arrays(series, layers, manifest=manifest, status=status)
    return view, 1.0 - float(np.mean(error**2)) / float(targets.var())


def messages(view: RunView) -> list[str]:
    return [finding.message for finding in RULE.judge(view, **RULE.thresholds)]


@pytest.mark.parametrize("mean", [0.0, 3.0])
@pytest.mark.parametrize("explained", [0.01, 0.03])
def test_the_share_is_that_of_the_variance_explained(explained: float, mean: float) -> None:
    view, exact = fitted(explained, mean=mean)
    found = told_apart.little_told_apart(view)
    assert found is not None
    assert found.share == pytest.approx(exact, rel=0.1)


def test_outputs_that_are_alike_are_told_and_a_hard_task_is_not() -> None:
    (message,) = messages(fitted(0.02)[0])
    assert "whatever the input" in message
    assert messages(fitted(0.1)[0]) == []
    assert messages(fitted(0.9)[0]) == []


def test_two_frames_are_enough_however_far_the_next_is() -> None:
    assert messages(fitted(0.02, length=498)[0])
    assert messages(fitted(0.1, length=498)[0]) == []


def test_an_absolute_error_leaves_at_least_its_square() -> None:
    assert messages(fitted(0.01, kind="L1Loss")[0])
    assert messages(fitted(0.1, kind="L1Loss")[0]) == []


def test_nothing_is_said_while_the_run_goes_on_or_where_the_outputs_come_from_elsewhere() -> None:
    assert messages(fitted(0.02, status="running")[0]) == []
    assert messages(fitted(0.02, other=0.5)[0]) == []
