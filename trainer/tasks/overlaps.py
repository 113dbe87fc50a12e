"""Two discs, generated: which fraction of their union do they share? Regression between 0 and 1."""

from __future__ import annotations

import numpy as np
import torch

from trainer.tasks.base import TASKS, Examples, Task, preprocess
from trainer.tasks.options import Steps
from trainer.typed import Count, NaturalNumber

SIDE = 12  # pixels
RADII = (2.5, 5.0)  # pixels, smallest and largest
APART = 6.0  # pixels, the farthest between two centres: most pairs touch


@TASKS.register("overlaps")
def overlaps(
    *,
    examples: Count = 2000,
    validation_examples: Count = 500,
    preprocessing: Steps = ("standardize",),
    data_seed: NaturalNumber = 0,
) -> Task:
    """Two discs, [2, 12, 12], one a channel: the area they share over the area they cover (intersection over union),
    from 0 to 1."""
    generator = np.random.default_rng(data_seed)
    pictures = _discs(examples + validation_examples, generator)
    shared, covered = pictures.min(1).sum((1, 2)), pictures.max(1).sum((1, 2))
    inputs = torch.from_numpy(pictures.astype(np.float32))
    targets = torch.from_numpy((shared / covered).astype(np.float32))[:, None]
    task = Task(
        name="overlaps",
        problem="unit-regression",
        outputs=1,
        classes=(),
        train=Examples(inputs[:examples], targets[:examples]),
        validation=Examples(inputs[examples:], targets[examples:]),
        source="generated; no data set",
        licence="generated; no data set",
    )
    return preprocess(task, preprocessing)


def _discs(count: int, generator: np.random.Generator) -> np.ndarray:
    """Two discs a picture, 0 and 1, float64 [count, 2, SIDE, SIDE]."""
    middle = (SIDE - 1) / 2
    radii = generator.uniform(*RADII, (count, 2))
    angle, distance = generator.uniform(0, 2 * np.pi, count), generator.uniform(0, APART, count)
    offset = 0.5 * distance[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)  # [count, (row, column)]
    centres = middle + np.stack([offset, -offset], 1)  # [count, disc, (row, column)]
    places = np.arange(SIDE)
    rows = places[None, None, :, None] - centres[:, :, 0, None, None]
    columns = places[None, None, None, :] - centres[:, :, 1, None, None]
    return (rows**2 + columns**2 <= radii[:, :, None, None] ** 2).astype(np.float64)
