"""Sequences that go time first: found out where shapes tell, asked for where they do not, never taken for a bug."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from probes.checks import check
from probes.checks.batches import Batch, batch_dimension

TIME, EXAMPLES = 7, 12
SLUGS = ["batch-independence", "input-dependence", "gradient-check", "overfit-small-batch"]


class Recurrent(nn.Module):
    """A GRU that takes time first; scores of the last step, or of every one."""

    def __init__(self, every: bool, batch_first: bool = False) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 16, batch_first=batch_first), nn.Linear(16, 3)
        self.every, self.batch_first = every, batch_first

    def forward(self, x: Tensor) -> Tensor:
        states = self.rnn(x)[0]
        return self.head(states if self.every else states[:, -1] if self.batch_first else states[-1])


def tokens_loss(scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten())


def sequences(examples: int = EXAMPLES) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs [T, N, 4], a label an example [N], a label a step [T, N]."""
    x = torch.randn(TIME, examples, 4)
    return x, x.mean(0)[:, :3].argmax(1), x[..., :3].argmax(-1)


def statuses(report: Any) -> dict[str, str]:
    return {result.check: result.status for result in report.results}


@pytest.mark.parametrize("given", [None, 1])
def test_a_label_an_example_shows_which_dimension_it_is(given: int | None) -> None:
    x, labels, _ = sequences()
    report = check(Recurrent(False), nn.CrossEntropyLoss(), (x, labels), checks=SLUGS, batch_dim=given)
    assert report.subject["batch_dim"] == 1
    assert set(statuses(report).values()) == {"pass"}, str(report)


def test_a_label_a_step_with_batch_dim() -> None:
    x, _, labels = sequences()
    report = check(Recurrent(True), tokens_loss, (x, labels), checks=SLUGS, batch_dim=1)
    assert set(statuses(report).values()) == {"pass"}, str(report)


def test_a_label_a_step_without_batch_dim_is_a_question_and_no_failure() -> None:
    x, _, labels = sequences()
    report = check(Recurrent(True), tokens_loss, (x, labels), checks=["batch-independence"])
    result = report["batch-independence"]
    assert result.status == "warn"
    assert "batch_dim=1" in result.suggestions[0] and "batch_first=True" in result.suggestions[1]


def test_flattened_targets_are_skipped_and_say_what_to_pass() -> None:
    x, _, labels = sequences()
    loss = lambda scores, targets: F.cross_entropy(scores.flatten(0, 1), targets)  # noqa: E731
    report = check(Recurrent(True), loss, (x, labels.flatten()), checks=["batch-independence", "gradient-check"])
    assert statuses(report) == {"batch-independence": "skip", "gradient-check": "pass"}
    assert "batch_dim=1" in report["batch-independence"].message


@pytest.mark.parametrize("every", [False, True])
def test_batch_first_forgotten_fails_from_a_loader(every: bool) -> None:
    x, labels, steps = sequences(48)
    data = TensorDataset(x.transpose(0, 1), steps.t() if every else labels)
    loss = tokens_loss if every else nn.CrossEntropyLoss()
    model = Recurrent(True)
    if not every:  # the usual slip: the last state of what is taken for time
        model.head = nn.Sequential(nn.Flatten(), nn.Linear(16 * TIME, 3))
    report = check(model, loss, DataLoader(data, batch_size=16), checks=["batch-independence"])
    assert report["batch-independence"].status == "fail", str(report)
    assert any("batch_first=True" in line for line in report["batch-independence"].suggestions)


def test_mixing_examples_is_found_time_first_too() -> None:
    class Mixing(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x - x.mean(1, keepdim=True))

    x, labels, _ = sequences()
    report = check(Mixing(False), nn.CrossEntropyLoss(), (x, labels), checks=["batch-independence"])
    assert report["batch-independence"].status == "fail"


@pytest.mark.parametrize(
    ("inputs", "targets", "expected"),
    [
        ([7, 12, 4], [12], 1),
        ([7, 12, 4], [12, 1], 1),
        ([7, 12], [12], 1),
        ([12, 7, 4], [12], 0),
        ([12, 12, 4], [12], 0),  # either way: as usual
        ([7, 12, 4], [7, 12], 0),  # either way: as usual
        ([7, 12, 4], [84], 0),
        ([12, 4], [12], 0),
        ([12], [12], 0),
    ],
)
def test_the_dimension_is_read_from_the_shapes(inputs: list[int], targets: list[int], expected: int) -> None:
    batch = Batch(torch.zeros(inputs), torch.zeros(targets))
    assert batch_dimension([(batch.inputs, batch.targets)], [batch]) == expected


def test_a_cut_batch_is_the_same_examples() -> None:
    x, labels, _ = sequences()
    batch = Batch((x, torch.arange(EXAMPLES)), labels, dim=1)
    assert batch.size == EXAMPLES
    few = batch.take(torch.tensor([3, 5]))
    assert torch.equal(few.inputs[0], x[:, [3, 5]]) and few.inputs[1].tolist() == [3, 5]
    assert torch.equal(few.targets, labels[[3, 5]]) and few.dim == 1
    assert torch.equal(batch.rows(x)[3], x[:, 3].flatten())
