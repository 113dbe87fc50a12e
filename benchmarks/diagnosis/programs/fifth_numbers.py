"""Healthy trainings of the fifth fresh set: numbers are predicted; fields, densities, laws of nature."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage import data, transform
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, explained
from benchmarks.diagnosis.programs.program import healthy


def _mlp(*widths: int, unit: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        layers += [nn.Linear(inside, outside), unit()]
    return nn.Sequential(*layers[:-1])


@healthy(at_least=0.12)
def pupils_of_which_little_is_known(run_dir: Path) -> float:
    """Marks of pupils from a questionnaire: a fifth of the variance is there to be explained, the rest is life."""
    torch.manual_seed(21)
    x = torch.randn(12000, 12)
    signal = 0.5 * x[:, 0] - 0.4 * x[:, 1] + 0.3 * x[:, 2] * x[:, 3] + 0.3 * x[:, 4].abs()
    y = (signal - signal.mean()) / signal.std() * 0.45 + 0.9 * torch.randn(12000)
    net = _mlp(12, 32, 16, 1)
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(5):
            for xb, yb in batches(x[:10000], y[:10000], 64):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[10000:]).squeeze(1)
            probe.log("val", loss=F.mse_loss(out, y[10000:]), r2=explained(out, y[10000:]))
    return explained(out, y[10000:])


@healthy(at_least=0.6)
def median_of_rents_by_absolute_error(run_dir: Path) -> float:
    """Heavy tails: the mean absolute error in units of a hundred, Adam with a cosine, logged once an epoch."""
    torch.manual_seed(22)
    x = torch.rand(4000, 6)
    rent = torch.exp(1.2 + 1.1 * x[:, 0] + 0.6 * x[:, 1] * x[:, 2] - 0.4 * x[:, 3])
    noise = torch.distributions.StudentT(2.0).sample((4000,))
    y = rent * (1 + 0.06 * noise)
    net = nn.Sequential(nn.BatchNorm1d(6), _mlp(6, 48, 24, 1, unit=nn.SiLU))
    opt = optim.Adam(net.parameters(), lr=4e-3)
    cosine = optim.lr_scheduler.CosineAnnealingLR(opt, 30)
    with probes.watch(net, opt, run_dir, loss_fn=nn.L1Loss()) as probe:
        for epoch in range(30):
            net.train()
            total = 0.0
            for xb, yb in batches(x[:3000], y[:3000], 50):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            cosine.step()
            net.eval()
            with torch.no_grad():
                out = net(x[3000:]).squeeze(1)
            probe.log("mae", train=total / 60, val=F.l1_loss(out, y[3000:]))
            probe.log("lr", epoch=epoch, value=cosine.get_last_lr()[0])
    return explained(out, rent[3000:])


@healthy(at_least=0.85)
def temperatures_of_tomorrow_by_a_linear_layer(run_dir: Path) -> float:
    """DLinear: is a transformer needed? trend and rest, one linear layer each, 48 hours back, 12 forward."""
    torch.manual_seed(23)
    hours = torch.arange(3000.0)
    drift = torch.cumsum(0.05 * torch.randn(3000), 0)
    series = 3 * torch.sin(2 * math.pi * hours / 24) + 0.8 * torch.sin(2 * math.pi * hours / 12) + drift
    series = series + 0.4 * torch.randn(3000)
    series = (series - series[:2000].mean()) / series[:2000].std()
    windows = series.unfold(0, 60, 1)

    class DLinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trend, self.rest = nn.Linear(48, 12), nn.Linear(48, 12)
            self.smooth = nn.AvgPool1d(13, 1, 6, count_include_pad=False)

        def forward(self, v: Tensor) -> Tensor:
            trend = self.smooth(v[:, None])[:, 0]
            return self.trend(trend) + self.rest(v - trend)

    net = DLinear()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for epoch in range(15):
            for step, (xb, yb) in enumerate(batches(windows[:1900, :48], windows[:1900, 48:], 32)):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if step % 10 == 0:
                    probe.log("train", mse=loss)
            with torch.no_grad():
                probe.log("valid", mse=F.mse_loss(net(windows[2000:, :48]), windows[2000:, 48:]), epoch=epoch)
    with torch.no_grad():
        return explained(net(windows[2000:, :48]), windows[2000:, 48:])


@healthy(at_least=0.8)
def prices_between_two_quantiles(run_dir: Path) -> float:
    """Pinball losses of the 5th and the 95th percentile, conformal fashion; the score falls with missed coverage."""
    torch.manual_seed(24)
    x = torch.rand(5000, 2) * 4 - 2
    y = torch.sin(2 * x[:, 0]) + (0.2 + 0.3 * x[:, 1].abs()) * torch.randn(5000)
    net = _mlp(2, 64, 64, 2)
    levels = torch.tensor([0.05, 0.95])

    def pinball(out: Tensor, target: Tensor) -> Tensor:
        error = target[:, None] - out
        return torch.maximum(levels * error, (levels - 1) * error).mean()

    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1800):
            chosen = torch.randint(4000, (100,))
            loss = pinball(net(x[chosen]), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 25 == 0:
                with torch.no_grad():
                    probe.log("pinball", train=loss, holdout=pinball(net(x[4000:]), y[4000:]))
    with torch.no_grad():
        low, high = net(x[4000:]).T
    covered = float(((y[4000:] > low) & (y[4000:] < high)).float().mean())
    return 1 - 5 * abs(covered - 0.9)


@healthy(at_least=0.97)
def heat_in_a_rod_without_data(run_dir: Path) -> float:
    """A PINN for the heat equation: residual, both ends, the start; Adam and then nothing else; three losses logged."""
    torch.manual_seed(25)
    net = _mlp(2, 32, 32, 32, 1, unit=nn.Tanh)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    falling = optim.lr_scheduler.ExponentialLR(opt, 0.9985)
    k = 0.1

    def exact(p: Tensor) -> Tensor:
        return torch.exp(-k * math.pi**2 * p[:, 1:]) * torch.sin(math.pi * p[:, :1])

    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1500):
            inner = torch.rand(128, 2, requires_grad=True)
            u = net(inner)
            first = torch.autograd.grad(u.sum(), inner, create_graph=True)[0]
            second = torch.autograd.grad(first[:, 0].sum(), inner, create_graph=True)[0][:, 0]
            residual = ((first[:, 1] - k * second) ** 2).mean()
            start = torch.cat([torch.rand(64, 1), torch.zeros(64, 1)], 1)
            ends = torch.stack([torch.randint(2, (64,)).float(), torch.rand(64)], 1)
            initial, boundary = F.mse_loss(net(start), exact(start)), (net(ends) ** 2).mean()
            loss = residual + 10 * initial + boundary
            opt.zero_grad()
            loss.backward()
            opt.step()
            falling.step()
            if step % 10 == 0:
                probe.log("pinn", pde=residual, ic=initial, bc=boundary, loss=loss)
    grid = torch.rand(2000, 2)
    with torch.no_grad():
        return explained(net(grid), exact(grid))


@healthy(at_least=0.85)
def photograph_as_a_function_of_place(run_dir: Path) -> float:
    """An implicit image by random Fourier features; every second pixel is learned, the others are looked at; PSNR."""
    torch.manual_seed(26)
    image = torch.tensor(transform.resize(data.camera(), (64, 64), anti_aliasing=True), dtype=torch.float32)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    place, value = torch.stack([rows, columns], 2).view(-1, 2), image.reshape(-1, 1)
    known = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 == 0).reshape(-1)
    frequencies = 5.0 * torch.randn(2, 64)

    def features(p: Tensor) -> Tensor:
        angle = 2 * math.pi * p @ frequencies
        return torch.cat([angle.sin(), angle.cos()], 1)

    net = nn.Sequential(_mlp(128, 96, 96, 1), nn.Sigmoid())
    opt = optim.Adam(net.parameters(), lr=1e-3)
    x, y = features(place[known]), value[known]
    with probes.watch(net, opt, run_dir) as probe:
        for i in range(120):
            loss = F.mse_loss(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", psnr=-10 * torch.log10(loss.detach()))
            if i % 10 == 9:
                with torch.no_grad():
                    probe.log("test", psnr=-10 * torch.log10(F.mse_loss(net(features(place[~known])), value[~known])))
    with torch.no_grad():
        return explained(net(features(place[~known])), value[~known])


@healthy(at_least=0.95)
def distance_to_a_shape(run_dir: Path) -> float:
    """DeepSDF in the plane: signed distance to two discs, softplus units, clamped absolute error, weight norm."""
    torch.manual_seed(27)

    def distance(p: Tensor) -> Tensor:
        one = (p - torch.tensor([0.3, 0.1])).norm(dim=1) - 0.4
        two = (p + torch.tensor([0.4, 0.2])).norm(dim=1) - 0.3
        return torch.minimum(one, two)[:, None]

    net = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(2, 64)), nn.Softplus(20),
        nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)), nn.Softplus(20), nn.Linear(64, 1),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.StepLR(opt, 500, 0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1500):
            p = torch.rand(128, 2) * 2 - 1
            error = net(p).clamp(-0.5, 0.5) - distance(p).clamp(-0.5, 0.5)
            loss = error.abs().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            scheduler.step()
            probe.log("train", sdf_loss=loss)
    p = torch.rand(2000, 2) * 2 - 1
    with torch.no_grad():
        return explained(net(p).clamp(-0.5, 0.5), distance(p).clamp(-0.5, 0.5))


@healthy(at_least=0.8)
def tides_by_a_state_space_layer(run_dir: Path) -> float:
    """A diagonal linear recurrence in complex numbers (S4D, LRU), norm, gate: the next hour of a sum of tides."""
    torch.manual_seed(28)

    def tides(n: int) -> Tensor:
        t = torch.arange(41.0)[None]
        parts = [a * torch.sin(2 * math.pi * (t / p + torch.rand(n, 1))) for a, p in ((1.0, 12.4), (0.6, 24.0))]
        return sum(parts) + 0.15 * torch.randn(n, 41)

    class Recurrence(nn.Module):
        def __init__(self, width: int, states: int) -> None:
            super().__init__()
            self.log_decay = nn.Parameter(torch.log(-torch.log(torch.rand(states) * 0.3 + 0.69)))
            self.angle = nn.Parameter(torch.rand(states) * math.pi / 3)
            self.into = nn.Linear(width, 2 * states)
            self.out = nn.Linear(2 * states, width)

        def forward(self, v: Tensor) -> Tensor:
            size = torch.exp(-torch.exp(self.log_decay))
            turn = torch.polar(size, self.angle)
            real, imaginary = self.into(v).chunk(2, 2)
            fed = torch.complex(real, imaginary) * (1 - size**2).sqrt()
            state, states = torch.zeros_like(fed[:, 0]), []
            for i in range(v.shape[1]):
                state = turn * state + fed[:, i]
                states.append(state)
            h = torch.stack(states, 1)
            return self.out(torch.cat([h.real, h.imag], 2))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm = nn.Linear(1, 16), nn.LayerNorm(16)
            self.recurrence, self.gate, self.head = Recurrence(16, 24), nn.Linear(16, 16), nn.Linear(16, 1)

        def forward(self, v: Tensor) -> Tensor:
            h = self.embed(v[..., None])
            h = h + self.recurrence(self.norm(h)) * self.gate(h).sigmoid()
            return self.head(h).squeeze(2)

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=5e-3)
    held = tides(300)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            rows = tides(32)
            loss = F.mse_loss(net(rows[:, :-1])[:, 8:], rows[:, 9:])
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("train", loss=loss)
            if step % 100 == 99:
                with torch.no_grad():
                    probe.log("val", loss=F.mse_loss(net(held[:, :-1])[:, 8:], held[:, 9:]))
    with torch.no_grad():
        return explained(net(held[:, :-1])[:, 8:], held[:, 9:])


@healthy(at_least=0.9)
def density_of_two_rings_by_masked_autoregression(run_dir: Path) -> float:
    """MADE-like: p(a) p(b | a) as mixtures of Gaussians; bits below zero; the score is the gain over one Gaussian."""
    torch.manual_seed(29)

    def rings(n: int) -> Tensor:
        angle = 2 * math.pi * torch.rand(n)
        radius = torch.where(torch.rand(n) < 0.5, 0.15, 0.4) + 0.015 * torch.randn(n)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)

    class Density(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.cat([torch.zeros(8), torch.linspace(-0.4, 0.4, 8), torch.full((8,), -2.0)]))
            self.second = _mlp(1, 64, 64, 24, unit=nn.GELU)

        def forward(self, v: Tensor) -> Tensor:
            total = torch.zeros(len(v))
            for value, raw in ((v[:, 0], self.first.expand(len(v), -1)), (v[:, 1], self.second(4 * v[:, :1]))):
                weight, mean, log_sd = raw.chunk(3, 1)
                log_sd = log_sd.clamp(-5, 2)
                each = -0.5 * ((value[:, None] - mean) / log_sd.exp()) ** 2 - log_sd - 0.5 * math.log(2 * math.pi)
                total = total + torch.logsumexp(weight.log_softmax(1) + each, 1)
            return total

    net = Density()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    falling = optim.lr_scheduler.CosineAnnealingLR(opt, 1500)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1500):
            loss = -net(rings(128)).mean()
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            opt.step()
            falling.step()
            probe.log("train", nll=loss)
            if step % 150 == 0:
                with torch.no_grad():
                    probe.log("val", nll=-net(rings(1000)).mean())
    new = rings(4000)
    gauss = torch.distributions.MultivariateNormal(new.mean(0), new.T.cov()).log_prob(new).mean()
    with torch.no_grad():
        return float(net(new).mean() - gauss)


@healthy(at_least=0.5)
def yield_curve_by_a_gaussian_with_its_own_spread(run_dir: Path) -> float:
    """Two ensembles' worth of advice in one: mean and spread, beta-NLL of 0.5 (Seitzer 2022); loss crosses zero."""
    torch.manual_seed(30)
    x = torch.rand(3000, 3)
    mean = torch.sin(5 * x[:, 0]) * x[:, 1] + 0.5 * x[:, 2]
    spread = 0.05 + 0.4 * x[:, 0] ** 2
    y = mean + spread * torch.randn(3000)
    net = _mlp(3, 64, 64, 2, unit=nn.Mish)
    opt = optim.RAdam(net.parameters(), lr=3e-3)
    one_way_down = optim.lr_scheduler.CosineAnnealingLR(opt, 80)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(80):
            seen = 0.0
            for xb, yb in batches(x[:2400], y[:2400], 60):
                mu, raw = net(xb).T
                variance = F.softplus(raw) + 1e-4
                nll = 0.5 * (variance.log() + (yb - mu) ** 2 / variance)
                loss = (variance.detach() ** 0.5 * nll).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                seen += float(nll.detach().mean()) / 40
            one_way_down.step()
            with torch.no_grad():
                mu, raw = net(x[2400:]).T
                variance = F.softplus(raw) + 1e-4
                val = 0.5 * (variance.log() + (y[2400:] - mu) ** 2 / variance).mean()
            probe.log("epoch", train_nll=seen, val_nll=val, n=epoch)
    return explained(mu, mean[2400:])
