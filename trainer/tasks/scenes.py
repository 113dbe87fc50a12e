"""Several digits in one picture, made of real handwritten ones: which are there? Multi-label."""

from __future__ import annotations

import numpy as np
import torch

from trainer.tasks.base import TASKS, Examples, Task, preprocess
from trainer.tasks.digits import digits
from trainer.tasks.options import Steps
from trainer.typed import Count, Fraction, NaturalNumber

SIDE = 8  # pixels of one digit
CELLS = ((0, 0), (0, SIDE), (SIDE, 0), (SIDE, SIDE))  # upper left corners


@TASKS.register("digit-scenes")
def digit_scenes(
    *,
    examples: Count = 3000,
    validation_examples: Count = 600,
    filled: Fraction = 0.5,
    preprocessing: Steps = ("standardize",),
    data_seed: NaturalNumber = 0,
) -> Task:
    """Pictures [1, 16, 16] of four places, each with a handwritten digit or (`filled`: how often not) empty: which
    digits are there? Ten yes-or-no answers a picture: multi-label."""
    source = digits(preprocessing=())
    task = Task(
        name="digit-scenes",
        problem="multi-label",
        outputs=10,
        classes=source.classes,
        train=_scenes(source.train, examples, filled, np.random.default_rng([data_seed, 0])),
        validation=_scenes(source.validation, validation_examples, filled, np.random.default_rng([data_seed, 1])),
        source=f"put together of {source.source}",
        licence=source.licence,
    )
    return preprocess(task, preprocessing)


def _scenes(digits: Examples, count: int, filled: float, generator: np.random.Generator) -> Examples:
    """Pictures of digits of one split of the source, which are thus never in the other one."""
    pictures = np.zeros((count, 1, 2 * SIDE, 2 * SIDE), np.float32)
    targets = np.zeros((count, 10), np.float32)
    images, labels = digits.inputs.numpy(), digits.targets.numpy()
    for row, column in CELLS:
        there = np.flatnonzero(generator.random(count) < filled)
        which = generator.integers(0, len(labels), len(there))
        pictures[there, :, row : row + SIDE, column : column + SIDE] = images[which]
        targets[there, labels[which]] = 1
    return Examples(torch.from_numpy(pictures), torch.from_numpy(targets))
