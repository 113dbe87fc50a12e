"""Data sets by name. One module each; importing this package registers them all."""

from trainer.tasks import (
    cifar,
    digits,
    generation,
    image_folder,
    mnist,
    numpy_files,
    overlaps,
    own_function,
    photo_patches,
    planar,
    reconstruction,
    scenes,
    tables,
    text,
)
from trainer.tasks.base import TASKS, Examples, Spec, Task

__all__ = [
    "TASKS",
    "Examples",
    "Spec",
    "Task",
    "cifar",
    "digits",
    "generation",
    "image_folder",
    "mnist",
    "numpy_files",
    "overlaps",
    "own_function",
    "photo_patches",
    "planar",
    "reconstruction",
    "scenes",
    "tables",
    "text",
]
