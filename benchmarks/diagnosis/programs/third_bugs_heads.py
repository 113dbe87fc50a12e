"""Faulty programs of the third fresh set: outputs, losses and objectives that do not belong together."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, iris
from benchmarks.diagnosis.programs.program import faulty


@faulty("loss-output-mismatch", "loss-diverging", "weights-growing", "exploding-gradients", "nonfinite-values",
        "unexpected-initial-loss", "loss-not-decreasing", "constant-predictions", below=0.8)  # fmt: skip
def raw_scores_into_nll_loss(run_dir: Path, *, mended: bool = False) -> float:
    """NLLLoss on what nn.Linear gives, no LogSoftmax (Stack Overflow, "loss is negative"): it pays to be large."""
    torch.manual_seed(501)
    x, y, xt, yt = iris()
    layers: list[nn.Module] = [nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)]
    net = nn.Sequential(*layers, nn.LogSoftmax(1)) if mended else nn.Sequential(*layers)
    criterion = nn.NLLLoss()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(100):
            for xb, yb in batches(x, y, 28):
                loss = criterion(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt) + min(0.0, float(criterion(net(xt), yt)))


@faulty("loss-output-mismatch", "no-generalization", "underfitting", "loss-not-decreasing", "constant-predictions",
        "loss-diverging", "unexpected-initial-loss", "weights-growing", below=0.85)  # fmt: skip
def divergence_of_probabilities(run_dir: Path, *, mended: bool = False) -> float:
    """Distillation by KLDivLoss, whose input should be log-probabilities, given softmax(student): it turns negative."""
    torch.manual_seed(502)
    x, y, xt, yt = digits()
    teacher = 6 * F.one_hot(y, 10).float() + torch.randn(len(y), 10)
    student = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    opt = optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.KLDivLoss(reduction="batchmean")
    with probes.watch(student, opt, run_dir) as probe:
        for _ in range(20):
            for xb, tb in batches(x, teacher, 32):
                out = student(xb)
                said = out.log_softmax(1) if mended else out.softmax(1)
                loss = criterion(said, (tb / 2).softmax(1))
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", kl=loss)
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(student(xt), yt))
    with torch.no_grad():
        teacher = (3 * F.one_hot(yt, 10) + torch.randn(len(yt), 10) / 2).softmax(1)
        return float(1 - criterion(student(xt).log_softmax(1), teacher) / math.log(10))


@faulty("loss-output-mismatch", "underfitting", "loss-not-decreasing", "slow-convergence", "unexpected-initial-loss",
        "constant-predictions", "saturated-activations", "vanishing-gradients", below=0.6)  # fmt: skip
def mask_squashed_twice(run_dir: Path, *, mended: bool = False) -> float:
    """A U-Net from a tutorial ends in a sigmoid, BCEWithLogitsLoss has another: the background stays at one half."""
    torch.manual_seed(503)
    grid = torch.arange(16.0)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        at, r = 4 + 8 * torch.rand(n, 2), 2.5 + 2 * torch.rand(n, 1, 1)
        d = (grid[None, :, None] - at[:, :1, None]) ** 2 + (grid[None, None] - at[:, 1:, None]) ** 2
        mask = (d < r * r).float().unsqueeze(1)
        return mask + 0.5 * torch.randn(n, 1, 16, 16), mask

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
            self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
            self.last, self.out = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 1, 1)

        def forward(self, v: Tensor) -> Tensor:
            a = F.relu(self.down1(v))
            b = self.up(F.relu(self.down2(F.max_pool2d(a, 2))))
            out = self.out(F.relu(self.last(torch.cat([a, b], 1))))
            return out if mended else torch.sigmoid(out)

    x, mask = scenes(500)
    xt, mask_t = scenes(100)
    net = UNet()
    criterion = nn.BCEWithLogitsLoss()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(10):
            for xb, mb in batches(x, mask, 20):
                loss = criterion(net(xb), mb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(net(xt), mask_t))
    with torch.no_grad():
        return float(1 - criterion(net(xt), mask_t) / math.log(2))


@faulty("nonfinite-values", "loss-output-mismatch", "exploding-gradients", "loss-spikes", "loss-diverging",
        "loss-not-decreasing", "noisy-loss", below=0.8)  # fmt: skip
def variance_without_an_exponential(run_dir: Path, *, mended: bool = False) -> float:
    """Gaussian likelihood with the second output taken as the variance itself: the log of a negative one is NaN."""
    torch.manual_seed(504)
    x = torch.randn(900, 4)
    y = x[:, 0] + torch.sin(2 * x[:, 1]) * x[:, 2]
    x, y, xt, yt = x[:700], y[:700], x[700:], y[700:]
    net = nn.Sequential(nn.Linear(4, 48), nn.Tanh(), nn.Linear(48, 2))
    with torch.no_grad():
        net[2].bias[1] = 0.5
    opt = optim.Adam(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 16):
                out = net(xb)
                variance = out[:, 1].exp() if mended else out[:, 1]
                loss = 0.5 * ((yb - out[:, 0]) ** 2 / variance + torch.log(variance)).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", nll=loss)
    with torch.no_grad():
        return explained(net(xt)[:, 0], yt)


@faulty("collapsed-activations", "learning-rate-too-high", "loss-not-decreasing", "constant-predictions",
        "dead-units", below=0.8)  # fmt: skip
def triplets_stuck_at_the_margin(run_dir: Path, *, mended: bool = False) -> float:
    """Schroff et al. 2015 warn of it: hardest triplets and too high a rate; all faces in one point, loss = margin."""
    torch.manual_seed(505)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    opt = optim.Adam(net.parameters(), lr=5e-4 if mended else 0.05)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 40):
                z = net(xb)
                far = (z[:, None] - z[None]).square().sum(2).add(1e-9).sqrt()
                same = yb[:, None] == yb[None]
                positive = far.masked_fill(~same, 0).amax(1)
                negative = far.masked_fill(same, 1e9).amin(1)
                loss = F.relu(positive - negative + 0.2).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", triplet=loss)
    with torch.no_grad():
        nearest = torch.cdist(net(xt), net(x)).argmin(1)
        return float((y[nearest] == yt).float().mean())


@faulty("loss-output-mismatch", "loss-not-decreasing", "slow-convergence", "underfitting", below=0.5)
def cosines_without_a_scale(run_dir: Path, *, mended: bool = False) -> float:
    """A cosine classifier (CosFace) without its factor: logits of -1 to 1, 10 classes, no loss below 0.8."""
    torch.manual_seed(506)
    x, y, xt, yt = digits(flat=False)

    class Cosines(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(432, 32))
            self.weight = nn.Parameter(torch.randn(10, 32))

        def forward(self, v: Tensor) -> Tensor:
            cosine = F.normalize(self.body(v), dim=1) @ F.normalize(self.weight, dim=1).T
            return 12 * cosine if mended else cosine

    net = Cosines()
    opt = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(xt), yt) / math.log(10))


@faulty("loss-output-mismatch", "underfitting", "dead-units", "missing-gradients", "constant-predictions",
        "vanishing-gradients", "saturated-activations", "slow-convergence", below=0.7)  # fmt: skip
def clamped_where_targets_go_beyond(run_dir: Path, *, mended: bool = False) -> float:
    """A regressor that ends in clamp(0, 1) from the time when its targets were shares; now they are -2 to 3."""
    torch.manual_seed(507)
    x = torch.randn(1000, 6)
    y = x[:, 0] * 0.8 + torch.sin(2 * x[:, 1]) + 0.3
    net = nn.Sequential(
        nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 1), nn.Identity() if mended else nn.Hardtanh(0.0, 1.0)
    )
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(25):
            for xb, yb in batches(x[:800], y[:800], 32):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("train", mse=F.mse_loss(net(x[:800]).squeeze(1), y[:800]))
                probe.log("val", mse=F.mse_loss(net(x[800:]).squeeze(1), y[800:]))
    with torch.no_grad():
        return explained(net(x[800:]), y[800:])


@faulty("loss-diverging", "loss-output-mismatch", "weights-growing", "exploding-gradients", "nonfinite-values",
        "collapsed-activations", "loss-not-decreasing", "learning-rate-too-high", below=0.8)  # fmt: skip
def contrast_without_a_margin(run_dir: Path, *, mended: bool = False) -> float:
    """Contrastive loss, d(same)^2 - d(other)^2 with the margin left out: it falls to minus infinity."""
    torch.manual_seed(508)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(700):
            i, j = torch.randint(len(x), (2, 64))
            d2 = (net(x[i]) - net(x[j])).square().sum(1)
            apart = F.relu(1.0 - (d2 + 1e-9).sqrt()).square() if mended else -d2
            loss = torch.where(y[i] == y[j], 4 * d2, apart).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 20 == 0:
                probe.log("siamese", loss=loss)
    with torch.no_grad():
        z, zt = net(x), net(xt)
        return float((y[torch.cdist(zt, z).argmin(1)] == yt).float().mean()) if float(z.abs().max()) < 50 else 0.0


@faulty("constant-predictions", "collapsed-activations", "vanishing-gradients", "underfitting", "loss-not-decreasing",
        "missing-gradients", "slow-convergence", below=0.5)  # fmt: skip
def beta_of_two_hundred(run_dir: Path, *, mended: bool = False) -> float:
    """A convolutional beta-VAE with beta = 200 where 2 was read: the code says nothing, all drawings are the mean."""
    torch.manual_seed(509)
    x, _, xt, _ = digits(flat=False, standard=False)
    x, xt = x / 16, xt / 16

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 16)
            )
            self.decoder = nn.Sequential(
                nn.Linear(8, 256), nn.ReLU(), nn.Unflatten(1, (16, 4, 4)), nn.ConvTranspose2d(16, 1, 4, 2, 1)
            )

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, log_var = self.encoder(v).chunk(2, 1)
            return self.decoder(mean + torch.randn_like(mean) * (0.5 * log_var).exp()), mean, log_var

    net = VAE()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    beta = 1.0 if mended else 200.0
    with probes.watch(net, opt, run_dir, config={"beta": beta}) as probe:
        for _ in range(25):
            for xb, _ in batches(x, x, 32):
                out, mean, log_var = net(xb)
                error = F.binary_cross_entropy_with_logits(out, xb, reduction="sum") / len(xb)
                kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1).mean()
                loss = error + beta * kl
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, reconstruction=error, kl=kl)
    with torch.no_grad():
        seen = net.decoder(net.encoder(xt).chunk(2, 1)[0]).sigmoid()
        return float(1 - F.mse_loss(seen, xt) / (xt - xt.mean(0)).square().mean())
