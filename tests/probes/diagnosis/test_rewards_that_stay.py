"""Agents whose rewards end as they began, and agents that learn: at once, late, or against themselves."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView


def told(rewards, name="agent/reward", status="finished", bias=0.2, **more):
    """A layer of 16 inputs, whose biases are drawn within a quarter."""
    steps = np.arange(1, len(rewards) + 1)
    shapes = {"w": [8, 16], "b": [8]}
    parameters = [{"name": n, "module": "0", "shape": shape, "trainable": True} for n, shape in shapes.items()]
    ends = {f"weight_{end}": (["b"], [0, 10], [[sign * bias], [0.3]]) for end, sign in (("min", -1), ("max", 1))}
    manifest = {"model": {"parameters": parameters}}
    view = RunView.of_arrays({name: (steps, rewards), **more}, ends, status=status, manifest=manifest)
    return [f.severity for f in judge(view, [RULES["loss-not-decreasing"]]).findings]


def games(chance, seed=0):
    """Single games, won (1) with ``chance`` [T] or lost (-1)."""
    return np.where(np.random.default_rng(seed).random(len(chance)) < chance, 1.0, -1.0)


def test_games_that_are_won_no_more_often():
    found = [told(games(np.full(900, 0.2), seed)) for seed in range(20)]
    assert found.count(["warning"]) >= 17  # chance alone looks like a rise now and then
    never = games(np.full(900, 0.2))
    assert told(never) == ["warning"]
    assert told(never, status="running") == []
    assert told(never, bias=0.7) == []  # it was trained before: it may be as good as it gets


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "chance",
    [
        np.linspace(0.2, 0.6, 900),
        np.r_[np.full(700, 0.2), np.full(200, 0.6)],  # late
        np.r_[np.full(45, 0.2), np.full(855, 0.9)],  # at once
        np.r_[np.full(300, 0.2), np.full(300, 0.7), np.full(300, 0.3)],  # and lost again
    ],
)
def test_agents_that_learned_something(chance, seed):
    assert told(games(chance, seed)) == []


def test_what_says_nothing():
    assert told(games(np.full(900, 0.5))) == []  # against itself
    assert told(np.ones(900)) == []  # all there is
    assert told(games(np.full(79, 0.2))) == []  # too few
    assert told(games(np.full(900, 0.2)), name="agent/reward_std") == []
    other = np.linspace(0.0, 5.0, 900) + np.random.default_rng(0).standard_normal(900)
    assert told(games(np.full(900, 0.2)), **{"test/return": (np.arange(1, 901), other)}) == []


def test_a_rise_that_could_not_have_been_seen():
    few = np.random.default_rng(1).standard_normal(88) - 3.0
    assert told(np.r_[few, np.full(132, few.mean())]) == ["warning"]
    assert told(np.r_[few[:44], few[:44] + 0.2]) == []
