"""Faults of the settings: learning rate, initialisation, architecture, regularisation, length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trainer.faults.base import Fault, register, with_options, with_training
from trainer.recipe import Choice, Recipe
from trainer.schedules import SCHEDULES


def _option(section: str, fault: str, **options: Any) -> Callable[[Recipe], Recipe]:
    return lambda recipe: with_options(recipe, section, options, fault)


def _learning_rate(fault: str, factor: float) -> Callable[[Recipe], Recipe]:
    def change(recipe: Recipe) -> Recipe:
        return with_options(recipe, "optimizer", {"lr": recipe.optimizer.options["lr"] * factor}, fault)

    return change


def _initialization(fault: str, name: str) -> Callable[[Recipe], Recipe]:
    return _option("model", fault, init=name, head_init=name)


def _too_small_model(recipe: Recipe) -> Recipe:
    options = recipe.model.options
    if "channels" in options:
        ones = (1,) * len(options["channels"])
        return with_options(recipe, "model", {"channels": ones, "hidden": (2,)}, "too-small-model")
    if "width" in options:
        return with_options(recipe, "model", {"width": 2}, "too-small-model")
    return with_options(recipe, "model", {"widths": (2,)}, "too-small-model")


def _too_much_weight_decay(recipe: Recipe) -> Recipe:
    # Per step the weights shrink by lr * decay (times 1 / (1 - momentum)): to nothing within a few hundred steps.
    decay = 0.02 / recipe.optimizer.options["lr"]
    return with_options(recipe, "optimizer", {"weight_decay": decay}, "too-much-weight-decay")


def _decays_too_fast(recipe: Recipe) -> Recipe:
    schedule = Choice("exponential", SCHEDULES["exponential"].options({"gamma": 0.1}))
    return replace(recipe, schedule=schedule)


register(
    Fault(
        "learning-rate-too-high",
        "learning rate a hundred times too high",
        ("learning-rate-too-high", "loss-diverging", "exploding-gradients", "nonfinite-values", "dead-units"),
        recipe=_learning_rate("learning-rate-too-high", 100),
    ),
    Fault(
        "learning-rate-too-low",
        "learning rate a thousand times too low",
        ("learning-rate-too-low",),
        recipe=_learning_rate("learning-rate-too-low", 1e-3),
    ),
    Fault(
        "zero-initialization",
        "all weights start at zero",
        ("symmetric-initialization",),
        recipe=_initialization("zero-initialization", "zeros"),
    ),
    Fault(
        "constant-initialization",
        "all weights start alike",
        ("symmetric-initialization",),
        recipe=_initialization("constant-initialization", "constant"),
    ),
    Fault(
        "too-small-initialization",
        "all weights start with a standard deviation of 0.01, whatever the fan-in",
        ("poor-initialization", "vanishing-gradients"),
        recipe=_initialization("too-small-initialization", "small-normal"),
    ),
    Fault(
        "too-large-initialization",
        "all weights start with a standard deviation of 1, whatever the fan-in",
        ("poor-initialization", "unexpected-initial-loss", "exploding-gradients"),
        recipe=_initialization("too-large-initialization", "large-normal"),
    ),
    Fault(
        "deep-sigmoid",
        "eight layers of sigmoid units",
        ("vanishing-gradients",),
        recipe=_option("model", "deep-sigmoid", widths=(64,) * 8, activation="sigmoid", init="xavier-normal"),
    ),
    Fault(
        "deep-plain",
        "six blocks a stage with neither shortcuts nor normalisation, weights too small for ReLU",
        ("vanishing-gradients", "loss-not-decreasing"),
        recipe=_option("model", "deep-plain", blocks=6, shortcuts=False, norm="none", init="lecun-normal"),
    ),
    Fault(
        "too-small-model",
        "two units where dozens are needed",
        ("underfitting",),
        recipe=_too_small_model,
    ),
    Fault(
        "too-much-weight-decay",
        "weight decay that shrinks the weights faster than they learn",
        ("weight-decay-too-strong",),
        recipe=_too_much_weight_decay,
    ),
    Fault(
        "too-much-dropout",
        "95% of the units dropped",
        ("underfitting", "noisy-loss"),
        recipe=_option("model", "too-much-dropout", dropout=0.95),
    ),
    Fault(
        "decays-too-fast",
        "the learning rate falls to a tenth every epoch",
        ("learning-rate-too-low", "training-too-short"),
        recipe=_decays_too_fast,
    ),
    Fault(
        "batch-too-small",
        "one example a batch, at the learning rate of the full batch",
        ("noisy-loss", "oscillating-loss", "learning-rate-too-high"),
        recipe=lambda recipe: with_training(recipe, batch_size=1),
    ),
    Fault(
        "training-too-short",
        "one epoch",
        ("training-too-short",),
        recipe=lambda recipe: with_training(recipe, epochs=1),
    ),
)
