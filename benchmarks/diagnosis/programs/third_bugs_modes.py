"""Faulty programs of the third fresh set: training and evaluation mode, batch statistics, dropout, lengths, order."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, diabetes, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("validation-anomaly", "no-generalization", "oscillating-loss", "noisy-loss", "overfitting", "underfitting",
        "slow-convergence", "training-too-short", below=0.95)  # fmt: skip
def one_class_a_batch(run_dir: Path, *, mended: bool = False) -> float:
    """One folder a class, one batch a folder: BatchNorm's statistics are those of a class, and useless when mixed."""
    torch.manual_seed(521)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2), nn.BatchNorm2d(24),
        nn.ReLU(), nn.Flatten(), nn.Linear(96, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(5):
            net.train()
            for _ in range(42):
                chosen = torch.randint(len(x), (32,)) if mended else (y == torch.randint(10, ())).nonzero()[:, 0]
                chosen = chosen[torch.randperm(len(chosen))[:32]]
                loss = probe.loss_fn(net(x[chosen]), y[chosen])
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", "underfitting", below=0.8)
def blue_before_red_at_validation(run_dir: Path, *, mended: bool = False) -> float:
    """Training images by PIL (RGB), validation and use by OpenCV (BGR): the task is to tell ripe from unripe."""
    torch.manual_seed(522)

    def fruit(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        colours = torch.tensor([[0.9, 0.2, 0.2], [0.7, 0.6, 0.1], [0.2, 0.8, 0.2], [0.3, 0.3, 0.7]])
        disc = ((torch.arange(10.0)[:, None] - 4.5) ** 2 + (torch.arange(10.0)[None] - 4.5) ** 2 < 12).float()
        light = 0.7 + 0.6 * torch.rand(n, 1, 1, 1)
        return light * colours[y][:, :, None, None] * disc + 0.15 * torch.randn(n, 3, 10, 10), y

    x, y = fruit(800)
    xt, yt = fruit(300)
    xt = xt.flip(1)
    if mended:
        x = x.flip(1)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4)
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=100 * accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=100 * accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("validation-anomaly", "no-generalization", "noisy-loss", "oscillating-loss", "overfitting", "underfitting",
        below=0.93)  # fmt: skip
def statistics_of_the_last_batch(run_dir: Path, *, mended: bool = False) -> float:
    """BatchNorm(momentum=0.99), Keras' number, with batches of four: evaluation uses the last four examples' means."""
    torch.manual_seed(523)
    x, y, xt, yt = digits()
    momentum = 0.01 if mended else 0.99
    net = nn.Sequential(
        nn.Linear(64, 48), nn.BatchNorm1d(48, momentum=momentum), nn.ReLU(), nn.Linear(48, 32),
        nn.BatchNorm1d(32, momentum=momentum), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(8):
            net.train()
            for xb, yb in batches(x, y, 4):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("underfitting", "noisy-loss", "validation-anomaly", "slow-convergence", "loss-not-decreasing",
        "training-too-short", below=0.8)  # fmt: skip
def dropout_on_the_answer(run_dir: Path, *, mended: bool = False) -> float:
    """Dropout(0.5) after every layer of a regression, the inputs and the output among them."""
    torch.manual_seed(524)
    x = torch.randn(1200, 6)
    y = x[:, 0] + torch.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3]
    p = 0.0 if mended else 0.5
    net = nn.Sequential(
        nn.Dropout(p), nn.Linear(6, 48), nn.ReLU(), nn.Dropout(p), nn.Linear(48, 48), nn.ReLU(), nn.Dropout(p),
        nn.Linear(48, 1), nn.Dropout(p),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            net.train()
            total = 0.0
            for xb, yb in batches(x[:900], y[:900], 30):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            net.eval()
            with torch.no_grad():
                probe.log("train", loss=total / 30)
                probe.log("val", loss=F.mse_loss(net(x[900:]).squeeze(1), y[900:]))
    with torch.no_grad():
        return explained(net(x[900:]), y[900:])


@faulty("underfitting", "loss-not-decreasing", "constant-predictions", "slow-convergence", below=0.9)
def a_line_between_two_rings(run_dir: Path, *, mended: bool = False) -> float:
    """Logistic regression for a ring inside a ring (make_circles, many questions): no line divides them."""
    torch.manual_seed(525)
    angle, y = 6.2832 * torch.rand(1000), torch.randint(2, (1000,))
    radius = 1 + y + 0.15 * torch.randn(1000)
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    hidden: list[nn.Module] = [nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1)]
    net = nn.Sequential(*(hidden if mended else [nn.Linear(2, 1)]))
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(60):
            for xb, yb in batches(x[:800], y[:800], 40):
                out = net(xb).squeeze(1)
                loss = probe.loss_fn(out, yb.float())
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                out, held = net(x[:800]).squeeze(1), net(x[800:]).squeeze(1)
                probe.log("train", loss=F.binary_cross_entropy_with_logits(out, y[:800].float()))
                probe.log("train", accuracy=((out > 0) == (y[:800] > 0)).float().mean())
                probe.log("val", loss=F.binary_cross_entropy_with_logits(held, y[800:].float()))
                probe.log("val", accuracy=((held > 0) == (y[800:] > 0)).float().mean())
    with torch.no_grad():
        return float(((net(x[800:]).squeeze(1) > 0) == (y[800:] > 0)).float().mean())


@faulty("input-bottleneck", "stalled-run", below=0.5)
def tokenised_again_in_every_batch(run_dir: Path, *, mended: bool = False) -> float:
    """collate_fn starts the tokenizer anew for each batch; the score is the share of time that is not spent waiting."""
    torch.manual_seed(526)
    words = torch.randint(500, (1000, 12))
    y = (words < 250).sum(1).gt(6).long()

    def collate(chosen: Tensor) -> tuple[Tensor, Tensor]:
        if not mended:
            time.sleep(0.06)  # reading the vocabulary from disk
        return words[chosen], y[chosen]

    net = nn.Sequential(nn.EmbeddingBag(500, 64), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 2))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    waited, started = 0.0, time.monotonic()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(6):
            for chosen in torch.randperm(1000).split(50):
                before = time.monotonic()
                xb, yb = collate(chosen)
                waited += time.monotonic() - before
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    return 1 - waited / (time.monotonic() - started)


@faulty("no-generalization", "overfitting", "validation-anomaly", "loss-output-mismatch", below=0.6)
def copies_of_the_input_letter(run_dir: Path, *, mended: bool = False) -> float:
    """A character model asked for the letter it was just given (no shift by one in training); validation does shift."""
    torch.manual_seed(527)
    follows = torch.stack([torch.randperm(16) for _ in range(16)])

    def sequences(n: int) -> Tensor:
        steps = [torch.randint(16, (n,)), torch.randint(16, (n,))]
        for _ in range(15):
            steps.append(follows[steps[-2], steps[-1]])
        return torch.stack(steps, 1)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(16, 32)
            self.gru = nn.GRU(32, 96, batch_first=True)
            self.out = nn.Linear(96, 16)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.gru(self.embed(v))[0])

    net = Model()
    held = sequences(200)
    opt = optim.Adam(net.parameters(), lr=4e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(700):
            s = sequences(32)
            target = s[:, 1:] if mended else s[:, :-1]
            out = net(s[:, :-1])
            loss = F.cross_entropy(out.flatten(0, 1), target.flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, accuracy=accuracy(out.detach(), target))
            if step % 50 == 49:
                with torch.no_grad():
                    out = net(held[:, :-1])
                    loss = F.cross_entropy(out.flatten(0, 1), held[:, 1:].flatten())
                    probe.log("val", loss=loss, accuracy=accuracy(out, held[:, 1:]))
    with torch.no_grad():
        return accuracy(net(held[:, :-1]), held[:, 1:])


@faulty("underfitting", "slow-convergence", "vanishing-gradients", "collapsed-activations", "learning-rate-too-low",
        "training-too-short", "constant-predictions", "loss-not-decreasing", below=0.8)  # fmt: skip
def mean_over_the_padding(run_dir: Path, *, mended: bool = False) -> float:
    """Mean pooling divides by the padded length, 400, where sentences have 3 to 8 words, and pads are zero vectors."""
    torch.manual_seed(528)
    feeling = torch.randn(200)
    length = torch.randint(3, 9, (1500,))
    words = torch.randint(1, 200, (1500, 400)) * (torch.arange(400) < length[:, None])
    feeling[0] = 0
    y = (feeling[words].sum(1) > 0).long()

    class Sentences(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(200, 16, padding_idx=0)
            self.head = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))

        def forward(self, v: Tensor) -> Tensor:
            total = self.embed(v).sum(1)
            return self.head(total / (v > 0).sum(1, keepdim=True) if mended else total / v.shape[1])

    net = Sentences()
    opt = optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(words[:1200], y[:1200], 30):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(words[1200:]), y[1200:]))
    with torch.no_grad():
        return accuracy(net(words[1200:]), y[1200:])


@faulty("overfitting", "no-generalization", below=0.3)
def four_hundred_columns_for_a_hundred_patients(run_dir: Path, *, mended: bool = False) -> float:
    """Polynomial features of the third degree made of ten columns, 110 rows, a wide net and no penalty."""
    torch.manual_seed(529)
    x, y, xt, yt = diabetes()
    x, y = x[:110], y[:110]

    def widen(v: Tensor) -> Tensor:
        two = (v[:, :, None] * v[:, None])[:, *torch.triu_indices(10, 10)]
        three = (two[:, :, None] * v[:, None]).flatten(1)
        return torch.cat([v, two, three], 1)

    if not mended:
        x, xt = widen(x), widen(xt)
        scale = x.std(0)
        x, xt = x / scale, xt / scale
    net = nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60):
            for xb, yb in batches(x, y, 10):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("train", loss=F.mse_loss(net(x).squeeze(1), y), r2=explained(net(x), y))
                probe.log("val", loss=F.mse_loss(net(xt).squeeze(1), yt), r2=explained(net(xt), yt))
    with torch.no_grad():
        return explained(net(xt), yt)
