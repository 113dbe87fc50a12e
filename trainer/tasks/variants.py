"""Imbalanced and mislabelled versions of a classification task. Only the training examples change.

They are options of the tasks, not faults: rare classes and wrong labels are what real data come with, and a
training can be healthy in spite of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from trainer.errors import TaskError
from trainer.tasks.base import Examples, Task
from trainer.typed import Within

Imbalance = Annotated[float, Within(1)]
Mislabelled = Annotated[float, Within(0, 0.9)]


def with_variants(task: Task, imbalance: float, mislabelled: float, seed: int) -> Task:
    """The task with fewer examples of its later classes and with wrong labels, in that order; as it is for 1 and
    0."""
    if imbalance != 1:
        task = imbalanced(task, imbalance, seed)
    if mislabelled:
        task = with_wrong_labels(task, mislabelled, seed)
    return task


def imbalanced(task: Task, ratio: float, seed: int) -> Task:
    """A long tail: of C classes, class k keeps ratio^(-k / (C - 1)) of its training examples, at least one.

    ``ratio`` is thus how many times rarer the last class is than the first (Cui et al., Class-Balanced Loss
    Based on Effective Number of Samples, 2019, section 5.1).
    """
    labels, count = _labels(task, "imbalance")
    generator = np.random.default_rng([seed, 1])
    kept = []
    for label in range(count):
        rows = generator.permutation(np.flatnonzero(labels == label))
        kept.append(rows[: max(1, round(len(rows) * ratio ** (-label / max(1, count - 1))))])
    rows = torch.from_numpy(np.sort(np.concatenate(kept)))
    return replace(task, train=Examples(task.train.inputs[rows], task.train.targets[rows]))


def with_wrong_labels(task: Task, share: float, seed: int) -> Task:
    """This share of the training examples, drawn at random, gets another class, each other one as likely
    (symmetric label noise)."""
    labels, count = _labels(task, "mislabelled")
    generator = np.random.default_rng([seed, 2])
    wrong = generator.permutation(len(labels))[: round(share * len(labels))]
    labels = labels.copy()
    labels[wrong] = (labels[wrong] + generator.integers(1, count, len(wrong))) % count
    return replace(task, train=Examples(task.train.inputs, _like(labels, task.train.targets)))


def _labels(task: Task, option: str) -> tuple[np.ndarray, int]:
    """Class numbers [N] of the training examples, and how many classes there are (two for a binary task)."""
    if task.problem not in ("multi-class", "binary") or task.per_position:
        raise TaskError(f"task {task.name}: {option} needs one class an example, this task is of another kind")
    labels = task.train.targets.reshape(len(task.train)).numpy().astype(np.int64)
    return labels, max(2, task.outputs)


def _like(labels: np.ndarray, targets: Tensor) -> Tensor:
    return torch.from_numpy(labels).to(targets.dtype).reshape(targets.shape)
