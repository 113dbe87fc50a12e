"""The input as its own target: what an autoencoder learns."""

from __future__ import annotations

from dataclasses import replace

from trainer.tasks.base import TASKS, Examples, Task
from trainer.tasks.digits import digits
from trainer.tasks.options import ValidationFraction
from trainer.typed import NaturalNumber


@TASKS.register("digits-reconstruction")
def digits_reconstruction(*, validation_fraction: ValidationFraction = 0.2, split_seed: NaturalNumber = 0) -> Task:
    """Handwritten digits, standardised: the 64 pixels are the target. Regression."""
    task = digits(validation_fraction=validation_fraction, split_seed=split_seed)
    return replace(
        task,
        name="digits-reconstruction",
        problem="regression",
        outputs=64,
        classes=(),
        train=_onto_itself(task.train),
        validation=_onto_itself(task.validation),
    )


def _onto_itself(examples: Examples) -> Examples:
    return Examples(examples.inputs, examples.inputs.flatten(1))
