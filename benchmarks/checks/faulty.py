"""Set-ups with one fault each, and the checks that must notice it (by a warning or a failure)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.checks import parts
from benchmarks.checks.healthy import CE, Setup, setup
from benchmarks.checks.parts import loader, mlp


@dataclass(frozen=True)
class Fault:
    """A set-up, the check that must notice, and a word that its message must hold."""

    make: Callable[[], Setup]
    check: str
    word: str
    least: str = "fail"  # or "warn": what the check must say at least


FAULTY: dict[str, Fault] = {}


def fault(name: str, check: str, word: str, least: str = "fail") -> Callable[[Callable[[], Setup]], None]:
    def register(function: Callable[[], Setup]) -> None:
        FAULTY[name] = Fault(function, check, word, least)

    return register


def digits(model: nn.Module, optimizer: str = "Adam", loss: Any = None, **options: Any) -> Setup:
    return setup(model, loss or CE(), loader(*parts.digits()), optimizer, **options)


def filled(model: nn.Module, fill: Callable[[Tensor], Any], biases: bool = False) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1 or biases:
                fill(p)
    return model


# initialisation
@fault("all weights zero", "initialization", "copies")
def _() -> Setup:
    return digits(filled(mlp(64, 10), nn.init.zeros_))


@fault("all weights constant", "initialization", "copies")
def _() -> Setup:
    return digits(filled(mlp(64, 10), lambda p: nn.init.constant_(p, 0.1)))


@fault("constant lstm", "initialization", "copies")
def _() -> Setup:
    model = filled(parts.Recurrent(nn.LSTM, 1, 3), lambda p: nn.init.constant_(p, 0.1), biases=True)
    return setup(model, CE(), loader(*parts.waves()))


@fault("weights far too small, deep", "initialization", "dies")
def _() -> Setup:
    layers = [m for _ in range(6) for m in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    return digits(filled(model, lambda p: nn.init.normal_(p, std=1e-3)))


@fault("weights far too large", "initialization", "blows up")
def _() -> Setup:
    return digits(filled(mlp(64, 10, hidden=128), lambda p: nn.init.normal_(p, std=1.0)))


@fault("last layer far too large", "initial-loss", "chance")
def _() -> Setup:
    model = mlp(64, 10)
    nn.init.normal_(model[-1].weight, std=20.0)
    return digits(model)


@fault("tanh saturated by large weights", "initialization", "ends of the range")
def _() -> Setup:
    return digits(filled(mlp(64, 10, activation=nn.Tanh), lambda p: nn.init.normal_(p, std=5.0)))


@fault("sigmoid, ten layers", "initialization", "apart")
def _() -> Setup:
    layers = [m for _ in range(10) for m in (nn.Linear(64, 64), nn.Sigmoid())]
    return digits(nn.Sequential(*layers, nn.Linear(64, 10)))


@fault("relu dead on arrival", "initialization", "zero for every example")
def _() -> Setup:
    model = mlp(64, 10)
    nn.init.constant_(model[2].bias, -50.0)
    return digits(model)


@fault("functional relu dead on arrival", "gradients-reach-every-parameter", "exactly zero")
def _() -> Setup:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 32), nn.Linear(32, 10)
            nn.init.constant_(self.one.bias, -50.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(F.relu(self.one(x)))

    return digits(Net())


# inputs and labels
@fault("pixels 0 to 255", "input-normalization", "large")
def _() -> Setup:
    x, y = parts.digits()
    return setup(mlp(64, 10), CE(), loader((x - x.min()) * 60, y))


@fault("features of very different scale", "input-normalization", "median", "warn")
def _() -> Setup:
    x, y = parts.vectors()
    scale = torch.ones(16)
    scale[3] = 50.0
    return setup(mlp(16, 4), CE(), loader(x * scale / 20, y))


@fault("inputs lost before the net", "input-normalization", "all")
def _() -> Setup:
    x, y = parts.digits()
    return setup(mlp(64, 10), CE(), loader(torch.zeros_like(x), y))


@fault("nan in the data", "finite-forward-backward", "not finite")
def _() -> Setup:
    x, y = (t.clone() for t in parts.digits())
    x[torch.arange(0, len(x), 97), 5] = torch.nan
    return setup(mlp(64, 10), CE(), loader(x, y))


@fault("logarithm of zero in forward", "finite-forward-backward", "makes the first of them")
def _() -> Setup:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(torch.relu(x))

    return digits(nn.Sequential(nn.Linear(64, 32), Log(), nn.Linear(32, 10)))


@fault("square root at zero", "finite-forward-backward", "gradient of")
def _() -> Setup:
    class Norm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - x.detach()).square().sum(1, keepdim=True).sqrt() + x

    return digits(nn.Sequential(nn.Linear(64, 10), Norm()))


@fault("labels start at 1", "label-sanity", "outside 0 .. 9")
def _() -> Setup:
    x, y = parts.digits()
    return setup(mlp(64, 10), CE(), loader(x, y + 1))


@fault("negative label", "label-sanity", "outside 0 .. 9")
def _() -> Setup:
    x, y = parts.digits()
    return setup(mlp(64, 10), CE(), loader(x, torch.where(y == 3, -1, y)))


@fault("class imbalance", "label-sanity", "imbalanced", "warn")
def _() -> Setup:
    x, y = parts.vectors(3)
    keep = (y != 2) | (torch.arange(len(y)) % 20 == 2)
    return setup(mlp(16, 3), CE(), loader(x[keep], y[keep]))


@fault("binary imbalance", "label-sanity", "imbalanced", "warn")
def _() -> Setup:
    x, y = parts.vectors(2)
    keep = (y == 0) | (torch.arange(len(y)) % 40 == 1)
    return setup(mlp(16, 1), nn.BCEWithLogitsLoss(), loader(x[keep], (y[keep] == 1).float().reshape(-1, 1)))


@fault("sorted data, not shuffled", "label-sanity", "sorted", "warn")
def _() -> Setup:
    x, y = parts.vectors()
    order = y.argsort()
    data = DataLoader(TensorDataset(x[order], y[order]), batch_size=64)
    return setup(mlp(16, 4), CE(), data)


@fault("labels -1 and +1", "label-sanity", "0 to 1")
def _() -> Setup:
    x, y = parts.vectors(2)
    return setup(mlp(16, 1), nn.BCEWithLogitsLoss(), loader(x, 2.0 * y.reshape(-1, 1) - 1))


@fault("targets in the thousands", "label-sanity", "far from the outputs", "warn")
def _() -> Setup:
    x, t = parts.table("diabetes")
    return setup(mlp(10, 1), nn.MSELoss(), loader(x, 5000 + 2000 * t))


@fault("several labels under cross-entropy", "label-sanity", "sum to")
def _() -> Setup:
    x, _ = parts.vectors()
    return setup(mlp(16, 6), CE(), loader(x, (x[:, :6] > 0).float()))


@fault("contradicting labels", "label-sanity", "different label", "warn")
def _() -> Setup:
    x, _ = parts.vectors()
    return setup(mlp(16, 4), CE(), loader(x[:64].repeat(4, 1), torch.arange(256) // 64))


# loss and head
@fault("double softmax", "loss-output-pairing", "softmax itself")
def _() -> Setup:
    return digits(nn.Sequential(*mlp(64, 10), nn.Softmax(1)))


@fault("double softmax, functional", "loss-output-pairing", "softmax itself")
def _() -> Setup:
    return digits(mlp(64, 10), forward=lambda model, x: model(x).softmax(1))


@fault("sigmoid before cross-entropy", "loss-output-pairing", "sigmoid")
def _() -> Setup:
    return digits(nn.Sequential(*mlp(64, 10), nn.Sigmoid()))


@fault("sigmoid before bce with logits", "loss-output-pairing", "sigmoid itself")
def _() -> Setup:
    x, y = parts.table("breast_cancer")
    model = nn.Sequential(*mlp(30, 1), nn.Sigmoid())
    return setup(model, nn.BCEWithLogitsLoss(), loader(x, y.float().reshape(-1, 1)))


@fault("bce on raw scores", "loss-output-pairing", "BCELoss takes probabilities")
def _() -> Setup:
    x, y = parts.table("breast_cancer")
    return setup(mlp(30, 1), nn.BCELoss(), loader(x, y.float().reshape(-1, 1)))


@fault("nll on scores", "loss-output-pairing", "log-probabilities")
def _() -> Setup:
    return digits(mlp(64, 10), loss=nn.NLLLoss())


@fault("log-softmax over the batch", "loss-output-pairing", "log-probabilities")
def _() -> Setup:
    return digits(nn.Sequential(*mlp(64, 10), nn.LogSoftmax(0)), loss=nn.NLLLoss())


@fault("relu behind the scores", "loss-output-pairing", "ReLU", "warn")
def _() -> Setup:
    return digits(nn.Sequential(*mlp(64, 10), nn.ReLU()))


@fault("one score under cross-entropy", "loss-output-pairing", "single score")
def _() -> Setup:
    x, y = parts.vectors(2)
    return setup(mlp(16, 1), CE(), loader(x, y))


@fault("sigmoid for targets beyond 1", "loss-output-pairing", "cannot reach")
def _() -> Setup:
    return setup(nn.Sequential(*mlp(10, 1), nn.Sigmoid()), nn.MSELoss(), loader(*parts.table("diabetes")))


@fault("targets [N] against outputs [N, 1]", "loss-output-pairing", "differ in shape")
def _() -> Setup:
    x, t = parts.table("diabetes")
    return setup(mlp(10, 1), nn.MSELoss(), loader(x, t.squeeze(1)))


@fault("class numbers under mse", "loss-output-pairing", "class numbers", "warn")
def _() -> Setup:
    x, y = parts.digits()
    return setup(mlp(64, 1), lambda o, t: F.mse_loss(o.squeeze(1), t.float()), loader(x, y))


@fault("loss summed over the batch", "loss-output-pairing", "summed", "warn")
def _() -> Setup:
    return digits(mlp(64, 10), "SGD", loss=CE(reduction="sum"), lr=1e-4)


@fault("loss not reduced", "finite-forward-backward", "scalar", "warn")
def _() -> Setup:
    return digits(mlp(64, 10), loss=CE(reduction="none"))


# gradients and parameters
@fault("detached layer", "gradients-reach-every-parameter", "no gradient")
def _() -> Setup:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 32), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.relu(self.one(x)).detach())

    return digits(Net())


@fault("layer that forward does not call", "gradients-reach-every-parameter", "extra")
def _() -> Setup:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.extra = mlp(64, 10), nn.Linear(64, 64)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    return digits(Net())


@fault("last state of the backward direction", "gradients-reach-every-parameter", "reverse")
def _() -> Setup:
    class Net(parts.Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    return setup(Net(nn.GRU, 1, 3, bidirectional=True), CE(), loader(*parts.waves()))


class _WrongSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return ctx.saved_tensors[0] * gradient


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _WrongSquare.apply(x)


@fault("wrong backward", "gradient-check", "Square")
def _() -> Setup:
    return digits(nn.Sequential(nn.Linear(64, 32), nn.Tanh(), Square(), nn.Linear(32, 10)))


@fault("optimizer misses a layer", "optimizer-covers-parameters", "4.weight")
def _() -> Setup:
    result = digits(mlp(64, 10))
    result["optimizer"] = torch.optim.Adam(list(result["model"].parameters())[:4], lr=1e-3)
    return result


@fault("optimizer of another model", "optimizer-covers-parameters", "none of")
def _() -> Setup:
    result = digits(mlp(64, 10))
    result["optimizer"] = torch.optim.Adam(mlp(64, 10).parameters(), lr=1e-3)
    return result


@fault("learning rate zero", "parameters-change", "leaves")
def _() -> Setup:
    return digits(mlp(64, 10), "SGD", lr=0.0)


@fault("update lost in half precision", "parameters-change", "leaves")
def _() -> Setup:
    x, y = parts.digits()
    return setup(mlp(64, 10).bfloat16(), CE(), loader(x.bfloat16(), y), "SGD", lr=1e-6)


@fault("learning rate 100 times too high", "learning-rate-range", "lower")
def _() -> Setup:
    return digits(mlp(64, 10), "SGD", lr=10.0, momentum=0.9)


@fault("adam, learning rate 1000 times too high", "parameters-change", "half of their size", "warn")
def _() -> Setup:
    return digits(mlp(64, 10), lr=1.0)


@fault("learning rate 100 times too low", "learning-rate-range", "raise", "warn")
def _() -> Setup:
    return digits(mlp(64, 10), lr=1e-6)


@fault("weight decay far too strong", "regularization-raises-loss", "halve", "warn")
def _() -> Setup:
    return digits(mlp(64, 10), "SGD", lr=0.1, weight_decay=1.0)


# architecture
@fault("batch mixed by a reshape", "batch-independence", "Mixed")
def _() -> Setup:
    class Mixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(x.shape[1], x.shape[0]).t()

    return digits(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), Mixed(), nn.Linear(32, 10)))


@fault("sequence taken for the batch", "batch-independence", "rnn")
def _() -> Setup:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(1, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    return setup(Net(), CE(), loader(*parts.waves()))


@fault("batch norm without running statistics", "batch-independence", "batch normalisation", "warn")
def _() -> Setup:
    norm = nn.BatchNorm1d(32, track_running_stats=False)
    return digits(nn.Sequential(nn.Linear(64, 32), norm, nn.ReLU(), nn.Linear(32, 10)))


@fault("input overwritten", "input-dependence", "same for every input")
def _() -> Setup:
    return digits(mlp(64, 10), forward=lambda model, x: model(torch.zeros_like(x)))


@fault("second input ignored", "input-dependence", "[1]", "warn")
def _() -> Setup:
    class Net(parts.Both):
        def forward(self, image: Tensor, vector: Tensor) -> Tensor:
            return super().forward(image, torch.zeros_like(vector))

    x, y = parts.digit_images()
    vector = torch.randn(len(x), 4, generator=parts.generator())
    return setup(Net(), CE(), [((x[:64], vector[:64]), y[:64])])


@fault("dropout in eval mode too", "train-eval-consistency", "random in eval mode", "warn")
def _() -> Setup:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 32), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(F.dropout(torch.relu(self.one(x)), 0.5))

    return digits(Net())


@fault("batch norm momentum the wrong way round", "train-eval-consistency", "unrelated", "warn")
def _() -> Setup:
    x, y = parts.digits()
    norm = nn.BatchNorm1d(64, momentum=0.001)
    return setup(nn.Sequential(norm, *mlp(64, 10)), CE(), loader(30 * x + 100, y))


@fault("unseeded randomness", "determinism", "differently", "warn")
def _() -> Setup:
    own = torch.Generator()
    own.seed()

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        return model(x + 0.1 * torch.randn(x.shape, generator=own))

    return digits(mlp(64, 10), forward=forward)


@fault("scores clamped", "overfit-small-batch", "by heart")
def _() -> Setup:
    return digits(mlp(64, 10), forward=lambda model, x: model(x).clamp(-0.3, 0.3))


@fault("labels shuffled apart, linear model", "overfit-small-batch", "best constant", "warn")
def _() -> Setup:
    x, y = parts.vectors(4, features=16)
    return setup(nn.Linear(16, 4), CE(), loader(x[:, :1].repeat(1, 16), y.roll(1)))
