"""The trend against a plain loop over every point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.series.smooth import bucket_means, trend


def naive_trend(values: list[float], span: float) -> list[float]:
    """Debiased exponential moving average by its definition: weights exp(-age / span) over all earlier points."""
    out = []
    for i in range(len(values)):
        weights = [math.exp(-(i - j) / span) for j in range(i + 1)]
        use = [(w, v) for w, v in zip(weights, values[: i + 1], strict=True) if math.isfinite(v)]
        out.append(sum(w * v for w, v in use) / sum(w for w, _ in use) if math.isfinite(values[i]) else math.nan)
    return out


@pytest.mark.parametrize("span", [0.5, 3.0, 40.0])
def test_the_trend_is_the_average_by_definition(span: float) -> None:
    values = np.random.default_rng(1).normal(size=200) + 5
    steps = np.arange(200, dtype=np.int64)
    at, found = trend(steps, values, span)
    np.testing.assert_array_equal(at, steps)
    np.testing.assert_allclose(found, naive_trend(values.tolist(), span), rtol=1e-9)


def test_it_starts_at_the_first_value_and_not_at_zero() -> None:
    _, found = trend(np.arange(5, dtype=np.int64), np.full(5, 7.0), 100.0)
    np.testing.assert_allclose(found, 7.0)


def test_what_is_not_finite_leaves_a_gap_and_does_not_spread() -> None:
    values = np.array([1.0, 1.0, np.nan, np.inf, 1.0, 1.0])
    _, found = trend(np.arange(6, dtype=np.int64), values, 2.0)
    np.testing.assert_allclose(found, [1, 1, np.nan, np.nan, 1, 1])


def test_no_span_is_the_series_itself() -> None:
    values = np.array([3.0, 1.0, np.nan])
    _, found = trend(np.arange(3, dtype=np.int64), values, 0.0)
    np.testing.assert_array_equal(found, values)


def test_a_long_series_is_averaged_in_buckets_that_sum_to_the_whole() -> None:
    rng = np.random.default_rng(2)
    steps, values = np.arange(50_000, dtype=np.int64), rng.normal(size=50_000)
    values[rng.integers(0, 50_000, 500)] = np.nan
    at, means, counts = bucket_means(steps, values, 1000)
    assert len(at) == 1000 and at[-1] == 49_999
    assert counts.sum() == np.isfinite(values).sum()
    np.testing.assert_allclose((means * counts).sum(), np.nansum(values))


def test_nothing_gives_nothing() -> None:
    at, found = trend(np.empty(0, dtype=np.int64), np.empty(0), 5.0)
    assert len(at) == len(found) == 0
