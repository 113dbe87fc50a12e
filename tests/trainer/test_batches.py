"""The data order: whole, its own, and the same after a break."""

from __future__ import annotations

import pytest
import torch

from trainer.batches import Batches
from trainer.errors import RecipeError
from trainer.tasks import Examples


def examples(n: int) -> Examples:
    return Examples(torch.arange(n).float()[:, None], torch.arange(n))


def test_an_epoch_holds_every_example_once():
    batches = Batches(examples(103), 10, drop_last=False)
    seen = torch.cat([targets for _, targets in batches.epoch(0)])
    assert len(batches) == 11
    assert sorted(seen.tolist()) == list(range(103))


def test_inputs_stay_with_their_targets():
    for inputs, targets in Batches(examples(50), 7).epoch(2):
        assert inputs[:, 0].equal(targets.float())


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(Batches(examples(50), 10, seed=s).order(e).tolist()) for s in range(5) for e in range(5)}
    assert len(orders) == 25


def test_without_shuffling_the_order_is_that_of_the_data():
    assert Batches(examples(9), 3, shuffle=False).order(4).tolist() == list(range(9))


def test_starting_within_an_epoch_gives_its_rest():
    batches = Batches(examples(64), 8, seed=3, augmentations=["noise"])
    whole, rest = list(batches.epoch(1)), list(batches.epoch(1, start=5))
    assert len(rest) == 3
    for (a, b), (c, d) in zip(whole[5:], rest, strict=True):
        assert a.equal(c) and b.equal(d)


def test_the_global_random_state_is_neither_read_nor_moved():
    batches = Batches(examples(64), 8, augmentations=["noise"])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = [inputs for inputs, _ in batches.epoch(0)]
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    assert all(a.equal(b) for a, (b, _) in zip(first, batches.epoch(0), strict=True))


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(RecipeError, match=r"batch_size = 11.*10 training examples"):
        Batches(examples(10), 11)
