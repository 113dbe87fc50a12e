"""Density on a linear axis: areas, heights and shares against NumPy on the samples themselves."""

from __future__ import annotations

import numpy as np
import pytest

from app.series import density
from app.series.distributions import OUTSIDE


def measured(make_run, samples: dict[int, np.ndarray]):
    run = make_run(layers=["w"]).histogram("weight", {step: [one] for step, one in samples.items()}).open()
    return run.histograms("weight", "w")


@pytest.mark.parametrize(("scale", "shift"), [(0.1, 0.0), (3.0, 0.0), (1e-5, 0.0), (0.2, 1.0)])
def test_the_density_is_numpys_over_the_same_bins(make_run, scale: float, shift: float) -> None:
    values = np.random.default_rng(0).normal(shift, scale, 40_000).astype(np.float32)
    found = density.bell(measured(make_run, {3: values}))
    assert found is not None and found.steps.tolist() == [3]
    oracle, _ = np.histogram(values.astype(np.float64), bins=found.edges)
    widths = np.diff(found.edges)
    # A value that sits exactly on an edge may be counted to either side of it.
    np.testing.assert_allclose(found.density[0] * widths, oracle / len(values), atol=2.5 / len(values))
    area = (found.density[0] * widths).sum()
    assert area + found.beyond[0] == pytest.approx(1.0)
    assert found.beyond[0] <= 2 * density.TAIL
    if shift:
        return  # around 1 the bins are half as wide as the value: no bell is to be expected there
    normal = np.exp(-0.5 * ((found.edges - shift) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
    highest = np.maximum(normal[:-1], normal[1:]).max()
    assert found.density[0].max() == pytest.approx(highest, rel=0.15)


def test_the_axis_leaves_outliers_out_and_says_how_many(make_run) -> None:
    values = np.random.default_rng(1).normal(0, 0.01, 100_000).astype(np.float32)
    values[:20] = 500.0
    found = density.bell(measured(make_run, {1: values}))
    assert found.edges[-1] < 0.1 and found.edges[0] > -0.1
    inside = (values >= found.edges[0]) & (values < found.edges[-1])
    assert found.beyond[0] == pytest.approx(1 - inside.mean(), abs=1e-5) and found.beyond[0] >= 20 / 100_000


def test_bins_next_to_zero_are_wide_enough_to_be_no_noise(make_run) -> None:
    values = np.random.default_rng(2).normal(0, 1, 5000).astype(np.float32)
    found = density.bell(measured(make_run, {1: values}))
    widths = np.diff(found.edges)
    assert widths.min() >= density.NARROWEST * (found.edges[-1] - found.edges[0]) * 0.999
    assert found.density[0].max() < 2 * 0.399  # the peak of the standard normal; bins of 2^-32 would give thousands


def test_zeros_and_nonfinite_values_are_shares_of_all_and_no_part_of_the_curve(make_run) -> None:
    values = np.abs(np.random.default_rng(3).normal(0, 1, 1000)).astype(np.float32)
    values[:500], values[500:510], values[510:515] = 0.0, np.nan, np.inf
    found = density.bell(measured(make_run, {1: values}))
    shares = dict(zip(OUTSIDE, found.outside[0], strict=True))
    assert shares["exactly zero"] == 0.5 and shares["NaN"] == 0.01 and shares["Inf"] == 0.005
    assert (found.density[0] * np.diff(found.edges)).sum() + found.beyond[0] == pytest.approx(1.0)
    assert found.edges[0] == pytest.approx(0, abs=1e-9)  # nothing negative: the axis starts at zero


def test_earlier_frames_are_ghosts_on_the_axis_of_the_newest(make_run) -> None:
    rng = np.random.default_rng(4)
    samples = {step: rng.normal(0, 0.01 * step, 2000).astype(np.float32) for step in range(1, 31)}
    found = density.bell(measured(make_run, samples))
    assert found.steps[0] == 1 and found.steps[-1] == 30 and len(found.steps) == density.GHOSTS + 1
    assert 0.6 < found.edges[-1] < 1.6  # three standard deviations of the newest frame
    assert (np.diff(found.density.max(axis=1)) < 0).all()  # ever wider, ever lower


def test_a_frame_of_nan_only_is_a_gap_and_the_axis_is_that_of_the_frame_before(make_run) -> None:
    fine = np.random.default_rng(5).normal(0, 1, 500).astype(np.float32)
    found = density.bell(measured(make_run, {1: fine, 2: np.full(500, np.nan, np.float32)}))
    assert np.isfinite(found.density[0]).all() and np.isnan(found.density[1]).all()
    assert found.outside[1].tolist() == [0, 0, 0, 1, 0]
    assert density.bell(measured_again(make_run)) is None


def measured_again(make_run):
    run = make_run("all-nan", layers=["w"]).histogram("weight", {1: [np.full(9, np.nan, np.float32)]}).open()
    return run.histograms("weight", "w")
