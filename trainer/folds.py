"""k-fold cross-validation: every example is in the validation split of exactly one fold (Stone 1974; CS231n,
"Image classification", on cross-validation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.errors import RecipeError
from trainer.tasks import Examples, Task
from trainer.tasks.base import preprocess
from trainer.tasks.variants import with_variants

CLASSES = ("multi-class", "binary")
# Examples that share pixels would be in both splits.
OVERLAPPING = {
    "photo-patches": "patches of one photograph overlap, and its own split keeps them apart",
    "digit-scenes": "one digit is in several scenes, and its own split keeps the digits apart",
}


def make_fold(make: Callable[..., Task], options: Mapping[str, Any], folds: int, number: int, repeat: int) -> Task:
    """The task that ``make`` makes of ``options``, with the split of a fold.

    What a task does with its training examples alone (preprocessing, rare classes, wrong labels) is done with those
    of the fold.
    """
    later = {"preprocessing": (), "imbalance": 1.0, "mislabelled": 0.0}
    task = make(**{**options, **{name: nothing for name, nothing in later.items() if name in options}})
    task = fold_of(task, folds, number, repeat)
    wanted = {**later, **options}
    seed = options.get("split_seed", options.get("data_seed", 0))
    task = with_variants(task, wanted["imbalance"], wanted["mislabelled"], seed)
    if task.vocabulary is not None:
        return task  # symbols stay as they are
    return preprocess(task, wanted["preprocessing"])


def fold_of(task: Task, folds: int, number: int, repeat: int) -> Task:
    """The task with another split: that of fold ``number`` (from 1) of ``folds``.

    The assignment of examples to folds depends on ``folds`` and ``repeat`` alone, so that recipes can be compared
    on the same folds. The targets of a regression are standardised by the training examples of the fold.

    Args:
        task: with all its examples, not preprocessed.

    Raises:
        RecipeError: the examples cannot be split so.
    """
    if task.name in OVERLAPPING:
        raise RecipeError(f"fold.of = {folds}: task '{task.name}' has no folds: {OVERLAPPING[task.name]}")
    if folds < 2:
        raise RecipeError(f"fold.of = {folds}; allowed: 0 (the task's own split), or folds from 2")
    if not 1 <= number <= folds:
        raise RecipeError(f"fold.number = {number}, allowed: 1 to {folds} (fold.of)")
    inputs = torch.cat([task.train.inputs, task.validation.inputs])
    targets = torch.cat([task.train.targets, task.validation.targets])
    smallest = _smallest_group(task, targets)
    if smallest < folds:
        what = "the smallest class has" if _stratified(task) else "there are"
        raise RecipeError(f"fold.of = {folds}, but {what} only {smallest} examples; allowed: 2 to {smallest}")
    held_out = assign(targets if _stratified(task) else None, len(targets), folds, repeat) == number - 1
    train, validation = (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]
    if task.problem == "regression":
        known = targets[train]
        targets = (targets - known.mean()) / known.std(correction=0)
    return replace(
        task,
        train=Examples(inputs[train], targets[train]),
        validation=Examples(inputs[validation], targets[validation]),
    )


def assign(classes: Tensor | None, count: int, folds: int, repeat: int) -> Tensor:
    """The fold (from 0) of each of ``count`` examples, int64 [count].

    Folds differ in size by at most one; with ``classes`` [count], so do the examples of each class in them.
    """
    generator = np.random.default_rng([folds, repeat])
    rows = generator.permutation(count)
    if classes is not None:  # one class after the other, dealt out in turn like cards
        rows = rows[np.argsort(classes.reshape(-1).numpy()[rows], kind="stable")]
    result = torch.empty(count, dtype=torch.int64)
    result[torch.from_numpy(rows)] = torch.arange(count) % folds
    return result


def _stratified(task: Task) -> bool:
    return task.problem in CLASSES and not task.per_position


def _smallest_group(task: Task, targets: Tensor) -> int:
    return int(targets.unique(return_counts=True)[1].min()) if _stratified(task) else len(targets)
