"""The shapes data may come in, and what cannot be used: each names the culprit and the remedy."""

from __future__ import annotations

import multiprocessing
import os
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from probes.checks import check
from probes.checks.errors import CheckInputError

Data = tuple[Tensor, Tensor]
Photograph = Callable[..., dict[str, Any]]
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


class Files(Dataset[Any]):
    """Reading example 9 raises, ends the process, or interrupts."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index == 9 and self.what == "dies":
            os._exit(3)
        if index == 9 and self.what == "interrupts":
            random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
            raise KeyboardInterrupt
        if index == 9:
            raise FileNotFoundError("nine.png")
        return X[index], Y[index]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(10, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.table(ids).mean(1))


class Elsewhere(nn.Module):
    """Makes a tensor on another device in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + torch.zeros(3, device="meta")


class Chosen(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).argmax(1)


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and in use
        return torch.jit.script(nn.Linear(8, 3))


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
    (
        "a file that is missing",
        {"data": DataLoader(Files("raises"), batch_size=4)},
        ["batch 2", "FileNotFoundError", "nine.png"],
    ),
    (
        "a file that a worker misses",
        {"data": DataLoader(Files("raises"), batch_size=4, num_workers=1)},
        ["batch 2", "FileNotFoundError", "nine.png"],
    ),
    (
        "a worker that dies",
        {"data": DataLoader(Files("dies"), batch_size=4, num_workers=1)},
        ["a worker process died", "num_workers=0"],
    ),
    ("a bad batch far behind", {"data": [*[(X, Y)] * 30, (X,)]}, ["batch 30", "1 things"]),
    ("dict batches", {"data": [{"x": X, "labels": Y}]}, ["(inputs, targets)", "unpack=", "batch['labels']"]),
    ("batch_dim", {"batch_dim": 2}, ["batch_dim", "0 or 1"]),
    ("unpack raises", {"data": [(X, Y)], "unpack": lambda b: b["x"]}, ["unpack raised TypeError"]),
    ("loss class", {"loss_fn": nn.CrossEntropyLoss}, ["expected an instance", "CrossEntropyLoss()"]),
    ("loss not callable", {"loss_fn": 0.5}, ["expected a callable"]),
    ("model class", {"model": nn.Linear}, ["expected a torch.nn.Module"]),
    ("scripted", {"model": scripted()}, ["TorchScript", "unscripted"]),
    ("no parameters", {"model": nn.ReLU()}, ["no parameters"]),
    ("lazy", {"model": nn.LazyLinear(3)}, ["lazy", "run one batch"]),
    ("meta model", {"model": nn.Linear(8, 3, device="meta")}, ["meta"]),
    ("data elsewhere", {"data": (X.to("meta"), Y.to("meta"))}, ["data is on meta", "model.to("]),
    ("budget", {"budget": 0}, ["budget", "above 0"]),
    ("optimizer", {"optimizer": "adam"}, ["expected a torch.optim.Optimizer"]),
    ("max_batches", {"max_batches": 0}, ["max_batches"]),
]


@pytest.mark.parametrize(("given", "words"), [c[1:] for c in BAD_ARGUMENTS], ids=[c[0] for c in BAD_ARGUMENTS])
def test_bad_arguments(given: dict[str, Any], words: list[str], photograph: Photograph) -> None:
    arguments = {"model": nn.Linear(8, 3), "loss_fn": CE, "data": (X, Y), **given}
    owned = isinstance(arguments["model"], nn.Module) and "meta" not in words and "lazy" not in words
    before = photograph(arguments["model"]) if owned else None
    with pytest.raises(CheckInputError) as caught:
        check(**arguments)
    assert before is None or photograph(arguments["model"]) == before
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
    (
        "id without a row",
        {"model": Words(), "data": (torch.arange(15, -1, -1)[:, None], Y)},
        ["table (Embedding)", "10 rows", "0 to 15"],
    ),
    ("ids as numbers", {"model": Words(), "data": (X, Y)}, ["table (Embedding)", "inputs.long()"]),
    ("another device in forward", {"model": Elsewhere()}, ["Elsewhere, line", "forward()", "one device"]),
    (
        "class weights elsewhere",
        {"loss_fn": nn.CrossEntropyLoss(torch.ones(3, device="meta"))},
        ["weights to one device"],
    ),
    ("argmax before the loss", {"model": Chosen(8, 3)}, ["int64 [16]", "before argmax"]),
    ("targets that are a list", {"data": (X, ["a"] * 16)}, ["torch.tensor(labels)"]),
    ("truth values", {"loss_fn": nn.BCEWithLogitsLoss(), "data": (X, X[:, :3] > 0)}, ["bool", "targets.float()"]),
    ("int32 labels", {"data": (X, Y.int())}, ["int32", "targets.long()"]),
    ("other number of targets", {"data": (X, Y[:9])}, ["[16, 3]", "[9]"]),
    ("input dtype", {"data": (X.double(), Y)}, ["forward, in the model itself (Linear)", "inputs.float()"]),
]


@pytest.mark.parametrize(("given", "words"), [c[1:] for c in BAD_RUNS], ids=[c[0] for c in BAD_RUNS])
def test_code_that_raises_is_a_result_that_names_the_culprit(
    given: dict[str, Any], words: list[str], photograph: Photograph
) -> None:
    arguments = {"model": nn.Linear(8, 3), "loss_fn": CE, "data": (X, Y), **given}
    optimizer = torch.optim.Adam(arguments["model"].parameters())
    before = photograph(arguments["model"], optimizer)
    report = check(**arguments, optimizer=optimizer)
    assert photograph(arguments["model"], optimizer) == before
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
    """A clock on which every example takes a sixth of a second: batches shrink, labels are still all looked at."""
    now = [0.0]

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        now[0] += len(inputs) / 6
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


def test_a_loss_per_example_is_a_warning(classification: Data) -> None:
    report = check(nn.Linear(8, 3), nn.CrossEntropyLoss(reduction="none"), classification)
    first = report["finite-forward-backward"]
    assert first.status == "warn" and "float32 [64]" in first.message
    assert "reduction='mean'" in first.suggestions[0]
    assert report["gradient-check"].status == "pass", "the rest is judged by the mean"


def test_an_interrupt_while_reading_leaves_everything_as_it_was(photograph: Photograph) -> None:
    model = nn.Linear(8, 3)
    optimizer = torch.optim.Adam(model.parameters())
    before = photograph(model, optimizer)
    with pytest.raises(KeyboardInterrupt):
        check(model, CE, DataLoader(Files("interrupts"), batch_size=4), optimizer=optimizer)
    assert photograph(model, optimizer) == before


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield torch.randn(8), torch.tensor(1)


def endless(served: list[int]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        served.append(1)
        yield X, Y


class Claims:
    """Says that it is long and goes on for ever: what is looked through ends with its share of the time."""

    def __init__(self) -> None:
        self.served: list[int] = []

    def __len__(self) -> int:
        return 10**12

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return endless(self.served)


def test_endless_data() -> None:
    served: list[int] = []
    assert run(nn.Linear(8, 3), endless(served), max_batches=3).ok
    assert len(served) == 3, "an iterator is advanced by the batches that are used, and no more"
    assert run(nn.Linear(8, 3), DataLoader(Endless(), batch_size=4), max_batches=3).results
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    claims = Claims()
    report = run(nn.Linear(8, 3), claims, max_batches=3, clock=clock, budget=60.0)
    assert 3 < len(claims.served) <= 300 and report.subject["batches_looked_through"] == len(claims.served)


def test_one_bad_number_far_behind_is_found() -> None:
    x, y = torch.randn(640, 8), torch.arange(640) % 3
    x[555, 2] = torch.nan
    y[630] = 7
    report = check(
        nn.Linear(8, 3),
        CE,
        DataLoader(TensorDataset(x, y), batch_size=8),
        checks=["finite-forward-backward", "label-sanity"],
    )
    assert "1 of 64 in inputs of batch 69" in report["finite-forward-backward"].message
    assert report["label-sanity"].status == "fail" and "1 of 640 labels" in report["label-sanity"].message


def test_examples_that_are_all_the_same(classification: Data) -> None:
    x, y = classification
    report = check(nn.Linear(8, 3), CE, (x[:1].expand(64, 8), y), checks=["input-normalization", "initialization"])
    assert report["input-normalization"].status == "fail" and "the same" in report["input-normalization"].message
    assert report["initialization"].status == "pass", report["initialization"].message
