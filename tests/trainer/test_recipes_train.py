"""Every recipe trains for real; the quick ones to what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import probes
from trainer import loop
from trainer.assembly import assemble
from trainer.loop import train
from trainer.losses import PROBLEMS
from trainer.recipe import AUTO, load_recipe, recipe_names
from trainer.sections import Recipe
from trainer.tasks import TASKS

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
SLOW = ("diabetes-mlp", "digits-alexnet", "digits-imbalanced", "digits-mislabelled", "digits-plain-twin")
# Deep, with batch normalisation: after a few steps the running statistics are not yet those of any batch.
BATCH_STATISTICS = ("digits-resnet", "digits-plain-twin", "digits-plain-deep")
FEW = {
    **dict.fromkeys(("digits", "digits-reconstruction", "digits-generation"), ("task.validation_fraction=0.6",)),
    **dict.fromkeys(("wine", "breast-cancer", "diabetes", "spirals", "circles", "blobs"), ()),
    **dict.fromkeys(("digit-scenes", "overlaps"), ("task.examples=600", "task.validation_examples=100")),
    "recall": ("task.length=4", "task.examples=800", "task.validation_examples=100"),
    "photo-patches": ("task.train_per_class=60", "task.validation_per_class=20"),
    "python-text": ("task.characters=20000", "task.validation_characters=2000"),
}
THREADS = ["training.threads=1"]


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_recipe_keeps_its_promise(name, tmp_path):
    recipe = load_recipe(name, THREADS)
    outcome = train(recipe, tmp_path / "run", watched=False)
    assert outcome.score >= recipe.expect.at_least
    assert outcome.epochs == recipe.training.epochs


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains(name, tmp_path):
    """A few steps, through the whole loop, watched: the loss starts where a guess has it, and falls."""
    recipe = load_recipe(name)
    recipe = load_recipe(name, [*THREADS, f"training.epochs={3 if name in SLOW else 1}", *FEW[recipe.task.name]])
    outcome = train(recipe, tmp_path / "run", every=4)
    run = probes.open_run(tmp_path / "run")
    assert run.status == "finished" and run.last_step == outcome.steps >= 6
    norms = run.layer_series("grad_norm")
    assert len(norms.steps) >= 2 and np.isfinite(norms.values).all()  # a gradient for every parameter
    before, after = run.series(f"val/{outcome.criterion}").values[[0, -1]]
    if name in GAMES:
        assert after < before
        return
    losses = run.series("train/loss").values
    assert losses[-4:].mean() < losses[0]
    if guess := _guess(recipe):
        assert losses[0] == pytest.approx(guess, rel=0.08)
    if name not in BATCH_STATISTICS:
        assert after < before


def _guess(recipe: Recipe) -> float | None:
    """The loss of equal scores for all classes, where there are classes."""
    task = TASKS[recipe.task.name].make(**recipe.task.options)
    classes = max(2, task.outputs)
    guesses = {"cross-entropy": math.log(classes), "binary-cross-entropy": math.log(2), "hinge": classes - 1}
    return guesses.get(PROBLEMS[task.problem].loss if recipe.loss.name == AUTO else recipe.loss.name)


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
