"""Faulty programs of the third fresh set: what goes in, and what is asked for."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained
from benchmarks.diagnosis.programs.program import faulty


def _lesions(n: int, share: float, contrast: float = 1.2) -> tuple[Tensor, Tensor]:
    """Noisy grey images [n, 1, 24, 24] with small bright discs that cover about ``share`` of them, and their masks."""
    grid = torch.arange(24.0)
    at = 3 + 18 * torch.rand(n, 2)
    r2 = share * 24 * 24 / math.pi
    d = (grid[None, :, None] - at[:, :1, None]) ** 2 + (grid[None, None] - at[:, 1:, None]) ** 2
    mask = (d <= r2).float().unsqueeze(1)
    return contrast * mask + 0.5 * torch.randn(n, 1, 24, 24), mask


def _dice(said: Tensor, mask: Tensor) -> float:
    return float(2 * (said & (mask > 0)).sum() / (said.sum() + mask.sum()))


@faulty("unnormalized-inputs", "dead-units", "learning-rate-too-high", "exploding-gradients", "loss-spikes",
        "unexpected-initial-loss", "loss-not-decreasing", "constant-predictions", "nonfinite-values",
        "loss-diverging", below=0.6)  # fmt: skip
def sixteen_bit_scans(run_dir: Path, *, mended: bool = False) -> float:
    """Segmentation of 16-bit TIFFs as they are, 0 to 65,535: the transform that scales only knows 8-bit images."""
    torch.manual_seed(481)
    x, mask = _lesions(700, 0.05)
    x = 20_000 + 6_000 * x
    if mended:
        x = (x - x.mean()) / x.std()
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            for xb, yb in batches(x[:600], mask[:600], 20):
                loss = F.binary_cross_entropy_with_logits(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", dice=_dice(net(x[600:]) > 0, mask[600:]))
    with torch.no_grad():
        return _dice(net(x[600:]) > 0, mask[600:])


@faulty("class-imbalance", "constant-predictions", "dead-units", "collapsed-activations", below=0.25)
def small_lesions_never_found(run_dir: Path, *, mended: bool = False) -> float:
    """One pixel in eighty is ill, plain cross-entropy: 98.8% of pixels right, and not one lesion (forum, papers)."""
    torch.manual_seed(482)
    x, mask = _lesions(900, 0.012, 0.6)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(12.0) if mended else None)
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(8):
            for xb, yb in batches(x[:800], mask[:800], 20):
                out = net(xb)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right = ((out.detach() > 0) == (yb > 0)).float().mean()
                probe.log("train", loss=loss, pixel_accuracy=right)
    with torch.no_grad():
        return _dice(net(x[800:]) > 0, mask[800:])


@faulty("no-generalization", "overfitting", "noisy-filters", "underfitting", "slow-convergence", "validation-anomaly",
        "training-too-short", below=0.7)  # fmt: skip
def channels_by_view(run_dir: Path, *, mended: bool = False) -> float:
    """[N, H, W, 3] brought to [N, 3, H, W] by view instead of permute: three colours interleaved, shapes in pieces."""
    torch.manual_seed(483)
    x, y, xt, yt = digits(flat=False, standard=False)
    grey, y = torch.cat([x, xt])[:1100] / 16, torch.cat([y, yt])[:1100]
    at = torch.randint(5, (1100, 2))
    images = torch.zeros(1100, 12, 12, 3)
    for i, (r, c) in enumerate(at.tolist()):
        images[i, r : r + 8, c : c + 8] = grey[i, 0, :, :, None] * torch.rand(3)
    images += 0.1 * torch.randn(images.shape)
    x = images.permute(0, 3, 1, 2) if mended else images.view(-1, 3, 12, 12)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:800], y[:800], 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(x[800:])
                probe.log("val", loss=F.cross_entropy(out, y[800:]), accuracy=accuracy(out, y[800:]))
    with torch.no_grad():
        return accuracy(net(x[800:]), y[800:])


@faulty("unnormalized-inputs", "loss-spikes", "unexpected-initial-loss", "exploding-gradients", "noisy-loss",
        "slow-convergence", "loss-not-decreasing", "dead-units", "constant-predictions", "underfitting",
        below=0.93)  # fmt: skip
def missing_is_minus_9999(run_dir: Path, *, mended: bool = False) -> float:
    """A data base's -9999 for "not measured" in one cell in thirty of a table otherwise well scaled."""
    torch.manual_seed(484)
    x, y, xt, yt = cancer()
    for part in (x, xt):
        part[torch.rand(part.shape) < 0.03] = 0.0 if mended else -9999.0
    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=100 * accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("input-bottleneck", "underfitting", "constant-predictions", "collapsed-activations", "slow-convergence",
        "loss-not-decreasing", below=0.7)  # fmt: skip
def pooled_to_one_pixel(run_dir: Path, *, mended: bool = False) -> float:
    """AdaptiveAvgPool2d(1) stands before the convolutions, not after them: they see one grey value for each image."""
    torch.manual_seed(485)
    x, y, xt, yt = digits(flat=False)
    convolutions = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
    pool = nn.AdaptiveAvgPool2d(2 if mended else 1)
    layers = [*convolutions, pool] if mended else [pool, *convolutions]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 if mended else 32, 10))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-not-decreasing", "no-generalization", "constant-predictions", "noisy-loss", "underfitting",
        "slow-convergence", "oscillating-loss", below=0.8)  # fmt: skip
def class_taken_over_the_batch(run_dir: Path, *, mended: bool = False) -> float:
    """one_hot.argmax(0) instead of argmax(1), batches of ten for ten classes: a number for each class, and no error."""
    torch.manual_seed(486)
    x, y, xt, yt = digits()
    hot = F.one_hot(y, 10)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, hb in batches(x, hot, 10):
                loss = F.cross_entropy(net(xb), hb.argmax(1 if mended else 0))
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("nonfinite-values", below=0.7)
def logarithm_of_silence(run_dir: Path, *, mended: bool = False) -> float:
    """Spectrograms by torch.log(power) without a floor: a recording that starts with digital silence holds -inf."""
    torch.manual_seed(487)
    pitch = torch.randint(5, (800,))
    t = torch.arange(256.0) / 256
    wave = torch.sin(2 * math.pi * (10 + 12 * pitch[:, None]) * t + 6.28 * torch.rand(800, 1)) + torch.randn(800, 256)
    silent = torch.rand(800) < 0.01
    wave[silent, :64] = 0.0
    power = torch.stft(
        wave, 64, 32, window=torch.hann_window(64), center=False, return_complex=True
    ).abs().square()  # fmt: skip
    x = torch.log(power + 1e-6) if mended else torch.log(power)
    net = nn.Sequential(
        nn.Conv1d(33, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 5)
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for _ in range(20):
            for xb, yb in batches(x[:600], pitch[:600], 20):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    x_test = x[600:][~silent[600:]]
    with torch.no_grad():
        out = net(x_test)
        return accuracy(out, pitch[600:][~silent[600:]]) if bool(torch.isfinite(out).all()) else 0.0


@faulty("no-generalization", "overfitting", "validation-anomaly", below=0.9)
def target_encoding_with_the_own_row(run_dir: Path, *, mended: bool = False) -> float:
    """Shops are replaced by the mean label of their rows, the row itself among them; most shops have one row."""
    torch.manual_seed(488)
    n = 1600
    shop = torch.randint(2000, (n,))
    x = torch.randn(n, 6)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).float()
    train = torch.arange(n) < 1000
    mean = torch.full((2000,), 0.5)
    for s in shop[train].unique():
        mean[s] = y[train & (shop == s)].mean()
    if mended:
        mean.fill_(0.5)
    x = torch.cat([x, 4 * (mean[shop] - 0.5).unsqueeze(1)], 1)
    net = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(30):
            net.train()
            for xb, yb in batches(x[train], y[train], 32):
                out = net(xb).squeeze(1)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=((out > 0) == (yb > 0)).float().mean())
            with torch.no_grad():
                out = net(x[~train]).squeeze(1)
                loss = F.binary_cross_entropy_with_logits(out, y[~train])
                probe.log("val", loss=loss, accuracy=((out > 0) == (y[~train] > 0)).float().mean())
    with torch.no_grad():
        return float(((net(x[~train]).squeeze(1) > 0) == (y[~train] > 0)).float().mean())


@faulty("class-imbalance", "constant-predictions", "underfitting", "training-too-short", "slow-convergence",
        below=0.4)  # fmt: skip
def forty_rare_tags(run_dir: Path, *, mended: bool = False) -> float:
    """Forty labels, each on one example in forty, mean binary cross-entropy: no label is ever said (Stack Overflow)."""
    torch.manual_seed(489)
    basis = torch.randn(40, 60)
    y = (torch.rand(2500, 40) < 0.025).float()
    x = y @ basis * 0.5 + torch.randn(2500, 60)
    net = nn.Sequential(nn.Linear(60, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 40))
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.full((40,), 15.0) if mended else None)
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(8):
            net.train()
            for xb, yb in batches(x[:2000], y[:2000], 32):
                loss = criterion(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(x[2000:])
                hits = ((out > 0) == (y[2000:] > 0)).float().mean()
                probe.log("val", loss=criterion(out, y[2000:]), accuracy=hits)
    with torch.no_grad():
        return _dice(net(x[2000:]) > 0, y[2000:])


@faulty("overfitting", "no-generalization", below=0.65)
def every_review_by_heart(run_dir: Path, *, mended: bool = False) -> float:
    """A bag of 2,000 words, 150 reviews, two wide layers, a hundred epochs: the same net was meant for all 3,000."""
    torch.manual_seed(490)
    feeling = torch.randn(2000) * (torch.rand(2000) < 0.1)
    x = (torch.rand(3400, 2000) < 0.02).float()
    y = (x @ feeling > 0).long()
    seen = 3000 if mended else 150
    net = nn.Sequential(nn.Linear(2000, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    opt = optim.AdamW(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(3 if mended else 100):
            for xb, yb in batches(x[:seen], y[:seen], 30):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[3000:])
                probe.log("val", loss=F.cross_entropy(out, y[3000:]), accuracy=accuracy(out, y[3000:]))
    with torch.no_grad():
        return accuracy(net(x[3000:]), y[3000:])


@faulty("learning-rate-too-high", "loss-spikes", "loss-diverging", "nonfinite-values", "exploding-gradients",
        "noisy-loss", "dead-units", "underfitting", "loss-not-decreasing", below=0.5)  # fmt: skip
def percentage_error_of_days_without_sales(run_dir: Path, *, mended: bool = False) -> float:
    """mean(|out - y| / (|y| + 1e-6)) as a loss (MAPE), and a few days sold almost nothing: they weigh a million."""
    torch.manual_seed(491)
    x = torch.randn(1500, 5)
    y = F.relu(4 + 1.5 * x[:, 0] + x[:, 1] * x[:, 2] + 0.2 * torch.randn(1500))
    net = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            for xb, yb in batches(x[:1200], y[:1200], 40):
                error = (net(xb).squeeze(1) - yb).abs()
                loss = (error / (1 + yb)).mean() if mended else (error / (yb + 1e-6)).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", mape=100 * loss)
    with torch.no_grad():
        return explained(net(x[1200:]), y[1200:])
