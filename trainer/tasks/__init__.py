"""Data sets by name. One module each; importing this package registers them all."""

from trainer.tasks import digits, generation, photo_patches, planar, reconstruction, tables, text
from trainer.tasks.base import TASKS, Examples, Spec, Task

__all__ = [
    "TASKS",
    "Examples",
    "Spec",
    "Task",
    "digits",
    "generation",
    "photo_patches",
    "planar",
    "reconstruction",
    "tables",
    "text",
]
