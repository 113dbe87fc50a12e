"""Every recipe trains for real; the quick ones to what they promise."""

from __future__ import annotations

import math

import pytest
import torch

from trainer import loop
from trainer.assembly import assemble
from trainer.loop import train
from trainer.recipe import AUTO, load_recipe, recipe_names
from trainer.schedules import set_learning_rates

# These take a second or two each; the others are trained to their end by the corpus.
QUICK = (
    "wine-mlp",
    "breast-cancer-mlp",
    "diabetes-mlp",
    "blobs-softmax",
    "circles-mlp",
    "digits-softmax",
    "digits-mlp",
    "spirals-svm",
    "wine-selu",
    "digits-imbalanced",
    "overlaps-cnn",
)
GAMES = ("digits-gan",)  # see test_adversarial.py
THREADS = ["training.threads=1"]


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_recipe_keeps_its_promise(name, tmp_path):
    recipe = load_recipe(name, THREADS)
    outcome = train(recipe, tmp_path / "run", watched=False)
    assert outcome.score >= recipe.expect.at_least
    assert outcome.epochs == recipe.training.epochs


@pytest.mark.parametrize("name", [name for name in recipe_names() if name not in GAMES])
def test_every_recipe_starts_at_chance_and_learns_a_batch(name):
    """A few steps on one batch: the loss starts where a guess has it, and falls."""
    recipe = load_recipe(name, THREADS)
    parts = assemble(recipe)
    inputs, targets = next(iter(parts.batches))
    classes = max(2, parts.task.outputs)
    guesses = {"cross-entropy": math.log(classes), "binary-cross-entropy": math.log(2), "hinge": classes - 1}
    guess = guesses.get(parts.problem.loss if recipe.loss.name == AUTO else recipe.loss.name)
    losses = []
    for _ in range(12):
        set_learning_rates(parts.optimizer, 1.0)
        loss = parts.loss_fn(parts.model(inputs), targets)
        parts.optimizer.zero_grad()
        loss.backward()
        parts.optimizer.step()
        losses.append(loss.item())
    if guess is not None:
        assert losses[0] == pytest.approx(guess, rel=0.08)
    assert min(losses[1:]) < losses[0]
    assert all(parameter.grad is not None for parameter in parts.model.parameters())


def test_every_recipe_promises_something():
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.expect.at_least is not None and recipe.expect.note and recipe.title, name


def test_validation_scores_are_means_over_examples():
    """The score of a regression, over parts of different size, equals the one of the whole."""
    parts = assemble(load_recipe("diabetes-mlp"))
    loss, score = loop.validate(parts)
    with torch.no_grad():
        parts.model.eval()
        outputs = parts.model(parts.task.validation.inputs)
    targets = parts.task.validation.targets
    assert score == pytest.approx(1 - ((outputs - targets) ** 2).double().mean().item(), rel=1e-5)
    assert loss == pytest.approx(((outputs - targets) ** 2).double().mean().item(), rel=1e-5)
