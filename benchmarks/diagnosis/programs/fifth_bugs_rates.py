"""Faulty programs of the fifth fresh set: rates, schedules, decay, and too little or too much of a training."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage import data as pictures
from sklearn.datasets import load_digits, make_friedman1
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, moons, split
from benchmarks.diagnosis.programs.program import faulty


@faulty("learning-rate-too-high", "noisy-loss", "oscillating-loss", "loss-not-decreasing", "constant-predictions",
        "saturated-activations", "loss-spikes", "collapsed-activations", "underfitting", "slow-convergence",
        "vanishing-gradients", "exploding-gradients", "weights-growing", below=0.85)  # fmt: skip
def gru_by_adam_at_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """Adam(lr=0.1) on a GRU that counts brackets, the rate taken over from plain SGD (PyTorch forums)."""
    torch.manual_seed(941)

    def brackets(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randint(0, 2, (n, 20))
        depth = (2 * x - 1).cumsum(1)
        return x, depth.max(1).values.clamp(0, 7)

    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(2, 8)
            self.gru = nn.GRU(8, 32, num_layers=2, batch_first=True)
            self.fc = nn.Linear(32, 8)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.gru(self.embed(v))[1][-1])

    net = Counter()
    opt = optim.Adam(net.parameters(), lr=5e-3 if mended else 0.1)
    xt, yt = brackets(400)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(800):
            x, y = brackets(32)
            loss = F.cross_entropy(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        "vanishing-gradients", "constant-predictions", below=0.5)  # fmt: skip
def factors_by_sgd_at_a_thousandth(run_dir: Path, *, mended: bool = False) -> float:
    """Matrix factorisation by SGD(lr=1e-3) of a mean over the batch; each factor is met by a few rows only (Stack
    Overflow, "PyTorch matrix factorization loss does not change")."""
    torch.manual_seed(942)
    users, films = torch.randn(150, 4), torch.randn(100, 4)
    u, f = torch.randint(150, (6000,)), torch.randint(100, (6000,))
    rating = (users[u] * films[f]).sum(1) / 2 + 0.3 * torch.randn(6000)

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.users, self.films = nn.Embedding(150, 6), nn.Embedding(100, 6)
            nn.init.normal_(self.users.weight, std=0.3)
            nn.init.normal_(self.films.weight, std=0.3)

        def forward(self, pair: Tensor) -> Tensor:
            return (self.users(pair[:, 0]) * self.films(pair[:, 1])).sum(1)

    net = Factors()
    pairs = torch.stack([u, f], 1)
    opt = optim.Adam(net.parameters(), lr=5e-3, weight_decay=1e-4) if mended else optim.SGD(net.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(36):
            for xb, yb in batches(pairs[:5000], rating[:5000], 100):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(net(pairs[5000:]), rating[5000:]))
    with torch.no_grad():
        return explained(net(pairs[5000:]), rating[5000:])


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "stalled-run", "loss-not-decreasing",
        "parameters-not-updated", below=0.88)  # fmt: skip
def linear_decay_over_five_epochs(run_dir: Path, *, mended: bool = False) -> float:
    """LinearLR(start_factor=1, end_factor=0) with its default of total_iters=5: from the sixth of 60 epochs on the rate
    is 0."""
    torch.manual_seed(943)
    x, y = make_friedman1(1000, n_features=8, noise=0.5, random_state=0)
    xs, ys, xt, yt = split((x - 0.5) * 3.46, (y - y.mean()) / y.std())
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.SGD(net.parameters(), lr=0.1)
    iters = 60 if mended else 5
    schedule = optim.lr_scheduler.LinearLR(opt, start_factor=1.0, end_factor=0.0, total_iters=iters)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(60):
            for xb, yb in batches(xs, ys, 50):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, lr=schedule.get_last_lr()[0])
            schedule.step()
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(xt).squeeze(1), yt), epoch=epoch)
    with torch.no_grad():
        return explained(net(xt), yt)


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "vanishing-gradients", "loss-not-decreasing",
        "collapsed-activations", "stalled-run", "slow-convergence", below=0.8)  # fmt: skip
def decay_of_a_fifth_with_momentum(run_dir: Path, *, mended: bool = False) -> float:
    """weight_decay=0.2 in SGD, a value of AdamW's: it is added to the gradient there and multiplied by the momentum,
    and what three convolutions know shrinks to nothing."""
    torch.manual_seed(944)
    x, y, xt, yt = digits(flat=False, seed=2)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4 if mended else 0.2)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(10):
            right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += accuracy(out, yb) / 42
                probe.log("train", loss=loss)
            with torch.no_grad():
                val = net(xt)
            probe.log("epoch", acc=right, val_acc=accuracy(val, yt), val_loss=criterion(val, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("noisy-loss", "oscillating-loss", "loss-not-decreasing", "learning-rate-too-high", "weights-growing",
        "loss-spikes", "slow-convergence", "saturated-activations", "underfitting", below=0.9)  # fmt: skip
def rprop_on_batches_of_ten(run_dir: Path, *, mended: bool = False) -> float:
    """Rprop trusts the sign of the gradient of the whole data; here of ten examples at a time (Hinton's lecture 6e: why
    rprop does not work with mini-batches)."""
    torch.manual_seed(945)
    x, y, xt, yt = moons(1000, 0.2)
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    opt = optim.Rprop(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(120 if mended else 12):
            for xb, yb in batches(x, y, 750 if mended else 10):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", "no-generalization", below=0.8)
def overfit_batches_left_on(run_dir: Path, *, mended: bool = False) -> float:
    """Trainer(overfit_batches=3) was left from the day of debugging (Lightning issues): three batches, 100 epochs."""
    torch.manual_seed(946)
    raw = load_digits()
    pixels = torch.tensor(raw.images).float()[:, None] / 8 - 1 + 0.5 * torch.randn(len(raw.target), 1, 8, 8)
    labels = torch.tensor(raw.target)
    x, y, xt, yt = pixels[:1400], labels[:1400], pixels[1400:], labels[1400:]
    overfit_batches = 0 if mended else 3
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.4),
        nn.Linear(96, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1.5e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(14 if mended else 150):
            net.train()
            for i, (xb, yb) in enumerate(batches(x, y, 20, shuffle=mended)):
                if i == (overfit_batches or math.inf):
                    break
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            probe.log("train", loss_epoch=loss, epoch=epoch)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", "no-generalization", "validation-anomaly", below=0.6)
def nine_degrees_for_fifteen_points(run_dir: Path, *, mended: bool = False) -> float:
    """Bishop's figure 1.4 in PyTorch: a polynomial of degree 9 (here of Legendre's) through fifteen noisy points."""
    torch.manual_seed(947)
    v = torch.rand(15) * 2 - 1
    y = torch.sin(3 * v) + 0.35 * torch.randn(15)
    grid = torch.linspace(-1, 1, 100)

    def features(points: Tensor) -> Tensor:
        columns = [torch.ones_like(points), points]
        for k in range(1, 9):
            columns.append(((2 * k + 1) * points * columns[-1] - k * columns[-2]) / (k + 1))
        return torch.stack(columns[1:], 1)

    net = nn.Linear(9, 1)
    opt = optim.LBFGS(net.parameters(), lr=0.5, max_iter=4)
    penalty = 0.03 if mended else 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(80):

            def closure() -> Tensor:
                opt.zero_grad()
                loss = F.mse_loss(net(features(v)).squeeze(1), y)
                total = loss + penalty * (net.weight**2).sum()
                total.backward()
                return total

            opt.step(closure)
            with torch.no_grad():
                fit, test = net(features(v)).squeeze(1), net(features(grid)).squeeze(1)
            probe.log("rms", train=F.mse_loss(fit, y).sqrt(), test=F.mse_loss(test, torch.sin(3 * grid)).sqrt())
    with torch.no_grad():
        return explained(net(features(grid)), torch.sin(3 * grid))


@faulty("underfitting", "slow-convergence", "training-too-short", "learning-rate-too-low", below=0.9)
def picture_by_a_plain_relu_net(run_dir: Path, *, mended: bool = False) -> float:
    """A picture as a function of its coordinates by ReLUs alone, no Fourier features: a blur (Tancik et al. 2020,
    figure 1; the issue "result is blurry" of every NeRF from scratch)."""
    torch.manual_seed(948)
    camera = torch.tensor(pictures.camera(), dtype=torch.float32)
    picture = F.avg_pool2d(camera[None, None, 60:316, 120:376], 4)[0, 0]
    picture = (picture - picture.mean()) / picture.std()
    line = torch.linspace(0, 1, 64)
    where = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    waves = 6 * torch.randn(2, 64)

    def encoded(v: Tensor) -> Tensor:
        turn = 2 * math.pi * v @ waves
        return torch.cat([turn.sin(), turn.cos()], 1)

    net = nn.Sequential(nn.Linear(128 if mended else 2, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 1))
    x, y = encoded(where) if mended else where, picture.reshape(-1)
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(900):
            chosen = torch.randint(4096, (256,))
            loss = F.mse_loss(net(x[chosen]).squeeze(1), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", psnr=-10 * math.log10(loss.item() / 16))
    with torch.no_grad():
        return explained(net(x), y)


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "training-too-short", below=0.85)
def head_left_at_the_rate_of_the_body(run_dir: Path, *, mended: bool = False) -> float:
    """SGD([{"params": body}, {"params": head}], lr=1e-4): the new head was to have 5e-2, and its "lr" was forgotten
    (PyTorch forums, per-parameter options)."""
    torch.manual_seed(949)
    x, y, xt, yt = digits()
    body = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 48), nn.Tanh())
    warm = nn.Sequential(body, nn.Linear(48, 5))
    first = optim.Adam(warm.parameters(), lr=2e-3)
    low = y < 5
    for _ in range(8):
        for xb, yb in batches(x[low], y[low], 32):
            first.zero_grad()
            F.cross_entropy(warm(xb), yb).backward()
            first.step()
    net = nn.Sequential(body, nn.Linear(48, 10))
    head = {"params": net[1].parameters(), "lr": 0.05} if mended else {"params": net[1].parameters()}
    opt = optim.SGD([{"params": net[0].parameters()}, head], lr=1e-4, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=criterion(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "loss-spikes", "loss-diverging", "dead-units", "oscillating-loss", "weights-growing",
        "exploding-gradients", "constant-predictions", "noisy-loss", "loss-not-decreasing", "collapsed-activations",
        "saturated-activations", below=0.8)  # fmt: skip
def one_cycle_up_to_one(run_dir: Path, *, mended: bool = False) -> float:
    """OneCycleLR(max_lr=1.0), the value of the fastai course for SGD, around AdamW: it learns until the rate has risen
    (forums, "loss goes up in the middle of one cycle")."""
    torch.manual_seed(950)
    x, y, xt, yt = digits(flat=False, seed=4)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 10),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=1e-3)
    cycle = optim.lr_scheduler.OneCycleLR(opt, max_lr=4e-3 if mended else 1.0, total_steps=42 * 10)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                cycle.step()
                probe.log("train", loss=loss, lr=cycle.get_last_lr()[0])
    with torch.no_grad():
        return accuracy(net(xt), yt)
