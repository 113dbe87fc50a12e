"""Norms, row statistics and output statistics against float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probes import buckets
from probes.instrument import capture
from probes.instrument.activations import activation_kind
from probes.instrument.norms import norms
from probes.instrument.sampling import row_slices
from probes.instrument.sheet import MAX, MEAN, MIN, STD, Sheet, describe


@pytest.mark.parametrize("scale", [1e-15, 1e-3, 1.0, 1e12])
@pytest.mark.parametrize("numel", [1, 63, 100_000])
def test_norms_are_those_of_float64(numel: int, scale: float):
    tensor = torch.randn(numel) * scale
    expected = np.linalg.norm(tensor.numpy().astype(np.float64))
    assert norms([tensor, tensor]).tolist() == pytest.approx([expected, expected], rel=1e-5)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(300, dtype=torch.float64),
        torch.randn(300).to(torch.bfloat16),
        torch.randn(300).to(torch.float16) * 200,
        torch.randn(30, 20).T,
        torch.randn(8, 3, 3, 3).to(memory_format=torch.channels_last),
        torch.randn(20, 10)[:, ::3],
        torch.randn(40, dtype=torch.complex64),
    ],
)
def test_norms_of_every_type_and_layout(tensor: torch.Tensor):
    wide = tensor.to(torch.complex128 if tensor.is_complex() else torch.float64).numpy()
    assert norms([tensor]).item() == pytest.approx(np.linalg.norm(wide.reshape(-1)), rel=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_norm_shows_that_an_element_is_not_finite(bad: float):
    tensor = torch.zeros(1000)
    tensor[577] = bad
    assert not np.isfinite(norms([tensor]).item())


def test_rows_of_all_lengths_get_the_statistics_of_numpy():
    rng = np.random.default_rng(3)
    rows = {("weight", i): rng.normal(m, s, n) for i, (n, m, s) in enumerate(
        [(1, 0, 1), (17, 5, 1e-3), (17, -2, 3), (5000, 1000, 1), (5000, 0, 1e-9), (16384, 0, 1)] + [(100, 1,
        2)] * 70
    )}  # fmt: skip
    sheet = Sheet()
    for key, values in rows.items():
        sheet.add(key, torch.tensor(values, dtype=torch.float32))
    measured = [(g.keys, [g.length] * len(g.keys), g.stats, g.table.numpy()) for g in sheet.groups()]
    strip = sheet.strip()
    measured.append((strip.keys, strip.lengths, *describe(strip.values.numpy(), strip.lengths)))
    seen = set()
    for keys, lengths, statistics, tables in measured:
        for i, key in enumerate(keys):
            values = rows[key].astype(np.float32)
            wide = values.astype(np.float64)
            stats = statistics[i].tolist()
            assert lengths[i] == values.size
            assert stats[MEAN] == pytest.approx(wide.mean(), rel=1e-5, abs=1e-6 * wide.std() + 1e-12)
            assert stats[STD] == pytest.approx(wide.std(), rel=1e-3, abs=1e-12)
            assert (stats[MIN], stats[MAX]) == (values.min(), values.max())
            np.testing.assert_array_equal(buckets.positive_first(tables[i]), buckets.count(values))
            seen.add(key)
    assert seen == set(rows)


@pytest.mark.parametrize("repeats", [1, 400], ids=["short", "long"])
def test_special_values_are_counted_in_the_row_they_are_in(repeats: int):
    sheet = Sheet()
    special = torch.tensor([0.0, -0.0, float("nan"), float("inf"), float("-inf"), -1.0, 1e-40, 1e30]).repeat(repeats)
    for number in range(5):
        sheet.add(("gradient", number), special if number == 3 else torch.ones(8 * repeats))
    strip = sheet.strip()
    if strip is None:
        (group,) = sheet.groups()
        stats, table = group.stats.numpy(), group.table.numpy()
    else:
        stats, table = describe(strip.values.numpy(), strip.lengths)
    counts, outside = buckets.fold(table, negative_first=True)
    np.testing.assert_array_equal(outside[3], buckets.histogram(special.numpy())[1])
    np.testing.assert_array_equal(counts[3], buckets.histogram(special.numpy())[0])
    assert outside[[0, 1, 2, 4]].sum() == 0
    assert np.isnan(stats[3]).all()
    np.testing.assert_array_equal(stats[[0, 1, 2, 4]], [[1.0, 0.0, 1.0, 1.0]] * 4)


def test_an_empty_sample_is_left_out():
    sheet = Sheet()
    sheet.add(("weight", 0), torch.zeros(0))
    assert sheet.groups() == []
    assert sheet.strip() is None


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (torch.nn.Sigmoid(), lambda v: np.abs(v - 0.5) > 0.475),
        (torch.nn.Tanh(), lambda v: np.abs(v) > 0.95),
        (torch.nn.Hardtanh(-2, 2), lambda v: np.abs(v) > 1.9),
        (torch.nn.Softsign(), lambda v: np.abs(v) > 0.95),
    ],
)
def test_saturated_share(module: torch.nn.Module, function):
    kind = activation_kind(module)
    values = module(torch.randn(500) * 30)
    expected = function(values.numpy().astype(np.float64)).mean()
    assert expected > 0.02
    assert capture.saturated_share(values, kind).item() == pytest.approx(expected, abs=0.003)


def test_deviation_across_the_examples():
    values = torch.randn(16, 8, 5) + 3
    wide = values.numpy().astype(np.float64)
    expected = np.linalg.norm(wide - wide.mean(axis=0))
    varying, constant = capture.across_examples([values, torch.randn(1, 8).expand(16, 8)])
    assert varying.item() == pytest.approx(expected, rel=1e-5)
    assert constant.item() == pytest.approx(0.0, abs=1e-5)


def test_alive_units_are_those_that_fired_somewhere():
    output = torch.relu(torch.randn(32, 6, 4, 4))
    output[:, 2] = 0
    output[5, 4, 3, 3], output[:, 4] = 0, 0
    output[31, 4, 3, 3] = 0.1
    kind = activation_kind(torch.nn.ReLU())
    seen = capture.sample_range(output, 1, kind)
    assert capture.alive_units(seen, kind).tolist() == [True, True, False, True, True, True]
    assert seen.observations == 32


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((40, 7), 1), ((9, 5, 3), 1), ((9, 5, 3), 2), ((40, 12, 9, 11), 1), ((33, 300, 40), 2), ((5, 3, 4, 6, 2), 1)],
)
def test_the_range_of_each_unit_is_that_of_the_elements_looked_at(shape, axis):
    """Reduced step by step; here, by NumPy at once, also with a NaN, which belongs to its unit alone."""
    output = torch.randn(shape)
    output.view(-1)[0] = float("nan")
    seen = capture.sample_range(output, axis, activation_kind(torch.nn.GELU()))
    looked_at = output[row_slices(output.shape, axis, capture.ALIVE_LIMIT)].numpy()
    others = tuple(a for a in range(len(shape)) if a != axis)
    np.testing.assert_array_equal(seen.highest.numpy(), looked_at.max(others))
    np.testing.assert_array_equal(seen.lowest.numpy(), looked_at.min(others))


def test_near_zero_everywhere_is_dead_for_smooth_activations():
    inputs = torch.randn(64, 3)
    inputs[:, 1] = -20
    kind = activation_kind(torch.nn.GELU())
    seen = capture.sample_range(torch.nn.functional.gelu(inputs), 1, kind)
    assert capture.alive_units(seen, kind).tolist() == [True, False, True]
    assert seen.observations == 64


def test_a_nan_unit_is_not_called_dead():
    output = torch.zeros(10, 2)
    output[3, 0] = float("nan")
    kind = activation_kind(torch.nn.ReLU())
    seen = capture.sample_range(output, 1, kind)
    assert capture.alive_units(seen, kind).tolist() == [True, False]
