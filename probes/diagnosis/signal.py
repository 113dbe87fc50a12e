"""Robust statistics of noisy series: levels, noise, spans. All pure, all O(T)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from probes.diagnosis.view import Floats, Mask, Steps

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def level(values: Floats) -> float:
    """The median of the finite values; NaN when there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def noise(values: Floats) -> float:
    """Standard deviation of the point-to-point noise around a slowly moving level.

    From second differences, in which a straight trend cancels: Var(x[i-1] - 2 x[i] + x[i+1]) = 6 sigma^2.
    The median absolute deviation makes it blind to rare spikes. 0.0 for fewer than three finite values.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < 3:
        return 0.0
    second = finite[:-2] - 2.0 * finite[1:-1] + finite[2:]
    return float(MAD_TO_SIGMA * np.median(np.abs(second)) / np.sqrt(6.0))


def opening(values: Floats, points: int = 5) -> float:
    """The level of the first few finite values: at most ``points``, and at most a tenth of the series (at
    least 1).
    """
    finite = values[np.isfinite(values)]
    return level(finite[: max(1, min(points, len(finite) // 10))])


def closing(values: Floats, share: float = 0.1, points: int = 3) -> float:
    """The level of the last finite values: the last ``share`` of them, and at least ``points``."""
    finite = values[np.isfinite(values)]
    return level(finite[-max(points, int(len(finite) * share)) :])


def at_rest(values: Floats, share: float = 0.1) -> bool:
    """Whether a falling series [T] has come to rest: its last tenth lies below its third quarter by no more than
    ``share`` of the whole fall, or than two standard errors of that level.
    """
    half = len(values) // 2
    end = closing(values)
    middle = level(values[half : max(half + 1, 3 * len(values) // 4)])
    error = 2.0 * noise(values) / float(np.sqrt(max(1.0, 0.1 * len(values))))
    return middle - end <= max(share * (opening(values) - end), error)


def block_medians(steps: Steps, values: Floats, blocks: int) -> tuple[Steps, Floats]:
    """The series as the medians of at most ``blocks`` consecutive blocks: (last step of each block, medians).

    Shorter series are returned as they are.
    """
    if len(values) <= blocks:
        return steps, values
    edges = np.linspace(0, len(values), blocks + 1).astype(np.int64)
    medians = [np.median(values[a:b]) for a, b in pairwise(edges)]
    return steps[edges[1:] - 1], np.asarray(medians)


def trailing_run(mask: Mask) -> int:
    """How many entries at the end of ``mask`` are True without a gap."""
    misses = np.flatnonzero(~mask)
    return len(mask) if not len(misses) else len(mask) - 1 - int(misses[-1])


def longest_run(mask: Mask) -> tuple[int, int]:
    """(start, length) of the longest unbroken run of True; (0, 0) when there is none. The earliest of
    equals.
    """
    padded = np.concatenate(([False], mask, [False])).astype(np.int8)
    change = np.flatnonzero(np.diff(padded))
    starts, ends = change[::2], change[1::2]
    if not len(starts):
        return 0, 0
    best = int(np.argmax(ends - starts))
    return int(starts[best]), int(ends[best] - starts[best])


def running_median(values: Floats, width: int) -> Floats:
    """Centred running median [T]; the window shrinks at both ends. NaN where a window holds no finite
    value.
    """
    if width <= 1 or len(values) < 2:
        return values.copy()
    half = width // 2
    padded = np.concatenate(
        (np.full(half, np.nan), np.where(np.isfinite(values), values, np.nan), np.full(half, np.nan))
    )
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.asarray(np.nanmedian(windows, axis=1))
