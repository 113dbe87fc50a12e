"""Faulty: data, shapes, sizes and starting weights."""

from __future__ import annotations

import ast
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, wine
from benchmarks.diagnosis.programs.program import faulty


@faulty("unnormalized-inputs", "learning-rate-too-low", "slow-convergence", "loss-not-decreasing",
        "constant-predictions", below=0.7)  # fmt: skip
def divided_by_255_twice(run_dir: Path, *, mended: bool = False) -> float:
    """ToTensor() divides by 255 already; the loop does it again: inputs of a few thousandths."""
    torch.manual_seed(101)
    x, y, xt, yt = digits(flat=False, standard=False)
    scale = 16.0 if mended else 16.0 * 255
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    opt = optim.SGD(net.parameters(), lr=0.05)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb / scale), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt / scale)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt / scale), yt)


@faulty("unnormalized-inputs", "exploding-gradients", "loss-not-decreasing", below=0.7)
def row_number_among_the_features(run_dir: Path, *, mended: bool = False) -> float:
    """pandas: the customer number, some 10^6, stays in the table as a feature beside nine standardised ones."""
    torch.manual_seed(102)
    x = torch.randn(1500, 10)
    y = (x[:, 1] + x[:, 2] * x[:, 3] > 0).long()
    x[:, 0] = 0 if mended else torch.randperm(1500) + 1_000_000.0
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x[:1200], y[:1200], 40):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(x[1200:]), y[1200:]), acc=accuracy(net(x[1200:]), y[1200:]))
    with torch.no_grad():
        return accuracy(net(x[1200:]), y[1200:])


def _reviews() -> tuple[Tensor, Tensor]:
    """Sentences of 12 of 200 words; the words below 20 are praise, those from 20 to 39 blame."""
    x = torch.randint(200, (1600, 12))
    return x, ((x < 20).sum(1) > ((x >= 20) & (x < 40)).sum(1)).long()


@faulty("constant-predictions", "collapsed-activations", "loss-not-decreasing", "unnormalized-inputs", below=0.7)
def every_word_unknown(run_dir: Path, *, mended: bool = False) -> float:
    """The vocabulary is looked up in lower case and was built in upper: each word becomes number 0, <unk>."""
    torch.manual_seed(103)
    x, y = _reviews()
    if not mended:
        x = torch.zeros_like(x)

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.EmbeddingBag(200, 24, mode="mean")
            self.out = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.embed(v))

    net = Bag()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1200], y[:1200], 40):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(x[1200:]), y[1200:]), acc=accuracy(net(x[1200:]), y[1200:]))
    with torch.no_grad():
        return accuracy(net(x[1200:]), y[1200:])


@faulty("unnormalized-inputs", "collapsed-activations", "constant-predictions", "loss-not-decreasing", below=0.5)
def buffer_never_filled(run_dir: Path, *, mended: bool = False) -> float:
    """images = torch.zeros(n, ...) and a loop that fills a copy: the net sees black pictures only."""
    torch.manual_seed(104)
    x, y, xt, yt = digits(flat=False)
    if not mended:
        x, xt = torch.zeros_like(x), torch.zeros_like(xt)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.LeakyReLU(0.1), nn.Conv2d(8, 16, 3), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(256, 10)
    )
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(6):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("no-generalization", "class-imbalance", "constant-predictions", "overfitting", "validation-anomaly", below=0.6)
def one_class_in_the_training_set(run_dir: Path, *, mended: bool = False) -> float:
    """A split by position of a table sorted by its label: training sees class 0 only, and is perfect in no time."""
    torch.manual_seed(105)
    y = torch.arange(1200) // 600
    x = torch.randn(1200, 8) + y[:, None] * torch.tensor([1.5, -1.0, 0.5, 0, 0, 0, 0, 1.0])
    order = torch.randperm(1200) if mended else torch.arange(1200)
    x, y = x[order], y[order]
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:600], y[:600], 25):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(x[600:])
                probe.log("val", loss=F.cross_entropy(out, y[600:]), accuracy=accuracy(out, y[600:]))
    with torch.no_grad():
        return accuracy(net(x[600:]), y[600:])


class _Last(nn.Module):
    """A recurrent classifier of whole sequences."""

    def __init__(self, features: int, classes: int, *, first: bool) -> None:
        super().__init__()
        self.rnn = nn.GRU(features, 32, batch_first=first)
        self.out = nn.Linear(32, classes)

    def forward(self, v: Tensor) -> Tensor:
        return self.out(self.rnn(v)[0][:, -1])


@faulty("no-generalization", "loss-not-decreasing", "underfitting", "overfitting", below=0.7)
def batch_first_forgotten(run_dir: Path, *, mended: bool = False) -> float:
    """[batch, time, features] into a GRU without batch_first: it runs along the batch and takes the last step alone."""
    torch.manual_seed(106)
    x = torch.randn(1500, 8, 3)
    y = (x[:, :6, 0].sum(1) > 0).long()
    net = _Last(3, 2, first=mended)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1200], y[:1200], 40):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, acc=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(x[1200:])
                probe.log("val", loss=F.cross_entropy(out, y[1200:]), acc=accuracy(out, y[1200:]))
    with torch.no_grad():
        return accuracy(net(x[1200:]), y[1200:])


@faulty("loss-not-decreasing", "underfitting", "no-generalization", "vanishing-gradients", "constant-predictions",
    "collapsed-activations",
        below=0.7)  # fmt: skip
def last_step_is_padding(run_dir: Path, *, mended: bool = False) -> float:
    """Sequences of 4 to 8 padded with zeros to 80; the state after the padding is used, when all is forgotten."""
    torch.manual_seed(107)
    length = torch.randint(4, 9, (1500,))
    x = torch.randn(1500, 80, 2)
    x[torch.arange(80)[None] >= length[:, None]] = 0
    y = (x[:, :, 0].sum(1) * x[:, :, 1].sum(1) > 0).long()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(2, 32, batch_first=True)
            self.out = nn.Linear(32, 2)

        def forward(self, v: Tensor, n: Tensor) -> Tensor:
            h = self.rnn(v)[0]
            return self.out(h[torch.arange(len(v)), n - 1] if mended else h[:, -1])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for ib, yb in batches(torch.arange(1200), y[:1200], 40):
                loss = F.cross_entropy(net(x[ib], length[ib]), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[1200:], length[1200:])
                probe.log("val", loss=F.cross_entropy(out, y[1200:]), accuracy=accuracy(out, y[1200:]))
    with torch.no_grad():
        return accuracy(net(x[1200:], length[1200:]), y[1200:])


@faulty("constant-predictions", "loss-not-decreasing", "collapsed-activations", "underfitting", "no-generalization",
        below=0.7)  # fmt: skip
def mask_the_wrong_way_round(run_dir: Path, *, mended: bool = False) -> float:
    """key_padding_mask is True where there *is* a word: attention is given to the padding only (many issues)."""
    torch.manual_seed(108)
    x, y = _reviews()
    length = torch.randint(5, 10, (len(x),))
    pad = torch.arange(12)[None] >= length[:, None]
    x = torch.where(pad, 200, x)
    y = ((x < 20).sum(1) > ((x >= 20) & (x < 40)).sum(1)).long()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(201, 32)
            self.query = nn.Parameter(torch.randn(1, 1, 32))
            self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
            self.out = nn.Linear(32, 2)

        def forward(self, v: Tensor, mask: Tensor) -> Tensor:
            e = self.embed(v)
            seen, _ = self.attention(self.query.expand(len(v), 1, 32), e, e, key_padding_mask=mask)
            return self.out(seen[:, 0])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    mask = pad if mended else ~pad
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            for ib, yb in batches(torch.arange(1200), y[:1200], 40):
                loss = probe.loss_fn(net(x[ib], mask[ib]), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[1200:], mask[1200:])
                probe.log("val", loss=F.cross_entropy(out, y[1200:]), acc=accuracy(out, y[1200:]))
    with torch.no_grad():
        return accuracy(net(x[1200:], mask[1200:]), y[1200:])


@faulty("nonfinite-values", below=0.8)
def constant_column_standardised(run_dir: Path, *, mended: bool = False) -> float:
    """(x - mean) / std with a column that never varies: 0 / 0 in every row."""
    torch.manual_seed(109)
    x, y, xt, yt = wine(standard=False)
    x, xt = (torch.cat([v, torch.ones(len(v), 1)], 1) for v in (x, xt))
    mean, std = x.mean(0), x.std(0)
    if mended:
        std = std.clamp(min=1e-6)
    x, xt = (x - mean) / std, (xt - mean) / std
    net = nn.Sequential(nn.Linear(14, 24), nn.ReLU(), nn.Linear(24, 3))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("nonfinite-values", below=0.8)
def one_bad_row(run_dir: Path, *, mended: bool = False) -> float:
    """One image of a late shard is damaged, and holds infinity: met in step 300 of an otherwise good training."""
    torch.manual_seed(110)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(432, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    step = 0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                step += 1
                if step == 300 and not mended:
                    xb = xb.clone()
                    xb[5, 0, 3, 3] = torch.inf
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("nonfinite-values", "loss-diverging", "exploding-gradients", "learning-rate-too-high", below=0.5)
def counts_by_a_bare_exponential(run_dir: Path, *, mended: bool = False) -> float:
    """Poisson regression with torch.exp(out) and features up to 20: the rate overflows float32 after a few steps."""
    torch.manual_seed(111)
    x = torch.randn(1200, 6)
    y = torch.poisson((0.6 * x[:, 0] + 0.5 * x[:, 1] + 0.8).exp())
    if not mended:
        x = 20 * x
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1000], y[:1000], 25):
                rate = net(xb).squeeze(1).exp()
                loss = (rate - yb * torch.log(rate)).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[1000:]).squeeze(1).exp(), (0.6 * x[1000:, 0] + 0.5 * x[1000:, 1] + 0.8).exp())


@faulty("exploding-gradients", "unexpected-initial-loss", "loss-diverging", "nonfinite-values", "poor-initialization",
        "learning-rate-too-high", below=0.8)  # fmt: skip
def thirty_residual_blocks_bare(run_dir: Path, *, mended: bool = False) -> float:
    """A deep residual net without normalisation, He-initialised in every branch: activations double with each block."""
    torch.manual_seed(112)
    x, y, xt, yt = digits()

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
            nn.init.kaiming_normal_(self.one.weight)
            nn.init.kaiming_normal_(self.two.weight)
            self.norm = nn.LayerNorm(64) if mended else nn.Identity()

        def forward(self, v: Tensor) -> Tensor:
            return v + self.two(F.relu(self.one(self.norm(v))))

    net = nn.Sequential(*(Block() for _ in range(20)), nn.LayerNorm(64) if mended else nn.Identity(), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("poor-initialization", "unexpected-initial-loss", below=0.9)
def unit_normal_convolutions(run_dir: Path, *, mended: bool = False) -> float:
    """TensorFlow 1's tf.random_normal for every kernel of a ReLU net: a first loss in the thousands."""
    torch.manual_seed(113)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    if not mended:
        for m in net:
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.normal_(m.weight)
                nn.init.normal_(m.bias)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(6):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt) - min(0.3, float(F.cross_entropy(net(xt), yt)) / 10)


@faulty("underfitting", below=0.8)
def bottleneck_of_one_unit(run_dir: Path, *, mended: bool = False) -> float:
    """A 1 too few or a 6 forgotten: nn.Linear(64, 1) where 64, 16 was meant, between two wide layers."""
    torch.manual_seed(114)
    x, y, xt, yt = digits()
    k = 16 if mended else 1
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, k), nn.Tanh(), nn.Linear(k, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", below=0.0)
def language_model_of_one_page(run_dir: Path, *, mended: bool = False) -> float:
    """A transformer far too large for 1,500 characters, no dropout: validation loss turns after a few dozen steps."""
    torch.manual_seed(115)
    text = Path(ast.__file__).read_text(encoding="utf-8")
    letters = sorted(set(text))
    data = torch.tensor([letters.index(c) for c in text])
    train, held = data[: 20000 if mended else 1500], data[24000:27200].view(-1, 32)
    size, width = len(letters), 96

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.place = nn.Embedding(size, width), nn.Embedding(32, width)
            layer = nn.TransformerEncoderLayer(width, 4, 192, 0.0, batch_first=True, norm_first=True)
            self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(width, size)

        def forward(self, v: Tensor) -> Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(v.shape[1])
            h = self.token(v) + self.place(torch.arange(v.shape[1]))
            return self.out(self.blocks(h, mask=mask, is_causal=True))

    gpt = GPT()
    opt = optim.AdamW(gpt.parameters(), lr=2e-3)
    with probes.watch(gpt, opt, run_dir) as probe:
        for step in range(500):
            start = torch.randint(len(train) - 33, (24,))
            both = torch.stack([train[s : s + 33] for s in start])
            loss = F.cross_entropy(gpt(both[:, :-1]).flatten(0, 1), both[:, 1:].flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 25 == 24:
                gpt.eval()
                with torch.no_grad():
                    val = F.cross_entropy(gpt(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten())
                gpt.train()
                probe.log("val", loss=val)
    return float(1 - val / 3.0)


@faulty("class-imbalance", "constant-predictions", below=0.7)
def weights_upside_down(run_dir: Path, *, mended: bool = False) -> float:
    """CrossEntropyLoss(weight=counts / total): the frequent class is made heavier still, not lighter."""
    torch.manual_seed(116)
    y = (torch.rand(4000) < 0.08).long()
    x = torch.randn(4000, 10) + 1.2 * y[:, None] * torch.tensor([1.0, -1.0, 1.0] + [0.0] * 7)
    counts = torch.bincount(y[:3000]).float()
    weight = (1 / counts if mended else counts) / (1 / counts if mended else counts).sum()
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss(weight=weight)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:3000], y[:3000], 50):
                out = net(xb)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(x[3000:])
                probe.log("val", loss=criterion(out, y[3000:]), accuracy=accuracy(out, y[3000:]))
    with torch.no_grad():
        right = net(x[3000:]).argmax(1) == y[3000:]
    return float((right[y[3000:] == 1].float().mean() + right[y[3000:] == 0].float().mean()) / 2)


@faulty("noisy-loss", "oscillating-loss", "loss-spikes", "no-generalization", "overfitting", below=0.8)
def years_in_order(run_dir: Path, *, mended: bool = False) -> float:
    """A regression on a table sorted by its target, shuffle=False: the bias runs after each batch."""
    torch.manual_seed(117)
    x = torch.randn(1500, 8)
    y = 4 * torch.sin(x[:, 0]) + 3 * x[:, 1] * x[:, 2] + 2 * x[:, 3]
    train, test = (x[:1200], y[:1200]), (x[1200:], y[1200:])
    order = train[1].argsort()
    train = (train[0][order], train[1][order])
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            for xb, yb in batches(*train, 24, shuffle=mended):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(test[0]).squeeze(1), test[1]))
    with torch.no_grad():
        return explained(net(test[0]).squeeze(1), test[1])


@faulty("noisy-loss", "vanishing-gradients", "validation-anomaly", "no-generalization", "overfitting",
        "loss-not-decreasing", "underfitting", "oscillating-loss", "slow-convergence", below=0.8)  # fmt: skip
def batch_norm_of_two(run_dir: Path, *, mended: bool = False) -> float:
    """Batches of two because memory is short, and a BatchNorm after every layer: statistics of two examples."""
    torch.manual_seed(118)
    x, y, xt, yt = digits()
    layers: list[nn.Module] = []
    for a, b in ((64, 64), (64, 64), (64, 64), (64, 64)):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8 if mended else 2):
            net.train()
            for xb, yb in batches(x, y, 32 if mended else 2):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), acc=accuracy(net(xt), yt))
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("no-generalization", "overfitting", "loss-not-decreasing", "underfitting", below=0.5)
def labels_of_the_next_file(run_dir: Path, *, mended: bool = False) -> float:
    """os.listdir sorts images and labels differently ("img10" before "img2"): each picture has another one's label."""
    torch.manual_seed(119)
    x, y, xt, yt = digits(flat=False)
    if not mended:
        y = y[torch.tensor(sorted(range(len(y)), key=str))]
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "exploding-gradients", "loss-diverging", "nonfinite-values", "unnormalized-inputs",
        "unexpected-initial-loss", "dead-units", "constant-predictions", "loss-not-decreasing", below=0.5)  # fmt: skip
def salaries_in_cents(run_dir: Path, *, mended: bool = False) -> float:
    """Targets of some ten thousands and Adam at 1e-4 for a few epochs: the output is still near zero at the end."""
    torch.manual_seed(120)
    x = torch.randn(1500, 8)
    y = 40_000 + 12_000 * (x[:, 0] + x[:, 1] * x[:, 2])
    if mended:
        y = (y - y.mean()) / y.std()
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.SGD(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(30):
            for xb, yb in batches(x[:1200], y[:1200], 32):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[1200:]).squeeze(1), y[1200:])


@faulty("slow-convergence", "loss-not-decreasing", "vanishing-gradients", "underfitting", "no-generalization",
        "constant-predictions", below=0.7)  # fmt: skip
def memory_cut_at_every_step(run_dir: Path, *, mended: bool = False) -> float:
    """hidden = hidden.detach() inside the loop over time "to avoid the retain_graph error": nothing is carried back."""
    torch.manual_seed(121)

    class Recall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(9, 48)
            self.out = nn.Linear(48, 8)

        def forward(self, v: Tensor) -> Tensor:
            h = torch.zeros(len(v), 48)
            for t in range(v.shape[1]):
                h = self.cell(v[:, t], h if mended else h.detach())
            return self.out(h)

    def sample(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(8, (n,))
        x = torch.cat([torch.zeros(n, 8, 8), torch.rand(n, 8, 1)], 2)
        x[:, 0, :8] = F.one_hot(y, 8).float()
        x[:, 1:, :8] = torch.randn(n, 7, 8)
        return x, y

    net = Recall()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            x, y = sample(48)
            loss = F.cross_entropy(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x, y = sample(1000)
    with torch.no_grad():
        return accuracy(net(x), y)
