"""Histograms over time: shares add up, bins merge exactly, ticks sit where their value is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.series import distributions as series
from probes.buckets import EDGES, count, fold


def tensors(seed: int, scale: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, scale, 5000).astype(np.float32) for _ in range(3)]


def test_columns_add_up_to_everything_that_was_counted(make_run) -> None:
    samples = {step: tensors(step, 0.1) for step in range(1, 8)}
    samples[4][0][:50] = 0.0
    samples[5][0][:25] = np.nan
    samples[6][0][:10] = np.inf
    samples[7][0][:5] = -1e6
    run = make_run().histogram("weight", samples).open()
    found = series.density(run.histograms("weight", "fc1.weight"))
    np.testing.assert_allclose(found.share.sum(axis=0) + found.outside.sum(axis=0), 1.0)
    assert found.seen.tolist() == [5000] * 7
    rows = dict(zip(series.OUTSIDE, found.outside, strict=True))
    assert rows["exactly zero"][3] == 0.01 and rows["NaN"][4] == 0.005 and rows["Inf"][5] == 0.002
    assert rows["below the range"][6] == 0.001 and not rows["above the range"].any()


def test_many_frames_merge_by_adding_counts(make_run) -> None:
    samples = {step: tensors(step, 0.1) for step in range(1, 41)}
    run = make_run().histogram("gradient", samples).open()
    found = series.density(run.histograms("gradient", "fc1.weight"), columns=4)
    assert found.steps.tolist() == [10, 20, 30, 40] and found.frames == 10
    together = np.concatenate([samples[step][0] for step in range(1, 11)])
    low, high = found.edges[:-1], found.edges[1:]
    naive = np.array([((together >= a) & (together < b)).mean() for a, b in zip(low, high, strict=True)])
    positive = low > 0  # bins of negative values are closed on the other side
    np.testing.assert_allclose(found.share[positive, 0], naive[positive])


def test_the_almost_empty_middle_becomes_one_bin_and_nothing_is_lost() -> None:
    values = np.concatenate([np.full(10_000, 0.1), np.full(10_000, -0.2), [1e-9, -1e-7]]).astype(np.float32)
    counts, _ = fold(count(values))
    merged, edges = series.merge_tiny(counts[None].astype(np.int64), EDGES)
    assert merged.sum() == counts.sum() == 20_002
    assert len(edges) == merged.shape[1] + 1 and len(edges) < len(EDGES) / 2
    middle = merged.shape[1] // 2
    assert merged[0, middle] == 2
    assert edges[middle] < -1e-7 and edges[middle + 1] > 1e-7
    assert set(edges) <= set(EDGES)


@given(st.floats(-60000, 60000).filter(lambda v: v == 0 or abs(v) > 1e-9))
@settings(max_examples=300)
def test_a_value_lies_inside_its_bin_and_order_is_kept(value: float) -> None:
    at = series.bin_position(value, EDGES)
    index = int(np.clip(np.searchsorted(EDGES, value, side="right") - 1, 0, len(EDGES) - 2))
    assert index - 0.5 <= at <= index + 0.5
    assert series.bin_position(value * 1.3 + 1e-8, EDGES) >= at if value >= 0 else True


@pytest.mark.parametrize("edges", [EDGES, EDGES[60:140], EDGES[97:]])
def test_ticks_sit_at_the_values_they_name(edges: np.ndarray) -> None:
    at, labels = series.magnitude_ticks(edges)
    assert len(at) == len(labels) >= 3
    for position, label in zip(at, labels, strict=True):
        assert position == pytest.approx(series.bin_position(float(label.replace(",", "")), edges))


def test_an_unknown_layer_or_kind_is_none(make_run) -> None:
    run = make_run().histogram("weight", {1: tensors(0, 1.0)}).open()
    assert series.histograms(run, "weight", "nope") is None
    assert series.histograms(run, "activation", "1") is None
