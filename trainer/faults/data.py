"""Faults of the data: scale, labels, split, balance, missing numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from trainer.batches import Batches
from trainer.errors import RecipeError
from trainer.faults.base import Fault, register, with_options, with_training
from trainer.parts import Parts
from trainer.sections import Recipe
from trainer.tasks import Examples, Task


def _rows(split: Examples, rows: Tensor) -> Examples:
    return Examples(split.inputs[rows], split.targets[rows])


def _repeated(rows: Tensor, length: int) -> Tensor:
    """The rows over and over, ``length`` in all: an epoch has as many steps as with all the examples."""
    return rows.repeat(-(-length // len(rows)))[:length]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _numbers(task: Task, fault: str) -> None:
    if task.vocabulary is not None:
        raise RecipeError(f"fault '{fault}' needs inputs that are numbers; those of '{task.name}' are symbols")


def _classes(task: Task, fault: str) -> None:
    if task.problem != "multi-class" or task.per_position:
        raise RecipeError(f"fault '{fault}' needs one class an example; '{task.name}' has none")


def _scaled(task: Task, seed: int) -> Task:
    _numbers(task, "inputs-in-255")
    return replace(
        task,
        train=Examples(task.train.inputs * 64 + 128, task.train.targets),
        validation=Examples(task.validation.inputs * 64 + 128, task.validation.targets),
    )


def _shuffled(task: Task, seed: int) -> Task:
    if (task.train.targets == task.train.targets[0]).all():
        raise RecipeError(f"fault 'shuffled-labels' needs targets that differ; those of '{task.name}' are all alike")
    order = torch.randperm(len(task.train), generator=_generator(seed))
    return replace(task, train=Examples(task.train.inputs, task.train.targets[order]))


def _leaked(task: Task, seed: int) -> Task:
    order = torch.randperm(len(task.train), generator=_generator(seed))
    return replace(task, validation=_rows(task.train, order[: len(task.validation)]))


def _imbalanced(task: Task, seed: int) -> Task:
    _classes(task, "class-imbalance")
    lucky = torch.rand(len(task.train), generator=_generator(seed)) < 0.03
    rows = ((task.train.targets == 0) | lucky).nonzero()[:, 0]
    return replace(task, train=_rows(task.train, _repeated(rows, len(task.train))))


def _partly_mislabelled(task: Task, seed: int) -> Task:
    _classes(task, "mislabelled-part")
    generator = _generator(seed)
    wrong = torch.rand(len(task.train), generator=generator) < 0.6
    others = task.train.targets + torch.randint(1, task.outputs, task.train.targets.shape, generator=generator)
    targets = torch.where(wrong, others % task.outputs, task.train.targets)
    return replace(task, train=Examples(task.train.inputs, targets))


def _differently_prepared(task: Task, seed: int) -> Task:
    _numbers(task, "validation-prepared-differently")
    inputs = task.validation.inputs * 64 + 128
    return replace(task, validation=Examples(inputs, task.validation.targets))


def _few(task: Task, seed: int) -> Task:
    order = torch.randperm(len(task.train), generator=_generator(seed))
    return replace(task, train=_rows(task.train, _repeated(order[:60], len(task.train))))


def _with_nan(task: Task, seed: int) -> Task:
    _numbers(task, "nan-in-data")
    inputs = task.train.inputs.clone()
    inputs[(len(inputs) // 2, *[0] * (inputs.ndim - 1))] = float("nan")
    return replace(task, train=Examples(inputs, task.train.targets))


def _blank(task: Task, seed: int) -> Task:
    blank = [Examples(torch.zeros_like(s.inputs), s.targets) for s in (task.train, task.validation)]
    return replace(task, train=blank[0], validation=blank[1])


def _sorted(task: Task, seed: int) -> Task:
    _classes(task, "no-shuffling")
    return replace(task, train=_rows(task.train, task.train.targets.argsort(stable=True)))


def _raw(recipe: Recipe) -> Recipe:
    if recipe.task.options.get("preprocessing") == ():
        raise RecipeError("fault 'no-normalization' needs task.preprocessing; here it is empty")
    return with_options(recipe, "task", {"preprocessing": ()}, "no-normalization")


class SlowBatches(Batches):
    """Batches that take ``seconds`` each to come, as from a slow disk or a loader without workers."""

    seconds = 0.03

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in super().epoch(epoch, start):
            time.sleep(self.seconds)
            yield batch


def _slow(parts: Parts) -> Parts:
    settings = parts.settings
    batches = SlowBatches(
        parts.task.train,
        settings.batch_size,
        seed=settings.seed,
        shuffle=settings.shuffle,
        drop_last=settings.drop_last,
        augmentations=settings.augment,
        processes=parts.batches.processes,
    )
    return replace(parts, batches=batches)


register(
    Fault(
        "no-normalization",
        "the inputs go in as they come, without their mean subtracted or their scale set",
        ("unnormalized-inputs",),
        recipe=_raw,
    ),
    Fault(
        "inputs-in-255",
        "inputs around 128 with a standard deviation of 64, as bytes of an image",
        ("unnormalized-inputs",),
        task=_scaled,
    ),
    Fault(
        "shuffled-labels",
        "the training targets belong to other inputs",
        ("no-generalization", "overfitting", "loss-not-decreasing"),
        task=_shuffled,
    ),
    Fault(
        "leaked-validation",
        "the validation examples are training examples",
        ("validation-anomaly",),
        task=_leaked,
        harm="flattery",
    ),
    Fault(
        "class-imbalance",
        "only 3% of the training examples of every class but the first are kept, epochs as long as before",
        ("class-imbalance",),
        task=_imbalanced,
    ),
    Fault(
        "tiny-data",
        "sixty training examples, over and over",
        ("overfitting", "no-generalization"),
        recipe=lambda recipe: with_training(recipe, augment=()),
        task=_few,
    ),
    Fault(
        "nan-in-data",
        "one number of one training example is not a number",
        ("nonfinite-values",),
        task=_with_nan,
    ),
    Fault(
        "blank-inputs",
        "all inputs are zero",
        ("unnormalized-inputs", "constant-predictions", "collapsed-activations", "loss-not-decreasing"),
        task=_blank,
    ),
    Fault(
        "no-shuffling",
        "the training examples come sorted by class, in the same order every epoch",
        ("oscillating-loss", "loss-spikes", "noisy-loss", "no-generalization"),
        recipe=lambda recipe: with_training(recipe, shuffle=False),
        task=_sorted,
    ),
    Fault(
        "mislabelled-part",
        "six training labels in ten are wrong, drawn at random from the other classes",
        ("overfitting", "no-generalization", "validation-anomaly"),
        task=_partly_mislabelled,
    ),
    Fault(
        "validation-prepared-differently",
        "the validation inputs are scaled as bytes of an image, the training inputs are standardised",
        ("no-generalization", "unnormalized-inputs", "overfitting", "validation-anomaly"),
        task=_differently_prepared,
    ),
    Fault(
        "slow-data",
        "every batch takes thirty milliseconds to come: the training waits for its data",
        ("input-bottleneck",),
        parts=_slow,
        harm="always",
    ),
)
