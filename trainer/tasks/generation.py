"""Images to be imitated: what a generative adversarial network learns from."""

from __future__ import annotations

from dataclasses import replace

import torch

from trainer.tasks.base import TASKS, Examples, Task
from trainer.tasks.digits import digits
from trainer.tasks.options import ValidationFraction
from trainer.typed import NaturalNumber


@TASKS.register("digits-generation")
def digits_generation(*, validation_fraction: ValidationFraction = 0.2, split_seed: NaturalNumber = 0) -> Task:
    """Handwritten digits between -1 and 1, to be imitated; every target is 1, for "real"."""
    task = digits(preprocessing=("scale-to-symmetric",), validation_fraction=validation_fraction, split_seed=split_seed)
    return replace(
        task,
        name="digits-generation",
        problem="generation",
        outputs=1,
        classes=(),
        train=_real(task.train),
        validation=_real(task.validation),
    )


def _real(examples: Examples) -> Examples:
    return Examples(examples.inputs, torch.ones(len(examples), 1))
