"""Robust statistics against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis.signal import (
    block_medians,
    closing,
    level,
    longest_run,
    noise,
    opening,
    running_median,
    trailing_run,
)


@pytest.mark.parametrize("trend", [0.0, 0.5])
def test_noise_is_the_standard_deviation_whatever_the_trend_and_a_few_spikes(trend):
    rng = np.random.default_rng(0)
    values = trend * np.arange(5000) + 3.0 * rng.standard_normal(5000)
    values[::100] += 1000
    assert noise(values) == pytest.approx(3.0, rel=0.1)


def test_levels_leave_out_what_is_not_finite():
    values = np.array([5.0, np.nan, 4.0, np.inf, 3.0])
    assert level(values) == 4.0
    assert opening(values) == 5.0
    assert closing(values) == 4.0
    assert np.isnan(level(np.array([np.nan])))
    assert noise(np.array([1.0, np.nan])) == 0.0


def test_runs_of_true():
    mask = np.array([True, True, False, True, True, True, False, True])
    assert longest_run(mask) == (3, 3)
    assert trailing_run(mask) == 1
    assert longest_run(np.zeros(3, dtype=bool)) == (0, 0)
    assert trailing_run(np.zeros(0, dtype=bool)) == 0
    assert trailing_run(np.ones(4, dtype=bool)) == 4


def test_block_medians_keep_the_last_step_and_the_level():
    steps, values = np.arange(1000), np.repeat([1.0, 2.0], 500)
    where, medians = block_medians(steps, values, 10)
    assert len(where) == 10
    assert where[-1] == 999
    assert medians.tolist() == [1.0] * 5 + [2.0] * 5
    assert block_medians(steps[:3], values[:3], 10)[1].tolist() == [1.0, 1.0, 1.0]


def test_running_median_equals_the_median_of_each_window():
    values = np.random.default_rng(1).random(20)
    wanted = [np.median(values[max(0, i - 2) : i + 3]) for i in range(20)]
    assert running_median(values, 5) == pytest.approx(wanted)
