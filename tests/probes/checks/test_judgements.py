"""Cases in which a check has to tell two similar things apart, one healthy and one not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probes.checks import check
from probes.checks.catalogue.determinism import _rounding
from probes.checks.catalogue.label_sanity import _surely_imbalanced

Only = Callable[..., Any]
Data = tuple[Tensor, Tensor]


class Sampling(nn.Module):
    """Returns a sample and what it is drawn from; or only the sample; or drops by hand."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.mean, self.log_variance, self.out, self.how = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(4, 8), how

    def forward(self, x: Tensor) -> Any:
        mean, log_variance = self.mean(x), self.log_variance(x)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        if self.how == "dropout":
            z = F.dropout(mean, 0.3)
        if self.how == "mask":
            z = mean * (torch.rand_like(mean) > 0.3)
        return self.out(z) if self.how == "plain" else (self.out(z), mean, log_variance)


@pytest.mark.parametrize(("how", "status"), [("vae", "pass"), ("plain", "warn"), ("dropout", "warn"), ("mask", "warn")])
def test_sampling_and_regularisation_left_on(how: str, status: str, only: Only, classification: Data) -> None:
    x, _ = classification

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs if isinstance(outputs, Tensor) else outputs[0], targets)

    result = only("train-eval-consistency", Sampling(how), loss, (x, x))
    assert result.status == status, result.message


class Pair(nn.Module):
    def __init__(self, blind: bool) -> None:
        super().__init__()
        self.layer, self.blind = nn.Linear(8, 8), blind

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(left), self.layer(left if self.blind else right)


@pytest.mark.parametrize("blind", [False, True])
def test_an_input_may_reach_any_of_the_outputs(blind: bool, only: Only, classification: Data) -> None:
    x, _ = classification
    same = (torch.arange(64) % 2).float()

    def loss(outputs: tuple[Tensor, Tensor], same: Tensor) -> Tensor:
        far = F.pairwise_distance(*outputs)
        return (same * far**2 + (1 - same) * F.relu(1 - far) ** 2).mean()

    result = only("input-dependence", Pair(blind), loss, ((x, x.roll(1, 0)), same))
    assert result.status == ("warn" if blind else "pass"), result.message


@pytest.mark.parametrize(
    ("optimizer", "options", "status"),
    [
        (torch.optim.Adam, {"lr": 1e-3, "weight_decay": 1e-4}, "pass"),
        (torch.optim.Adam, {"lr": 1e-3, "weight_decay": 5.0}, "warn"),
        (torch.optim.RMSprop, {"lr": 1e-3, "weight_decay": 5.0}, "warn"),
        (torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 0.1}, "pass"),
        (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 5.0}, "warn"),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}, "pass"),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5}, "warn"),
    ],
)
def test_weight_decay(
    optimizer: Any, options: dict[str, Any], status: str, only: Only, mlp: Any, classification: Data
) -> None:
    model = mlp()
    made = optimizer(model.parameters(), **options)
    result = only("regularization-raises-loss", model, nn.CrossEntropyLoss(), classification, optimizer=made)
    assert result.status == status, result.message


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize(("how", "status"), [("default", "pass"), ("orthogonal", "pass"), ("eightfold", "warn")])
def test_recurrent_weights(kind: type[nn.RNNBase], how: str, status: str, only: Only) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = kind(4, 32, batch_first=True), nn.Linear(32, 3)
            for block in self.rnn.weight_hh_l0.split(32):
                if how == "orthogonal":
                    nn.init.orthogonal_(block)
                elif how == "eightfold":
                    block.data.mul_(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    x = torch.randn(64, 9, 4)
    result = only("initialization", Net(), nn.CrossEntropyLoss(), (x, torch.arange(64) % 3))
    assert result.status == status, result.message


@pytest.mark.parametrize(
    ("most", "least", "expected"),
    [(1000, 20, True), (256, 13, True), (196, 3, True), (90, 10, False), (18, 1, False), (500, 100, False)],
)
def test_imbalance_beyond_chance(most: int, least: int, expected: bool) -> None:
    assert _surely_imbalanced(most, least) == expected


def test_one_input_is_normalised_inside_and_one_is_not(only: Only) -> None:
    class Table(nn.Module):
        def __init__(self, norm: bool) -> None:
            super().__init__()
            self.ids, self.norm = nn.Embedding(5, 4), nn.BatchNorm1d(3) if norm else nn.Identity()
            self.head = nn.Linear(7, 2)

        def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
            return self.head(torch.cat([self.ids(ids), self.norm(numbers)], 1))

    data = ((torch.arange(64) % 5, 1000 * torch.randn(64, 3) + 500), torch.arange(64) % 2)
    assert only("input-normalization", Table(True), nn.CrossEntropyLoss(), data).status == "pass"
    raw = only("input-normalization", Table(False), nn.CrossEntropyLoss(), data)
    assert raw.status == "fail" and "inputs[1]" in raw.message


def focal(scores: Tensor, labels: Tensor) -> Tensor:
    losses = F.cross_entropy(scores, labels, reduction="none")
    return ((1 - torch.exp(-losses)) ** 2 * losses).mean()


@pytest.mark.parametrize("loss", [focal, nn.MultiMarginLoss()])
def test_class_losses_beside_cross_entropy(loss: Any, mlp: Any, classification: Data) -> None:
    x, y = classification
    slugs = ["label-sanity", "loss-output-pairing", "initial-loss", "overfit-small-batch"]
    healthy = check(mlp(), loss, (x, y), checks=slugs)
    assert {result.status for result in healthy.results} == {"pass"}, str(healthy)
    chance = focal(torch.zeros(64, 3), y) if loss is focal else torch.tensor(2 / 3)
    assert healthy["initial-loss"].evidence["expected"] == pytest.approx(chance.item())
    squashed = check(nn.Sequential(mlp(), nn.Softmax(1)), loss, (x, y), checks=["loss-output-pairing"])
    assert not squashed.clean


def test_a_custom_loss_that_does_not_teach_classes(only: Only, mlp: Any) -> None:
    x = torch.randn(64, 8)
    y = torch.arange(64) % 2
    wrong = lambda scores, labels: (scores.max(1).values.sigmoid() - labels.float()).square().mean()  # noqa: E731
    result = only("overfit-small-batch", mlp(out=2), wrong, (x, y))
    assert result.status == "warn" and "class numbers" in result.suggestions[0]
    right = lambda scores, labels: F.cross_entropy(scores, labels) + 0.01 * scores.square().mean()  # noqa: E731
    assert only("overfit-small-batch", mlp(out=2), right, (x, y)).status == "pass"


def test_a_large_first_step_that_the_next_ones_make_good(only: Only, classification: Data) -> None:
    """RMSprop's first step is ten times its rate an entry; a rate that is too high goes on doing harm."""

    def status(rate: float) -> str:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 64), nn.Sigmoid(), nn.Linear(64, 3))
        optimizer = torch.optim.RMSprop(model.parameters(), lr=rate)
        result = only("parameters-change", model, nn.CrossEntropyLoss(), classification, optimizer=optimizer)
        assert max(result.evidence["update_ratios"].values()) > 0.5
        return str(result.status)

    assert status(0.03) == "pass"
    assert status(10.0) == "warn"


def test_additions_in_no_fixed_order_are_no_randomness(only: Only, classification: Data) -> None:
    """What sums differently each time, as accelerators do, differs in the last bits; a drawn number does not."""

    class Sums(nn.Module):
        def __init__(self, unseeded: bool) -> None:
            super().__init__()
            self.layer, self.turn, self.unseeded = nn.Linear(8, 3), [0], unseeded

        def forward(self, x: Tensor) -> Tensor:
            self.turn[0] += 1
            shift = 0.1 * self.turn[0] if self.unseeded else 1e-7 * (self.turn[0] % 2)
            return self.layer(x) * (1 + shift)

    for slug in ("train-eval-consistency", "batch-independence"):
        assert only(slug, Sums(False), nn.CrossEntropyLoss(), classification).status == "pass", slug
    assert only("batch-independence", Sums(True), nn.CrossEntropyLoss(), classification).status == "skip"
    kept = only("train-eval-consistency", Sums(True), nn.CrossEntropyLoss(), classification)
    assert kept.status == "pass" and "keeps something" in kept.message


def test_cross_entropy_in_half_precision_is_recognised(only: Only, mlp: Any, classification: Data) -> None:
    x, y = classification
    model = mlp().to(torch.bfloat16)
    loss = lambda scores, labels: F.cross_entropy(scores.float(), labels)  # noqa: E731
    result = only("initial-loss", model, loss, (x.bfloat16(), y))
    assert result.status == "pass" and result.evidence["kind"] == "cross-entropy", result.message


def test_rounding_is_measured_relative_to_each_parameter() -> None:
    weights = {"a": torch.ones(4), "b": 1e-3 * torch.ones(4)}
    assert _rounding([1.0], [1.0], weights, {name: w.clone() for name, w in weights.items()}) == 0.0
    assert _rounding([1.0], [1.0], weights, {**weights, "b": 1.01e-3 * torch.ones(4)}) == pytest.approx(0.01, rel=1e-3)
    assert _rounding([1.0], [1.5], weights, weights) == pytest.approx(0.5)
    assert _rounding([1.0], [float("nan")], weights, weights) == float("inf")
