"""Faults of the settings: learning rate, initialisation, architecture, regularisation, length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trainer.faults.base import RUNAWAY, Fault, register, with_options, with_training
from trainer.schedules import SCHEDULES
from trainer.sections import Choice, Recipe


def _option(section: str, fault: str, **options: Any) -> Callable[[Recipe], Recipe]:
    return lambda recipe: with_options(recipe, section, options, fault)


def _learning_rate(fault: str, factor: float) -> Callable[[Recipe], Recipe]:
    def change(recipe: Recipe) -> Recipe:
        return with_options(recipe, "optimizer", {"lr": recipe.optimizer.options["lr"] * factor}, fault)

    return change


def _initialization(fault: str, name: str) -> Callable[[Recipe], Recipe]:
    return _option("model", fault, init=name, head_init=name)


def _too_deep(recipe: Recipe) -> Recipe:
    options = {"norm": "none", "init": "lecun-normal"}
    if "blocks" in recipe.model.options:
        return with_options(recipe, "model", {"blocks": 6, "shortcuts": False, **options}, "deep-plain")
    return with_options(recipe, "model", {"widths": (32,) * 20, "activation": "relu", **options}, "deep-plain")


def _too_small_model(recipe: Recipe) -> Recipe:
    options = recipe.model.options
    if "heads" in options:
        return with_options(recipe, "model", {"width": 2, "heads": 1, "layers": 1}, "too-small-model")
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


def _grows(recipe: Recipe) -> Recipe:
    # From the recipe's rate to a thousand times that at the end, however long the training is.
    gamma = 1000 ** (1 / recipe.training.epochs)
    schedule = Choice("exponential", SCHEDULES["exponential"].options({"gamma": gamma, "stepped": "step"}))
    return replace(recipe, schedule=schedule)


def _warms_up_forever(recipe: Recipe) -> Recipe:
    warmup = 1000.0 * recipe.training.epochs
    return replace(recipe, schedule=Choice("constant", SCHEDULES["constant"].options({"warmup": warmup})))


def _one_batch(recipe: Recipe) -> Recipe:
    # Larger than any task: with drop_last off an epoch is one step on all the examples.
    return with_training(recipe, batch_size=10**6, drop_last=False)


register(
    Fault(
        "learning-rate-too-high",
        "learning rate a hundred times too high",
        RUNAWAY,
        recipe=_learning_rate("learning-rate-too-high", 100),
    ),
    Fault(
        "learning-rate-too-low",
        "learning rate a thousand times too low",
        ("learning-rate-too-low", "slow-convergence", "training-too-short"),
        recipe=_learning_rate("learning-rate-too-low", 1e-3),
    ),
    Fault(
        "zero-initialization",
        "all weights start at zero",
        ("symmetric-initialization", "poor-initialization"),
        recipe=_initialization("zero-initialization", "zeros"),
    ),
    Fault(
        "constant-initialization",
        "all weights start alike",
        ("symmetric-initialization", "poor-initialization"),
        recipe=_initialization("constant-initialization", "constant"),
    ),
    Fault(
        "too-small-initialization",
        "all weights start with a standard deviation of 0.01, whatever the fan-in",
        ("poor-initialization", "vanishing-gradients", "collapsed-activations"),
        recipe=_initialization("too-small-initialization", "small-normal"),
    ),
    Fault(
        "too-large-initialization",
        "all weights start with a standard deviation of 1, whatever the fan-in",
        ("poor-initialization", "unexpected-initial-loss", "exploding-gradients", "saturated-activations"),
        recipe=_initialization("too-large-initialization", "large-normal"),
    ),
    Fault(
        "deep-sigmoid",
        "eight layers of sigmoid units",
        ("vanishing-gradients", "collapsed-activations", "poor-initialization", "saturated-activations"),
        recipe=_option("model", "deep-sigmoid", widths=(64,) * 8, activation="sigmoid", init="xavier-normal"),
    ),
    Fault(
        "deep-tanh",
        "ten layers of tanh units with weights so large that all of them saturate",
        ("saturated-activations", "vanishing-gradients", "poor-initialization", "exploding-gradients"),
        recipe=_option("model", "deep-tanh", widths=(64,) * 10, activation="tanh", init="large-normal"),
    ),
    Fault(
        "deep-plain",
        "dozens of layers with neither shortcuts nor normalisation, weights too small for ReLU",
        ("vanishing-gradients", "poor-initialization", "collapsed-activations", "loss-not-decreasing"),
        recipe=_too_deep,
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
        ("learning-rate-too-low", "training-too-short", "slow-convergence"),
        recipe=_decays_too_fast,
    ),
    Fault(
        "rate-grows",
        "the schedule multiplies the learning rate instead of dividing it: a thousand times higher at the end",
        RUNAWAY,
        recipe=_grows,
    ),
    Fault(
        "warmup-never-ends",
        "a warm-up a thousand times longer than the training",
        ("learning-rate-too-low", "slow-convergence", "training-too-short"),
        recipe=_warms_up_forever,
    ),
    Fault(
        "clipped-too-hard",
        "the gradient norm is clipped to a ten-thousandth",
        ("learning-rate-too-low", "slow-convergence", "training-too-short"),
        recipe=lambda recipe: with_training(recipe, clip_norm=1e-4),
    ),
    Fault(
        "batch-too-small",
        "one example a batch, at the learning rate of the full batch",
        ("noisy-loss", *RUNAWAY),
        recipe=lambda recipe: with_training(recipe, batch_size=1),
    ),
    Fault(
        "batch-too-large",
        "all the training examples in one batch: one step an epoch",
        ("training-too-short", "slow-convergence", "learning-rate-too-low"),
        recipe=_one_batch,
    ),
    Fault(
        "training-too-short",
        "one epoch",
        ("training-too-short", "slow-convergence"),
        recipe=lambda recipe: with_training(recipe, epochs=1),
    ),
)
