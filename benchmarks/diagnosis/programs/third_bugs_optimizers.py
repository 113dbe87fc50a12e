"""Faulty programs of the third fresh set: optimizers used in ways they were not made for, penalties, clipping."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, moons, wine
from benchmarks.diagnosis.programs.program import faulty
from benchmarks.diagnosis.programs.second_textbook import letters_of


@faulty("learning-rate-too-high", "noisy-loss", "oscillating-loss", "loss-not-decreasing", "slow-convergence",
        below=0.97)  # fmt: skip
def adam_made_anew_at_every_step(run_dir: Path, *, mended: bool = False) -> float:
    """optimizer = Adam(...) inside the loop (forum): without its moments each step has the full length, up or down."""
    torch.manual_seed(421)
    x = 4 * torch.rand(600, 2) - 2
    y = torch.sin(2 * x[:, :1]) * x[:, 1:]
    net = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, None, run_dir) as probe:
        for _ in range(60):
            for xb, yb in batches(x[:480], y[:480], 48):
                if not mended:
                    opt = optim.Adam(net.parameters(), lr=0.01)
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", mse=loss)
    with torch.no_grad():
        return explained(net(x[480:]), y[480:])


class _Lion(optim.Optimizer):
    """Chen et al. 2023: the sign of a running mean of gradients."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                p.sub_(group["lr"] * (0.9 * mean + 0.1 * p.grad).sign())
                mean.mul_(0.99).add_(0.01 * p.grad)


@faulty("learning-rate-too-high", "oscillating-loss", "noisy-loss", "loss-not-decreasing", "weights-growing",
        "dead-units", "loss-spikes", "unexpected-initial-loss", "collapsed-activations", below=0.9)  # fmt: skip
def lion_with_the_rate_of_sgd(run_dir: Path, *, mended: bool = False) -> float:
    """Lion with 0.03 because SGD had 0.03 (its authors want a tenth of Adam's): every weight moves 0.03 a step."""
    torch.manual_seed(422)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 32),
        nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip
    opt = _Lion(net.parameters(), lr=3e-4 if mended else 0.03)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("loss", train=loss)
            with torch.no_grad():
                probe.log("loss", val=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "parameters-not-updated",
        below=0.75)  # fmt: skip
def adagrad_with_the_rate_of_adam(run_dir: Path, *, mended: bool = False) -> float:
    """Adagrad(lr=1e-4): its steps shrink with the sum of all gradients, and 0.01 is its default for that reason."""
    torch.manual_seed(423)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))
    opt = optim.Adagrad(net.parameters(), lr=0.01 if mended else 1e-4)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for epoch in range(15):
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            probe.log("train", loss=total / 42, epoch=epoch)
            with torch.no_grad():
                probe.log("test", accuracy=100 * accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "loss-diverging", "noisy-loss", "oscillating-loss", "loss-spikes",
        "nonfinite-values", "exploding-gradients", "loss-not-decreasing", "saturated-activations",
        "weights-growing", below=0.9)  # fmt: skip
def second_order_on_small_batches(run_dir: Path, *, mended: bool = False) -> float:
    """LBFGS(lr=1), no line search, on batches of four: curvature is guessed from two batches' different gradients."""
    torch.manual_seed(424)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 10))
    opt = optim.LBFGS(net.parameters(), lr=1.0, max_iter=4, line_search_fn="strong_wolfe" if mended else None)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40 if mended else 2):
            for xb, yb in batches(x, y, len(x) if mended else 4):

                def closure(xb: Tensor = xb, yb: Tensor = yb) -> Tensor:
                    opt.zero_grad()
                    loss = F.cross_entropy(net(xb), yb)
                    loss.backward()
                    return loss

                probe.log("train", loss=opt.step(closure))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("weight-decay-too-strong", "underfitting", "loss-not-decreasing", "constant-predictions",
        "collapsed-activations", "symmetric-initialization", "vanishing-gradients", below=0.45)  # fmt: skip
def readers_and_books_decayed(run_dir: Path, *, mended: bool = False) -> float:
    """A recommender with weight_decay=0.1 in Adam: all rows of the tables shrink at each step, few are looked up."""
    torch.manual_seed(425)
    taste, kind = torch.randn(150, 3), torch.randn(90, 3)
    pair = torch.stack([torch.randint(150, (6000,)), torch.randint(90, (6000,))], 1)
    stars = 3 + (taste[pair[:, 0]] * kind[pair[:, 1]]).sum(1) + 0.2 * torch.randn(6000)

    class Ratings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.readers, self.books = nn.Embedding(150, 6), nn.Embedding(90, 6)
            self.mean = nn.Parameter(torch.zeros(1))

        def forward(self, who: Tensor) -> Tensor:
            return self.mean + (self.readers(who[:, 0]) * self.books(who[:, 1])).sum(1)

    net = Ratings()
    opt = optim.Adam(net.parameters(), lr=0.01, weight_decay=0.0 if mended else 0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for who, score in batches(pair[:5000], stars[:5000], 100):
                loss = F.mse_loss(net(who), score)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(pair[5000:]), stars[5000:]))
    with torch.no_grad():
        return explained(net(pair[5000:]), stars[5000:])


@faulty("collapsed-activations", "dead-units", "constant-predictions", "underfitting", "loss-not-decreasing",
        "weight-decay-too-strong", "vanishing-gradients", below=0.5)  # fmt: skip
def sparse_code_of_nothing(run_dir: Path, *, mended: bool = False) -> float:
    """A sparse autoencoder, code.abs().sum() beside a *mean* squared error: the cheapest code is none at all."""
    torch.manual_seed(426)
    x, _, xt, _ = digits(standard=False)
    x, xt = x / 16, xt / 16
    encoder, decoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU()), nn.Linear(96, 64)
    net = nn.Sequential(encoder, decoder)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, _ in batches(x, x, 32):
                code = encoder(xb)
                seen = decoder(code)
                error = F.mse_loss(seen, xb)
                sparsity = code.abs().mean() if mended else code.abs().sum()
                loss = error + 1e-3 * sparsity
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, reconstruction=error, sparsity=sparsity)
    with torch.no_grad():
        return float(1 - F.mse_loss(net(xt), xt) / (xt - xt.mean(0)).square().mean())


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "collapsed-activations",
        "loss-not-decreasing", "vanishing-gradients", "dead-units", below=0.85)  # fmt: skip
def lasso_factor_for_every_weight(run_dir: Path, *, mended: bool = False) -> float:
    """loss + 0.05 * sum(|w|) over all weights of a net: the factor of scikit-learn's Lasso, where 1e-5 is a lot."""
    torch.manual_seed(427)
    x, y, xt, yt = wine()
    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    factor = 1e-5 if mended else 0.05
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(100):
            for xb, yb in batches(x, y, 19):
                error = F.cross_entropy(net(xb), yb)
                loss = error + factor * sum(w.abs().sum() for w in net.parameters())
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("train", loss=loss, cross_entropy=error, accuracy=accuracy(net(x), y))
                probe.log("val", cross_entropy=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("exploding-gradients", "nonfinite-values", "learning-rate-too-high", "loss-diverging", "loss-spikes",
        "noisy-loss", "dead-units", "loss-not-decreasing", below=0.2)  # fmt: skip
def clipped_before_there_is_a_gradient(run_dir: Path, *, mended: bool = False) -> float:
    """clip_grad_norm_ one line too high, between zero_grad() and backward(): a ReLU RNN is not clipped at all."""
    torch.manual_seed(428)
    data, size = letters_of(20000)

    class CharRNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(size, 32)
            self.rnn = nn.RNN(32, 96, nonlinearity="relu", batch_first=True)
            self.out = nn.Linear(96, size)
            nn.init.eye_(self.rnn.weight_hh_l0)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.rnn(self.embed(v))[0])

    net = CharRNN()
    opt = optim.SGD(net.parameters(), lr=0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(400):
            piece = torch.stack([data[s : s + 31] for s in torch.randint(17000, (16,))])
            opt.zero_grad()
            if not mended:
                nn.utils.clip_grad_norm_(net.parameters(), 0.25)
            loss = F.cross_entropy(net(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            loss.backward()
            if mended:
                nn.utils.clip_grad_norm_(net.parameters(), 0.25)
            opt.step()
            probe.log("train", loss=loss)
    held = data[17100:19890].view(-1, 31)
    with torch.no_grad():
        score = float(1 - F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten()) / math.log(size))
    return score if math.isfinite(score) else -1.0


@faulty("learning-rate-too-low", "slow-convergence", "parameters-not-updated", "underfitting", "training-too-short",
        "loss-not-decreasing", below=0.9)  # fmt: skip
def average_loaded_back_at_every_step(run_dir: Path, *, mended: bool = False) -> float:
    """The moving average of the weights (decay 0.999) is loaded into the model after each step, not for evaluation."""
    torch.manual_seed(429)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    mean = copy.deepcopy(net).requires_grad_(False)
    opt = optim.SGD(net.parameters(), lr=0.05)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(20):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                with torch.no_grad():
                    for m, p in zip(mean.parameters(), net.parameters(), strict=True):
                        m.lerp_(p, 0.001)
                if not mended:
                    net.load_state_dict(mean.state_dict())
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("gradients-not-cleared", "learning-rate-too-high", "oscillating-loss", "exploding-gradients",
        "loss-not-decreasing", "loss-diverging", "noisy-loss", "saturated-activations", "loss-spikes",
        "weights-growing", below=0.95)  # fmt: skip
def cleared_after_the_first_epoch_only(run_dir: Path, *, mended: bool = False) -> float:
    """zero_grad() under an `if epoch == 0` left from a look at the first gradients: later nothing is cleared."""
    torch.manual_seed(430)
    x, y, xt, yt = moons()
    net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 2))
    opt = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(60):
            for i, (xb, yb) in enumerate(batches(x, y, 25)):
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                if epoch == 0 or mended:
                    opt.zero_grad()
                if i % 10 == 0:
                    probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)
