"""How a loss falls at the end of a run, against how it fell in all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.signal import opening
from probes.diagnosis.view import Floats


@dataclass(frozen=True)
class Fall:
    """The fall of a loss along some measure of how much was trained (steps, or learning rate times steps).

    Attributes:
        start, end: level of the first values; value at the end of the straight line through the last part.
        rate: fall per unit of ``x`` in the last part.
        pace: that fall against the mean one over the whole: 1 as fast as ever, 0 at rest.
        settled: that fall against the mean one since the first tenth: what the first steps gain (the mean of the
            targets, scores that shrink) is no measure of the rest; 0 where the loss did not fall since.
        promise: what as much training again would gain at that rate, as a share of the level at the end.
        certainty: the fall over its standard error.
    """

    start: float
    end: float
    rate: float
    pace: float
    settled: float
    promise: float
    certainty: float


GLIMPSED = 2.0
"""Standard errors of a fall at the end that goes on from one that is certain over the whole run."""


def fall(x: Floats, values: Floats, part: float = 0.4) -> Fall | None:
    """How ``values`` [T] fall along ``x`` [T] (ascending) in its last ``part``; None with too few values there.

    The standard error is that of a least-squares line with independent residuals.
    """
    length = float(x[-1] - x[0]) if len(x) else 0.0
    tail = x >= x[-1] - part * length if len(x) else np.zeros(0, dtype=bool)
    if length <= 0 or tail.sum() < 4 or not abs(values[tail]).max() > 0:
        return None
    at, seen = x[tail] - x[tail].mean(), values[tail]
    spread = float(at @ at)
    slope = float(at @ (seen - seen.mean()) / spread)
    left = seen - seen.mean() - slope * at
    error = float(np.sqrt(left @ left / max(len(at) - 2, 1) / spread))
    start, end = opening(values), float(seen.mean() + slope * at[-1])
    if not end > 0 or not start > end:
        return None
    return Fall(
        start=start,
        end=end,
        rate=-slope,
        pace=-slope * length / (start - end),
        settled=_settled(x, values, end, -slope),
        promise=-slope * length / end,
        certainty=-slope / max(error, 1e-12 * abs(slope), 1e-300),
    )


def _settled(x: Floats, values: Floats, end: float, rate: float) -> float:
    """The fall ``rate`` over the mean one from the second tenth of ``x`` to the ``end`` of the line."""
    early = (x >= x[0] + 0.1 * (x[-1] - x[0])) & (x <= x[0] + 0.2 * (x[-1] - x[0]))
    if not early.any():
        return 0.0
    mean = (float(values[early].mean()) - end) / (float(x[-1]) - float(x[early].mean()))
    return rate / mean if mean > 0 else 0.0


def is_straight(x: Floats, values: Floats, least: float = 0.9) -> bool:
    """Whether ``values`` [T] fall along ``x`` in its last third at ``least`` times the pace of the third before."""
    length = float(x[-1] - x[0])
    before, last = (x > x[0] + 0.3 * length) & (x <= x[0] + 0.65 * length), x > x[0] + 0.65 * length
    if min(before.sum(), last.sum()) < 4:
        return False
    was, now = (float(np.polyfit(x[part] - x[part].mean(), values[part], 1)[0]) for part in (before, last))
    return was < 0 and now <= least * was


def is_certain(found: Fall, x: Floats, values: Floats, errors: float) -> bool:
    """Whether a fall at the end is one: by ``errors`` standard errors there, or by `GLIMPSED` there and by ``errors``
    of a straight line through the whole run, where the last part alone is too short to tell it from the noise.
    """
    if found.certainty >= errors:
        return True
    whole = fall(x, values, part=1.01) if found.certainty >= GLIMPSED else None
    return whole is not None and whole.certainty >= errors
