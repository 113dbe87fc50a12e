"""Faulty programs of the third fresh set: learning rates, schedules and lengths of training."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, diabetes, digits, explained
from benchmarks.diagnosis.programs.program import faulty
from benchmarks.diagnosis.programs.second_textbook import letters_of


@faulty("learning-rate-too-high", "loss-not-decreasing", "oscillating-loss", "noisy-loss", "saturated-activations",
        "exploding-gradients", "loss-spikes", below=0.8)  # fmt: skip
def numbers_reversed_at_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """A recurrent encoder and decoder after PyTorch's translation tutorial, its SGD changed to Adam and 0.1 kept."""
    torch.manual_seed(401)

    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(11, 32)
            self.encoder = nn.GRU(32, 64, batch_first=True)
            self.decoder = nn.GRU(32, 64, batch_first=True)
            self.out = nn.Linear(64, 10)

        def forward(self, source: Tensor, shifted: Tensor) -> Tensor:
            _, state = self.encoder(self.words(source))
            return self.out(self.decoder(self.words(shifted), state)[0])

    def pairs(n: int) -> tuple[Tensor, Tensor, Tensor]:
        source = torch.randint(10, (n, 5))
        target = source.flip(1)
        return source, torch.cat([torch.full((n, 1), 10), target[:, :-1]], 1), target

    net = Translator()
    opt = optim.Adam(net.parameters(), lr=5e-3 if mended else 0.1)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for _ in range(500):
            source, shifted, target = pairs(32)
            loss = F.cross_entropy(net(source, shifted).flatten(0, 1), target.flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("loss", train=loss)
    source, shifted, target = pairs(300)
    with torch.no_grad():
        return accuracy(net(source, shifted), target)


@faulty("learning-rate-too-high", "noisy-loss", "oscillating-loss", "loss-spikes", "dead-units",
        "loss-not-decreasing", "slow-convergence", below=0.93)  # fmt: skip
def small_batches_at_the_rate_of_large_ones(run_dir: Path, *, mended: bool = False) -> float:
    """Out of memory, so the batch went from 128 to 4, and the rate stayed: it works, ten per cent worse (forums)."""
    torch.manual_seed(402)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(384, 10)
    )
    opt = optim.SGD(net.parameters(), lr=0.003 if mended else 0.04, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(6):
            for xb, yb in batches(x, y, 4):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=100 * accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "loss-not-decreasing", "slow-convergence", "underfitting", "training-too-short",
        "constant-predictions", below=0.75)  # fmt: skip
def reviews_by_plain_sgd(run_dir: Path, *, mended: bool = False) -> float:
    """An LSTM for sentiment with SGD at 0.001 (Stack Overflow, "loss stays at 0.69"): the same rate works in Adam."""
    torch.manual_seed(403)
    feeling = torch.randn(300)
    words = torch.randint(300, (2000, 15))
    y = (feeling[words].sum(1) > 0).float()

    class Reviews(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(300, 24)
            self.lstm = nn.LSTM(24, 32, batch_first=True)
            self.out = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(self.embed(v))[0].mean(1)).squeeze(1)

    net = Reviews()
    opt = optim.SGD(net.parameters(), lr=2.0 if mended else 0.001)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            right = total = 0.0
            for xb, yb in batches(words[:1600], y[:1600], 32):
                out = net(xb)
                loss = F.binary_cross_entropy_with_logits(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += float(((out > 0) == (yb > 0)).float().mean())
                total += float(loss)
            with torch.no_grad():
                out = net(words[1600:])
                val = F.binary_cross_entropy_with_logits(out, y[1600:])
            probe.log("train", loss=total / 50, acc=right / 50)
            probe.log("valid", loss=val, acc=((out > 0) == (y[1600:] > 0)).float().mean())
    with torch.no_grad():
        return float(((net(words[1600:]) > 0) == (y[1600:] > 0)).float().mean())


class _Letters(nn.Module):
    """A small GPT over characters."""

    def __init__(self, size: int, *, norm_first: bool = True) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(size, 32), nn.Embedding(24, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 96, 0.0, batch_first=True, norm_first=norm_first)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(32, size)

    def forward(self, v: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(v.shape[1])
        return self.out(self.blocks(self.token(v) + self.place(torch.arange(v.shape[1])), mask=mask, is_causal=True))


def _pieces(data: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """``n`` random pieces of 24 characters, and what follows each of them."""
    both = torch.stack([data[s : s + 25] for s in torch.randint(len(data) - 25, (n,))])
    return both[:, :-1], both[:, 1:]


@faulty("learning-rate-too-high", "loss-not-decreasing", "loss-diverging", "oscillating-loss", "collapsed-activations",
        "exploding-gradients", "noisy-loss", "dead-units", "weights-growing", below=0.4)  # fmt: skip
def noam_with_a_maximum(run_dir: Path, *, mended: bool = False) -> float:
    """The schedule of "Attention is all you need" with max where min belongs: huge at first, and growing later."""
    torch.manual_seed(404)
    data, size = letters_of(20000)
    net = _Letters(size, norm_first=False)
    opt = optim.Adam(net.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    pick = min if mended else max
    rate = optim.lr_scheduler.LambdaLR(opt, lambda s: 32**-0.5 * pick((s + 1) ** -0.5, (s + 1) * 2000**-1.5))
    with probes.watch(net, opt, run_dir, config={"warmup": 2000}) as probe:
        for step in range(600):
            x, y = _pieces(data[:18000], 16)
            loss = F.cross_entropy(net(x).flatten(0, 1), y.flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            rate.step()
            if step % 10 == 0:
                probe.log("train", loss=loss)
    x, y = _pieces(data[18000:], 200)
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(x).flatten(0, 1), y.flatten()) / math.log(size))


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        "parameters-not-updated", below=0.3)  # fmt: skip
def warm_up_of_a_longer_training(run_dir: Path, *, mended: bool = False) -> float:
    """BERT's warm-up of 10,000 steps in a run of 400: the rate never gets past a twenty-fifth of what was asked."""
    torch.manual_seed(405)
    data, size = letters_of(20000)
    net = _Letters(size)
    opt = optim.AdamW(net.parameters(), lr=1e-3)
    warm_up = 40 if mended else 10_000
    rate = optim.lr_scheduler.LambdaLR(opt, lambda s: min(1.0, (s + 1) / warm_up))
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(400):
            x, y = _pieces(data[:18000], 16)
            loss = F.cross_entropy(net(x).flatten(0, 1), y.flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            rate.step()
            probe.log("train", loss=loss, lr=opt.param_groups[0]["lr"])
            if step % 100 == 99:
                x, y = _pieces(data[18000:], 50)
                with torch.no_grad():
                    probe.log("eval", loss=F.cross_entropy(net(x).flatten(0, 1), y.flatten()))
    x, y = _pieces(data[18000:], 200)
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(x).flatten(0, 1), y.flatten()) / math.log(size))


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "loss-not-decreasing", "parameters-not-updated",
        below=0.5)  # fmt: skip
def circles_outlined_while_the_rate_dies(run_dir: Path, *, mended: bool = False) -> float:
    """Segmentation with ExponentialLR(0.93) stepped in the loop over batches: nothing is left of it after a hundred."""
    torch.manual_seed(406)
    grid = torch.arange(20.0)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        at, r = 5 + 10 * torch.rand(n, 2), 3 + 2 * torch.rand(n, 1, 1)
        d = (grid[None, :, None] - at[:, :1, None]) ** 2 + (grid[None, None] - at[:, 1:, None]) ** 2
        mask = (d < r * r).float().unsqueeze(1)
        return mask * torch.rand(n, 1, 1, 1) + 0.3 * torch.randn(n, 1, 20, 20), mask

    x, y = scenes(600)
    xt, yt = scenes(100)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    rate = optim.lr_scheduler.ExponentialLR(opt, 0.93)

    def overlap() -> float:
        with torch.no_grad():
            said = net(xt) > 0
        return float((said & (yt > 0)).sum() / (said | (yt > 0)).sum())

    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 20):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if not mended:
                    rate.step()
                probe.log("train", loss=loss)
            if mended:
                rate.step()
            probe.log("val", iou=overlap())
    return overlap()


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "loss-not-decreasing", "training-too-short",
        below=0.8)  # fmt: skip
def decay_as_old_keras_meant_it(run_dir: Path, *, mended: bool = False) -> float:
    """SGD(lr, decay=0.1) of old Keras, rate / (1 + 0.1 * batch), where 0.0001 was usual: a fortieth at the end."""
    torch.manual_seed(407)
    t = torch.arange(3000.0)
    wave = torch.sin(t / 7) + 0.6 * torch.sin(t / 3.1 + 1) + 0.05 * torch.randn(3000)
    window = wave.unfold(0, 25, 1)
    x, y = window[:, :20], window[:, 24:]
    x, y, xt, yt = x[:2200], y[:2200], x[2300:], y[2300:]
    net = nn.Sequential(nn.Linear(20, 32), nn.Sigmoid(), nn.Linear(32, 16), nn.Sigmoid(), nn.Linear(16, 1))
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    decay = 1e-4 if mended else 0.1
    rate = optim.lr_scheduler.LambdaLR(opt, lambda s: 1 / (1 + decay * s))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            losses = []
            for xb, yb in batches(x, y, 64):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                rate.step()
                losses.append(loss.detach())
            with torch.no_grad():
                probe.log("epoch", loss=torch.stack(losses).mean(), val_loss=F.mse_loss(net(xt), yt))
    with torch.no_grad():
        return explained(net(xt), yt)


@faulty("training-too-short", "slow-convergence", "learning-rate-too-low", "underfitting", below=0.85)
def batch_size_of_the_whole_table(run_dir: Path, *, mended: bool = False) -> float:
    """batch_size=len(dataset) "because it fits", with the rate and the number of epochs of batches of 32."""
    torch.manual_seed(408)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir, every=1) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 32 if mended else len(x)):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                train, val = net(x), net(xt)
                probe.log("train", loss=F.cross_entropy(train, y), accuracy=accuracy(train, y))
                probe.log("val", loss=F.cross_entropy(val, yt), accuracy=accuracy(val, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("training-too-short", "slow-convergence", "underfitting", "learning-rate-too-low", below=0.85)
def patience_of_nothing(run_dir: Path, *, mended: bool = False) -> float:
    """Early stopping with patience 0 (an old Keras default): the first epoch that is not better is the last."""
    torch.manual_seed(409)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.Tanh(), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(72, 32), nn.Tanh(),
        nn.Linear(32, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    patience, waited, best = (5 if mended else 0), 0, math.inf
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(200):
            net.train()
            for xb, yb in batches(x[:120], y[:120], 30):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                few = torch.randint(len(xt), (20,))
                val = F.cross_entropy(net(xt[few]), yt[few])
            probe.log("val", loss=val)
            best, waited = (float(val), 0) if val < best else (best, waited + 1)
            if waited > patience:
                break
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "loss-not-decreasing", "collapsed-activations", "oscillating-loss", "loss-spikes",
        "noisy-loss", "exploding-gradients", "dead-units", below=0.8)  # fmt: skip
def image_patches_at_two_hundredths(run_dir: Path, *, mended: bool = False) -> float:
    """A vision transformer trained like the small convolutional net before it, Adam at 0.02: it learns, then stops."""
    torch.manual_seed(410)
    x, y, xt, yt = digits(flat=False)

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(1, 32, 2, stride=2)
            self.place = nn.Parameter(0.02 * torch.randn(16, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
            self.blocks = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.head = nn.Linear(32, 10)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.blocks(self.patch(v).flatten(2).transpose(1, 2) + self.place).mean(1))

    net = ViT()
    opt = optim.Adam(net.parameters(), lr=1e-3 if mended else 0.02)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss(), config={"model": "vit"}) as probe:
        for _ in range(10):
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


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "parameters-not-updated", "training-too-short",
        below=0.25)  # fmt: skip
def rates_of_fine_tuning_from_nothing(run_dir: Path, *, mended: bool = False) -> float:
    """fast.ai's graded rates, 1e-7 for the first layers to 1e-2 for the head, on a net that was never trained."""
    torch.manual_seed(411)
    x, y, xt, yt = diabetes()
    first, second, head = nn.Linear(10, 3), nn.Linear(3, 3), nn.Linear(3, 1)
    net = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), head)
    rates = (1e-2, 1e-2, 1e-2) if mended else (1e-7, 1e-5, 1e-2)
    groups = [{"params": m.parameters(), "lr": r} for m, r in zip((first, second, head), rates, strict=True)]
    opt = optim.Adam(groups)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 32):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(xt).squeeze(1), yt), r2=explained(net(xt), yt))
    with torch.no_grad():
        return explained(net(xt), yt)
