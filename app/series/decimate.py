"""Fewer points, same picture: thins a series without losing an extreme or a non-finite value.

A chart is about a thousand pixels wide. Per pixel-wide bucket only the lowest and the highest point can be
seen (the min-max part of M4: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB
2014), so these two are kept where they are, with the first and the last point of the series. Averaging or
taking every n-th point would lose the spike that somebody opened the chart to see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

MAX_POINTS = 2000


@dataclass(frozen=True)
class Marks:
    """Stretches of neighbouring points of one kind that a line cannot show.

    Attributes:
        first, last: steps where each stretch begins and ends, int64 [N].
        counts: points in it, int64 [N].
        kinds: "NaN", "+Inf" or "-Inf", [N].
    """

    first: Steps
    last: Steps
    counts: npt.NDArray[np.int64]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds)


KINDS = ("NaN", "+Inf", "-Inf")


def bucket_starts(steps: Steps, buckets: int, log_x: bool = False) -> npt.NDArray[np.int64]:
    """Cuts `steps` (ascending) into at most `buckets` stretches of equal width on the axis they are drawn on.

    On a log axis the width is equal in log10(step), and what lies at step 0 or below falls into the first
    bucket.

    Returns:
        Index of the first point of each non-empty bucket, ascending, starting with 0.
    """
    if len(steps) <= buckets:
        return np.arange(len(steps), dtype=np.int64)
    low, high = float(steps[0]), float(steps[-1])
    if log_x:
        edges = np.geomspace(max(low, 1.0), max(high, 1.0), buckets + 1)
    else:
        edges = np.linspace(low, high, buckets + 1)
    starts = np.searchsorted(steps, edges[1:-1], side="left")
    return np.unique(np.concatenate(([0], starts[starts < len(steps)]))).astype(np.int64)


def thin(values: Values, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Indices to keep: each bucket's lowest and highest finite point and, where it has one, its first non-finite.

    The first and the last point are always among them. O(n).
    """
    total = len(values)
    if total == 0:
        return np.empty(0, dtype=np.int64)
    bad = ~np.isfinite(values)
    any_bad = bool(bad.any())
    lows = np.where(bad, np.inf, values) if any_bad else values
    highs = np.where(bad, -np.inf, values) if any_bad else values
    lengths = np.diff(np.append(starts, total))
    keep = [np.array([0, total - 1])]
    for extreme in (np.minimum.reduceat(lows, starts), np.maximum.reduceat(highs, starts)):
        # A bucket without any finite value has an infinite extreme, that equals none of its values unless they
        # are infinite themselves; those are taken below anyway.
        keep.append(_first_in_each(values == np.repeat(extreme, lengths), starts))
    if any_bad:
        keep.append(_first_in_each(bad, starts))
    return np.unique(np.concatenate(keep))


def _first_in_each(hit: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Index of the first hit in each bucket that has one."""
    hits = np.append(np.flatnonzero(hit), len(hit))
    first = hits[np.searchsorted(hits, starts)]
    return first[first < np.append(starts[1:], len(hit))]


def decimate(steps: Steps, values: Values, limit: int = MAX_POINTS, log_x: bool = False) -> tuple[Steps, Values]:
    """At most `limit` points of a series, in order; what is left out lies between points that are kept.

    Non-finite values are kept as they are (one for each bucket that has any), so that a line drawn through
    the result breaks where the series does. `marks` gives every one of them.

    Args:
        steps: int64 [T], ascending.
        values: float64 [T].
        limit: at least 8.
        log_x: the x axis is logarithmic.
    """
    if len(steps) <= limit:
        return steps, values
    per_bucket = 2 if np.isfinite(values).all() else 3
    keep = thin(values, bucket_starts(steps, (limit - 2) // per_bucket, log_x))
    return steps[keep], values[keep]


def marks(steps: Steps, values: Values, limit: int = 400) -> Marks:
    """Where a series is not finite: stretches of neighbouring points of the same kind, at most about `limit`.

    When there are more stretches than that, those that fall into the same 1/limit of the axis are put
    together, with their counts added: no point goes uncounted, and the first and last of each kind are exact.
    """
    bad = np.flatnonzero(~np.isfinite(values))
    if not len(bad):
        empty = np.empty(0, dtype=np.int64)
        return Marks(empty, empty, empty, ())
    found = values[bad]
    kind = np.where(np.isnan(found), 0, np.where(found > 0, 1, 2))
    begins = np.flatnonzero((np.diff(bad, prepend=-2) != 1) | (np.diff(kind, prepend=-1) != 0))
    if len(begins) > limit:
        order = np.argsort(kind, kind="stable")
        bad, kind = bad[order], kind[order]
        width = max(float(steps[-1] - steps[0]) / (limit // len(KINDS)), 1.0)
        cell = ((steps[bad] - steps[0]) / width).astype(np.int64)
        begins = np.flatnonzero((np.diff(kind, prepend=-1) != 0) | (np.diff(cell, prepend=-1) != 0))
    ends = np.append(begins[1:], len(bad))
    return Marks(
        first=steps[bad[begins]],
        last=steps[bad[ends - 1]],
        counts=(ends - begins).astype(np.int64),
        kinds=tuple(KINDS[k] for k in kind[begins]),
    )
