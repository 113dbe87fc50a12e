"""The split of the photographs leaks nothing, checked on pixels rather than on how it is made."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import TaskError
from trainer.tasks.photo_patches import candidate_corners, cut, photo_patches
from trainer.tasks.photos import PHOTOS, read_photo

SIZE = 16


@pytest.fixture(scope="module")
def task():
    return photo_patches(preprocessing=())


def covered(shape: tuple[int, int], split: str) -> np.ndarray:
    """Every pixel any patch of the split could hold, painted patch by patch."""
    mask = np.zeros(shape, bool)
    corners = candidate_corners(shape, SIZE, split)
    for row, column in zip(corners.rows.tolist(), corners.columns.tolist(), strict=True):
        mask[row : row + SIZE, column : column + SIZE] = True
    return mask


@pytest.mark.parametrize("shape", [(300, 451), (427, 640), (512, 512)])
def test_no_pixel_is_in_both_splits_and_there_is_a_margin_between_them(shape):
    train, validation = covered(shape, "train"), covered(shape, "validation")
    assert train.any() and validation.any()
    grown = np.zeros_like(validation)
    for row, column in np.argwhere(validation):
        grown[max(0, row - 7) : row + 8, max(0, column - 7) : column + 8] = True
    assert not (train & grown).any()


def test_no_row_of_pixels_of_a_validation_patch_occurs_in_a_training_patch(task):
    """Independent of corners: an overlap of two patches, however small in height, shares a stretch of pixels.

    A stretch of 16x3 bytes with some texture does not repeat by chance, so every row of every validation
    patch is looked up among all rows of all training patches of the same photograph.
    """
    for label in range(task.outputs):
        rows = {}
        for name, split in (("train", task.train), ("validation", task.validation)):
            patches = split.inputs[split.targets == label].numpy().astype(np.uint8)  # [N, 3, 16, 16]
            stripes = patches.transpose(0, 2, 3, 1).reshape(-1, SIZE * 3)
            textured = stripes.astype(float).reshape(-1, SIZE, 3).mean(2).std(1) > 8
            rows[name] = {stripe.tobytes() for stripe in stripes[textured]}
        assert len(rows["validation"]) > 300
        assert not rows["validation"] & rows["train"], task.classes[label]


def test_patches_are_pieces_of_their_own_photograph(task):
    generator = np.random.default_rng(0)
    for label, photo in enumerate(PHOTOS):
        image = read_photo(photo)
        patches = task.validation.inputs[task.validation.targets == label].numpy().astype(np.uint8)
        patch = patches[generator.integers(len(patches))].transpose(1, 2, 0)
        windows = np.lib.stride_tricks.sliding_window_view(image[:, :, 0], (SIZE, SIZE))
        rows, columns = np.nonzero((windows[:, :, 0, 0] == patch[0, 0, 0]) & (windows[:, :, 9, 7] == patch[9, 7, 0]))
        found = [
            (r, c)
            for r, c in zip(rows, columns, strict=True)
            if np.array_equal(image[r : r + SIZE, c : c + SIZE], patch)
        ]
        assert found, photo.name


def test_classes_are_balanced_and_patches_differ(task):
    assert len(task.classes) == task.outputs == len(PHOTOS) == 10
    assert task.train.inputs.shape[1:] == (3, SIZE, SIZE)
    for split in (task.train, task.validation):
        counts = split.targets.bincount(minlength=10)
        assert (counts == counts[0]).all() and len(split) == counts.sum()
    assert len(task.train) >= 5000 and len(task.validation) >= 1000
    distinct = {p.numpy().tobytes() for p in task.train.inputs}
    assert len(distinct) > 0.995 * len(task.train)


def test_split_follows_from_its_seed():
    small = {"train_per_class": 20, "validation_per_class": 5}
    first, again = photo_patches(**small), photo_patches(**small)
    other = photo_patches(**small, split_seed=1)
    assert first.train.inputs.equal(again.train.inputs)
    assert not first.train.inputs.equal(other.train.inputs)


def test_cut_agrees_with_plain_slices():
    image = np.arange(40 * 50 * 3, dtype=np.int64).reshape(40, 50, 3)
    from trainer.tasks.photo_patches import Corners

    corners = Corners(np.array([0, 3, 24]), np.array([0, 17, 34]))
    for patch, r, c in zip(cut(image, corners, 16), corners.rows, corners.columns, strict=True):
        assert np.array_equal(patch, image[r : r + 16, c : c + 16].transpose(2, 0, 1))


@pytest.mark.parametrize("options", [{"size": 41}, {"validation_per_class": 200_000}, {"size": 40}])
def test_more_than_the_photographs_hold_is_refused(options):
    with pytest.raises(TaskError, match="photo-patches"):
        photo_patches(**options)


def test_photographs_are_files_of_installed_packages():
    for photo in PHOTOS:
        folder = Path(importlib.util.find_spec(photo.package).origin).parent
        assert (folder / photo.file).is_file()
        image = read_photo(photo)
        assert image.dtype == np.uint8 and image.shape[2] == 3
        # in colour, not a grey picture in three equal channels
        assert (image[:, :, 0] != image[:, :, 2]).mean() > 0.2
