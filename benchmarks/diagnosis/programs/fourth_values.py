"""Healthy trainings of the fourth fresh set: numbers and pictures as outputs, encoders, generators, recommendations."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data as photographs
from sklearn.datasets import make_friedman1
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, diabetes, digits, explained, split
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.85)
def friedman_by_a_dense_net(run_dir: Path) -> float:
    """scikit-learn's friedman1, standardised: MSE and MAE per epoch, Adam, ReduceLROnPlateau on the validation loss."""
    torch.manual_seed(881)
    features, target = make_friedman1(1600, noise=0.7, random_state=0)
    x, y, xt, yt = split((features - features.mean(0)) / features.std(0), (target - target.mean()) / target.std())
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(opt, patience=5, factor=0.5)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt).squeeze(1)
            val = F.mse_loss(out, yt)
            scheduler.step(val)
            probe.log("val", loss=val, mae=F.l1_loss(out, yt))
    with torch.no_grad():
        return explained(net(xt), yt)


@healthy(at_least=0.3)
def progression_with_its_mean_in_the_bias(run_dir: Path) -> float:
    """Karpathy's recipe: the last bias starts at the mean of the targets (152). Half of it is all there is."""
    torch.manual_seed(882)
    x, y, xt, yt = diabetes(standard=False)
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    nn.init.constant_(net[-1].bias, float(y.mean()))
    opt = optim.Adam(net.parameters(), lr=0.02, weight_decay=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            net.train()
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 10
            net.eval()
            with torch.no_grad():
                val = F.mse_loss(net(xt).squeeze(1), yt)
            probe.log("rmse", train=math.sqrt(total), val=val.sqrt())
    with torch.no_grad():
        return explained(net(xt), yt)


@healthy(at_least=0.6)
def more_than_half_is_noise(run_dir: Path) -> float:
    """A regression whose answer is 45% signal: the loss falls a little and stays at the noise, rightly."""
    torch.manual_seed(883)
    x = torch.randn(6000, 12)
    signal = torch.sin(1.5 * x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.4 * x[:, 3]
    y = signal / signal.std() + 1.1 * torch.randn(6000)
    x, y, xt, yt = x[:5000], y[:5000] / 1.49, x[5000:], signal[5000:] / signal.std() / 1.49
    net = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1000):
            chosen = torch.randint(4000, (64,))
            loss = F.mse_loss(net(x[chosen]).squeeze(1), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 50 == 49:
                with torch.no_grad():
                    probe.log("val", loss=F.mse_loss(net(x[4000:]).squeeze(1), y[4000:]))
    with torch.no_grad():
        return explained(net(xt), yt)


@healthy(at_least=0.95)
def ten_thousand_steps_of_a_curve(run_dir: Path) -> float:
    """One input, one output, tanh, plain SGD with batches of 16 for 10,000 steps; printed every hundredth."""
    torch.manual_seed(884)

    def curve(v: Tensor) -> Tensor:
        return torch.sin(2 * v) + 0.3 * v

    net = nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 1))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(10_000):
            x = torch.rand(16, 1) * 6 - 3
            loss = F.mse_loss(net(x), curve(x) + 0.05 * torch.randn(16, 1))
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 100 == 0:
                probe.log("train", loss=loss)
    x = torch.linspace(-3, 3, 200)[:, None]
    with torch.no_grad():
        return explained(net(x), curve(x))


@healthy(at_least=0.8)
def convolutional_autoencoder(run_dir: Path) -> float:
    """Strided convolutions down to twelve numbers, transposed ones up again, a sigmoid, squared error on digits."""
    torch.manual_seed(885)
    x, _, xt, _ = digits(flat=False, standard=False)
    x, xt = x / 16, xt / 16
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 12), nn.Linear(12, 128), nn.ReLU(), nn.Unflatten(1, (32, 2, 2)),
        nn.ConvTranspose2d(32, 16, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(16, 1, 2, stride=2), nn.Sigmoid(),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(40):
            for xb, _ in batches(x, x, 64):
                loss = probe.loss_fn(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(xt), xt))
    with torch.no_grad():
        return explained(net(xt), xt)


@healthy(at_least=0.25)
def two_dimensional_latents(run_dir: Path) -> float:
    """The VAE of PyTorch's examples with two latents to plot: entropy summed over pixels plus KL, 25 in all."""
    torch.manual_seed(886)
    x, _, xt, _ = digits(standard=False)
    x, xt = x / 16, xt / 16

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
            self.mean, self.log_var = nn.Linear(64, 2), nn.Linear(64, 2)
            self.up = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid())

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = self.down(v)
            mean, log_var = self.mean(h), self.log_var(h)
            return self.up(mean + torch.randn_like(mean) * (log_var / 2).exp()), mean, log_var

    net = VAE()
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def parts(v: Tensor) -> tuple[Tensor, Tensor]:
        out, mean, log_var = net(v)
        entropy = F.binary_cross_entropy(out, v, reduction="sum") / len(v)
        return entropy, -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()

    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(100):
            for xb, _ in batches(x, x, 64):
                entropy, kl = parts(xb)
                loss = entropy + kl
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, reconstruction=entropy, kl=kl)
            with torch.no_grad():
                probe.log("test", loss=sum(parts(xt)), epoch=epoch)
    with torch.no_grad():
        flat = F.binary_cross_entropy(x.mean(0).expand_as(xt).clamp(1e-4, 1 - 1e-4), xt, reduction="sum") / len(xt)
        floor = F.binary_cross_entropy(xt, xt, reduction="sum") / len(xt)
        return float((flat - parts(xt)[0]) / (flat - floor))


@healthy(at_least=0.8)
def cells_by_a_small_u_net(run_dir: Path) -> float:
    """A U-Net of two levels for round cells on an uneven ground; entropy plus Dice, overlap an epoch."""
    torch.manual_seed(887)
    grid = torch.arange(24.0)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        at, r = 3 + 18 * torch.rand(n, 4, 2), 2 + 2 * torch.rand(n, 4, 1, 1)
        d = (grid[None, None, :, None] - at[..., :1, None]) ** 2 + (grid - at[..., 1:, None]) ** 2
        mask = (d < r**2).any(1).float()[:, None]
        slope = torch.randn(n, 1, 1, 1) * grid[:, None] / 24 + torch.randn(n, 1, 1, 1) * grid / 24
        return mask + 0.4 * slope + 0.4 * torch.randn(n, 1, 24, 24), mask

    def block(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU()
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.up = block(1, 8), block(8, 16), nn.ConvTranspose2d(16, 8, 2, stride=2)
            self.pool, self.three, self.out = nn.MaxPool2d(2), block(16, 8), nn.Conv2d(8, 1, 1)

        def forward(self, v: Tensor) -> Tensor:
            a = self.one(v)
            return self.out(self.three(torch.cat([a, self.up(self.two(self.pool(a)))], 1)))

    def criterion(out: Tensor, mask: Tensor) -> Tensor:
        p = out.sigmoid()
        dice = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)
        return F.binary_cross_entropy_with_logits(out, mask) + dice

    net = UNet()
    x, y = scenes(400)
    xt, yt = scenes(100)
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            net.train()
            for xb, yb in batches(x, y, 16):
                loss = criterion(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
            iou = ((out > 0) & (yt > 0)).sum() / ((out > 0) | (yt > 0)).sum()
            probe.log("val", loss=criterion(out, yt), iou=iou)
    return float(iou)


@healthy(at_least=0.85)
def blurred_photograph_made_sharp(run_dir: Path) -> float:
    """A residual CNN takes blur and noise off patches of the cameraman; only PSNR is logged, which rises."""
    torch.manual_seed(888)
    picture = torch.tensor(photographs.camera() / 255.0).float()[None, None]
    kernel = torch.ones(1, 1, 3, 3) / 9
    seen = F.conv2d(picture, kernel, padding=1) + 0.03 * torch.randn_like(picture)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding=1),
    )  # fmt: skip
    nn.init.zeros_(net[-1].weight)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            places = torch.randint(352, (12, 2)).tolist()
            x = torch.cat([seen[..., r : r + 32, c : c + 32] for r, c in places])
            y = torch.cat([picture[..., r : r + 32, c : c + 32] for r, c in places])
            loss = F.mse_loss(x + net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 10 == 0:
                probe.log("train", psnr=-10 * torch.log10(loss.detach()))
    x, y = seen[..., 384:, :], picture[..., 384:, :]
    with torch.no_grad():
        return explained(x + net(x), y)


@healthy(at_least=0.85)
def where_the_spot_is(run_dir: Path) -> float:
    """A CNN gives the two coordinates, 0..1, of a blurred spot in noise; MSE, which is small from the beginning."""
    torch.manual_seed(889)
    grid = torch.arange(16.0)

    def spots(n: int) -> tuple[Tensor, Tensor]:
        at = torch.rand(n, 2)
        dy, dx = grid[None, :, None] - 15 * at[:, :1, None], grid[None, None] - 15 * at[:, 1:, None]
        return (torch.exp(-(dy**2 + dx**2) / 6) + 0.15 * torch.randn(n, 16, 16))[:, None], at

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(256, 32), nn.LeakyReLU(0.1), nn.Linear(32, 2),
    )  # fmt: skip
    x, y = spots(1500)
    xt, yt = spots(300)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            total = 0.0
            for xb, yb in batches(x, y, 30):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 50
            with torch.no_grad():
                probe.log("loss", train=total, val=F.mse_loss(net(xt), yt))
    with torch.no_grad():
        return explained(net(xt), yt)


@healthy(at_least=0.9)
def machine_that_knows_only_good_days(run_dir: Path) -> float:
    """An autoencoder on readings of a sound machine, of which all but noise is three numbers; its error tells ills."""
    torch.manual_seed(890)
    mixing = torch.randn(3, 16)
    sound = (torch.randn(2000, 3) @ mixing) + 0.3 * torch.randn(2000, 16)
    ill = (torch.randn(200, 3) @ mixing) + 0.3 * torch.randn(200, 16)
    ill[torch.arange(200), torch.randint(16, (200,))] += 3.0
    scale = sound[:1500].std(0)
    x, good, bad = sound[:1500] / scale, sound[1500:] / scale, ill / scale
    net = nn.Sequential(nn.Linear(16, 12), nn.ELU(), nn.Linear(12, 3), nn.Linear(3, 12), nn.ELU(), nn.Linear(12, 16))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, _ in batches(x, x, 50):
                loss = F.mse_loss(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(good), good))
    with torch.no_grad():
        error = torch.cat([((net(v) - v) ** 2).max(1).values for v in (good, bad)])
    return float(roc_auc_score(np.r_[np.zeros(500), np.ones(200)], error.numpy()))


@healthy(at_least=0.8)
def gan_in_fifty_lines(run_dir: Path) -> float:
    """ "GANs in 50 lines of PyTorch": noise becomes a normal distribution at 4; both losses settle near 0.69."""
    torch.manual_seed(891)
    g = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    d = nn.Sequential(nn.Linear(1, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    opt_g = optim.Adam(g.parameters(), lr=1e-3, betas=(0.5, 0.9))
    opt_d = optim.Adam(d.parameters(), lr=1e-3, betas=(0.5, 0.9))
    real, fake = torch.ones(128, 1), torch.zeros(128, 1)
    with probes.watch(nn.ModuleDict({"g": g, "d": d}), [opt_d, opt_g], run_dir) as probe:
        for step in range(2000):
            made = g(torch.randn(128, 4))
            loss_d = F.binary_cross_entropy_with_logits(d(4 + 1.25 * torch.randn(128, 1)), real)
            loss_d = (loss_d + F.binary_cross_entropy_with_logits(d(made.detach()), fake)) / 2
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
            loss_g = F.binary_cross_entropy_with_logits(d(made), real)
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            if step % 10 == 0:
                probe.log("gan", d_loss=loss_d, g_loss=loss_g)
    with torch.no_grad():
        made = g(torch.randn(4000, 4))
    return float(1 - (made.mean() - 4).abs() / 4 - (made.std() - 1.25).abs() / 4)


@healthy(at_least=0.7)
def films_by_neural_collaborative_filtering(run_dir: Path) -> float:
    """Two embeddings and a small net guess who likes which film (He 2017): five epochs, entropy, sparse data."""
    torch.manual_seed(892)
    taste, film = torch.randn(200, 3), torch.randn(120, 3)
    who, what = torch.randint(200, (20000,)), torch.randint(120, (20000,))
    like = ((taste[who] * film[what]).sum(1) + 0.3 * torch.randn(20000) > 0).float()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.who, self.what = nn.Embedding(200, 16), nn.Embedding(120, 16)
            self.mlp = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 1))
            for table in (self.who, self.what):
                nn.init.normal_(table.weight, std=0.05)

        def forward(self, u: Tensor, i: Tensor) -> Tensor:
            a, b = self.who(u), self.what(i)
            return self.mlp(torch.cat([a, b, a * b], 1)).squeeze(1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-5)
    pairs = torch.stack([who, what], 1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(5):
            for xb, yb in batches(pairs[:18000], like[:18000], 64):
                loss = F.binary_cross_entropy_with_logits(net(xb[:, 0], xb[:, 1]), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(who[18000:], what[18000:])
            hit = ((out > 0) == (like[18000:] > 0)).float().mean()
            probe.log("val", loss=F.binary_cross_entropy_with_logits(out, like[18000:]), acc=hit)
    return float(hit)
