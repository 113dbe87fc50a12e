"""Which elements are looked at."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.instrument.capture import ALIVE_LIMIT, sample_values
from probes.instrument.sampling import BLOCK, LIMIT, block_rows, example_slices, flatten, row_slices, take, take_all


@pytest.mark.parametrize("shape", [(7,), (3, 5), (64, 128), (2, 3, 4, 5), ()])
def test_a_small_tensor_is_taken_whole(shape: tuple[int, ...]):
    tensor = torch.randn(shape)
    assert torch.equal(take(tensor).sort().values, tensor.reshape(-1).sort().values)


@pytest.mark.parametrize("numel", [LIMIT + 1, LIMIT + BLOCK, 100_003, 1_000_000])
def test_a_large_tensor_gives_distinct_blocks_from_all_over(numel: int):
    positions = take(torch.arange(numel, dtype=torch.float64)).to(torch.int64)
    assert len(positions) == LIMIT
    assert len(positions.unique()) == LIMIT
    blocks = positions.view(-1, BLOCK)
    assert torch.equal(blocks, blocks[:, :1] + torch.arange(BLOCK))
    stretch = numel / (LIMIT // BLOCK)
    assert (blocks[1:, 0] - blocks[:-1, 0]).max() <= 2 * stretch + BLOCK
    assert blocks[0, 0] < stretch
    assert blocks[-1, 0] >= numel - 2 * stretch - BLOCK


@settings(deadline=None)
@given(st.integers(256, 100_000))
def test_rows_are_distinct_and_within_the_table(rows: int):
    chosen = block_rows(rows, 256, torch.device("cpu"))
    assert chosen[0] >= 0
    assert chosen[-1] < rows
    assert (chosen.diff() > 0).all()


def test_the_sample_shares_no_memory_and_no_graph():
    weight = torch.randn(10, requires_grad=True)
    sample = take(weight)
    sample.zero_()
    assert weight.abs().sum() > 0
    assert not sample.requires_grad


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(8, 4, 3, 3).to(memory_format=torch.channels_last),
        torch.randn(4, 3, 2, 3, 3).to(memory_format=torch.channels_last_3d),
        torch.randn(30, 20).T,
        torch.randn(6, 10)[:, ::2],
        torch.randn(5, 1).expand(5, 4),
    ],
)
def test_every_layout_gives_every_element_once(tensor: torch.Tensor):
    assert torch.equal(flatten(tensor).sort().values, tensor.reshape(-1).sort().values)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_float_types_become_float32(dtype: torch.dtype):
    tensor = torch.randn(50).to(dtype)
    assert torch.equal(take(tensor), tensor.to(torch.float32))


def test_complex_numbers_count_as_two_reals():
    assert sorted(take(torch.tensor([1 + 2j, 3 - 4j])).tolist()) == [-4.0, 1.0, 2.0, 3.0]


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=2, max_size=4), st.sampled_from([example_slices, row_slices]), st.data())
def test_slices_keep_all_units_and_stay_within_the_limit(
    shape: list[int], choose: Callable[..., tuple[slice, ...]], data: st.DataObject
):
    axis = data.draw(st.integers(1, len(shape) - 1))
    slices = choose(tuple(shape), axis, LIMIT)
    kept = torch.empty(shape, device="meta")[slices].shape
    assert all(k >= 1 for k in kept)
    assert kept[axis] == shape[axis]
    assert math.prod(kept) <= 2 * LIMIT


def test_a_batch_of_images_keeps_examples_and_positions():
    kept = torch.empty(64, 16, 32, 32, device="meta")[example_slices((64, 16, 32, 32), 1, LIMIT)].shape
    assert kept[1] == 16
    assert kept[0] >= 8
    assert kept[2] >= 4
    assert LIMIT / 4 <= kept.numel() <= LIMIT


@pytest.mark.parametrize("shape", [(64, 16, 32, 32), (64, 64, 8, 8), (8, 128, 56, 56)])
def test_rows_of_images_stay_whole_and_every_example_stays(shape: tuple[int, ...]):
    kept = torch.empty(shape, device="meta")[row_slices(shape, 1, ALIVE_LIMIT)].shape
    assert kept[:2] == shape[:2]
    assert kept[2] >= 2
    assert kept[3] >= 16 or kept[3] == shape[3]


@pytest.mark.parametrize(
    "output",
    [
        torch.randn(64, 16, 32, 32),
        torch.randn(64, 16, 32, 32).to(memory_format=torch.channels_last),
        torch.randn(64, 32, 33, 17)[:, ::2],
        torch.randn(16, 20, 300).to(torch.bfloat16),
        torch.randn(3, 5),
        torch.nn.Parameter(torch.randn(300, 40)).detach(),
    ],
    ids=["images", "channels last", "gaps", "half", "small", "dense"],
)
@pytest.mark.parametrize("last", [False, True])
def test_an_output_gives_all_units_at_the_same_positions_of_each_example(output: torch.Tensor, last: bool):
    axis = output.dim() - 1 if last else 1
    # The values are told apart by where they come from.
    places = torch.arange(output.numel(), dtype=torch.float64).view(output.shape)
    marked = torch.empty_like(output, dtype=torch.float64).copy_(places)
    taken = sample_values(marked, axis).to(torch.int64)
    chosen = [torch.unique(index) for index in torch.unravel_index(taken, output.shape)]
    assert torch.equal(taken.view(-1), places.to(torch.int64)[torch.meshgrid(chosen, indexing="ij")].view(-1))
    assert len(chosen[axis]) == output.shape[axis]
    assert len(chosen[0]) >= min(8, output.shape[0])
    assert taken.numel() <= LIMIT
    values = sample_values(output, axis)
    assert values.dtype == torch.float32
    assert torch.equal(values, output.reshape(-1)[taken.view(-1)].view(values.shape).float())


def test_many_tensors_are_sampled_as_each_by_itself():
    tensors = [
        torch.randn(100, 200), torch.randn(5), torch.randn(0), torch.randn(40, 20).T, torch.randn(7).double(),
        torch.randn(3, dtype=torch.complex64), torch.randn(LIMIT), torch.randn(8, 4, 3, 3),
    ]  # fmt: skip
    samples = take_all(tensors)
    assert samples.strip is not None
    found = dict(samples.long) | dict(zip(samples.short, samples.strip.split(samples.lengths), strict=True))
    assert set(found) == set(range(len(tensors))) - {2}
    for place, sample in found.items():
        assert torch.equal(sample, take(tensors[place]))
    for memory in samples.memory:
        memory.fill_(1e9)
    assert all(bool((tensor.abs() < 1e6).all()) for tensor in tensors)
