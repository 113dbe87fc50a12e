"""Losses and scores against their formulas in NumPy; each problem paired as the textbooks do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.losses import LOSSES, PROBLEMS
from trainer.recipe import load_recipe

GENERATOR = np.random.default_rng(0)
SCORES = GENERATOR.normal(size=(40, 5))
CLASSES = GENERATOR.integers(0, 5, 40)
BITS = GENERATOR.integers(0, 2, (40, 5)).astype(float)
REALS = GENERATOR.normal(size=(40, 5))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax_cross_entropy():
    p = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
    return -np.log(p[np.arange(40), CLASSES]).mean()


def sigmoid_cross_entropy(weight=1.0):
    p = sigmoid(SCORES)
    return -(weight * BITS * np.log(p) + (1 - BITS) * np.log(1 - p)).mean()


@pytest.mark.parametrize(
    ("name", "options", "targets", "expected"),
    [
        ("cross-entropy", {}, CLASSES, softmax_cross_entropy()),
        ("binary-cross-entropy", {}, BITS, sigmoid_cross_entropy()),
        ("binary-cross-entropy", {"positive_weight": 3.0}, BITS, sigmoid_cross_entropy(3.0)),
        ("squared-error", {}, REALS, ((SCORES - REALS) ** 2).mean()),
        ("absolute-error", {}, REALS, np.abs(SCORES - REALS).mean()),
        (
            "huber",
            {"delta": 0.7},
            REALS,
            np.where(
                np.abs(SCORES - REALS) < 0.7,
                0.5 * (SCORES - REALS) ** 2,
                0.7 * (np.abs(SCORES - REALS) - 0.35),
            ).mean(),
        ),
    ],
)
def test_loss_is_its_formula(name, options, targets, expected):
    loss = LOSSES[name].make(**options).double()
    assert loss(torch.from_numpy(SCORES), torch.from_numpy(targets)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("problem", "targets", "expected"),
    [
        ("multi-class", CLASSES, (SCORES.argmax(1) == CLASSES).mean()),
        ("multi-label", BITS, ((SCORES > 0) == (BITS == 1)).mean()),
        ("binary", BITS, ((SCORES > 0) == (BITS == 1)).mean()),
        ("regression", REALS, 1 - ((SCORES - REALS) ** 2).mean()),
        ("unit-regression", BITS, 1 - np.abs(sigmoid(SCORES) - BITS).mean()),
    ],
)
def test_score_is_its_formula(problem, targets, expected):
    score = PROBLEMS[problem].score(torch.from_numpy(SCORES), torch.from_numpy(targets))
    assert score.item() == pytest.approx(expected, rel=1e-5)


def test_always_guessing_the_mean_explains_nothing():
    targets = assemble(load_recipe("diabetes-mlp")).task.train.targets
    assert PROBLEMS["regression"].score(torch.zeros_like(targets), targets).item() == pytest.approx(0, abs=1e-5)


def test_a_loss_of_another_problem_is_refused():
    with pytest.raises(RecipeError, match=r"loss.name = 'squared-error' does not fit .*allowed: cross-entropy"):
        assemble(load_recipe("digits-mlp", ["loss.name=squared-error"]))
    with pytest.raises(RecipeError, match="does not fit"):
        assemble(load_recipe("diabetes-mlp", ["loss.name=cross-entropy"]))


def test_every_problem_names_losses_that_exist():
    for problem in PROBLEMS.values():
        assert set(problem.losses) <= set(LOSSES)
