"""Values that begin at zero follow nothing before the first reward; a graph that is cut follows nothing ever."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView


def severities(steps, *, status="running", loss=None, gradient=0.0):
    frames = np.array([step for step in (1, 2, 5, 10, 20, 50, 100) if step <= steps])
    names = ["value.weight", "value.bias"]
    parameters = [
        {"name": "value.weight", "module": "value", "shape": [1, 6], "trainable": True, "numel": 6},
        {"name": "value.bias", "module": "value", "shape": [1], "trainable": True, "numel": 1},
    ]
    seen = np.zeros((len(frames), 2))
    seen[:, 1] = gradient
    at = np.arange(1, steps + 1)
    view = RunView.of_arrays(
        {} if loss is None else {"train/loss": (at, np.full(steps, loss))},
        {"grad_norm": (names, frames, seen)},
        manifest={
            "model": {"parameters": parameters, "modules": [{"name": "value", "type": "Linear"}]},
            "optimizers": [{"class": "SGD", "groups": [{"lr": 0.1, "parameters": names}]}],
        },
        status=status,
        at_step=steps,
    )
    return [finding.severity for finding in judge(view, [RULES["missing-gradients"]]).findings]


def test_an_agent_that_has_met_no_reward_yet_is_only_mentioned():
    assert severities(40) == ["info"]
    assert severities(40, loss=0.0) == ["info"]


@pytest.mark.parametrize("cut", [{"loss": 2.3}, {"status": "finished"}, {"gradient": 0.1}])
def test_a_loss_that_sends_nothing_back_is_told_at_once(cut):
    assert severities(40, **cut) == ["critical"]


def test_after_fifty_steps_it_is_told():
    assert severities(60) == ["critical"]
