"""The user's own pictures: one sub-folder a class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np

from probes.errors import MissingDependencyError
from trainer.errors import TaskError
from trainer.tasks.base import TASKS, Task
from trainer.tasks.files import existing_folder, shown
from trainer.tasks.given import Arrays, given_task
from trainer.tasks.options import Steps, ValidationFraction
from trainer.typed import NaturalNumber, one_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp", ".tif", ".tiff")

Colour = Annotated[str, one_of("rgb", "grey")]


@TASKS.register("image-folder")
def image_folder(
    *,
    path: str,
    validation_path: str = "",
    size: NaturalNumber = 32,
    colour: Colour = "rgb",
    per_class: NaturalNumber = 0,
    preprocessing: Steps = ("standardize",),
    validation_fraction: ValidationFraction = 0.2,
    split_seed: NaturalNumber = 0,
) -> Task:
    """Your own pictures in one sub-folder a class, scaled to `size` pixels a side (the middle square of each; 0: as
    they are). `per_class` takes so many at random (0: all)."""
    folder = existing_folder(path, "task.path")
    classes = class_folders(folder)
    train = _read(folder, classes, size, colour, per_class, split_seed)
    validation = None
    if validation_path:
        other = existing_folder(validation_path, "task.validation_path")
        if unknown := [name for name in class_folders(other) if name not in classes]:
            raise TaskError(f"{other}: classes {shown(unknown)} are not among those of {folder}: {shown(classes)}")
        validation = _read(other, classes, size, colour, per_class, split_seed)
    return given_task(
        "image-folder",
        train,
        validation,
        problem="multi-class",
        classes=classes,
        preprocessing=preprocessing,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        source=str(folder),
    )


def class_folders(folder: Path) -> list[str]:
    """Names of the sub-folders that hold pictures, sorted. Raises `TaskError` when there are fewer than two."""
    subfolders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = [p.name for p in subfolders if pictures(p)]
    if len(found) < 2:
        empty = [p.name for p in subfolders if p.name not in found]
        what = f"sub-folders with pictures: {shown(found)}" + (f"; without: {shown(empty)}" if empty else "")
        raise TaskError(f"{folder}: {what}; allowed: at least two, one a class, with files of {', '.join(SUFFIXES)}")
    return found


def pictures(folder: Path) -> list[Path]:
    """The picture files right in a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _read(folder: Path, classes: list[str], size: int, colour: str, per_class: int, seed: int) -> Arrays:
    images: list[np.ndarray] = []
    labels: list[int] = []
    first: Path | None = None
    for label, name in enumerate(classes):
        files = pictures(folder / name) if (folder / name).is_dir() else []
        if per_class and len(files) > per_class:
            chosen = np.random.default_rng([seed, label]).permutation(len(files))[:per_class]
            files = [files[i] for i in np.sort(chosen)]
        for file in files:
            image = read_picture(file, size, colour)
            first = first or file
            if image.shape != (images[0] if images else image).shape:
                found, wanted = ("x".join(map(str, i.shape[:2])) for i in (image, images[0]))
                raise TaskError(f"{file} has {found} pixels, but {first} {wanted}; set task.size to scale them alike")
            images.append(image)
            labels.append(label)
    stacked = np.stack(images)
    stacked = stacked[:, None] if stacked.ndim == 3 else np.moveaxis(stacked, 3, 1)
    return Arrays(stacked, np.array(labels), str(folder), f"classes of {folder}")


def read_picture(file: Path, size: int, colour: str) -> np.ndarray:
    """uint8 [height, width, 3], or [height, width] when grey; turned as its EXIF data say.

    Raises `TaskError` when it is not a picture.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingDependencyError("Pillow is not installed: pip install 'babysit[train]'") from None
    try:
        with Image.open(file) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):  # 16 bits a pixel: Pillow would cut off, not scale
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("RGB" if colour == "rgb" else "L")
            if size:
                image = ImageOps.fit(image, (size, size))
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise TaskError(f"{file}: cannot be read as a picture ({reason}); remove or replace it") from None
