"""MNIST, Fashion-MNIST and whatever else comes as four IDX files, from a directory of the user's."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trainer.errors import TaskError
from trainer.tasks.base import TASKS, Task
from trainer.tasks.files import existing_folder, shown
from trainer.tasks.given import Arrays, given_task
from trainer.tasks.options import Steps
from trainer.tasks.subset import subset
from trainer.typed import NaturalNumber

# Y. LeCun, C. Cortes and C. Burges, "The IDX file format", on the page of the MNIST data: two zero bytes, type,
# number of dimensions, the dimensions as big-endian int32, then the numbers.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PIECE = 1 << 20  # bytes
SPLITS = {"train": "train", "validation": "t10k"}


@TASKS.register("mnist")
def mnist(
    *,
    path: str,
    train_examples: NaturalNumber = 10_000,
    validation_examples: NaturalNumber = 2_000,
    preprocessing: Steps = ("standardize",),
    split_seed: NaturalNumber = 0,
) -> Task:
    """MNIST or a data set in its format: a directory with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and
    the two `t10k-` files, as they are or as `.gz`. So many examples at random are taken (0: all)."""
    folder = existing_folder(path, "task.path")
    splits = []
    for split, prefix in SPLITS.items():
        images_file, labels_file = find(folder, f"{prefix}-images", 3), find(folder, f"{prefix}-labels", 1)
        images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
        if len(images) != len(labels):
            raise TaskError(
                f"{images_file} holds {len(images)} images, but {labels_file} {len(labels)} labels; "
                "they do not belong together"
            )
        wanted = train_examples if split == "train" else validation_examples
        rows = subset(len(labels), wanted, split_seed)
        splits.append(Arrays(images[rows], labels[rows], str(images_file), str(labels_file)))
    return given_task(
        "mnist",
        *splits,
        problem="multi-class",
        preprocessing=preprocessing,
        validation_fraction=0.2,
        split_seed=split_seed,
        source=f"{folder}; Y. LeCun et al., Gradient-based Learning Applied to Document Recognition (1998), for MNIST",
        licence="as the files' provider states",
    )


def find(folder: Path, stem: str, dimensions: int) -> Path:
    """The IDX file of that stem: ``stem-idx3-ubyte`` or ``stem.idx3-ubyte``, perhaps with ``.gz``."""
    names = [f"{stem}{sep}idx{dimensions}-ubyte{end}" for sep in ("-", ".") for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    there = shown(sorted(p.name for p in folder.iterdir()))
    raise TaskError(f"{folder}: no file {names[0]} (or {names[0]}.gz); found {there}")


def read_idx(file: Path, dimensions: int) -> np.ndarray:
    """The array in an IDX file, perhaps compressed. Raises `TaskError` when it is damaged or of another shape."""
    opener: Any = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES:
                raise TaskError(f"{file}: not an IDX file: it begins with {head.hex(' ') or 'nothing'}")
            if head[3] != dimensions:
                raise TaskError(f"{file}: an array of {head[3]} dimensions, allowed: {dimensions}")
            sizes = stream.read(4 * dimensions)
            shape = tuple(np.frombuffer(sizes, ">u4").tolist()) if len(sizes) == 4 * dimensions else (0,)
            kind = np.dtype(TYPES[head[2]])
            expected = math.prod(shape) * kind.itemsize
            data = _read_up_to(stream, expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{file}: cannot be read: {error}; fetch it again") from None
    if len(data) != expected:
        found = "more" if len(data) > expected else f"{len(data)} bytes"
        raise TaskError(
            f"{file}: {expected} bytes of {'x'.join(map(str, shape))} numbers expected, found {found}; fetch it again"
        )
    return np.frombuffer(data, kind).reshape(shape).astype(kind.newbyteorder("="))


def _read_up_to(stream: BinaryIO, size: int) -> bytes:
    """Piece by piece: what is there decides how much memory is taken, not what the header promises."""
    data = bytearray()
    while len(data) < size and (piece := stream.read(min(PIECE, size - len(data)))):
        data += piece
    return bytes(data)
