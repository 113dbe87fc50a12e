"""Faulty programs of the eighth set: questions about Keras scripts, from the studies of training bugs, in PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import make_regression
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


def _as_keras_starts(net: nn.Module) -> None:
    """Glorot's uniform weights and biases of zero, as a Dense or Convolution2D of Keras has them."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


@faulty("learning-rate-too-high", "dead-units", "constant-predictions", "loss-not-decreasing", "loss-diverging",
        "collapsed-activations", "loss-spikes", "underfitting", "weights-growing", "exploding-gradients",
        "vanishing-gradients", "noisy-loss", "oscillating-loss", "nonfinite-values", below=0.75)  # fmt: skip
def spectrograms_by_nesterov_at_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow, "Keras accuracy does not change": sounds of two kinds, SGD(lr=0.1, momentum=0.9, nesterov=True).

    The accuracy stays at a half. The accepted answer: the optimizer does not suit the data; a smaller rate.
    """
    torch.manual_seed(8101)

    def sounds(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(2, (n,))
        t, pitch = torch.linspace(0, 1, 24)[None, None, :], torch.arange(24.0)[None, :, None]
        melody = 6 + 5 * torch.rand(n, 1, 1) + (y[:, None, None] * 2 - 1) * 8 * (t - 0.5)
        power = sum(torch.exp(-((pitch - h * melody) ** 2) / 3) / h for h in (1, 2))
        power = power + 0.5 * torch.randn(n, 24, 24).abs()
        return ((power - power.mean()) / power.std())[:, None], y

    x, y = sounds(800)
    xt, yt = sounds(300)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(288, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 2),
    )  # fmt: skip
    _as_keras_starts(net)
    opt = optim.SGD(net.parameters(), lr=0.01 if mended else 0.1, momentum=0.9, nesterov=True)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(8):
            net.train()
            seen = right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                seen += loss.item() / 25
                right += accuracy(out, yb) / 25
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=seen, acc=right, epoch=epoch)
            probe.log("val", loss=criterion(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("unexpected-initial-loss", "learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting",
        "loss-not-decreasing", "loss-output-mismatch", below=0.8)  # fmt: skip
def quartic_in_its_own_units(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow, "Keras model to fit polynomial": values in the tens of thousands, and a fit that is a line.

    RMSprop as it comes and some hundred epochs; the answer is to bring the values to a scale that a net can reach.
    """
    torch.manual_seed(8102)
    x = torch.rand(1000, 1) * 6 - 3
    y = 900 * x**4 - 400 * x**3 - 5200 * x**2 + 1500 * x + 10 + 300 * torch.randn(1000, 1)
    if mended:
        y = (y - y[:800].mean()) / y[:800].std()
    net = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    _as_keras_starts(net)
    opt = optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(150):
            total = 0.0
            for xb, yb in batches(x[:800], y[:800], 32):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            probe.log("epoch", mse=total / 25)
    with torch.no_grad():
        return explained(net(x[800:]), y[800:])


@faulty("nonfinite-values", "exploding-gradients", "loss-diverging", "learning-rate-too-high",
        "unexpected-initial-loss", "weights-growing", below=0.8)  # fmt: skip
def made_regression_with_targets_of_hundreds(run_dir: Path, *, mended: bool = False) -> float:
    """Brownlee's "How to avoid exploding gradients" (AutoTrainer's kind): make_regression, its targets not scaled.

    25 ReLU units started as He has it, SGD(lr=0.01, momentum=0.9), 100 epochs of batches of 32; scaled, it works.
    """
    torch.manual_seed(8103)
    raw_x, raw_y = make_regression(n_samples=1000, n_features=20, noise=0.1, random_state=1)
    x, y = torch.tensor(raw_x).float(), torch.tensor(raw_y).float()[:, None]
    if mended:
        y = (y - y[:500].mean()) / y[:500].std()
    net = nn.Sequential(nn.Linear(20, 25), nn.ReLU(), nn.Linear(25, 1))
    nn.init.kaiming_uniform_(net[0].weight, nonlinearity="relu")
    nn.init.xavier_uniform_(net[2].weight)
    for layer in (net[0], net[2]):
        nn.init.zeros_(layer.bias)
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(100):
            for start in range(0, 500, 32):
                opt.zero_grad()
                loss = probe.loss_fn(net(x[start : min(start + 32, 500)]), y[start : min(start + 32, 500)])
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("loss", train=criterion(net(x[:500]), y[:500]), test=criterion(net(x[500:]), y[500:]))
    with torch.no_grad():
        return explained(net(x[500:]), y[500:])


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "loss-not-decreasing", "underfitting",
        "constant-predictions", below=0.8)  # fmt: skip
def exclusive_or_by_plain_descent_at_a_hundredth(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow, "How to use Keras for XOR": four rows, SGD(lr=0.01), mse, 1000 epochs, and answers about 0.5.

    The answer: eight tanh units, batches of one, and a rate of 0.1. Tried on the corners with some noise on them.
    """
    torch.manual_seed(8104)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    _as_keras_starts(net)
    opt = optim.SGD(net.parameters(), lr=0.1 if mended else 0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1000):
            total = 0.0
            for i in torch.randperm(4).split(1):
                opt.zero_grad()
                loss = F.mse_loss(net(x[i]), y[i])
                loss.backward()
                opt.step()
                total += loss.item() / 4
            probe.log("train", loss=total)
    near = x.repeat(100, 1) + 0.08 * torch.randn(400, 2)
    with torch.no_grad():
        return explained(net(near), y.repeat(100, 1))


@faulty("constant-predictions", "underfitting", "class-imbalance", "loss-not-decreasing", "slow-convergence",
        "no-generalization", below=0.75)  # fmt: skip
def fizz_buzz_of_the_number_itself(run_dir: Path, *, mended: bool = False) -> float:
    """Grus's Fizz Buzz, asked about ever since: the number as one input, not its ten binary digits: 53% "other"."""
    torch.manual_seed(8105)

    def encoded(numbers: Tensor) -> Tensor:
        if mended:
            return (numbers[:, None] >> torch.arange(10) & 1).float()
        return numbers[:, None] / 1023

    def answers(numbers: Tensor) -> Tensor:
        return (numbers % 3 == 0).long() + 2 * (numbers % 5 == 0).long()

    learned, asked = torch.arange(101, 1024), torch.arange(1, 101)
    x, y, xt, yt = encoded(learned), answers(learned), encoded(asked), answers(asked)
    net = nn.Sequential(nn.Linear(x.shape[1], 100), nn.ReLU(), nn.Linear(100, 4))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(1000):
            order = torch.randperm(923)
            for start in range(0, 923, 128):
                chosen = order[start : start + 128]
                loss = F.cross_entropy(net(x[chosen]), y[chosen])
                opt.zero_grad()
                loss.backward()
                opt.step()
            if epoch % 10 == 0:
                with torch.no_grad():
                    out = net(x)
                probe.log("train", loss=F.cross_entropy(out, y), accuracy=100 * accuracy(out, y))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "unexpected-initial-loss", "missing-gradients", "vanishing-gradients",
        "loss-not-decreasing", "constant-predictions", "underfitting", "noisy-loss",
        below=0.8)  # fmt: skip
def from_logits_left_at_false(run_dir: Path, *, mended: bool = False) -> float:
    """A bug of UMLAUT's study: Dense(10) without softmax, and a cross-entropy of Keras that takes probabilities.

    Written out as the backend has it: cut to 1e-7 .. 1 - 1e-7, then the logarithm, then divided by the sum.
    """
    torch.manual_seed(8106)
    x, y, xt, yt = digits(standard=False)
    x, xt = x / 16, xt / 16
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    _as_keras_starts(net)
    opt = optim.Adam(net.parameters(), lr=1e-3, eps=1e-7)

    def sparse_categorical_crossentropy(output: Tensor, target: Tensor) -> Tensor:
        if not mended:
            output = output.clamp(1e-7, 1 - 1e-7).log()
        return F.cross_entropy(output, target)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = sparse_categorical_crossentropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=sparse_categorical_crossentropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("exploding-gradients", "nonfinite-values", "loss-diverging", "loss-spikes", "unexpected-initial-loss",
        "constant-predictions", "dead-units", "learning-rate-too-high", "loss-not-decreasing",
        "collapsed-activations", "underfitting", below=0.8)  # fmt: skip
def lstm_with_relu_for_its_activation(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow, "Keras LSTM loss is nan": LSTM(50, activation='relu') on long windows, as on those of three."""
    torch.manual_seed(8107)
    t = torch.arange(900.0)
    series = torch.sin(t / 6) + 0.6 * torch.sin(t / 17 + 1) + 0.1 * torch.randn(900)
    series = (series - series.mean()) / series.std()
    windows = series.unfold(0, 51, 1)
    x, y = windows[:, :50, None], windows[:, 50:]
    activation = torch.tanh if mended else torch.relu

    class KerasLSTM(nn.Module):
        def __init__(self, inputs: int, units: int) -> None:
            super().__init__()
            self.units = units
            self.kernel = nn.Linear(inputs, 4 * units)
            self.recurrent = nn.Linear(units, 4 * units, bias=False)
            nn.init.xavier_uniform_(self.kernel.weight)
            nn.init.zeros_(self.kernel.bias)
            nn.init.ones_(self.kernel.bias.data[units : 2 * units])
            nn.init.orthogonal_(self.recurrent.weight)

        def forward(self, v: Tensor) -> Tensor:
            h = c = v.new_zeros(len(v), self.units)
            for part in self.kernel(v).unbind(1):
                i, f, g, o = (part + self.recurrent(h)).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * activation(g)
                h = o.sigmoid() * activation(c)
            return h

    net = nn.Sequential(KerasLSTM(1, 50), nn.Linear(50, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(20):
            total = 0.0
            for xb, yb in batches(x[:640], y[:640], 32):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            with torch.no_grad():
                val = F.mse_loss(net(x[700:]), y[700:])
            probe.log("history", loss=total / 20, val_loss=val, epoch=epoch)
    with torch.no_grad():
        return explained(net(x[700:]), y[700:])


@faulty("underfitting", "saturated-activations", "loss-output-mismatch", "slow-convergence", "loss-not-decreasing",
        "training-too-short", "learning-rate-too-low", below=0.85)  # fmt: skip
def hidden_state_of_one_as_the_answer(run_dir: Path, *, mended: bool = False) -> float:
    """A forecast that never reaches the peaks: nn.LSTM(1, 1), its state itself the answer, which no tanh lets past 1.

    From Keras scripts that end in LSTM(1), and the PyTorch forum: more units, and a linear layer after them.
    """
    torch.manual_seed(8108)
    t = np.arange(1200)
    demand = np.exp(1.1 * np.sin(2 * math.pi * t / 24) + 0.7 * np.sin(2 * math.pi * t / 84))
    demand = demand + 0.2 * np.random.default_rng(8).normal(size=1200)
    series = torch.tensor((demand - demand.mean()) / demand.std()).float()
    windows = series.unfold(0, 25, 1)
    x, y = windows[:, :24, None], windows[:, 24:]

    class Forecast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 32 if mended else 1, batch_first=True)
            self.head = nn.Linear(32, 1) if mended else nn.Identity()

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.lstm(v)[0][:, -1])

    net = Forecast()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(40):
            for xb, yb in batches(x[:900], y[:900], 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                val = criterion(net(x[930:]), y[930:])
            probe.log("loss", train=loss.item(), val=val.item())
    with torch.no_grad():
        return explained(net(x[930:]), y[930:])
