"""Histograms of one layer over time, merged into as many columns as a chart can show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.series.decimate import Steps
from app.series.numbers import number
from probes.errors import UnknownNameError

if TYPE_CHECKING:
    from probes.runlog import Histograms, Run

KINDS = ("weight", "gradient", "update", "activation", "activation_gradient")
# The statistic that sums up a kind over depth and time.
OVERVIEW_KINDS = {
    "weight": "weight_std",
    "gradient": "grad_std",
    "update": "update_norm",
    "activation": "activation_std",
    "activation_gradient": "activation_grad_std",
}
OUTSIDE = ("exactly zero", "below the range", "above the range", "NaN", "Inf")
MAX_COLUMNS = 200


@dataclass(frozen=True)
class Density:
    """Where a layer's values lie, over time.

    Attributes:
        steps: last step of each column, [C].
        edges: float64 [B+1], cut to the bins that hold anything (and always the one around zero).
        share: float64 [B, C], share of all elements counted in the column; columns of `share` and `outside`
            add to 1.
        outside: float64 [5, C], shares of `OUTSIDE`.
        seen: elements counted in each column, [C].
        population: elements that the tensors of each column had, [C].
        frames: frames in the densest column.
    """

    steps: Steps
    edges: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]
    outside: npt.NDArray[np.float64]
    seen: npt.NDArray[np.int64]
    population: npt.NDArray[np.int64]
    frames: int


def histograms(run: Run, kind: str, layer: str) -> Histograms | None:
    """The histograms of one layer, None when the run holds none (yet)."""
    try:
        found = run.histograms(kind, layer)
    except UnknownNameError:
        return None
    return found if len(found.steps) else None


def missing_reason(run: Run, kind: str) -> str:
    """Why a run holds no histograms of a kind, one sentence."""
    notes = [str(note) for note in (run.model or {}).get("notes") or []]
    if kind.startswith("activation"):
        about = [note for note in notes if "compile" in note.lower() or "module" in note.lower()]
        if about:
            return f"not measured: {about[0]}"
    if run.status == "running":
        return "nothing has been measured yet; histograms come with the next frames."
    return "this run holds none. Histograms are written with each frame while probes.watch(...) is attached."


def density(found: Histograms, columns: int = MAX_COLUMNS) -> Density:
    """Merges neighbouring frames by adding their counts (exact: all share the same bins)."""
    total = len(found.steps)
    starts = np.unique(np.linspace(0, total, min(columns, total), endpoint=False).astype(np.int64))
    ends = np.append(starts[1:], total)
    counts = np.add.reduceat(np.asarray(found.counts, dtype=np.int64), starts, axis=0)
    outside = np.add.reduceat(np.asarray(found.outside, dtype=np.int64), starts, axis=0)
    population = np.add.reduceat(np.asarray(found.population, dtype=np.int64), starts)
    seen = counts.sum(axis=1) + outside.sum(axis=1)
    counts, edges = merge_tiny(counts, found.edges)
    first, last = _occupied(counts, edges)
    whole = np.maximum(seen, 1)[:, None]
    return Density(
        steps=found.steps[ends - 1],
        edges=edges[first : last + 2],
        share=(counts[:, first : last + 1] / whole).T,
        outside=(outside / whole).T,
        seen=seen,
        population=population,
        frames=int((ends - starts).max()),
    )


# Bins nearest to zero are drawn as one when they hold less than this share of all, and of no column more than
# that.
TINY_SHARE, TINY_SHARE_OF_COLUMN = 0.002, 0.02


def merge_tiny(
    counts: npt.NDArray[np.int64], edges: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Adds up the almost empty bins around zero: without it most of a log axis shows magnitudes nobody has.

    Args:
        counts: [C, B]. edges: [B+1], symmetric about zero with one bin around it; others are left as they
            are.
    """
    bins = counts.shape[1]
    middle = bins // 2
    if bins % 2 == 0 or not np.allclose(edges, -edges[::-1]):
        return counts, edges
    # inner[:, k]: what lies within the k bins next to the middle, on both sides of it.
    inner = counts[:, middle:].cumsum(axis=1) + counts[:, middle::-1].cumsum(axis=1) - counts[:, middle, None]
    total = np.maximum(counts.sum(axis=1), 1)
    small = (inner.sum(axis=0) <= TINY_SHARE * total.sum()) & (inner / total[:, None] <= TINY_SHARE_OF_COLUMN).all(
        axis=0
    )
    width = int(small[: middle - 3].sum()) - 1
    if width < 1 or not counts.any():
        return counts, edges
    left, right = middle - width, middle + width + 1
    merged = np.concatenate([counts[:, :left], inner[:, width, None], counts[:, right:]], axis=1)
    return merged, np.concatenate([edges[: left + 1], edges[right:]])


def _occupied(counts: npt.NDArray[np.int64], edges: npt.NDArray[np.float64]) -> tuple[int, int]:
    """First and last bin to show: all that hold anything, the one around zero, and one empty bin to either side."""
    middle = int(np.searchsorted(edges, 0.0, side="right")) - 1
    held = np.flatnonzero(counts.any(axis=0))
    used = np.append(held, min(max(middle, 0), counts.shape[1] - 1))
    return max(int(used.min()) - 1, 0), min(int(used.max()) + 1, counts.shape[1] - 1)


def bin_position(value: float, edges: npt.NDArray[np.float64]) -> float:
    """Where a value lies on an axis on which bin i is centred on i: linear in log|value| within a bin.

    Within the bin around zero it is linear in the value.
    """
    i = int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2))
    low, high = float(edges[i]), float(edges[i + 1])
    if low < 0 < high or low == 0 or high == 0 or not np.isfinite([low, high]).all():
        inside = (value - low) / (high - low) if np.isfinite([low, high]).all() else 0.5
    else:
        inside = (math.log(abs(value)) - math.log(abs(low))) / (math.log(abs(high)) - math.log(abs(low)))
    return i - 0.5 + min(max(inside, 0.0), 1.0)


def magnitude_ticks(edges: npt.NDArray[np.float64], per_side: int = 4) -> tuple[list[float], list[str]]:
    """Ticks at powers of ten to both sides of zero, and at zero: positions as in `bin_position`, labels."""
    finite = edges[np.isfinite(edges)]
    ticks: dict[float, str] = {}
    if finite[0] <= 0 <= finite[-1]:
        ticks[bin_position(0.0, edges)] = "0"
    for sign in (-1.0, 1.0):
        side = finite[finite * sign > 0] * sign
        if not len(side):
            continue
        low, high = math.ceil(math.log10(side.min()) - 1e-9), math.floor(math.log10(side.max()) + 1e-9)
        every = max(1, math.ceil((high - low + 1) / per_side))
        for exponent in range(high, low - 1, -every):
            at = bin_position(sign * 10.0**exponent, edges)
            if all(abs(at - other) > len(edges) / 40 for other in ticks):
                ticks[at] = number(sign * 10.0**exponent, 1)
    return list(ticks), list(ticks.values())
