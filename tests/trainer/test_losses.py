"""Losses and scores against their formulas in NumPy; each problem paired as the textbooks do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.losses import LOSSES, PROBLEMS, balanced_weights
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


def hinge(margin):
    costs = [
        sum(max(0.0, row[j] - row[right] + margin) for j in range(5) if j != right)
        for row, right in zip(SCORES, CLASSES, strict=True)
    ]
    return np.mean(costs)


def class_weighted(weights):
    """The weighted mean over examples, each weighing what its class weighs."""
    p = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
    costs = -np.log(p[np.arange(40), CLASSES])
    return (weights[CLASSES] * costs).sum() / weights[CLASSES].sum()


BALANCE = 40 / (5 * np.bincount(CLASSES, minlength=5))
WEIGHTS = (1.0, 2.0, 0.5, 4.0, 1.0)


def make(name, targets, outputs=5, **options):
    return LOSSES[name].make(torch.as_tensor(targets), outputs, **options)


@pytest.mark.parametrize(
    ("name", "options", "targets", "expected"),
    [
        ("cross-entropy", {"balanced": True}, CLASSES, class_weighted(BALANCE)),
        ("cross-entropy", {"class_weights": WEIGHTS}, CLASSES, class_weighted(np.array(WEIGHTS))),
        ("hinge", {}, CLASSES, hinge(1.0)),
        ("hinge", {"margin": 0.3}, CLASSES, hinge(0.3)),
        ("brier", {}, BITS, ((sigmoid(SCORES) - BITS) ** 2).mean()),
        (
            "binary-cross-entropy",
            {"balanced": True},
            BITS,
            sigmoid_cross_entropy((1 - BITS).sum(0) / BITS.sum(0)),
        ),
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
    loss = make(name, targets, **options).double()
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


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_loss_of_a_problem_takes_its_scores_and_targets(problem):
    """Raw scores of any size go in, a finite number comes out, and going downhill lowers it."""
    targets = {"multi-class": CLASSES, "regression": REALS, "unit-regression": GENERATOR.random((40, 5))}.get(
        problem, BITS
    )
    targets = torch.from_numpy(targets)
    targets = targets if problem == "multi-class" else targets.float()
    for name in PROBLEMS[problem].losses:
        loss = make(name, targets)
        scores = (30 * torch.from_numpy(SCORES)).float().requires_grad_()
        before = loss(scores, targets)
        before.backward()
        assert before.ndim == 0 and torch.isfinite(before) and torch.isfinite(scores.grad).all()
        assert loss(scores - 0.01 * scores.grad, targets) < before, name


@pytest.mark.parametrize("name", ["hinge", "brier"])
def test_losses_of_our_own_can_be_summed(name):
    """As those of PyTorch can: the fault that sums the loss counts on it."""
    targets = torch.from_numpy(CLASSES if name == "hinge" else BITS)
    loss = make(name, targets)
    mean = loss(torch.from_numpy(SCORES), targets)
    loss.reduction = "sum"
    count = 40 if name == "hinge" else 200
    torch.testing.assert_close(loss(torch.from_numpy(SCORES), targets), count * mean)


def test_hinge_takes_a_class_a_position():
    scores, classes = torch.randn(6, 4, 9), torch.randint(0, 4, (6, 9))
    flat = make("hinge", classes)(scores.transpose(1, 2).reshape(54, 4), classes.reshape(54))
    torch.testing.assert_close(make("hinge", classes)(scores, classes), flat)


def test_balanced_classes_count_alike_and_an_absent_class_as_one_example():
    targets = torch.tensor([0] * 90 + [1] * 9 + [2])
    weights = balanced_weights(targets, 3)
    torch.testing.assert_close(weights * torch.tensor([90, 9, 1]), torch.full((3,), 100 / 3))
    assert balanced_weights(torch.zeros(8, dtype=torch.int64), 2).tolist() == [0.5, 4.0]


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ("digits-mlp", {"balanced": "true", "class_weights": "[1, 2]"}, "exclude each other"),
        ("digits-mlp", {"class_weights": "[1, 2]"}, "found 2 numbers, this task has 10 classes"),
        ("breast-cancer-mlp", {"balanced": "true", "positive_weight": "2"}, "exclude each other"),
    ],
)
def test_weights_that_cannot_be_meant(recipe, options, words):
    name = "cross-entropy" if recipe == "digits-mlp" else "binary-cross-entropy"
    overrides = [f"loss.name={name}", *(f"loss.{key}={value}" for key, value in options.items())]
    with pytest.raises(RecipeError, match=words):
        assemble(load_recipe(recipe, overrides))


def test_weights_come_from_the_training_examples():
    parts = assemble(load_recipe("digits-mlp", ["loss.name=cross-entropy", "loss.balanced=true", "task.imbalance=10"]))
    counts = parts.task.train.targets.bincount()
    torch.testing.assert_close(parts.loss_fn.weight, (counts.sum() / (10 * counts)).float())
    assert parts.loss_fn.weight[9] / parts.loss_fn.weight[0] == pytest.approx(10, rel=0.1)


def test_every_problem_names_losses_that_exist():
    for problem in PROBLEMS.values():
        assert set(problem.losses) <= set(LOSSES)
