"""One layer's values on a linear axis: the density a student draws, at a few moments of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.series.decimate import Steps

if TYPE_CHECKING:
    from probes.runlog import Histograms

# Beyond this share of the values to each side the axis ends: a single outlier would squeeze the bell into a needle.
TAIL = 0.001
# Bins narrower than this share of the axis are added up: next to zero they hold a handful of values each, and
# count / width of so few is noise as high as the bell.
NARROWEST = 1 / 60
GHOSTS = 5


@dataclass(frozen=True)
class Bell:
    """Densities of one layer's values.

    Attributes:
        steps: moments, oldest first, the newest frame last, [K].
        edges: float64 [B+1], bins of the axis.
        density: float64 [K, B], count / (all values in bins x bin width): the area under the whole curve, with what
            lies beyond the axis, is 1. NaN for a moment none of whose values is in a bin.
        beyond: float64 [K], share of the values in bins that lies off the axis.
        outside: float64 [K, 5], shares of all elements as in `app.series.distributions.OUTSIDE`.
    """

    steps: Steps
    edges: npt.NDArray[np.float64]
    density: npt.NDArray[np.float64]
    beyond: npt.NDArray[np.float64]
    outside: npt.NDArray[np.float64]


def bell(found: Histograms, ghosts: int = GHOSTS, tail: float = TAIL) -> Bell | None:
    """The newest frame and up to `ghosts` earlier ones, spaced evenly; None when no frame has a value in a bin.

    The axis spans the newest frame that has values in bins, but for the outermost `tail` of them to each side, in
    whole bins.
    """
    total = len(found.steps)
    rows = np.unique(np.linspace(0, total - 1, ghosts + 1).round().astype(int))
    counts = np.asarray(found.counts)[rows].astype(np.float64)
    outside = np.asarray(found.outside)[rows].astype(np.float64)
    sums = counts.sum(axis=1)
    held = np.flatnonzero(sums)
    if not len(held):
        return None
    edges = np.asarray(found.edges, dtype=np.float64)
    first, last = up_to_zero(*central(counts[held[-1]], tail), edges)
    kept = coarser(edges[first : last + 2], NARROWEST)
    inner = np.add.reduceat(counts[:, first : last + 1], kept[:-1], axis=1)
    shown = edges[first : last + 2][kept]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(sums[:, None] > 0, inner / sums[:, None], np.nan)
    seen = np.maximum(sums + outside.sum(axis=1), 1)
    return Bell(
        found.steps[rows],
        shown,
        share / np.diff(shown),
        np.clip(1 - share.sum(axis=1), 0, 1),
        outside / seen[:, None],
    )


def central(counts: npt.NDArray[np.float64], tail: float) -> tuple[int, int]:
    """First and last bin to show, so that at most `tail` of the counts is left out to each side."""
    below = np.cumsum(counts) / counts.sum()
    above = np.cumsum(counts[::-1])[::-1] / counts.sum()
    return int(np.argmax(below > tail)), int(len(counts) - 1 - np.argmax(above[::-1] > tail))


def up_to_zero(first: int, last: int, edges: npt.NDArray[np.float64]) -> tuple[int, int]:
    """The same bins, begun (or ended) at zero when they nearly reach it: an axis from 0.006 on reads as a gap."""
    span = float(edges[last + 1] - edges[first])
    middle = int(np.argmin(np.abs(edges)))
    if 0 < edges[first] < NARROWEST * span:
        first = middle
    if -NARROWEST * span < edges[last + 1] < 0:
        last = middle - 1
    return first, last


def coarser(edges: npt.NDArray[np.float64], narrowest: float) -> npt.NDArray[np.int64]:
    """Which edges to keep for bins at least `narrowest` of the axis wide: from zero outwards, both ends included."""
    width = narrowest * float(edges[-1] - edges[0])
    start = int(np.argmin(np.abs(edges)))
    keep = [start]
    for way in (range(start + 1, len(edges)), range(start - 1, -1, -1)):
        last, end = start, start
        for i in way:
            end = i
            if abs(edges[i] - edges[last]) >= width:
                keep.append(i)
                last = i
        if end != last:  # too little is left for a bin of its own: the last one takes it in
            keep = [*(k for k in keep if k != last or last == start), end]
    return np.unique(np.array(keep, dtype=np.int64))
