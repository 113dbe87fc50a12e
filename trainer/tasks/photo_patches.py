"""Small colour patches of natural images: which photograph is this one from?

The split leaves no pixel in both halves: each photograph is cut into square tiles, every fifth tile (on a
skewed lattice, so that they spread over the picture) is for validation, and patches lie wholly inside one
tile, ``margin`` pixels away from its border. Patches of the two splits are thus at least two margins apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from trainer.errors import TaskError
from trainer.tasks.base import TASKS, Examples, Task, preprocess
from trainer.tasks.options import Steps
from trainer.tasks.photos import PHOTOS, read_photo
from trainer.tasks.variants import Imbalance, Mislabelled, with_variants
from trainer.typed import Count, NaturalNumber

TILE = 48  # pixels
MARGIN = 4  # pixels
VALIDATION_PERIOD = 5  # one tile in five
FLATNESS = 3.0  # grey levels; a patch that varies less (black sky, blurred ground) tells nothing of its origin
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601


@dataclass(frozen=True)
class Corners:
    """Upper left corners of patches: rows [N] and columns [N] of one photograph."""

    rows: np.ndarray
    columns: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, which: np.ndarray) -> Corners:
        return Corners(self.rows[which], self.columns[which])


@TASKS.register("photo-patches")
def photo_patches(
    *,
    size: Count = 16,
    train_per_class: Count = 600,
    validation_per_class: Count = 150,
    preprocessing: Steps = ("standardize",),
    imbalance: Imbalance = 1.0,
    mislabelled: Mislabelled = 0.0,
    split_seed: NaturalNumber = 0,
) -> Task:
    """Colour patches, [3, 16, 16], from ten photographs: which one is it from?"""
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    for index, photo in enumerate(PHOTOS):
        image = read_photo(photo)
        generator = np.random.default_rng([split_seed, index])
        for split, wanted in (("train", train_per_class), ("validation", validation_per_class)):
            corners = candidate_corners(image.shape[:2], size, split)
            chosen = _choose(image, corners, size, wanted, generator)
            if len(chosen) < wanted:
                raise TaskError(
                    f"task photo-patches: photograph '{photo.name}' holds {len(chosen)} {split} patches of "
                    f"{size}x{size}, {wanted} were asked for; lower size or {split}_per_class"
                )
            parts[split].append(cut(image, chosen, size))
    task = Task(
        name="photo-patches",
        problem="multi-class",
        outputs=len(PHOTOS),
        classes=tuple(photo.name for photo in PHOTOS),
        train=_examples(parts["train"]),
        validation=_examples(parts["validation"]),
        source="photographs carried by the packages scikit-image and scikit-learn",
        licence="; ".join(f"{photo.name}: {photo.credit}" for photo in PHOTOS),
    )
    return preprocess(with_variants(task, imbalance, mislabelled, split_seed), preprocessing)


def candidate_corners(shape: tuple[int, int], size: int, split: str) -> Corners:
    """Where patches of this split may have their upper left corner, in a photograph of ``shape`` (height,
    width)."""
    height, width = shape
    inside = TILE - 2 * MARGIN - size + 1  # positions along one side of a tile
    if inside < 1:
        raise TaskError(f"task photo-patches: size {size} does not fit a tile, at most {TILE - 2 * MARGIN}")
    offsets = MARGIN + np.arange(inside)
    rows, columns = [], []
    for i in range(height // TILE):
        for j in range(width // TILE):
            if is_validation_tile(i, j) == (split == "validation"):
                r, c = np.meshgrid(i * TILE + offsets, j * TILE + offsets, indexing="ij")
                rows.append(r.ravel())
                columns.append(c.ravel())
    if not rows:
        return Corners(np.empty(0, np.int64), np.empty(0, np.int64))
    return Corners(np.concatenate(rows), np.concatenate(columns))


def is_validation_tile(i: int, j: int) -> bool:
    return (i + 2 * j) % VALIDATION_PERIOD == 0


def cut(image: np.ndarray, corners: Corners, size: int) -> np.ndarray:
    """Patches uint8 [N, 3, size, size] at the corners of an image [height, width, 3]."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
    return windows[corners.rows, corners.columns]


def _choose(image: np.ndarray, corners: Corners, size: int, wanted: int, generator: np.random.Generator) -> Corners:
    """``wanted`` different corners at random (fewer when there are no more) whose patches are not flat."""
    order = generator.permutation(len(corners))
    kept: list[np.ndarray] = []
    found = 0
    for block in np.array_split(order, max(1, math.ceil(len(order) / (2 * wanted)))):
        if found >= wanted or not len(block):
            break
        patches = cut(image, corners.pick(block), size).astype(np.float32)
        grey = np.tensordot(GREY, patches, axes=(0, 1))
        kept.append(block[grey.std(axis=(1, 2)) >= FLATNESS])
        found += len(kept[-1])
    return corners.pick(np.concatenate(kept)[:wanted] if kept else order[:0])


def _examples(per_class: list[np.ndarray]) -> Examples:
    inputs = torch.from_numpy(np.concatenate(per_class)).float()
    targets = torch.cat([torch.full((len(patches),), label) for label, patches in enumerate(per_class)])
    return Examples(inputs, targets)
