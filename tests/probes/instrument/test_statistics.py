"""Norms, row statistics and output statistics against float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probes import buckets
from probes.instrument import capture
from probes.instrument.activations import ActivationKind, activation_kind
from probes.instrument.fold import alive_units
from probes.instrument.norms import norms
from probes.instrument.sampling import LIMIT, row_slices, take_all
from probes.instrument.sheet import ACROSS, MAX, MEAN, MIN, STD, Sheet, across_examples, describe


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
        sheet.add(key, [torch.tensor(values, dtype=torch.float32)])
    measured = [
        (g.keys, [g.length] * len(g.keys), g.statistics(g.moments.numpy()), g.table.numpy()) for g in sheet.groups()
    ]
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
        sheet.add(("gradient", number), [special if number == 3 else torch.ones(8 * repeats)])
    strip = sheet.strip()
    if strip is None:
        (group,) = sheet.groups()
        stats, table = group.statistics(group.moments.numpy()), group.table.numpy()
    else:
        stats, table = describe(strip.values.numpy(), strip.lengths)
    counts, outside = buckets.fold(table, negative_first=True)
    np.testing.assert_array_equal(outside[3], buckets.histogram(special.numpy())[1])
    np.testing.assert_array_equal(counts[3], buckets.histogram(special.numpy())[0])
    assert outside[[0, 1, 2, 4]].sum() == 0
    assert np.isnan(stats[3]).all()
    np.testing.assert_array_equal(stats[[0, 1, 2, 4], :ACROSS], [[1.0, 0.0, 1.0, 1.0]] * 4)


def test_an_empty_sample_is_left_out():
    sheet = Sheet()
    sheet.add(("weight", 0), [torch.zeros(0)])
    sheet.add_all("weight", [1, 2], take_all([torch.zeros(0), torch.zeros(0, 3)]))
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
    varying, constant = across_examples([values, torch.randn(1, 8).expand(16, 8)])
    assert varying.item() == pytest.approx(expected, rel=1e-5)
    assert constant.item() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("shapes", "offset"),
    [
        ([(16, 512)], 0.0),
        ([(16, 512)], 1000.0),
        ([(10, 7, 300)], 3.0),
        ([(8, 16, 8, 8)] * 3, 1.0),
        ([(4, 3000), (5, 3000)], 1.0),
        ([(4, 10), (5, 10)], 1.0),
    ],
)
def test_examples_are_told_apart_by_call_beside_the_other_statistics(shapes: list[tuple[int, ...]], offset: float):
    """Long, short, called several times, also with batches of several sizes; with plain rows of their length."""
    rng = np.random.default_rng(5)
    calls = [rng.normal(offset, 1.0, shape) + rng.normal(0.0, 2.0, shape[1:]) for shape in shapes]
    parts = [torch.tensor(values, dtype=torch.float32) for values in calls]
    length = sum(part.numel() for part in parts)
    plain = rng.normal(offset, 0.5, length)
    sheet = Sheet()
    sheet.add(("activation", 3), parts, varied=True)
    sheet.add(("activation_gradient", 3), parts)
    sheet.add(("weight", 0), [torch.tensor(plain, dtype=torch.float32)])
    found = {key: float(value) for key, value in sheet.apart().items()}
    described = [(g.keys, g.examples is not None, g.statistics(g.moments.numpy())) for g in sheet.groups()]
    strip = sheet.strip()
    if strip is not None:
        described.append((strip.keys, False, describe(strip.values.numpy(), strip.lengths)[0]))
    rows = {}
    for keys, varied, stats in described:
        rows |= dict(zip(keys, stats, strict=True))
        found |= {key: row[ACROSS] for key, row in zip(keys, stats, strict=True) if varied}
    across = np.sqrt(sum(np.square(values - values.mean(0)).sum() for values in calls))
    assert found == {("activation", 3): pytest.approx(across, rel=1e-4)}
    whole = np.concatenate([values.ravel() for values in calls])
    for key, values in ((("activation", 3), whole), (("activation_gradient", 3), whole), (("weight", 0), plain)):
        assert rows[key][MEAN] == pytest.approx(values.mean(), rel=1e-5, abs=1e-5)
        assert rows[key][STD] == pytest.approx(values.std(), rel=1e-4)
        assert rows[key][MAX] == np.float32(values.max())


@pytest.mark.parametrize("parts", [[(16, 512)], [(16, 512)] * 2, [(6, 10)], [(3, 4000), (5, 4000)]])
def test_examples_that_are_all_alike_do_not_deviate(parts: list[tuple[int, ...]]):
    sheet = Sheet()
    sheet.add(("activation", 0), [torch.randn(shape[1:]).expand(shape).clone() for shape in parts], varied=True)
    apart = [float(value) for value in sheet.apart().values()]
    groups = [g.statistics(g.moments.numpy())[0, ACROSS] for g in sheet.groups() if g.examples is not None]
    assert apart + groups == [pytest.approx(0.0, abs=1e-4)]


def test_a_single_example_tells_nothing_about_variation():
    sheet = Sheet()
    sheet.add(("activation", 0), [torch.randn(1, LIMIT)], varied=True)
    sheet.add(("activation", 1), [torch.randn(1, 10)], varied=True)
    assert sheet.apart() == {}
    assert [g.examples for g in sheet.groups()] == [None]


def _alive(output: torch.Tensor, axis: int, kind: ActivationKind) -> tuple[list[bool], int]:
    seen = capture.sample_output(output, axis, kind)[1]
    lowest = None if seen.lowest is None else seen.lowest.numpy()
    return alive_units(seen.highest.numpy(), lowest, kind.dead_below).tolist(), seen.observations


def test_alive_units_are_those_that_fired_somewhere():
    output = torch.relu(torch.randn(32, 6, 4, 4))
    output[:, 2] = 0
    output[5, 4, 3, 3], output[:, 4] = 0, 0
    output[31, 4, 3, 3] = 0.1
    alive, observations = _alive(output, 1, activation_kind(torch.nn.ReLU()))
    assert alive == [True, True, False, True, True, True]
    assert observations == 32


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((40, 7), 1), ((9, 5, 3), 1), ((9, 5, 3), 2), ((40, 12, 9, 11), 1), ((33, 300, 40), 2), ((5, 3, 4, 6, 2), 1)],
)
def test_the_range_of_each_unit_is_that_of_the_elements_looked_at(shape, axis):
    """Reduced step by step; here, by NumPy at once, also with a NaN, which belongs to its unit alone."""
    output = torch.randn(shape)
    output.view(-1)[0] = float("nan")
    seen = capture.sample_output(output, axis, activation_kind(torch.nn.GELU()))[1]
    looked_at = output[row_slices(output.shape, axis, capture.ALIVE_LIMIT)].numpy()
    others = tuple(a for a in range(len(shape)) if a != axis)
    np.testing.assert_array_equal(seen.highest.numpy(), looked_at.max(others))
    np.testing.assert_array_equal(seen.lowest.numpy(), looked_at.min(others))


def test_near_zero_everywhere_is_dead_for_smooth_activations():
    inputs = torch.randn(64, 3)
    inputs[:, 1] = -20
    alive, observations = _alive(torch.nn.functional.gelu(inputs), 1, activation_kind(torch.nn.GELU()))
    assert alive == [True, False, True]
    assert observations == 64


def test_a_nan_unit_is_not_called_dead():
    output = torch.zeros(10, 2)
    output[3, 0] = float("nan")
    assert _alive(output, 1, activation_kind(torch.nn.ReLU()))[0] == [True, False]
