"""The bins against NumPy's histogram, the merge law, and every special value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probes import buckets

ZERO, BELOW, ABOVE, NAN, INF = range(5)
float32_bits = hnp.arrays(np.uint32, st.integers(0, 200), elements=st.integers(0, 2**32 - 1))


def naive(values: np.ndarray) -> tuple[list[int], list[int]]:
    """One comparison at a time, in float64."""
    counts, outside = [0] * buckets.BINS, [0] * 5
    edges = [float(e) for e in buckets.EDGES]
    middle = buckets.BINS // 2
    for value in values.astype(np.float64):
        size = abs(value)
        if np.isnan(value):
            outside[NAN] += 1
        elif np.isinf(value):
            outside[INF] += 1
        elif size < float(np.finfo(np.float32).smallest_normal):
            outside[ZERO] += 1
        elif size >= 2.0**16:
            outside[ABOVE if value > 0 else BELOW] += 1
        elif size < 2.0**-32:
            counts[middle] += 1
        else:
            distance = max(k for k in range(1, middle + 1) if edges[middle + k] <= size)
            counts[middle + distance if value > 0 else middle - distance] += 1
    return counts, outside


def test_there_are_193_bins_with_increasing_edges_symmetric_about_zero():
    assert buckets.BINS == 193
    assert buckets.EDGES.shape == (194,)
    assert (np.diff(buckets.EDGES) > 0).all()
    np.testing.assert_array_equal(buckets.EDGES, -buckets.EDGES[::-1])
    assert buckets.EDGES[-1] == 2.0**16
    assert buckets.EDGES[buckets.BINS // 2 + 1] == 2.0**-32


@settings(deadline=None, max_examples=60)
@given(float32_bits)
def test_any_bit_pattern_lands_where_a_naive_twin_puts_it(bits: np.ndarray):
    # A signalling NaN without its quiet bit is the one pattern that ten bits cannot tell from an infinity.
    signalling = ((bits & 0x7F800000) == 0x7F800000) & ((bits & 0x007FFFFF) != 0)
    values = np.where(signalling, bits | 0x00400000, bits).astype(np.uint32).view(np.float32)
    counts, outside = buckets.histogram(values)
    expected_counts, expected_outside = naive(values)
    assert counts.tolist() == expected_counts
    assert outside.tolist() == expected_outside


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 3e4])
def test_normal_numbers_are_counted_as_by_numpy(scale: float):
    values = (np.random.default_rng(1).standard_normal(50_000) * scale).astype(np.float32)
    counts, outside = buckets.histogram(values)
    inside = values[(np.abs(values) >= 2.0**-32) & (np.abs(values) < 2.0**16)].astype(np.float64)
    expected, _ = np.histogram(inside, buckets.EDGES)
    middle = buckets.BINS // 2
    np.testing.assert_array_equal(np.delete(counts, middle), np.delete(expected, middle))
    assert counts.sum() + outside.sum() == values.size


@settings(deadline=None, max_examples=50)
@given(float32_bits, float32_bits)
def test_counting_together_is_adding_what_was_counted_apart(left: np.ndarray, right: np.ndarray):
    a, b = left.view(np.float32), right.view(np.float32)
    together = buckets.histogram(np.concatenate([a, b]))
    apart = [x + y for x, y in zip(buckets.histogram(a), buckets.histogram(b), strict=True)]
    for whole, summed in zip(together, apart, strict=True):
        np.testing.assert_array_equal(whole, summed)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (0.0, ZERO), (-0.0, ZERO), (1e-40, ZERO), (-1e-40, ZERO), (65536.0, ABOVE), (3.4e38, ABOVE),
        (-65536.0, BELOW), (-3.4e38, BELOW), (np.nan, NAN), (-np.nan, NAN), (np.inf, INF), (-np.inf, INF),
    ],
)  # fmt: skip
def test_what_lies_outside_the_bins_is_counted_apart(value: float, where: int):
    counts, outside = buckets.histogram([value])
    assert counts.sum() == 0
    assert outside.tolist() == [int(i == where) for i in range(5)]


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(1.0, 1.0, 1.5), (1.49, 1.0, 1.5), (1.5, 1.5, 2.0), (-1.0, -1.5, -1.0), (-1.5, -2.0, -1.5),
     (2.0**-32, 2.0**-32, 1.5 * 2.0**-32), (2.0**-33, -(2.0**-32), 2.0**-32), (-1e-30, -(2.0**-32),
     2.0**-32)],
)  # fmt: skip
def test_a_value_falls_between_its_edges(value: float, low: float, high: float):
    counts, outside = buckets.histogram([value])
    (place,) = np.flatnonzero(counts)
    assert (buckets.EDGES[place], buckets.EDGES[place + 1]) == (low, high)
    assert outside.sum() == 0


def test_tables_of_many_layers_fold_row_by_row():
    values = np.random.default_rng(2).standard_normal((3, 100)).astype(np.float32)
    counts, outside = buckets.fold(np.stack([buckets.count(row) for row in values]))
    for row in range(3):
        expected = buckets.histogram(values[row])
        np.testing.assert_array_equal(counts[row], expected[0])
        np.testing.assert_array_equal(outside[row], expected[1])


def test_a_table_of_another_width_is_refused():
    with pytest.raises(ValueError, match="1024 columns, this one has 7"):
        buckets.fold(np.zeros((2, 7), dtype=np.int64))


@pytest.mark.parametrize("scale", [1e-30, 1e-5, 1.0, 1e25])
def test_the_root_mean_square_is_close_over_the_whole_range(scale: float):
    values = (np.random.default_rng(5).standard_normal(2000) * scale).astype(np.float32)
    expected = np.sqrt(np.mean(values.astype(np.float64) ** 2))
    table = buckets.count(np.append(values, [np.nan, np.inf]).astype(np.float32))
    assert buckets.rms(table) == pytest.approx(expected, rel=0.1)
    assert buckets.rms(buckets.count(np.zeros(5))) == 0
