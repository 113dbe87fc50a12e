"""Faulty programs of the third fresh set: mistakes that leave few traces, and runs with little or nothing logged."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty
from benchmarks.diagnosis.programs.second_textbook import letters_of


@faulty("learning-rate-too-high", "exploding-gradients", "dead-units", "collapsed-activations", "constant-predictions",
        "weights-growing", "vanishing-gradients", "missing-gradients", below=0.9)  # fmt: skip
def nesterov_of_99_and_nothing_logged(run_dir: Path, *, mended: bool = False) -> float:
    """SGD(0.05, momentum=0.99, nesterov=True), a rate found with momentum 0.9; the author looks at accuracy only."""
    torch.manual_seed(561)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9 if mended else 0.99, nesterov=True)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("underfitting", "loss-not-decreasing", "slow-convergence", below=0.9)
def ten_thousand_steps_of_a_line(run_dir: Path, *, mended: bool = False) -> float:
    """Four linear layers with the activations left out, for a sine: after 10,000 steps it still is a line."""
    torch.manual_seed(562)
    x = 6 * torch.rand(512, 1) - 3
    y = torch.sin(2 * x) + 0.05 * torch.randn(512, 1)

    def act() -> nn.Module:
        return nn.Tanh() if mended else nn.Identity()

    net = nn.Sequential(nn.Linear(1, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(10_000):
            at = torch.randint(400, (32,))
            loss = F.mse_loss(net(x[at]), y[at])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 100 == 0:
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[400:]), y[400:])


@faulty("parameters-not-updated", "missing-gradients", "underfitting", "slow-convergence", "learning-rate-too-low",
        "training-too-short", "loss-not-decreasing", below=0.85)  # fmt: skip
def frozen_by_its_own_evaluation(run_dir: Path, *, mended: bool = False) -> float:
    """evaluate() sets requires_grad of the body to False "to save memory" and does not set it back."""
    torch.manual_seed(563)
    x, y, xt, yt = digits()
    body = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 6), nn.Tanh())
    net = nn.Sequential(body, nn.Linear(6, 10))
    opt = optim.SGD(net.parameters(), lr=0.05)

    def evaluate() -> float:
        for p in body.parameters():
            p.requires_grad_(False)
        right = accuracy(net(xt), yt)
        if mended:
            for p in body.parameters():
                p.requires_grad_(True)
        return right

    with probes.watch(net, opt, run_dir, every=10) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            probe.log("val", accuracy=evaluate())
    return evaluate()


@faulty("unnormalized-inputs", "collapsed-activations", "constant-predictions", "loss-not-decreasing", "underfitting",
        "slow-convergence", "input-bottleneck", below=0.8)  # fmt: skip
def divided_and_then_standardised_as_before(run_dir: Path, *, mended: bool = False) -> float:
    """(x / 255 - mean) / std, both of the undivided images: every pixel is about -0.8, give or take a hundredth."""
    torch.manual_seed(564)
    x, y, xt, yt = digits(flat=False, standard=False)
    mean, std = float(x.mean()), float(x.std())
    x, xt = (((v if mended else v / 255) - mean) / std for v in (x, xt))
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10)
    )
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-not-decreasing", "no-generalization", "constant-predictions", "underfitting", "slow-convergence",
        "collapsed-activations", below=0.8)  # fmt: skip
def labels_one_batch_late(run_dir: Path, *, mended: bool = False) -> float:
    """A prefetcher with two buffers hands out the images of this batch with the labels of the one before."""
    torch.manual_seed(565)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(nn.Conv2d(1, 12, 3), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(108, 10))
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    waiting = y[:32]
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                labels, waiting = (yb if mended else waiting), yb
                out = net(xb)
                loss = F.cross_entropy(out, labels)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=100 * accuracy(out.detach(), labels))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("class-imbalance", "constant-predictions", "collapsed-activations", "underfitting", "no-generalization",
        below=0.65)  # fmt: skip
def machines_seldom_break(run_dir: Path, *, mended: bool = False) -> float:
    """One window of sensors in fifty comes before a failure; unweighted, 98% right. The score is balanced."""
    torch.manual_seed(566)
    y = (torch.rand(4000) < 0.02).long()
    x = torch.randn(4000, 20, 3)
    x[..., 0] += 0.035 * torch.arange(20) * y[:, None]

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 16, batch_first=True)
            self.out = nn.Linear(16, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.gru(v)[0][:, -1])

    net = Watch()
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 49.0]) if mended else None)
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(6):
            for xb, yb in batches(x[:2800], y[:2800], 50):
                out = net(xb)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(x[2800:]), y[2800:]))
    with torch.no_grad():
        right = net(x[2800:]).argmax(1) == y[2800:]
        return float(right[y[2800:] == 0].float().mean() + right[y[2800:] == 1].float().mean()) / 2


@faulty("gradients-not-cleared", "learning-rate-too-high", "oscillating-loss", "loss-not-decreasing",
        "exploding-gradients", "loss-diverging", "slow-convergence", "weights-growing", "noisy-loss",
        below=0.4)  # fmt: skip
def cleared_was_the_wrong_model(run_dir: Path, *, mended: bool = False) -> float:
    """ema.zero_grad() instead of model.zero_grad(), one letter of autocompletion: AdamW follows all past gradients."""
    torch.manual_seed(567)
    data, size = letters_of(20000)

    class Chars(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(size, 32)
            self.convs = nn.ModuleList(nn.Conv1d(32, 32, 3) for _ in range(3))
            self.out = nn.Linear(32, size)

        def forward(self, v: Tensor) -> Tensor:
            h = self.embed(v).transpose(1, 2)
            for conv in self.convs:
                h = h + F.relu(conv(F.pad(h, (2, 0))))
            return self.out(h.transpose(1, 2))

    model, ema = Chars(), Chars()
    ema.load_state_dict(model.state_dict())
    opt = optim.AdamW(model.parameters(), lr=4e-3)
    with probes.watch(model, opt, run_dir) as probe:
        for step in range(600):
            piece = torch.stack([data[s : s + 33] for s in torch.randint(17000, (16,))])
            loss = F.cross_entropy(model(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            (model if mended else ema).zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                for e, p in zip(ema.parameters(), model.parameters(), strict=True):
                    e.lerp_(p, 0.05)
            if step % 50 == 0:
                probe.log("train", loss=loss)
    held = data[17100:19740].view(-1, 33)
    with torch.no_grad():
        return float(1 - F.cross_entropy(ema(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten()) / math.log(size))


@faulty("parameters-not-updated", "stalled-run", "training-too-short", "loss-not-decreasing", "slow-convergence",
        "underfitting", below=0.9)  # fmt: skip
def batches_skipped_as_outliers(run_dir: Path, *, mended: bool = False) -> float:
    """`if loss > 1.1 * best: continue` against bad batches, best being the lowest ever: soon, all of them are bad."""
    torch.manual_seed(568)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    opt = optim.SGD(net.parameters(), lr=0.02)
    best = math.inf
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                probe.log("train", loss=loss)
                if not mended and float(loss) > 1.1 * best:
                    continue
                best = min(best, float(loss))
                opt.zero_grad()
                loss.backward()
                opt.step()
    with torch.no_grad():
        return accuracy(net(xt), yt)
