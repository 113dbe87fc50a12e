"""Indices out of range are found before the device finds them, and in the CPU's cases exactly there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probes.checks.indices import GuardIndices

SCORES, TABLE = torch.randn(6, 3), torch.randn(5, 2)
PADDED = nn.Embedding(5, 2, padding_idx=0)
CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "cross_entropy": lambda i: F.cross_entropy(SCORES, i),
    "a module": lambda i: nn.CrossEntropyLoss()(SCORES, i),
    "ignore_index by keyword": lambda i: F.cross_entropy(SCORES, i, ignore_index=7),
    "ignore_index by position": lambda i: F.cross_entropy(SCORES, i, None, None, 7),
    "nll": lambda i: F.nll_loss(SCORES, i),
    "margin": lambda i: F.multi_margin_loss(SCORES, i),
    "pixels": lambda i: F.cross_entropy(SCORES.reshape(2, 3, 3, 1), i.reshape(2, 3, 1)),
    "no batch": lambda i: F.cross_entropy(SCORES[0], i[0]),
    "embedding": lambda i: F.embedding(i, TABLE),
    "an embedding with padding": PADDED,
    "gather": lambda i: SCORES.gather(1, i[:, None]),
    "torch.gather": lambda i: torch.gather(SCORES, dim=1, index=i[:, None]),
    "index_select": lambda i: TABLE.index_select(0, i),
}


def raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except (IndexError, RuntimeError):
        return True
    return False


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("bad", [-100, -1, 2, 3, 4, 5, 7, 100])
def test_the_guard_agrees_with_the_cpu(name: str, bad: int) -> None:
    indices = torch.tensor([bad, 0, 1, 2, 0, 1])

    def guarded() -> Tensor:
        with GuardIndices():
            return CALLS[name](indices)

    truth = raises(lambda: CALLS[name](indices))
    assert raises(guarded) == truth
    if not truth:
        assert torch.equal(guarded().nan_to_num(9.0), CALLS[name](indices).nan_to_num(9.0))


def test_it_says_which_index() -> None:
    with pytest.raises(IndexError, match="Target 9 is out of bounds for 3"), GuardIndices():
        F.cross_entropy(SCORES, torch.tensor([0, 1, 9, 0, 1, 2]))
    with pytest.raises(IndexError, match="id 12 is out of bounds for 5"), GuardIndices():
        nn.Embedding(5, 2)(torch.tensor([[1, 12]]))


def test_class_probabilities_are_no_indices() -> None:
    with GuardIndices():
        assert F.cross_entropy(SCORES, SCORES.softmax(1)) > 0
