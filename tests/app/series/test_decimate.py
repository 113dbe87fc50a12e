"""Thinning a series keeps what a person opens the chart to see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.series.decimate import KINDS, bucket_starts, decimate, marks


def naive_extremes(steps: np.ndarray, values: np.ndarray, buckets: int) -> set[tuple[int, float]]:
    """Lowest and highest finite point of each of `buckets` equal stretches of the axis, by looking at every point."""
    low, high = int(steps[0]), int(steps[-1])
    width = (high - low) / buckets
    found: dict[int, list[tuple[float, int]]] = {}
    for step, value in zip(steps.tolist(), values.tolist(), strict=True):
        if np.isfinite(value):
            found.setdefault(min(int((step - low) / width), buckets - 1), []).append((value, step))
    return {(step, value) for points in found.values() for value, step in (min(points), max(points))}


awkward = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=32), st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf])
)


@st.composite
def series(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    gaps = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=400))
    values = draw(st.lists(awkward, min_size=len(gaps), max_size=len(gaps)))
    return np.cumsum(gaps).astype(np.int64), np.array(values, dtype=np.float64)


@given(series(), st.booleans(), st.integers(8, 60))
@settings(max_examples=300, deadline=None)
def test_extremes_ends_order_and_limit_hold_for_any_series(
    data: tuple[np.ndarray, np.ndarray], log_x: bool, limit: int
) -> None:
    steps, values = data
    kept_steps, kept = decimate(steps, values, limit, log_x)
    assert len(kept_steps) <= limit
    assert (np.diff(kept_steps) > 0).all()
    assert kept_steps[0] == steps[0] and kept_steps[-1] == steps[-1]
    position = np.searchsorted(steps, kept_steps)
    np.testing.assert_array_equal(values[position], kept)  # nothing is invented or moved
    finite = values[np.isfinite(values)]
    if len(finite):
        assert np.nanmin(kept[np.isfinite(kept)]) == finite.min()
        assert np.nanmax(kept[np.isfinite(kept)]) == finite.max()
    else:
        assert not np.isfinite(kept).any()
    if not np.isfinite(values).all():
        assert not np.isfinite(kept).all()


@given(series(), st.integers(12, 60))
@settings(max_examples=300, deadline=None)
def test_every_non_finite_point_lies_in_a_mark_of_its_kind(data: tuple[np.ndarray, np.ndarray], limit: int) -> None:
    steps, values = data
    found = marks(steps, values, limit)
    assert len(found) <= limit + len(KINDS)
    of_kind = {"NaN": np.isnan(values), "+Inf": np.isposinf(values), "-Inf": np.isneginf(values)}
    for kind, here in of_kind.items():
        mine = np.array([k == kind for k in found.kinds], dtype=bool)
        assert found.counts[mine].sum() == here.sum()
        if here.any():
            assert found.first[mine].min() == steps[here].min()
            assert found.last[mine].max() == steps[here].max()
        for step in steps[here].tolist():
            assert ((found.first[mine] <= step) & (step <= found.last[mine])).any()


@pytest.mark.parametrize("seed", range(5))
def test_the_extremes_of_every_bucket_are_those_of_the_naive_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = np.arange(12_000, dtype=np.int64)
    values = rng.normal(size=12_000)
    values[rng.integers(0, 12_000, 40)] = np.nan if seed % 2 else np.inf
    limit = 302
    kept = set(zip(*(one.tolist() for one in decimate(steps, values, limit)), strict=True))
    assert naive_extremes(steps, values, (limit - 2) // 3) <= kept


def test_one_spike_and_one_nan_among_a_million_survive_and_break_the_line_where_they_are() -> None:
    steps = np.arange(1_000_000, dtype=np.int64)
    values = np.ones(1_000_000)
    values[123_456], values[700_001], values[900_000] = 1e9, np.nan, -5.0
    kept_steps, kept = decimate(steps, values)
    assert len(kept_steps) <= 2000
    assert kept[np.searchsorted(kept_steps, 123_456)] == 1e9
    assert kept[np.searchsorted(kept_steps, 900_000)] == -5.0
    assert np.isnan(kept[np.searchsorted(kept_steps, 700_001)])
    found = marks(steps, values)
    assert (found.first.tolist(), found.last.tolist(), found.kinds) == ([700_001], [700_001], ("NaN",))


def test_a_stretch_of_nan_is_one_mark_and_another_kind_inside_it_is_its_own() -> None:
    steps = np.arange(10, dtype=np.int64) * 10
    values = np.array([1, np.nan, np.nan, np.inf, np.nan, 1, 1, -np.inf, -np.inf, 1.0])
    found = marks(steps, values)
    assert found.first.tolist() == [10, 30, 40, 70]
    assert found.last.tolist() == [20, 30, 40, 80]
    assert found.counts.tolist() == [2, 1, 1, 2]
    assert found.kinds == ("NaN", "+Inf", "NaN", "-Inf")


def test_a_log_axis_gives_the_first_steps_as_many_buckets_as_the_last() -> None:
    steps = np.arange(1, 100_001, dtype=np.int64)
    edges = steps[bucket_starts(steps, 100, log_x=True)]
    assert (edges <= 1000).sum() >= 40
    assert (steps[bucket_starts(steps, 100)] <= 1000).sum() == 1


def test_short_and_empty_series_are_left_alone() -> None:
    for total in (0, 1, 2, 2000):
        steps, values = np.arange(total, dtype=np.int64), np.arange(total, dtype=np.float64)
        kept_steps, kept = decimate(steps, values)
        np.testing.assert_array_equal(kept_steps, steps)
        np.testing.assert_array_equal(kept, values)
