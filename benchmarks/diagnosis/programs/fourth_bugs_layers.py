"""Faulty programs of the fourth fresh set: depth, activations, initial weights, capacity, and who is trained."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import make_circles
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, split, text
from benchmarks.diagnosis.programs.program import faulty


@faulty("vanishing-gradients", "loss-not-decreasing", "constant-predictions", "saturated-activations",
        "collapsed-activations", "slow-convergence", "underfitting", "poor-initialization", "parameters-not-updated",
        "learning-rate-too-low", below=0.8)  # fmt: skip
def six_convolutions_with_sigmoids(run_dir: Path, *, mended: bool = False) -> float:
    """A VGG in small with the sigmoid of the lecture after every convolution: it stays at one in ten."""
    torch.manual_seed(821)
    x, y, xt, yt = digits(flat=False)
    layers: list[nn.Module] = []
    channels = 1
    for i, width in enumerate((8, 8, 16, 16, 32, 32)):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU() if mended else nn.Sigmoid()]
        layers += [nn.MaxPool2d(2)] if i % 2 else []
        channels = width
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 10))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


def _ten_tanh(run_dir: Path, std: float | None, rate: float, seed: int) -> float:
    """The net of CS231n's lecture on initialisation: nine hidden layers of 100 tanh units, weights of one scale."""
    torch.manual_seed(seed)
    x, y, xt, yt = digits()
    sizes = [64, *[100] * 9]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    net = nn.Sequential(*layers, nn.Linear(100, 10))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std or layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
    opt = optim.SGD(net.parameters(), lr=rate)
    with probes.watch(net, opt, run_dir, config={"std": std}) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("accuracy", train=accuracy(net(x), y), val=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("saturated-activations", "poor-initialization", "unexpected-initial-loss", "exploding-gradients",
        "vanishing-gradients", "slow-convergence", "underfitting", "loss-not-decreasing", "noisy-loss",
        "no-generalization", "overfitting", "oscillating-loss", below=0.8)  # fmt: skip
def lecture_with_weights_of_one(run_dir: Path, *, mended: bool = False) -> float:
    """CS231n, lecture 6: W = 1.0 * np.random.randn(fan_in, fan_out), and almost all neurons saturate."""
    return _ten_tanh(run_dir, None if mended else 1.0, 0.02, 822)


@faulty("vanishing-gradients", "poor-initialization", "collapsed-activations", "constant-predictions",
        "loss-not-decreasing", "symmetric-initialization", "learning-rate-too-low", "slow-convergence", "underfitting",
        "parameters-not-updated", below=0.8)  # fmt: skip
def lecture_with_weights_of_a_hundredth(run_dir: Path, *, mended: bool = False) -> float:
    """CS231n, lecture 6: W = 0.01 * np.random.randn(fan_in, fan_out), and all activations become zero."""
    return _ten_tanh(run_dir, None if mended else 0.01, 0.02, 823)


@faulty("symmetric-initialization", "poor-initialization", "underfitting", "collapsed-activations", "noisy-filters",
        "input-bottleneck", "slow-convergence", "constant-predictions", "loss-not-decreasing", "dead-units",
        "unexpected-initial-loss", "oscillating-loss", below=0.85)  # fmt: skip
def every_weight_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """nn.init.constant_(m.weight, 0.1) in init_weights "to start equal": all units of a layer stay one and the same."""
    torch.manual_seed(824)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 30), nn.ReLU(), nn.Linear(30, 10))

    def init_weights(m: nn.Module) -> None:
        if isinstance(m, nn.Linear):
            nn.init.constant_(m.weight, 0.1)
            nn.init.zeros_(m.bias)

    if not mended:
        net.apply(init_weights)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(20):
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 42
            probe.log("train", loss=total, epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("unexpected-initial-loss", "poor-initialization", "slow-convergence", "training-too-short", "underfitting",
        "saturated-activations", "learning-rate-too-low", below=0.5)  # fmt: skip
def hockey_stick(run_dir: Path, *, mended: bool = False) -> float:
    """Karpathy's makemore, part 3, before it is put right: the last layer by torch.randn, a first loss of thirty."""
    torch.manual_seed(825)
    letters = text().lower()[:14000]
    known = sorted(set(letters))
    data = torch.tensor([known.index(c) for c in letters])
    windows = data.unfold(0, 4, 1)
    x, y = windows[:, :3], windows[:, 3]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Embedding(len(known), 10)
            self.hidden, self.act = nn.Linear(30, 200), nn.Tanh()
            self.out = nn.Linear(200, len(known))
            if not mended:
                nn.init.normal_(self.hidden.weight)
                nn.init.normal_(self.out.weight)
                nn.init.normal_(self.out.bias)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.act(self.hidden(self.c(v).flatten(1))))

    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1500):
            chosen = torch.randint(12000, (32,))
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, log10=torch.log10(loss.detach()))
            if step % 250 == 249:
                with torch.no_grad():
                    probe.log("dev", loss=F.cross_entropy(net(x[12000:]), y[12000:]))
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(x[12000:]), y[12000:]) / math.log(len(known)))


@faulty("underfitting", "input-bottleneck", "slow-convergence", "loss-not-decreasing", "training-too-short",
        "validation-anomaly", "noisy-loss", "learning-rate-too-low", below=0.85)  # fmt: skip
def eight_tenths_dropped_of_little(run_dir: Path, *, mended: bool = False) -> float:
    """Dropout(0.8) after each of three small layers (keep_prob=0.8 of TensorFlow 1 was meant): it cannot even learn."""
    torch.manual_seed(826)
    x, y, xt, yt = digits()
    drop = 0.2 if mended else 0.8
    net = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Dropout(drop), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(drop),
        nn.Linear(32, 32), nn.ReLU(), nn.Dropout(drop), nn.Linear(32, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(25):
            net.train()
            total = right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 42
                right += accuracy(out, yb) / 42
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=total, acc=right)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("underfitting", "loss-not-decreasing", "constant-predictions", "slow-convergence", "stalled-run",
        "noisy-loss", below=0.9)  # fmt: skip
def rings_by_a_straight_line(run_dir: Path, *, mended: bool = False) -> float:
    """Two layers and nothing between them, on scikit-learn's circles: a line cannot tell a ring from its middle."""
    torch.manual_seed(827)
    x, y, xt, yt = split(*make_circles(800, noise=0.08, factor=0.4, random_state=0))
    y, yt = y.float(), yt.float()
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU() if mended else nn.Identity(), nn.Linear(16, 1))
    opt = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(10_000):
            out = net(x).squeeze(1)
            loss = F.binary_cross_entropy_with_logits(out, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if epoch % 100 == 0:
                with torch.no_grad():
                    test = net(xt).squeeze(1)
                probe.log("train", loss=loss, accuracy=100 * ((out > 0) == (y > 0)).float().mean())
                probe.log("test", loss=F.binary_cross_entropy_with_logits(test, yt),
                          accuracy=100 * ((test > 0) == (yt > 0)).float().mean())  # fmt: skip
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


@faulty("parameters-not-updated", "missing-gradients", "underfitting", "slow-convergence", "loss-not-decreasing",
        "noisy-filters", "input-bottleneck", "poor-initialization", below=0.9)  # fmt: skip
def layers_in_a_plain_dict(run_dir: Path, *, mended: bool = False) -> float:
    """self.layers = {"conv1": ...}: not registered, not in model.parameters(); only the head learns (PyTorch forum)."""
    torch.manual_seed(828)
    x, y, xt, yt = digits(flat=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: dict[str, nn.Module] = {
                "conv1": nn.Conv2d(1, 6, 3, padding=1), "conv2": nn.Conv2d(6, 8, 3, padding=1),
                "conv3": nn.Conv2d(8, 8, 3, padding=1),
            }  # fmt: skip
            self.layers = nn.ModuleDict(layers) if mended else layers
            self.act, self.pool = nn.ReLU(), nn.MaxPool2d(2)
            self.head = nn.Linear(32, 10)

        def forward(self, v: Tensor) -> Tensor:
            v = self.pool(self.act(self.layers["conv1"](v)))
            v = self.act(self.layers["conv2"](v))
            return self.head(self.pool(self.act(self.layers["conv3"](v))).flatten(1))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("parameters-not-updated", "loss-not-decreasing", "gradients-not-cleared", "exploding-gradients",
        "constant-predictions", "stalled-run", "learning-rate-too-low", "underfitting", below=0.85)  # fmt: skip
def accumulated_over_more_than_an_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """`if (i + 1) % 32 == 0: step()` on a table that has 26 batches an epoch: i starts anew, and no step is taken."""
    torch.manual_seed(829)
    x, y, xt, yt = cancer()
    y, yt = y.float(), yt.float()
    net = nn.Sequential(
        nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0)
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.BCEWithLogitsLoss()
    accumulation_steps = 2 if mended else 32
    with probes.watch(net, opt, run_dir, config={"accumulation_steps": accumulation_steps}) as probe:
        for _ in range(40):
            for i, (xb, yb) in enumerate(batches(x, y, 16)):
                loss = criterion(net(xb), yb)
                (loss / accumulation_steps).backward()
                if (i + 1) % accumulation_steps == 0:
                    opt.step()
                    opt.zero_grad()
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=criterion(out, yt), acc=((out > 0) == (yt > 0)).float().mean())
    with torch.no_grad():
        return float(((net(xt) > 0) == (yt > 0)).float().mean())


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "loss-not-decreasing", "slow-convergence",
        "collapsed-activations", "vanishing-gradients", "dead-units", below=0.8)  # fmt: skip
def weight_decay_of_a_half(run_dir: Path, *, mended: bool = False) -> float:
    """optim.Adam(weight_decay=0.5) after a sweep written for AdamW: the penalty outweighs the loss, the net is zero."""
    torch.manual_seed(830)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 32), nn.ReLU(),
        nn.Linear(32, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4 if mended else 0.5)
    with probes.watch(net, opt, run_dir, config={"weight_decay": opt.param_groups[0]["weight_decay"]}) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("vanishing-gradients", "loss-not-decreasing", "constant-predictions", "slow-convergence", "underfitting",
        "training-too-short", "noisy-loss", "stalled-run", "learning-rate-too-low", below=0.8)  # fmt: skip
def first_sign_of_a_long_row(run_dir: Path, *, mended: bool = False) -> float:
    """A plain tanh nn.RNN must say at the end which sign came first, eighty steps ago: ln 4 all along (Bengio 1994)."""
    torch.manual_seed(831)

    def rows(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        x = torch.cat([F.one_hot(y, 4)[:, None].float(), torch.zeros(n, 79, 4)], 1)
        return torch.cat([x, 0.1 * torch.randn(n, 80, 2)], 2), y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = (nn.LSTM if mended else nn.RNN)(6, 32, batch_first=True)
            if mended:  # gates that remember for eighty steps (Tallec and Ollivier 2018)
                nn.init.constant_(self.rnn.bias_hh_l0[32:64].detach(), math.log(80))
            self.fc = nn.Linear(32, 4)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.rnn(v)[0][:, -1])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(800):
            x, y = rows(32)
            out = net(x)
            loss = F.cross_entropy(out, y)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("train", loss=loss, accuracy=accuracy(out, y))
    x, y = rows(400)
    with torch.no_grad():
        return accuracy(net(x), y)


@faulty("input-bottleneck", "underfitting", "slow-convergence", "loss-not-decreasing", "dead-units",
        below=0.85)  # fmt: skip
def two_units_before_ten_classes(run_dir: Path, *, mended: bool = False) -> float:
    """64-64-2-64-10: a layer of two ReLU units left over from a plot of features (Zhang 2018, wrong layer size)."""
    torch.manual_seed(832)
    x, y, xt, yt = digits()
    narrow = 32 if mended else 2
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, narrow), nn.ReLU(), nn.Linear(narrow, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("train", acc=accuracy(net(x), y))
                probe.log("val", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)
