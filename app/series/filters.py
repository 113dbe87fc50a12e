"""First-layer weights as pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from app.series.decimate import Steps
from probes.errors import UnknownNameError

if TYPE_CHECKING:
    from probes.runlog import Run

Normalisation = Literal["each", "joint"]
Picture = npt.NDArray[np.uint8]

MAX_FILTERS = 256
NONFINITE_COLOUR = (213, 94, 0)
# Wider or taller than this, a dense layer's weights are drawn as one matrix: rows units, columns inputs.
MAX_MATRIX = 512


@dataclass(frozen=True)
class Snapshot:
    """First-layer weights at one step, as small images.

    Attributes:
        step: the snapshot's.
        steps: all that can be shown.
        images: float32 [N, h, w, 3 or 1], one per filter.
        total: filters in the layer; more than N when the layer has more than can be shown.
        note: how the weights became images, one sentence.
        as_matrix: the single image is the whole weight matrix.
    """

    step: int
    steps: Steps
    images: npt.NDArray[np.float32]
    total: int
    note: str
    as_matrix: bool = False


def snapshot(run: Run, step: int | None = None) -> Snapshot | None:
    """The snapshot nearest to `step` (newest when None), or None when there is none yet."""
    try:
        found = run.filters(step)
    except UnknownNameError:
        return None
    if not len(found.steps):
        return None
    images, note, as_matrix = to_images(np.asarray(found.weights), input_shape(run))
    return Snapshot(int(found.step), found.steps, images[:MAX_FILTERS], len(images), note + _of_many(images), as_matrix)


def _of_many(images: npt.NDArray[np.float32]) -> str:
    return f" The first {MAX_FILTERS} of {len(images):,} are shown." if len(images) > MAX_FILTERS else ""


def input_shape(run: Run) -> tuple[int, ...] | None:
    """Shape of one input example, as the manifest tells it; None when it does not."""
    for part in ((run.manifest.get("data") or {}), (run.model or {}), (run.config or {})):
        shape = part.get("input_shape")
        if isinstance(shape, (list, tuple)) and shape and all(isinstance(n, int) and n > 0 for n in shape):
            return tuple(shape)
    return None


def to_images(
    weights: npt.NDArray[np.float32], shape: tuple[int, ...] | None
) -> tuple[npt.NDArray[np.float32], str, bool]:
    """Weights [out, in, h, w] or [out, in] as images [N, h, w, channels], how, and whether it is one matrix.

    Colour filters (3 inputs) are RGB; other convolutions give one grey image for each pair of filter and
    input channel. A dense layer becomes images of the input when `shape` says the input is one, or when the
    number of inputs is that of a square image (then the note says that it is a guess); else its weight matrix
    is the image.
    """
    if weights.ndim == 3:  # 1-d convolution [out, in, length]
        weights = weights[:, :, None, :]
    if weights.ndim == 4:
        if weights.shape[1] == 3:
            return (
                weights.transpose(0, 2, 3, 1),
                "One square per filter; red, green and blue weights as colour.",
                False,
            )
        flat = weights.reshape(-1, *weights.shape[2:], 1)
        if weights.shape[1] == 1:
            return flat, "One square per filter.", False
        return (
            flat,
            f"One square per filter and input channel, {weights.shape[1]} in a row per filter.",
            False,
        )
    units, inputs = weights.shape[0], math.prod(weights.shape[1:])
    weights = weights.reshape(units, inputs)
    height, width, channels, guessed = _image_shape(inputs, shape)
    if height:
        if channels == 1:
            images = weights.reshape(units, height, width, 1)
        else:
            images = weights.reshape(units, channels, height, width).transpose(0, 2, 3, 1)
        how = f"One picture per unit: its {inputs} weights laid out as the {height}×{width} input"
        return images, how + (" (a guess from their number)." if guessed else "."), False
    matrix = weights[:MAX_MATRIX, :MAX_MATRIX]
    return matrix[None, :, :, None], "The weight matrix: rows are units, columns are inputs.", True


def _image_shape(inputs: int, shape: tuple[int, ...] | None) -> tuple[int, int, int, bool]:
    """Height, width, channels (channels first in memory) and whether guessed; zeros when it is no image."""
    if shape is not None and math.prod(shape) == inputs:
        sizes = [n for n in shape if n > 1]
        if len(sizes) == 2:
            return sizes[0], sizes[1], 1, False
        if len(shape) == 3 and shape[0] == 3:
            return shape[1], shape[2], 3, False
    for channels in (1, 3):
        side = math.isqrt(inputs // channels)
        if side >= 5 and side * side * channels == inputs:
            return side, side, channels, True
    return 0, 0, 0, False


def to_bytes(images: npt.NDArray[np.float32], normalisation: Normalisation) -> Picture:
    """Weights as pixels, uint8 [N, h, w, 3]: middle grey is zero, white and black the largest weight either way.

    "each" scales every filter by its own largest weight (its form), "joint" all by the one largest (their
    strength). What is not finite is vermillion.
    """
    finite = np.isfinite(images)
    safe = np.where(finite, images, 0.0)
    axes = (1, 2, 3) if normalisation == "each" else None
    top = np.abs(safe).max(axis=axes, keepdims=True)
    level = 127.5 + 127.5 * np.divide(safe, top, out=np.zeros_like(safe), where=top > 0)
    pixels = np.broadcast_to(np.rint(level), (*images.shape[:3], 3)).astype(np.uint8)
    bad = ~finite.all(axis=3)
    if bad.any():
        pixels[bad] = NONFINITE_COLOUR
    return pixels


def tile(pixels: Picture, columns: int, background: tuple[int, int, int]) -> Picture:
    """Images [N, h, w, 3] side by side, one pixel apart: uint8 [H, W, 3]."""
    count, height, width, _ = pixels.shape
    rows = -(-count // columns)
    out = np.empty((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), dtype=np.uint8)
    out[:] = background
    for i in range(count):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        out[top : top + height, left : left + width] = pixels[i]
    return out


def grid_columns(count: int, height: int, width: int, aspect: float = 2.4) -> int:
    """Columns that make a grid about `aspect` times as wide as high, its last row as full as can be."""
    wanted = max(1, min(count, round(math.sqrt(count * aspect * (height + 1) / (width + 1)))))
    near = range(max(1, wanted - wanted // 4), min(count, wanted + wanted // 4) + 1)
    return min(near, key=lambda columns: (-(-count // columns) * columns - count, abs(columns - wanted)))


def moments(steps: Steps, count: int) -> list[int]:
    """At most `count` of the snapshots' steps, first and last included, evenly spaced among them."""
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int))
    return [int(steps[i]) for i in chosen]


def change(images: npt.NDArray[np.float32], first: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """How far each filter has moved since the first snapshot, ‖w - w₀‖ / ‖w₀‖; [N], NaN where it began at zero."""
    axes = (1, 2, 3)
    start = np.sqrt((first.astype(np.float64) ** 2).sum(axis=axes))
    moved = np.sqrt(((images.astype(np.float64) - first) ** 2).sum(axis=axes))
    return np.divide(moved, start, out=np.full(len(start), np.nan), where=start > 0)


def norms(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """‖w‖ of each image, [N]."""
    return np.sqrt((images.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))


def summary_of(found: Snapshot) -> dict[str, Any]:
    """Plain facts of a snapshot."""
    return {"step": found.step, "filters": found.total, "size": found.images.shape[1:3]}
