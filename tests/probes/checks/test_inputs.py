"""The shapes data may come in, and what cannot be used: each names the culprit and the remedy."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from probes.checks import check
from probes.checks.errors import CheckInputError

Data = tuple[Tensor, Tensor]
CE = nn.CrossEntropyLoss()


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.layer(left + right)


class Pair(NamedTuple):
    inputs: Tensor
    targets: Tensor


def loss_of(report: Any) -> float:
    return report["initial-loss"].evidence["loss"]


def run(model: nn.Module, data: Any, loss: Any = CE, **options: Any) -> Any:
    return check(model, loss, data, checks=["initial-loss"], **options)


def test_every_form_of_data_gives_the_same_loss(classification: Data) -> None:
    x, y = classification
    model = nn.Linear(8, 3)
    truth = F.cross_entropy(model(x), y).item()
    halves = [(x[:32], y[:32]), (x[32:], y[32:])]
    forms: dict[str, Any] = {
        "one batch": (x, y),
        "one batch as a list": [x, y],
        "a list of batches": halves,
        "a generator": (pair for pair in halves),
        "named tuples": [Pair(*halves[0]), Pair(*halves[1])],
        "numpy": (x.numpy(), y.numpy()),
        "a loader": DataLoader(TensorDataset(x, y), batch_size=32),
    }
    for name, data in forms.items():
        assert loss_of(run(model, data)) == pytest.approx(truth, rel=1e-5), name


def test_dict_and_tuple_inputs(classification: Data) -> None:
    x, y = classification
    model = TwoInputs()
    truth = F.cross_entropy(model(x, x), y).item()
    for data in (((x, x), y), ({"left": x, "right": x}, y), [((x, x), y)], [({"left": x, "right": x}, y)]):
        assert loss_of(run(model, data)) == pytest.approx(truth, rel=1e-5)


def test_forward_and_unpack(classification: Data) -> None:
    x, y = classification
    model = TwoInputs()
    truth = F.cross_entropy(model(x, 2 * x), y).item()
    assert loss_of(run(model, (x, y), forward=lambda m, i: m(i, 2 * i))) == pytest.approx(truth, rel=1e-5)
    three = [(x, 2 * x, y)]
    assert loss_of(run(model, three, unpack=lambda b: ((b[0], b[1]), b[2]))) == pytest.approx(truth, rel=1e-5)


def test_an_iterator_is_advanced_by_the_batches_read(classification: Data) -> None:
    served = 0

    def endless() -> Iterator[Data]:
        nonlocal served
        while True:
            served += 1
            yield classification

    run(nn.Linear(8, 3), endless(), max_batches=3)
    assert served == 3


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_are_closed(classification: Data, persistent: bool) -> None:
    before = {child.pid for child in multiprocessing.active_children()}
    loader = DataLoader(TensorDataset(*classification), batch_size=4, num_workers=2, persistent_workers=persistent)
    run(nn.Linear(8, 3), loader, max_batches=2)
    assert {child.pid for child in multiprocessing.active_children()} == before
    assert loader._iterator is None
    assert len(list(loader)) == 16, "the user's loader still works"
    loader._iterator = None


def test_outputs_and_losses_in_containers(classification: Data) -> None:
    x, y = classification

    class Dicts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"hidden": x, "logits": self.layer(x)}

    model = Dicts()
    truth = F.cross_entropy(model(x)["logits"], y).item()
    losses: list[Callable[..., Any]] = [
        lambda o, t: F.cross_entropy(o["logits"], t),
        lambda o, t: (F.cross_entropy(o["logits"], t), {"detail": 1}),
        lambda o, t: {"loss": F.cross_entropy(o["logits"], t), "other": torch.ones(3)},
        lambda o, t: F.cross_entropy(o["logits"], t, reduction="none"),
    ]
    for loss in losses:
        assert loss_of(run(model, (x, y), loss)) == pytest.approx(truth, rel=1e-5)


X, Y = torch.randn(16, 8), torch.arange(16) % 3
# What is wrong, what it is given, and words that the one-line error must contain.
BAD_ARGUMENTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("empty loader", {"data": []}, ["no batch", "drop_last"]),
    (
        "empty data set",
        {"data": DataLoader(TensorDataset(X, Y), batch_size=64, drop_last=True)},
        ["no batch"],
    ),
    ("batch of nothing", {"data": (X[:0], Y[:0])}, ["without examples"]),
    ("three things", {"data": [(X, X, Y)]}, ["3 things", "unpack="]),
    ("one thing", {"data": [(X,)]}, ["1 things", "unpack=", "autoencoder"]),
    ("bare tensors", {"data": [X]}, ["expected (inputs, targets)", "unpack="]),
    ("a tensor", {"data": X}, ["data is a Tensor"]),
    ("a number", {"data": 3}, ["data is a int"]),
    ("no tensor in it", {"data": [("a", "b")]}, ["hold no tensor"]),
    ("raising loader", {"data": (1 / 0 for _ in range(3))}, ["ZeroDivisionError", "batch 0"]),
    ("unpack raises", {"data": [(X, Y)], "unpack": lambda b: b["x"]}, ["unpack raised TypeError"]),
    ("loss class", {"loss_fn": nn.CrossEntropyLoss}, ["expected an instance", "CrossEntropyLoss()"]),
    ("loss not callable", {"loss_fn": 0.5}, ["expected a callable"]),
    ("model class", {"model": nn.Linear}, ["expected a torch.nn.Module"]),
    ("no parameters", {"model": nn.ReLU()}, ["no parameters"]),
    ("lazy", {"model": nn.LazyLinear(3)}, ["lazy", "run one batch"]),
    ("meta model", {"model": nn.Linear(8, 3, device="meta")}, ["meta"]),
    ("data elsewhere", {"data": (X.to("meta"), Y.to("meta"))}, ["data is on meta", "model.to("]),
    ("budget", {"budget": 0}, ["budget", "above 0"]),
    ("optimizer", {"optimizer": "adam"}, ["expected a torch.optim.Optimizer"]),
    ("max_batches", {"max_batches": 0}, ["max_batches"]),
]


@pytest.mark.parametrize(("given", "words"), [c[1:] for c in BAD_ARGUMENTS], ids=[c[0] for c in BAD_ARGUMENTS])
def test_bad_arguments(given: dict[str, Any], words: list[str]) -> None:
    arguments = {"model": nn.Linear(8, 3), "loss_fn": CE, "data": (X, Y), **given}
    with pytest.raises(CheckInputError) as caught:
        check(**arguments)
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "\n" not in text


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


BAD_RUNS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("forward raises", {"model": Broken()}, ["forward, in second (Linear)", "mat1 and mat2"]),
    ("target dtype", {"data": (X, Y.float())}, ["CrossEntropyLoss", "float32 [16]", "targets.long()"]),
    ("target shape", {"data": (X, Y.reshape(-1, 1).repeat(1, 2))}, ["CrossEntropyLoss", "int64 [16, 2]"]),
    ("label too large", {"data": (X, Y + 1)}, ["out of bounds", "0 .. classes - 1"]),
    ("integers for mse", {"loss_fn": nn.BCEWithLogitsLoss(), "data": (X, Y)}, ["BCEWithLogitsLoss"]),
    ("a float loss", {"loss_fn": lambda o, t: 0.5}, ["returned float", ".item()"]),
    ("no loss", {"loss_fn": lambda o, t: None}, ["returned NoneType"]),
    ("which loss", {"loss_fn": lambda o, t: {"a": o.sum(), "b": o.sum()}}, ["'a', 'b'", '"loss"']),
    ("input dtype", {"data": (X.double(), Y)}, ["forward, in the model itself (Linear)", "inputs.float()"]),
]


@pytest.mark.parametrize(("given", "words"), [c[1:] for c in BAD_RUNS], ids=[c[0] for c in BAD_RUNS])
def test_code_that_raises_is_a_result_that_names_the_culprit(given: dict[str, Any], words: list[str]) -> None:
    arguments = {"model": nn.Linear(8, 3), "loss_fn": CE, "data": (X, Y), **given}
    report = check(**arguments)
    assert not report.ok
    first = report["finite-forward-backward"]
    text = first.message + " " + " ".join(first.suggestions)
    assert first.status == "fail"
    assert all(word in text for word in words), text
    # Told once: what needs the same code is skipped and points there.
    assert report["gradient-check"].status == "skip"
    assert "finite-forward-backward" in report["gradient-check"].message


def test_numpy_integers_of_any_width() -> None:
    report = run(nn.Linear(8, 3), (X.numpy(), Y.numpy().astype(np.int64)))
    assert report.ok


def test_a_slow_model_is_checked_on_fewer_examples(classification: Data) -> None:
    """A clock on which every forward pass takes ten seconds: batches shrink, labels are still all looked at."""
    now = [0.0]

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        now[0] += 10.0
        return model(inputs)

    report = check(
        nn.Linear(8, 3),
        CE,
        classification,
        forward=forward,
        budget=400.0,
        clock=lambda: now[0],
        checks=["label-sanity"],
    )
    assert "[64, 8]" in report.subject["batch"] and "[12, 8]" in report.subject["batch_checked"]
    assert sum(report["label-sanity"].evidence["counts"]) == 64


def test_a_batch_that_cannot_be_cut_is_left_whole() -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 3)

        def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
            return adjacency @ self.layer(nodes)

    report = check(Graph(), CE, ((X, torch.eye(16)), Y), checks=["batch-independence", "gradient-check"])
    assert report["batch-independence"].status == "skip"
    assert report["gradient-check"].status == "pass"
