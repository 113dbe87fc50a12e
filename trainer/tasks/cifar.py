"""CIFAR-10 from a directory of the user's, in the binary or the Python version."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.errors import TaskError
from trainer.tasks.base import TASKS, Task
from trainer.tasks.files import existing_folder, shown
from trainer.tasks.given import Arrays, given_task
from trainer.tasks.options import Steps
from trainer.tasks.plain_pickle import read_plain_pickle
from trainer.tasks.subset import subset
from trainer.typed import NaturalNumber

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS  # a label, then red, green and blue, row by row
FOLDERS = ("", "cifar-10-batches-bin", "cifar-10-batches-py")  # where the archives unpack to
BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
TEST = "test_batch"


@TASKS.register("cifar-10")
def cifar10(
    *,
    path: str,
    train_examples: NaturalNumber = 10_000,
    validation_examples: NaturalNumber = 2_000,
    preprocessing: Steps = ("standardize",),
    split_seed: NaturalNumber = 0,
) -> Task:
    """CIFAR-10 from its unpacked archive, binary or Python version: a directory with `data_batch_1.bin` or
    `data_batch_1` to 5, and `test_batch`. So many examples at random are taken (0: all 50,000 and 10,000)."""
    files = find(existing_folder(path, "task.path"))
    splits = []
    for parts, wanted in ((files[:-1], train_examples), (files[-1:], validation_examples)):
        images, labels = (np.concatenate(arrays) for arrays in zip(*map(read_batch, parts), strict=True))
        rows = subset(len(labels), wanted, split_seed)
        name = f"{parts[0]}" + (f" and {len(parts) - 1} more" if len(parts) > 1 else "")
        splits.append(Arrays(images[rows], labels[rows], name, f"labels of {name}"))
    return given_task(
        "cifar-10",
        *splits,
        problem="multi-class",
        classes=CLASSES,
        preprocessing=preprocessing,
        validation_fraction=0.2,
        split_seed=split_seed,
        source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009)",
        licence="not stated by its authors",
    )


def find(folder: Path) -> list[Path]:
    """The training batches that are there (one at least) and, last, the test batch."""
    for inner in FOLDERS:
        for suffix in (".bin", ""):
            there = [folder / inner / f"{name}{suffix}" for name in (*BATCHES, TEST)]
            there = [file for file in there if file.is_file()]
            if len(there) >= 2 and there[-1].stem == TEST:
                return there
    found = shown(sorted(p.name for p in folder.iterdir()))
    raise TaskError(
        f"{folder}: no CIFAR-10 here, allowed: data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the same "
        f"without .bin; found {found}"
    )


def read_batch(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of one file. Raises `TaskError` when it is damaged."""
    images, labels = _read_binary(file) if file.suffix == ".bin" else _read_python(file)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(CLASSES):
        found = f"labels from {labels.min()} to {labels.max()}" if len(labels) else "no image"
        raise TaskError(f"{file}: found {found}, allowed: labels from 0 to {len(CLASSES) - 1}; is this CIFAR-10?")
    return images.reshape(-1, *SHAPE), labels


def _read_binary(file: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        data = np.fromfile(file, np.uint8)
    except OSError as error:
        raise TaskError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) % RECORD:
        raise TaskError(
            f"{file}: {len(data)} bytes, allowed: a multiple of {RECORD} (a label and 3x32x32 pixels); it is cut off, "
            "or not the binary version of CIFAR-10"
        )
    records = data.reshape(-1, RECORD)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _read_python(file: Path) -> tuple[np.ndarray, np.ndarray]:
    batch = read_plain_pickle(file)
    images, labels = batch.get("data"), batch.get("labels")
    if not isinstance(images, np.ndarray) or not isinstance(labels, list) or images.shape != (len(labels), PIXELS):
        raise TaskError(
            f"{file}: allowed: 'data', bytes [N, {PIXELS}], and 'labels', a list of N; found {shown(sorted(batch))}"
        )
    if not all(type(label) is int for label in labels):
        raise TaskError(f"{file}: 'labels' holds something else than whole numbers")
    return images, np.array(labels, np.int64)
