"""The trend of a noisy series."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.series.decimate import Steps, Values, bucket_starts

MAX_KNOTS = 1000


def bucket_means(
    steps: Steps, values: Values, buckets: int, log_x: bool = False
) -> tuple[Steps, Values, npt.NDArray[np.int64]]:
    """Mean of the finite values in each bucket (NaN where there is none), at the bucket's last step.

    Returns:
        steps [K], means [K], finite points counted in each [K].
    """
    starts = bucket_starts(steps, buckets, log_x)
    if not len(starts):
        return steps, values, np.empty(0, dtype=np.int64)
    finite = np.isfinite(values)
    all_finite = bool(finite.all())
    counts = np.diff(np.append(starts, len(values))) if all_finite else np.add.reduceat(finite, starts, dtype=int)
    sums = np.add.reduceat(values if all_finite else np.where(finite, values, 0.0), starts)
    means = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    return steps[np.append(starts[1:], len(steps)) - 1], means, counts


def trend(steps: Steps, values: Values, span: float, log_x: bool = False) -> tuple[Steps, Values]:
    """Exponential moving average that forgets over `span` points (weight of a point: exp(-age / span)).

    Debiased (divided by the sum of weights), so it starts at the first value and not at zero. Non-finite
    values are left out of the average; where a whole bucket has no finite value the trend has a gap. Series
    longer than `MAX_KNOTS` are averaged into that many buckets first: the cost is O(n), and a span below one
    bucket is one bucket.

    Args:
        span: in points; 0 or less gives the series itself (its bucket means when it is long).
    """
    at, means, counts = bucket_means(steps, values, MAX_KNOTS, log_x)
    if span <= 0:
        return at, means
    decays = np.exp(-counts / span)
    out = np.full(len(means), np.nan)
    total = weight = 0.0
    for i, (mean, decay, count) in enumerate(zip(means.tolist(), decays.tolist(), counts.tolist(), strict=True)):
        if not count:
            continue
        total = total * decay + mean * (1 - decay)
        weight = weight * decay + (1 - decay)
        out[i] = total / weight
    return at, out
