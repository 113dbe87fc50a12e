"""Faulty programs of the second fresh set: questions of forums and issues, with the answer as the twin."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained
from benchmarks.diagnosis.programs.program import faulty
from benchmarks.diagnosis.programs.second_textbook import many_digits


def _prices(n: int = 1200) -> Tensor:
    """A share price between some 1,000 and 5,000: waves on a slow rise, with noise."""
    t = torch.arange(n, dtype=torch.float32)
    return 3000 + 900 * torch.sin(t / 40) + 500 * torch.sin(t / 11) + 0.3 * t + 25 * torch.randn(n)


@faulty("unnormalized-inputs", "saturated-activations", "loss-output-mismatch", "constant-predictions",
        "collapsed-activations", "loss-not-decreasing", "slow-convergence", "training-too-short",
        "unexpected-initial-loss", below=0.5)  # fmt: skip
def lstm_predicts_the_mean(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow, "my LSTM predicts a constant": prices in the thousands go in and are asked for, unscaled."""
    torch.manual_seed(231)
    price = _prices()
    if mended:
        price = (price - price.mean()) / price.std()
    windows = price.unfold(0, 31, 1)
    order = torch.randperm(len(windows))
    x, y = windows[order, :30].unsqueeze(2), windows[order, 30:]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 32, batch_first=True)
            self.out = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(v)[0][:, -1])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:1000], y[:1000], 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[1000:]), y[1000:]))
    with torch.no_grad():
        return explained(net(x[1000:]), y[1000:])


@faulty("learning-rate-too-high", below=0.8)
def thirty_steps_of_adam_at_ten(run_dir: Path, *, mended: bool = False) -> float:
    """lr=10 instead of 1e-2, noticed or not after thirty steps."""
    torch.manual_seed(232)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.Adam(net.parameters(), lr=1e-2 if mended else 10.0)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            ix = torch.randint(len(x), (64,))
            loss = F.cross_entropy(net(x[ix]), y[ix])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "loss-diverging", "exploding-gradients", "nonfinite-values", "loss-spikes",
        below=0.8)  # fmt: skip
def range_test_left_on(run_dir: Path, *, mended: bool = False) -> float:
    """The learning rate finder's exponential schedule, 1e-5 to 30, left in the real training: good, then ruined."""
    torch.manual_seed(233)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.1 if mended else 1e-5, momentum=0.9)
    grow = (30 / 1e-5) ** (1 / 800)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(800):
            ix = torch.randint(len(x), (64,))
            loss = F.cross_entropy(net(x[ix]), y[ix])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if not mended:
                opt.param_groups[0]["lr"] *= grow
            probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "underfitting", "slow-convergence", below=0.5)
def sigmoid_decoder_for_standardised_pixels(run_dir: Path, *, mended: bool = False) -> float:
    """An autoencoder with a sigmoid at its end; Normalize((0.5,), (0.5,)) has made the pixels negative."""
    torch.manual_seed(234)
    x, _y, xt, _yt = digits(standard=False)
    x, xt = x / 8 - 1, xt / 8 - 1
    net = nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 64),
        nn.Tanh() if mended else nn.Sigmoid(),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(25):
            for xb, _ in batches(x, x, 32):
                loss = probe.loss_fn(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(xt), xt))
    with torch.no_grad():
        return float(1 - F.mse_loss(net(xt), xt) / (xt - xt.mean(0)).square().mean())


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "loss-not-decreasing", below=0.85)
def adamw_decay_of_fifty(run_dir: Path, *, mended: bool = False) -> float:
    """weight_decay=50 in AdamW (one of a ridge's alphas): each step takes 15% of every weight."""
    torch.manual_seed(235)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01 if mended else 50.0)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", below=0.75)
def adam_with_epsilon_one(run_dir: Path, *, mended: bool = False) -> float:
    """eps=1.0, a hint for Inception on ImageNet, with the usual rate: Adam becomes a very slow SGD."""
    torch.manual_seed(236)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3, eps=1e-8 if mended else 1.0)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.8)
def keras_momentum_in_batch_norm(run_dir: Path, *, mended: bool = False) -> float:
    """BatchNorm(momentum=0.001) from a framework that counts the other way: the statistics never come."""
    torch.manual_seed(237)
    x, y, xt, yt = digits(flat=False, standard=False)
    m = 0.1 if mended else 0.001
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16, momentum=m), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32, momentum=m), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 64), nn.BatchNorm1d(64, momentum=m), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(8):
            net.train()
            for xb, yb in batches(x, y, 64):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("unnormalized-inputs", "constant-predictions", "loss-not-decreasing", below=0.8)
def mean_of_another_scale(run_dir: Path, *, mended: bool = False) -> float:
    """The mean of 0..255 images (104, 117, 123) is taken from images that are 0..1 already: inputs of about -115."""
    torch.manual_seed(238)
    x, y, xt, yt = many_digits(3000)
    mean = 0.3 if mended else torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 10),
    )  # fmt: skip
    prepare = lambda v: v.expand(-1, 3, -1, -1) - mean  # noqa: E731
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 50):
                loss = probe.loss_fn(net(prepare(xb)), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(prepare(xt))
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(prepare(xt)), yt)


@faulty("unnormalized-inputs", "loss-not-decreasing", "constant-predictions", "underfitting", "no-generalization",
        "unexpected-initial-loss", "learning-rate-too-high", below=0.75)  # fmt: skip
def token_numbers_as_features(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow: tokenizer output, numbers up to 4,999, goes as floats into nn.Linear: no embedding."""
    torch.manual_seed(239)
    x = torch.randint(5000, (2000, 10))
    good = torch.zeros(5000)
    good[torch.randperm(5000)[:2500]] = 1
    code = torch.arange(5000) % 40
    good = good[code]
    y = (good[x].mean(1) > good[x].mean()).long()
    first: nn.Module = nn.Sequential(nn.Linear(10, 64), nn.ReLU())
    if mended:
        x = code[x]
        first = nn.Sequential(nn.Embedding(40, 16), nn.Flatten(), nn.Linear(160, 64), nn.ReLU())
    else:
        x = x.float()
    net = nn.Sequential(first, nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:1600], y[:1600], 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(x[1600:])
                probe.log("val", loss=F.cross_entropy(out, y[1600:]), accuracy=accuracy(out, y[1600:]))
    with torch.no_grad():
        return accuracy(net(x[1600:]), y[1600:])


@faulty("nonfinite-values", below=0.5)
def logarithm_of_sales(run_dir: Path, *, mended: bool = False) -> float:
    """torch.log(sales) as the target, and on one day in two hundred nothing was sold."""
    torch.manual_seed(240)
    x = torch.randn(1500, 5)
    sales = (1.5 * x[:, 0] + x[:, 1]).exp() * 20
    sales[torch.rand(1500) < 0.005] = 0
    y = torch.log1p(sales) if mended else torch.log(sales)
    net = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1200], y[:1200], 16):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[1200:]).squeeze(1), y[1200:].clamp(min=-20))


@faulty("nonfinite-values", below=0.5)
def mean_over_an_empty_mask(run_dir: Path, *, mended: bool = False) -> float:
    """(loss * mask).sum() / mask.sum(): once in a few hundred batches nothing is masked in, and 0 / 0 is NaN."""
    torch.manual_seed(241)
    net = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1200):
            x = torch.randn(16, 4)
            y = torch.sin(x[:, 0]) + x[:, 1] * x[:, 2]
            mask = (torch.rand(16) < 0.5).float() * (0.0 if step in (700, 950) else 1.0)
            each = (net(x).squeeze(1) - y).square()
            loss = (each * mask).sum() / (mask.sum() + 1e-6 if mended else mask.sum())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x = torch.randn(500, 4)
    with torch.no_grad():
        return explained(net(x).squeeze(1), torch.sin(x[:, 0]) + x[:, 1] * x[:, 2])


@faulty("gradients-not-cleared", "exploding-gradients", "learning-rate-too-high", below=0.9)
def cleared_once_an_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """zero_grad() stands before the inner loop: within an epoch all gradients add up (PyTorch forum)."""
    torch.manual_seed(242)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            opt.zero_grad()
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                if mended:
                    opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("exploding-gradients", "nonfinite-values", "learning-rate-too-high", "loss-diverging", "poor-initialization",
        "loss-spikes", "saturated-activations", "loss-not-decreasing", "oscillating-loss", below=0.6)  # fmt: skip
def recurrent_weights_three_times_too_large(run_dir: Path, *, mended: bool = False) -> float:
    """orthogonal_(w, gain=3) for the recurrent matrix of a leaky-ReLU RNN, without clipping."""
    torch.manual_seed(243)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inp, self.rec, self.out = nn.Linear(1, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 1)
            nn.init.orthogonal_(self.rec.weight, gain=0.9 if mended else 3.0)

        def forward(self, v: Tensor) -> Tensor:
            h = torch.zeros(len(v), 24)
            for t in range(v.shape[1]):
                h = F.leaky_relu(self.inp(v[:, t]) + self.rec(h), 0.3)
            return self.out(h).squeeze(1)

    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.005)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(400):
            x = torch.rand(32, 15, 1)
            loss = F.mse_loss(net(x), x[:, -5:].sum((1, 2)) - 2.5)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x = torch.rand(500, 15, 1)
    with torch.no_grad():
        return explained(net(x), x[:, -5:].sum((1, 2)) - 2.5)


@faulty("loss-not-decreasing", "underfitting", "no-generalization", "constant-predictions", "overfitting", below=0.65)
def transformer_without_positions(run_dir: Path, *, mended: bool = False) -> float:
    """The positional encoding is defined and never added: the order, which the task is about, cannot be seen."""
    torch.manual_seed(244)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift = nn.Linear(1, 32)
            self.place = nn.Parameter(0.5 * torch.randn(8, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(32, 2)

        def forward(self, v: Tensor) -> Tensor:
            h = self.lift(v.unsqueeze(2))
            if mended:
                h = h + self.place
            return self.out(self.body(h).mean(1))

    def sample(n: int) -> tuple[Tensor, Tensor]:
        v = torch.randn(n, 8)
        return v, (v[:, :4].sum(1) > v[:, 4:].sum(1)).long()

    net = Net()
    opt = optim.Adam([p for n, p in net.named_parameters() if mended or n != "place"], lr=1e-3)
    if not mended:
        net.place.requires_grad_(False)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(600):
            v, y = sample(48)
            loss = F.cross_entropy(net(v), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 60 == 59:
                with torch.no_grad():
                    v, y = sample(300)
                    probe.log("val", loss=F.cross_entropy(net(v), y), accuracy=accuracy(net(v), y))
    v, y = sample(1000)
    with torch.no_grad():
        return accuracy(net(v), y)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", below=0.8)
def plateau_in_the_wrong_mode(run_dir: Path, *, mended: bool = False) -> float:
    """ReduceLROnPlateau(mode="max") is given a loss: every epoch that improves looks like a bad one."""
    torch.manual_seed(245)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.02)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(opt, mode="min" if mended else "max", patience=0, factor=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                val = F.cross_entropy(net(xt), yt)
            plateau.step(val)
            probe.log("val", loss=val)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", below=0.3)
def twenty_points_and_a_giant(run_dir: Path, *, mended: bool = False) -> float:
    """Thirty noisy points, 3 x 256 units, Adam, 2,000 steps, full batch: every point is met, and nothing between."""
    torch.manual_seed(246)
    x = torch.rand(400, 6) * 2 - 1
    y = (torch.sin(3 * x[:, 0]) + x[:, 1] + 0.7 * torch.randn(400)).unsqueeze(1)
    n = 300 if mended else 30
    net = nn.Sequential(nn.Linear(6, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-2 if mended else 0.0)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(60 if mended else 1200):
            loss = F.mse_loss(net(x[:n]), y[:n])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 20 == 19:
                with torch.no_grad():
                    probe.log("val", loss=F.mse_loss(net(x[300:]), y[300:]))
    with torch.no_grad():
        return explained(net(x[300:]), y[300:])


@faulty("saturated-activations", "poor-initialization", "vanishing-gradients", "symmetric-initialization",
        "loss-not-decreasing", below=0.9)  # fmt: skip
def weights_from_torch_rand(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Parameter(torch.rand(a, b)): all weights positive, all sigmoids at one (a beginner's net by hand)."""
    torch.manual_seed(247)
    x, y, xt, yt = digits(standard=False)
    x, xt = x / 16, xt / 16

    class Layer(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.w = nn.Parameter((torch.rand(a, b) - 0.5) * 4 / math.sqrt(a) if mended else torch.rand(a, b))
            self.b = nn.Parameter(torch.zeros(b))

        def forward(self, v: Tensor) -> Tensor:
            return v @ self.w + self.b

    net = nn.Sequential(Layer(64, 64), nn.Sigmoid(), Layer(64, 64), nn.Sigmoid(), Layer(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "oscillating-loss", "loss-diverging", "noisy-loss", "loss-spikes",
        "exploding-gradients", "nonfinite-values", below=0.8)  # fmt: skip
def online_regression_in_leaps(run_dir: Path, *, mended: bool = False) -> float:
    """One example a step with a rate of 0.3 on standardised features: each example undoes the last; 10,000 steps."""
    torch.manual_seed(248)
    w = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
    net = nn.Linear(5, 1)
    opt = optim.SGD(net.parameters(), lr=0.005 if mended else 0.26)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10000):
            x = torch.randn(1, 5)
            loss = (net(x).squeeze() - (x @ w).squeeze() - 0.5 * torch.randn(())).square()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x = torch.randn(500, 5)
    with torch.no_grad():
        return explained(net(x), x @ w)


@faulty("class-imbalance", "constant-predictions", "loss-output-mismatch", "unexpected-initial-loss", below=0.7)
def pos_weight_of_a_thousand(run_dir: Path, *, mended: bool = False) -> float:
    """pos_weight = negatives / positives, computed on the wrong column: 1,000 where 3 was right; all is positive."""
    torch.manual_seed(249)
    x = torch.randn(2000, 8)
    y = ((x[:, 0] + x[:, 1] + 0.5 * torch.randn(2000)) > 0.9).float()
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0 if mended else 1000.0))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:1600], y[:1600], 32):
                out = net(xb).squeeze(1)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=((out > 0) == (yb > 0)).float().mean())
            with torch.no_grad():
                out = net(x[1600:]).squeeze(1)
                probe.log("val", loss=criterion(out, y[1600:]), accuracy=((out > 0) == (y[1600:] > 0)).float().mean())
    with torch.no_grad():
        right = (net(x[1600:]).squeeze(1) > 0) == (y[1600:] > 0)
    return float((right[y[1600:] > 0].float().mean() + right[y[1600:] == 0].float().mean()) / 2)


@faulty("no-generalization", "overfitting", "loss-not-decreasing", "underfitting", below=0.7)
def rows_and_columns_mixed(run_dir: Path, *, mended: bool = False) -> float:
    """Features come as [64, n] and are brought to [n, 64] by reshape instead of .T: each row is a mix of examples."""
    torch.manual_seed(250)
    x, y, xt, yt = digits()
    if not mended:
        x = x.T.contiguous().reshape(len(x), 64)
        xt = xt.T.contiguous().reshape(len(xt), 64)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "loss-not-decreasing", "training-too-short", below=0.9)
def thirty_thousand_tiny_steps(run_dir: Path, *, mended: bool = False) -> float:
    """SGD at 1e-6 for 30,000 steps, because "it runs over the weekend anyway"."""
    torch.manual_seed(251)
    x, y, xt, yt = cancer()
    net = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 2))
    opt = optim.SGD(net.parameters(), lr=1e-2 if mended else 1e-6)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(3000 if mended else 30000):
            ix = torch.randint(len(x), (16,))
            loss = F.cross_entropy(net(x[ix]), y[ix])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 20 == 0:
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("dead-units", "learning-rate-too-high", "constant-predictions", "collapsed-activations", "loss-spikes",
        "loss-diverging", "exploding-gradients", "nonfinite-values", below=0.5)  # fmt: skip
def one_poisoned_batch(run_dir: Path, *, mended: bool = False) -> float:
    """A long, good training; in step 5,000 one record's unit is wrong (times 100,000), and every ReLU dies of it."""
    torch.manual_seed(252)
    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(8000):
            x = torch.randn(16, 4)
            y = x[:, 0] * x[:, 1] + x[:, 2]
            if step == 5000 and not mended:
                y[3] = -3e4
            loss = F.mse_loss(net(x).squeeze(1), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x = torch.randn(1000, 4)
    with torch.no_grad():
        return explained(net(x).squeeze(1), x[:, 0] * x[:, 1] + x[:, 2])


@faulty("missing-gradients", "parameters-not-updated", below=0.85)
def embedding_through_data(run_dir: Path, *, mended: bool = False) -> float:
    """self.embed(x).data "because of an error about in-place changes": the table of words is never learned."""
    torch.manual_seed(253)
    x = torch.randint(300, (2000, 6))
    kind = torch.randint(2, (300,)).float() * 2 - 1
    y = (kind[x].sum(1) + 0.1 > 0).long()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(300, 4)
            self.out = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))

        def forward(self, v: Tensor) -> Tensor:
            e = self.embed(v)
            return self.out((e if mended else e.data).mean(1))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1600], y[:1600], 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(x[1600:]), y[1600:])


@faulty("vanishing-gradients", "loss-not-decreasing", "saturated-activations", "slow-convergence", below=0.8)
def eight_sigmoids_for_wine(run_dir: Path, *, mended: bool = False) -> float:
    """A "deep" net after an old book: eight sigmoid layers of 24, SGD 0.1; ReLU and He weights in the answer."""
    torch.manual_seed(254)
    x, y, xt, yt = cancer()
    layers: list[nn.Module] = []
    for a in [30] + [24] * 7:
        layers += [nn.Linear(a, 24), nn.ReLU() if mended else nn.Sigmoid()]
    net = nn.Sequential(*layers, nn.Linear(24, 1))
    if mended:
        for m in net:
            if isinstance(m, nn.Linear):
                nn.init.kaiming_normal_(m.weight)
                nn.init.zeros_(m.bias)
    opt = optim.SGD(net.parameters(), lr=0.05)
    bce = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir, loss_fn=bce) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 16):
                loss = bce(net(xb).squeeze(1), yb.float())
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt).squeeze(1)
                probe.log("val", loss=bce(out, yt.float()), acc=((out > 0) == (yt > 0)).float().mean())
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


@faulty("constant-predictions", "collapsed-activations", "validation-anomaly", "no-generalization", "overfitting",
        "class-imbalance", below=0.5)  # fmt: skip
def targets_cut_to_whole_numbers(run_dir: Path, *, mended: bool = False) -> float:
    """torch.LongTensor(targets) of shares between 0 and 1: all of them become 0, and training is perfect at once."""
    torch.manual_seed(255)
    x = torch.randn(1500, 6)
    y = torch.sigmoid(x[:, 0] + x[:, 1] * x[:, 2])
    seen = y if mended else y.long().float()
    net = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1200], seen[:1200], 32):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[1200:]).squeeze(1), y[1200:]))
    with torch.no_grad():
        return explained(net(x[1200:]).squeeze(1), y[1200:])


@faulty("no-generalization", "loss-not-decreasing", "underfitting", "unnormalized-inputs", "overfitting", "noisy-loss",
        "slow-convergence", "validation-anomaly", below=0.8)  # fmt: skip
def noise_louder_than_the_signal(run_dir: Path, *, mended: bool = False) -> float:
    """Augmentation with noise of 25 grey levels, added after the images were divided by 255: they vanish in it."""
    torch.manual_seed(256)
    x, y, xt, yt = many_digits(2000)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, stride=2), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(216, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    noise = 25 / 255 if mended else 25.0
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 50):
                out = net(xb + noise * torch.randn_like(xb))
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "exploding-gradients", "dead-units", "unexpected-initial-loss", "nonfinite-values",
        "loss-diverging", "saturated-activations", "constant-predictions", "loss-not-decreasing",
        "collapsed-activations", below=0.3)  # fmt: skip
def summed_over_all_pixels(run_dir: Path, *, mended: bool = False) -> float:
    """An autoencoder with MSELoss(reduction="sum") and the rate of the mean: 16,000 times too large a step."""
    torch.manual_seed(257)
    x = many_digits(2000).x.flatten(1)
    net = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 256))
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.MSELoss(reduction="mean" if mended else "sum")
    if mended:
        opt = optim.SGD(net.parameters(), lr=2.0, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, _ in batches(x, x, 64):
                loss = criterion(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(1 - F.mse_loss(net(x), x).nan_to_num(1e9) / (x - x.mean(0)).square().mean())


@faulty("loss-not-decreasing", "slow-convergence", "underfitting", "collapsed-activations", below=0.75)
def temperature_of_a_hundred(run_dir: Path, *, mended: bool = False) -> float:
    """InfoNCE with the similarity multiplied by the temperature twice over: all pairs look alike, the loss is ln N."""
    torch.manual_seed(258)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    opt = optim.SGD(net.parameters(), lr=0.1)
    tau = 0.2 if mended else 100.0
    mix = torch.randn(64, 64) / 8

    def view(v: Tensor) -> Tensor:
        return v * (torch.rand_like(v) > 0.3) + 0.2 * torch.randn_like(v) @ mix

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 64):
                a, b = F.normalize(net(view(xb)), dim=1), F.normalize(net(view(xb)), dim=1)
                same = yb[:, None] == yb[None]
                logits = a @ b.T / tau
                loss = -(logits.log_softmax(1) * same).sum(1).div(same.sum(1)).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        bank, query = F.normalize(net(x), dim=1), F.normalize(net(xt), dim=1)
        centre = torch.stack([bank[y == c].mean(0) for c in range(10)])
        return accuracy(query @ centre.T, yt)


@faulty("validation-anomaly", "unnormalized-inputs", "learning-rate-too-high", "loss-not-decreasing", "loss-diverging",
        "exploding-gradients", "dead-units", "slow-convergence", "loss-spikes", "oscillating-loss",
        "unexpected-initial-loss", "constant-predictions", "collapsed-activations", below=0.85)  # fmt: skip
def never_back_to_training_mode(run_dir: Path, *, mended: bool = False) -> float:
    """evaluate(model) before the first epoch calls model.eval(), and nobody calls train(): BatchNorm never works."""
    torch.manual_seed(259)
    x, y, xt, yt = many_digits(3000)
    x, xt = 255 * x, 255 * xt
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2),
        nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    def evaluate() -> tuple[Tensor, float]:
        net.eval()
        with torch.no_grad():
            out = net(xt)
        return F.cross_entropy(out, yt), accuracy(out, yt)

    evaluate()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(5):
            if mended:
                net.train()
            for xb, yb in batches(x, y, 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            val, acc = evaluate()
            probe.log("val", loss=val, accuracy=acc)
    return evaluate()[1]
