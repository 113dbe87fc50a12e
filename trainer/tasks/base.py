"""What a data set is to the rest of the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainer.registry import Registry
from trainer.tasks.preprocessing import FittedStep, fit_steps

TASKS = Registry("task")


@dataclass(frozen=True)
class Examples:
    """Inputs [N, ...] and targets [N, ...] of one split."""

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(f"{len(self.inputs)} inputs but {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Spec:
    """What a model must know of a task: the shape of one input, how many outputs, which kind of problem.

    ``vocabulary`` is the number of symbols when the inputs are symbols (int64), else None. ``per_position``
    says that every position of the input sequence has its own target.
    """

    shape: tuple[int, ...]
    outputs: int
    problem: str
    vocabulary: int | None = None
    per_position: bool = False


@dataclass(frozen=True)
class Task:
    """A data set, split and preprocessed.

    Attributes:
        name: as registered.
        problem: a name in `trainer.losses.PROBLEMS`: which head, loss and score fit.
        outputs: units the head needs (classes; 1 for binary and for plain regression).
        classes: names of the classes, [outputs]; empty where there are none.
        train, validation: disjoint examples, preprocessed.
        steps: the preprocessing, fitted on the training examples only.
        source, licence: where the data come from and on which terms.
        vocabulary, per_position: see `Spec`.
    """

    name: str
    problem: str
    outputs: int
    classes: tuple[str, ...]
    train: Examples
    validation: Examples
    source: str
    licence: str
    steps: tuple[FittedStep, ...] = ()
    vocabulary: int | None = None
    per_position: bool = False

    @property
    def spec(self) -> Spec:
        shape = tuple(self.train.inputs.shape[1:])
        return Spec(shape, self.outputs, self.problem, self.vocabulary, self.per_position)


def preprocess(task: Task, step_names: Sequence[str]) -> Task:
    """The task with its inputs put through the named steps, fitted on the training inputs alone."""
    steps = fit_steps(step_names, task.train.inputs)
    train, validation = task.train.inputs, task.validation.inputs
    for step in steps:
        train, validation = step(train), step(validation)
    return replace(
        task,
        train=Examples(train, task.train.targets),
        validation=Examples(validation, task.validation.targets),
        steps=(*task.steps, *steps),
    )


def split_stratified(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, validation): ``fraction`` of every class, at least one example, goes to
    validation, and at least one stays, where there are two."""
    generator = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        chosen.append(rows[: max(1, min(len(rows) - 1, round(fraction * len(rows))))])
    validation = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def take(inputs: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> Examples:
    return Examples(torch.from_numpy(inputs[rows]), torch.from_numpy(targets[rows]))
