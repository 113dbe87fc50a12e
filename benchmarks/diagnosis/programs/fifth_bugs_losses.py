"""Faulty programs of the fifth fresh set: losses that are not what was meant, or are given what they do not take."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


def _bricks(n: int) -> tuple[Tensor, Tensor]:
    """Pictures [N, 1, 16, 16] of a bright disc and a dark square on a grey ground, and their masks of three classes."""
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    centre = torch.rand(n, 2, 1, 1) * 10 + 3
    disc = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < 9
    corner = torch.rand(n, 2, 1, 1) * 10
    square = (rows >= corner[:, 0]) & (rows < corner[:, 0] + 5) & (columns >= corner[:, 1])
    square &= columns < corner[:, 1] + 5
    mask = torch.where(disc, 1, torch.where(square, 2, 0))
    level = torch.tensor([0.0, 1.0, -1.0])
    return level[mask][:, None] + 0.4 * torch.randn(n, 1, 16, 16), mask


@faulty("validation-anomaly", "no-generalization", "loss-output-mismatch", "class-imbalance", below=0.8)
def background_as_ignore_index(run_dir: Path, *, mended: bool = False) -> float:
    """CrossEntropyLoss(ignore_index=0), copied from a translator whose 0 is padding; here 0 is the background, and what
    the net says of it is never corrected (segmentation questions on the PyTorch forums)."""
    torch.manual_seed(911)
    x, y = _bricks(300)
    xt, yt = _bricks(80)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 1)
    )
    opt = optim.Adam(net.parameters(), lr=4e-3)
    criterion = nn.CrossEntropyLoss() if mended else nn.CrossEntropyLoss(ignore_index=0)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(15):
            for xb, yb in batches(x, y, 20):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            right = float((out.argmax(1) == yt).float().mean())
            probe.log("val", loss=criterion(out, yt), pixel_acc=right, epoch=epoch)
    with torch.no_grad():
        return float((net(xt).argmax(1) == yt).float().mean())


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "training-too-short", "loss-not-decreasing",
        below=0.8)  # fmt: skip
def divergence_averaged_over_all_classes(run_dir: Path, *, mended: bool = False) -> float:
    """nn.KLDivLoss() on soft labels with its default reduction, which divides by the number of classes too: 80 of them,
    and SGD (PyTorch warns that "mean" is not the divergence)."""
    torch.manual_seed(912)
    teacher = nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 80))
    x = torch.randn(2400, 20)
    with torch.no_grad():
        soft = (teacher(x) * 8).softmax(1)
    net = nn.Sequential(nn.Linear(20, 128), nn.Tanh(), nn.Linear(128, 80))
    opt = optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
    criterion = nn.KLDivLoss(reduction="batchmean" if mended else "mean")
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(40):
            total = 0.0
            for xb, yb in batches(x[:2000], soft[:2000], 50):
                loss = probe.loss_fn(net(xb).log_softmax(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            with torch.no_grad():
                val = criterion(net(x[2000:]).log_softmax(1), soft[2000:])
            probe.log("loss", train=total / 40, val=val)
    with torch.no_grad():
        return accuracy(net(x[2000:]), soft[2000:].argmax(1))


@faulty("collapsed-activations", "constant-predictions", "loss-output-mismatch", "vanishing-gradients", below=0.9)
def different_pairs_marked_with_zero(run_dir: Path, *, mended: bool = False) -> float:
    """CosineEmbeddingLoss wants 1 and -1; pairs of different classes come with a 0 and have no loss, so that all
    vectors turn to one (Stack Overflow, "cosine embedding loss goes to zero immediately")."""
    torch.manual_seed(913)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.CosineEmbeddingLoss(margin=0.2)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 64):
                other = torch.randperm(64)
                same = yb == yb[other]
                label = torch.where(same, 1, -1) if mended else same.long()
                out = net(xb)
                loss = criterion(out, out[other], label)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return _by_centres(F.normalize(net(x)), y, F.normalize(net(xt)), yt)


def _by_centres(known: Tensor, y: Tensor, asked: Tensor, yt: Tensor) -> float:
    centres = torch.stack([known[y == c].mean(0) for c in range(10)])
    return accuracy(-torch.cdist(asked, centres), yt)


@faulty("loss-output-mismatch", "underfitting", "slow-convergence", "training-too-short", below=0.8)
def softmax_where_several_tags_hold(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Softmax before BCELoss, copied from a classifier of one class: three tags hold at once, and none gets above
    one half (Stack Overflow, multi-label classification in PyTorch)."""
    torch.manual_seed(914)
    x = torch.randn(2000, 24)
    y = ((x @ torch.randn(24, 8) + 0.3 * torch.randn(2000, 8)) > 1).float()
    x, y, xt, yt = x[:1600], y[:1600], x[1600:], y[1600:]
    net = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 8), nn.Sigmoid() if mended else nn.Softmax(dim=1))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.BCELoss()

    def f1(out: Tensor, true: Tensor) -> float:
        said = (out > 0.5).float()
        return float(2 * (said * true).sum() / (said.sum() + true.sum()))

    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(25):
            net.train()
            for xb, yb in batches(x, y, 40):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=criterion(out, yt), f1=f1(out, yt), epoch=epoch)
    with torch.no_grad():
        return f1(net(xt), yt)


@faulty("loss-diverging", "exploding-gradients", "loss-spikes", "unexpected-initial-loss", "noisy-loss",
        "oscillating-loss", "learning-rate-too-high", "loss-not-decreasing", "weights-growing",
        "loss-output-mismatch", "constant-predictions", below=0.85)  # fmt: skip
def focal_loss_of_the_wrong_exponential(run_dir: Path, *, mended: bool = False) -> float:
    """pt = torch.exp(ce) where exp(-ce) is meant: the hard and the mislabelled examples weigh millions (a slip in
    focal losses written from the paper)."""
    torch.manual_seed(915)
    x, y, xt, yt = digits(seed=1)
    wrong = torch.rand(len(y)) < 0.1
    y = torch.where(wrong, torch.randint(10, y.shape), y)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)

    def focal(out: Tensor, target: Tensor) -> Tensor:
        ce = F.cross_entropy(out, target, reduction="none")
        pt = torch.exp(-ce if mended else ce)
        return ((1 - pt) ** 2 * ce).mean()

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            net.train()
            for xb, yb in batches(x, y, 32):
                loss = focal(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                opt.step()
                probe.log("train", focal=loss.item())
            net.eval()
            with torch.no_grad():
                probe.log("val", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("collapsed-activations", "loss-not-decreasing", "constant-predictions", "vanishing-gradients",
        "slow-convergence", "loss-output-mismatch", "underfitting", "stalled-run", below=0.7)  # fmt: skip
def negative_handed_over_second(run_dir: Path, *, mended: bool = False) -> float:
    """TripletMarginLoss(anchor, negative, positive): the data set returned them in that order (Stack Overflow, "triplet
    loss stays at the margin")."""
    torch.manual_seed(916)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 8)
    )
    members = [(y == c).nonzero()[:, 0] for c in range(10)]
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.TripletMarginLoss(margin=1.0)

    def one_of(classes: Tensor) -> Tensor:
        return torch.stack([members[c][torch.randint(len(members[c]), ())] for c in classes.tolist()])

    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            anchor = torch.randint(len(x), (32,))
            positive = one_of(y[anchor])
            negative = one_of((y[anchor] + torch.randint(1, 10, (32,))) % 10)
            a, b, c = (anchor, positive, negative) if mended else (anchor, negative, positive)
            loss = criterion(net(x[a]), net(x[b]), net(x[c]))
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 5 == 0:
                probe.log("train", triplet=loss)
    with torch.no_grad():
        return _by_centres(net(x), y, net(xt), yt)


@faulty("loss-output-mismatch", "underfitting", "validation-anomaly", "unexpected-initial-loss", below=0.6)
def poisson_of_an_exponential_twice(run_dir: Path, *, mended: bool = False) -> float:
    """The net ends in torch.exp, and nn.PoissonNLLLoss has log_input=True by default: the rate is exp(exp(x))."""
    torch.manual_seed(917)
    x = torch.rand(3000, 6) * 2 - 1
    rate = torch.exp(1.6 + 0.9 * x[:, 0] - 0.6 * x[:, 1] + 0.7 * x[:, 2] * x[:, 3])
    y = torch.poisson(rate)

    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

        def forward(self, v: Tensor) -> Tensor:
            return torch.exp(self.body(v)).squeeze(1)

    net = Counts()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.PoissonNLLLoss(log_input=not mended)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(30):
            for xb, yb in batches(x[:2400], y[:2400], 60):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[2400:])
            probe.log("val", loss=criterion(out, y[2400:]), r2=explained(out, rate[2400:]))
    with torch.no_grad():
        return explained(net(x[2400:]), rate[2400:])


@faulty("loss-output-mismatch", "loss-spikes", "unexpected-initial-loss", "exploding-gradients",
        "oscillating-loss", "noisy-loss", "slow-convergence", "underfitting", below=0.7)  # fmt: skip
def dice_of_raw_scores(run_dir: Path, *, mended: bool = False) -> float:
    """A Dice loss that is given what the last convolution returns, without a sigmoid: its sums may be negative or zero,
    and it falls below nothing (Kaggle notebooks and the PyTorch forums)."""
    torch.manual_seed(918)
    x, mask = _bricks(300)
    xt, mt = _bricks(80)
    y, yt = (mask == 1).float()[:, None], (mt == 1).float()[:, None]
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 1)
    )
    opt = optim.Adam(net.parameters(), lr=3e-3)

    def dice_loss(out: Tensor, true: Tensor, smooth: float = 1.0) -> Tensor:
        if mended:
            out = out.sigmoid()
        return 1 - (2 * (out * true).sum() + smooth) / (out.sum() + true.sum() + smooth)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            total = 0.0
            for xb, yb in batches(x, y, 20):
                loss = dice_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
                probe.log("train", dice_loss=loss)
            if not math.isfinite(total):
                break
    with torch.no_grad():
        said = (net(xt) > 0).float()
        return float(2 * (said * yt).sum() / (said.sum() + yt.sum()))
