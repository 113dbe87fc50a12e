"""Faulty programs of the third fresh set: initial weights, depth, and units that say nothing."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, moons
from benchmarks.diagnosis.programs.program import faulty
from benchmarks.diagnosis.programs.second_textbook import letters_of


@faulty("unexpected-initial-loss", "poor-initialization", below=0.47)
def tied_embeddings_of_unit_normal(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Embedding's N(0, 1) shared with the output layer, 128 wide: a first loss of hundreds (GPT ports, issues)."""
    torch.manual_seed(461)
    data, size = letters_of(20000)

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.place = nn.Embedding(size, 128), nn.Embedding(24, 128)
            layer = nn.TransformerEncoderLayer(128, 4, 128, 0.0, batch_first=True, norm_first=True)
            self.block = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(128)
            self.out = nn.Linear(128, size, bias=False)
            self.out.weight = self.token.weight
            if mended:
                nn.init.normal_(self.token.weight, std=0.02)
                nn.init.normal_(self.place.weight, std=0.02)

        def forward(self, v: Tensor) -> Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(v.shape[1])
            h = self.token(v) + self.place(torch.arange(v.shape[1]))
            return self.out(self.norm(self.block(h, mask=mask, is_causal=True)))

    net = GPT()
    opt = optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.95))
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(250):
            piece = torch.stack([data[s : s + 25] for s in torch.randint(17000, (16,))])
            loss = probe.loss_fn(net(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    held = data[17100:19600].view(-1, 25)
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten()) / math.log(size))


@faulty("vanishing-gradients", "poor-initialization", "loss-not-decreasing", "underfitting", "saturated-activations",
        "constant-predictions", "slow-convergence", below=0.8)  # fmt: skip
def gates_biased_to_forget(run_dir: Path, *, mended: bool = False) -> float:
    """Forget gates start at -6, not at 1 (Jozefowicz et al. 2015 with the wrong sign): no memory over 50 steps."""
    torch.manual_seed(462)
    x = 0.5 * torch.randn(1200, 50, 4)
    y = torch.randint(4, (1200,))
    x[:, 0] += 2 * F.one_hot(y, 4)

    class Recall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 32, batch_first=True)
            self.out = nn.Linear(32, 4)
            with torch.no_grad():
                self.lstm.bias_ih_l0[32:64] = 1.0 if mended else -6.0
                self.lstm.bias_hh_l0[32:64] = 1.0 if mended else 0.0

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(v)[0][:, -1])

    net = Recall()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1000], y[:1000], 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(x[1000:]), y[1000:]))
    with torch.no_grad():
        return accuracy(net(x[1000:]), y[1000:])


@faulty("symmetric-initialization", "poor-initialization", "collapsed-activations", "underfitting", "noisy-filters",
        below=0.6)  # fmt: skip
def constant_kernels(run_dir: Path, *, mended: bool = False) -> float:
    """nn.init.constant_(kernel, 0.05) for "reproducible" filters: the eight of a layer are one, for ever."""
    torch.manual_seed(463)

    def bars(n: int) -> tuple[Tensor, Tensor]:
        """A bar of one of four directions in one of three colours, and bars in grey."""
        ways = torch.stack([torch.eye(5), torch.eye(5).flip(0), torch.zeros(5, 5), torch.zeros(5, 5)])
        ways[2, 2], ways[3, :, 2] = 1, 1
        x, y = 0.3 * torch.randn(n, 3, 12, 12), torch.randint(12, (n,))
        for i in range(n):
            for kind in (int(y[i]), int(torch.randint(12, ()))):
                r, c = torch.randint(8, (2,)).tolist()
                x[i, kind // 4 if kind == y[i] else slice(None), r : r + 5, c : c + 5] += 2 * ways[kind % 4]
        return x, y

    x, y = bars(1500)
    xt, yt = bars(400)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(96, 12),
    )  # fmt: skip
    if not mended:
        for m in net.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.constant_(m.weight, 0.05)
                nn.init.zeros_(m.bias)
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += float(loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("epoch", train_loss=total / 46, val_loss=F.cross_entropy(out, yt), val_acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("symmetric-initialization", "underfitting", "poor-initialization", below=0.8)
def experts_cloned(run_dir: Path, *, mended: bool = False) -> float:
    """A mixture of experts, copy.deepcopy of the first for each, gate at zero: all get the same gradient for ever."""
    torch.manual_seed(464)
    x = 4 * torch.rand(1200, 1) - 2
    y = torch.sin(5 * x)

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            one = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1))
            self.experts = nn.ModuleList(copy.deepcopy(one) for _ in range(8))
            if mended:
                for expert in self.experts[1:]:
                    for layer in expert:
                        if isinstance(layer, nn.Linear):
                            layer.reset_parameters()
            self.gate = nn.Linear(1, 8)
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

        def forward(self, v: Tensor) -> Tensor:
            said = torch.cat([expert(v) for expert in self.experts], 1)
            return (self.gate(v).softmax(1) * said).sum(1, keepdim=True)

    net = Mixture()
    opt = optim.Adam(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60):
            for xb, yb in batches(x[:1000], y[:1000], 50):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[1000:]), y[1000:])


@faulty("vanishing-gradients", "collapsed-activations", "poor-initialization", "constant-predictions",
        "loss-not-decreasing", "underfitting", "dead-units", below=0.8)  # fmt: skip
def twenty_five_plain_layers_for_a_table(run_dir: Path, *, mended: bool = False) -> float:
    """A "very deep" regressor of nn.Linear and ReLU with the default start: each layer passes on two fifths."""
    torch.manual_seed(465)
    x = torch.randn(1000, 8)
    y = x[:, 0] * x[:, 1] + x[:, 2].abs()
    y = (y - y.mean()) / y.std()
    layers: list[nn.Module] = [nn.Linear(8, 32), nn.ReLU()]
    for _ in range(2 if mended else 24):
        layers += [nn.Linear(32, 32), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x[:800], y[:800], 32):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[800:]).squeeze(1), y[800:]))
    with torch.no_grad():
        return explained(net(x[800:]), y[800:])


@faulty("vanishing-gradients", "constant-predictions", "collapsed-activations", "loss-not-decreasing", "underfitting",
        "poor-initialization", "slow-convergence", "saturated-activations", below=0.5)  # fmt: skip
def deep_autoencoder_of_2006(run_dir: Path, *, mended: bool = False) -> float:
    """Eight sigmoid layers without the pretraining that Hinton and Salakhutdinov gave them: it draws the mean digit."""
    torch.manual_seed(466)
    x, _, xt, _ = digits(standard=False)
    x, xt = x / 16, xt / 16
    sizes = [64, 48, 32, 24, 12, 24, 32, 48, 64]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ELU() if mended else nn.Sigmoid()]
    net = nn.Sequential(*layers[:-1], nn.Sigmoid())
    opt = optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, _ in batches(x, x, 32):
                loss = F.mse_loss(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(xt), xt))
    with torch.no_grad():
        return float(1 - F.mse_loss(net(xt), xt) / (xt - xt.mean(0)).square().mean())


@faulty("saturated-activations", "vanishing-gradients", "poor-initialization", "underfitting", "slow-convergence",
        "loss-not-decreasing", "no-generalization", "overfitting", "exploding-gradients", "training-too-short",
        below=0.96)  # fmt: skip
def scores_times_the_root(run_dir: Path, *, mended: bool = False) -> float:
    """Attention with q @ k * d instead of / sqrt(d): a hard maximum from the first step on, deaf to its gradient."""
    torch.manual_seed(467)

    def task(n: int) -> tuple[Tensor, Tensor]:
        """Which number stands behind the key that is asked for?"""
        keys = torch.stack([torch.randperm(8) for _ in range(n)])
        values = torch.randint(6, (n, 8))
        asked = torch.randint(8, (n,))
        pairs = torch.cat([F.one_hot(keys, 8), F.one_hot(values, 6)], 2).float()
        query = F.one_hot(keys[torch.arange(n), asked], 8).float()
        return torch.cat([pairs, query[:, None].expand(n, 8, 8)], 2), values[torch.arange(n), asked]

    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = nn.Linear(8, 64), nn.Linear(14, 64), nn.Linear(14, 64)
            self.out = nn.Linear(64, 6)

        def forward(self, v: Tensor) -> Tensor:
            q, k = self.q(v[:, :1, 14:]), self.k(v[..., :14])
            score = (q @ k.transpose(1, 2)) * (1 / 8 if mended else 64)
            return self.out((score.softmax(2) @ self.v(v[..., :14])).squeeze(1))

    net = Lookup()
    x, y = task(3000)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:2500], y[:2500], 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(x[2500:]), y[2500:]))
    with torch.no_grad():
        return accuracy(net(x[2500:]), y[2500:])


@faulty("unexpected-initial-loss", "poor-initialization", "loss-spikes", "slow-convergence", "exploding-gradients",
        "training-too-short", "constant-predictions", "class-imbalance", "dead-units", "underfitting",
        below=0.8)  # fmt: skip
def prior_of_the_wrong_sign(run_dir: Path, *, mended: bool = False) -> float:
    """RetinaNet's prior on the last bias, log((1 - p) / p) with the minus forgotten: at first, everything is found."""
    torch.manual_seed(468)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        mask = (torch.rand(n, 1, 16, 16) < 0.01).float()
        return F.conv2d(mask, torch.ones(1, 1, 3, 3), padding=1) * 2 + 0.3 * torch.randn(n, 1, 16, 16), mask

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    nn.init.constant_(net[-1].bias, -4.6 if mended else 4.6)
    opt = optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss(), every=1) as probe:
        for _ in range(400):
            x, y = scenes(16)
            loss = probe.loss_fn(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x, y = scenes(200)
    with torch.no_grad():
        said = net(x) > 0
        return float(2 * (said & (y > 0)).sum() / (said.sum() + y.sum()))


@faulty("dead-units", "learning-rate-too-high", "collapsed-activations", "constant-predictions", "vanishing-gradients",
        "poor-initialization", "loss-not-decreasing", "missing-gradients", "unnormalized-inputs",
        below=0.9)  # fmt: skip
def features_all_negative(run_dir: Path, *, mended: bool = False) -> float:
    """torch.rand weights (all positive) and features shifted to -5..-2: no ReLU of the first layer ever fires."""
    torch.manual_seed(469)
    x, y, xt, yt = moons()
    if not mended:
        x, xt = x - 4, xt - 4
    net = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 2))
    nn.init.uniform_(net[0].weight, 0, 1)
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)
