"""Faulty programs of the sixth set: rates, schedules, starts, and sizes of nets."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage.data import brick, camera, grass
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, moons, spirals, text
from benchmarks.diagnosis.programs.program import faulty


def _three_grounds(n: int) -> tuple[Tensor, Tensor]:
    """Patches [N, 1, 16, 16] of grass, brick and what a camera man stands on, standardised, and which they are."""
    sources = [torch.tensor(picture()).float() / 255 for picture in (grass, brick, camera)]
    y = torch.randint(3, (n,))
    rows = []
    for k in y.tolist():
        i, j = torch.randint(480, (2,)).tolist()
        rows.append(sources[k][i : i + 16, j : j + 16])
    x = torch.stack(rows)[:, None]
    return (x - x.mean()) / x.std(), y


@faulty("exploding-gradients", "nonfinite-values", "loss-diverging", "learning-rate-too-high", "loss-spikes",
        "oscillating-loss", "noisy-loss", "loss-not-decreasing", "saturated-activations", "weights-growing",
        "constant-predictions", below=0.45)  # fmt: skip
def letters_by_a_plain_recurrence_unclipped(run_dir: Path, *, mended: bool = False) -> float:
    """d2l's language model from scratch at its rate of 1 and without its grad_clipping: the perplexity jumps."""
    torch.manual_seed(1631)
    letters = "".join(c for c in text().lower() if c.isalpha() or c == " ")
    known = sorted(set(letters))
    data = torch.tensor([known.index(c) for c in letters])
    held = data[9000 : 9000 + 33 * 60].view(-1, 33)
    n = len(known)

    class Scratch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.W_xh = nn.Parameter(0.1 * torch.randn(n, 64))
            self.W_hh = nn.Parameter(0.1 * torch.randn(64, 64))
            self.b_h = nn.Parameter(torch.zeros(64))
            self.W_hq = nn.Parameter(0.1 * torch.randn(64, n))
            self.b_q = nn.Parameter(torch.zeros(n))

        def forward(self, v: Tensor) -> Tensor:
            state = torch.zeros(len(v), 64)
            states = []
            for letter in F.one_hot(v, n).float().unbind(1):
                state = torch.tanh(letter @ self.W_xh + state @ self.W_hh + self.b_h)
                states.append(state)
            return torch.stack(states, 1) @ self.W_hq + self.b_q

    net = Scratch()
    opt = optim.SGD(net.parameters(), lr=1.0)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            piece = torch.stack([data[s : s + 33] for s in torch.randint(9000 - 33, (32,))])
            loss = F.cross_entropy(net(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            opt.zero_grad()
            loss.backward()
            if mended:
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("train", ppl=loss.detach().exp())
            if step % 50 == 49:
                with torch.no_grad():
                    val = F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten())
                probe.log("valid", ppl=val.exp())
    return float(1 - val / math.log(n))


@faulty("learning-rate-too-high", "loss-diverging", "nonfinite-values", "exploding-gradients", "loss-spikes",
        "weights-growing", "loss-not-decreasing", below=0.8)  # fmt: skip
def grounds_with_momentum_at_a_half(run_dir: Path, *, mended: bool = False) -> float:
    """SGD with momentum 0.9 at 0.5, copied from a net with batch norm, for plain convolutions (course forums)."""
    torch.manual_seed(1632)
    x, y = _three_grounds(1500)
    xt, yt = _three_grounds(300)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 64),
        nn.ReLU(), nn.Linear(64, 3),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.01 if mended else 0.5, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = criterion(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=criterion(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("learning-rate-too-high", "loss-not-decreasing", "dead-units", "constant-predictions",
        "collapsed-activations", "underfitting", "saturated-activations", "vanishing-gradients", below=0.6)  # fmt: skip
def autoencoder_by_adam_at_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """Adam(lr=0.1), as one writes after SGD: an autoencoder that paints the mean of all digits (Stack Overflow)."""
    torch.manual_seed(1633)
    x, _, xt, _ = digits(standard=False)
    x, xt = x / 16, xt / 16
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64),
        nn.Sigmoid(),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3 if mended else 0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, _ in batches(x, x, 50):
                loss = F.mse_loss(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            probe.log("epoch", loss=loss)
    with torch.no_grad():
        return explained(net(xt), xt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        below=0.8)  # fmt: skip
def grounds_by_adam_at_a_hundred_thousandth(run_dir: Path, *, mended: bool = False) -> float:
    """lr=1e-5 "because a small rate is safe", for a net from scratch and eight epochs (PyTorch forum)."""
    torch.manual_seed(1634)
    x, y = _three_grounds(1200)
    xt, yt = _three_grounds(300)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(288, 3),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3 if mended else 1e-5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for i, (xb, yb) in enumerate(batches(x, y, 40)):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if i % 10 == 0:
                    probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "loss-not-decreasing", "parameters-not-updated",
        "stalled-run", below=0.85)  # fmt: skip
def step_lr_in_the_inner_loop(run_dir: Path, *, mended: bool = False) -> float:
    """StepLR(step_size=10, gamma=0.5), meant in epochs, stepped behind every batch (PyTorch forum)."""
    torch.manual_seed(1635)
    x, y, xt, yt = spirals(1500)
    net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
    with probes.watch(net, optimizer, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if not mended:
                    scheduler.step()
                probe.log("train", loss=loss)
            if mended:
                scheduler.step()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("poor-initialization", "unexpected-initial-loss", "exploding-gradients", "learning-rate-too-low",
        "slow-convergence", "underfitting", "training-too-short", below=0.6)  # fmt: skip
def unit_normal_weights_for_a_regression(run_dir: Path, *, mended: bool = False) -> float:
    """nn.init.normal_(m.weight) and its deviation of one, in a net 256 wide: the first loss is in the millions."""
    torch.manual_seed(1636)
    x = torch.randn(1600, 12)
    y = torch.tanh(x[:, 0] + x[:, 1]) + 0.5 * x[:, 2] * x[:, 3] + 0.2 * torch.randn(1600)
    net = nn.Sequential(nn.Linear(12, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))

    def init_weights(m: nn.Module) -> None:
        if isinstance(m, nn.Linear):
            if mended:
                nn.init.xavier_normal_(m.weight)
            else:
                nn.init.normal_(m.weight)
            nn.init.zeros_(m.bias)

    net.apply(init_weights)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(6):
            for xb, yb in batches(x[:1200], y[:1200, None], 24):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                val = net(x[1200:])
            probe.log("val", loss=F.mse_loss(val, y[1200:, None]), r2=explained(val, y[1200:]))
    return explained(val, y[1200:])


@faulty("underfitting", "loss-not-decreasing", below=0.93)
def four_linear_layers_and_nothing_between(run_dir: Path, *, mended: bool = False) -> float:
    """self.layers = Sequential(Linear, Linear, Linear, Linear): deep, and a straight line all the same (forums)."""
    torch.manual_seed(1637)
    x, y, xt, yt = moons(1600, noise=0.12)

    def between() -> nn.Module:
        return nn.ReLU() if mended else nn.Identity()

    net = nn.Sequential(
        nn.Linear(2, 64), between(), nn.Linear(64, 64), between(), nn.Linear(64, 32), between(), nn.Linear(32, 2)
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(30):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                train, val = net(x), net(xt)
            probe.log("train", loss=F.cross_entropy(train, y), acc=accuracy(train, y), epoch=epoch)
            probe.log("val", loss=F.cross_entropy(val, yt), acc=accuracy(val, yt))
    return accuracy(val, yt)


@faulty("vanishing-gradients", "constant-predictions", "loss-not-decreasing", "slow-convergence", "underfitting",
        "saturated-activations", "collapsed-activations", "learning-rate-too-low", "poor-initialization",
        "stalled-run", below=0.6)  # fmt: skip
def sigmoids_all_through_an_autoencoder(run_dir: Path, *, mended: bool = False) -> float:
    """Seven layers with a sigmoid behind each, SGD at 0.5, as in the book of 1986: it paints the mean (CS231n)."""
    torch.manual_seed(1638)
    x, _, xt, _ = digits(standard=False)
    x, xt = x / 16, xt / 16
    widths = [64, 48, 32, 16, 32, 48, 64]
    layers: list[nn.Module] = []
    for i in range(6):
        layers += [nn.Linear(widths[i], widths[i + 1])]
        layers += [nn.Sigmoid() if i == 5 or not mended else nn.ReLU()]
    net = nn.Sequential(*layers)
    if mended:
        for m in net:
            if isinstance(m, nn.Linear):
                nn.init.kaiming_normal_(m.weight)
                nn.init.zeros_(m.bias)
    opt = optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(50):
            for xb, _ in batches(x, x, 32):
                loss = criterion(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("ae", reconstruction=loss)
    with torch.no_grad():
        return explained(net(xt), xt)
