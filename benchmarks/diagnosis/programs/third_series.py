"""Healthy trainings on signals and time series, of the third fresh set: forecasts, sounds, voices, heart beats."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, explained
from benchmarks.diagnosis.programs.program import healthy


def _demand(n: int, length: int) -> Tensor:
    """Series [n, length] with a weekly and a slow wave, a trend, and noise of a tenth of them."""
    t = torch.arange(length) + 100 * torch.rand(n, 1)
    size, phase = 0.5 + torch.rand(n, 1), 7 * torch.rand(n, 1)
    wave = size * torch.sin(2 * math.pi * (t + phase) / 7) + 0.7 * torch.sin(2 * math.pi * t / 31)
    return wave + 0.01 * torch.randn(n, 1) * torch.arange(length) + 0.15 * torch.randn(n, length)


@healthy(at_least=0.6)
def n_beats(run_dir: Path) -> float:
    """Oreshkin et al. 2020: blocks subtract what they explain of the past and add up a forecast of seven days; L1."""
    torch.manual_seed(621)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(42, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
            self.back, self.ahead = nn.Linear(64, 42), nn.Linear(64, 7)

    class NBeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([Block() for _ in range(4)])

        def forward(self, past: Tensor) -> Tensor:
            level = past[:, -1:]
            rest, forecast = past - level, torch.zeros(len(past), 7)
            for block in self.blocks:
                h = block.body(rest)
                rest, forecast = rest - block.back(h), forecast + block.ahead(h)
            return forecast + level

    net = NBeats()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    series, held_out = _demand(300, 120), _demand(200, 49)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(800):
            row, start = torch.randint(300, (64,)), torch.randint(120 - 49, (64,))
            window = series[row[:, None], start[:, None] + torch.arange(49)]
            loss = F.l1_loss(net(window[:, :42]), window[:, 42:])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 100 == 99:
                with torch.no_grad():
                    probe.log("val", loss=F.l1_loss(net(held_out[:, :42]), held_out[:, 42:]))
    with torch.no_grad():
        return explained(net(held_out[:, :42]), held_out[:, 42:])


@healthy(at_least=0.5)
def autoregressive_likelihood(run_dir: Path) -> float:
    """DeepAR (Salinas et al. 2020): an LSTM's Gaussian for the next value: the loss goes below zero; score: R^2."""
    torch.manual_seed(622)

    class DeepAR(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(1, 40, num_layers=2, dropout=0.1, batch_first=True), nn.Linear(40, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mean, spread = self.out(self.lstm(x[..., None])[0]).unbind(-1)
            return mean, F.softplus(spread) + 1e-3

    series = _demand(400, 60)
    scale = 5 * series.abs().mean()
    train, test = series[:300] / scale, series[300:] / scale
    net = DeepAR()
    opt = optim.Adam(net.parameters(), lr=3e-3)

    def nll(x: Tensor) -> Tensor:
        mean, spread = net(x[:, :-1])
        return -torch.distributions.Normal(mean, spread).log_prob(x[:, 1:])[:, 10:].mean()

    with probes.watch(net, opt, run_dir, every=10) as probe:
        for _ in range(25):
            net.train()
            total = 0.0
            for xb, _ in batches(train, train, 20):
                loss = nll(xb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 10.0)
                opt.step()
                total += loss.item() / 15
            net.eval()
            with torch.no_grad():
                probe.log("train", loss=total)
                probe.log("val", loss=nll(test))
    with torch.no_grad():
        return explained(net(test[:, :-1])[0][:, 10:], test[:, 11:])


@healthy(at_least=0.3)
def wave_net(run_dir: Path) -> float:
    """WaveNet (van den Oord et al. 2016): gated dilated causal convolutions, 32 levels of a sound; nats shed."""
    torch.manual_seed(623)

    def sounds(n: int) -> Tensor:
        t = torch.arange(129) / 128
        pitch = 4 + 12 * torch.rand(n, 2)
        wave = torch.sin(2 * math.pi * pitch[:, :1] * t + 6 * torch.rand(n, 1)) + 0.6 * torch.sin(
            2 * math.pi * pitch[:, 1:] * t + 6 * torch.rand(n, 1)
        )
        squeezed = torch.sign(wave) * torch.log1p(8 * wave.abs() / 1.6) / math.log(9)
        return ((squeezed + 1) / 2 * 31).round().long().clamp(0, 31)

    class WaveNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(32, 24)
            self.both = nn.ModuleList([nn.Conv1d(24, 48, 2, dilation=2**i) for i in range(6)])
            self.residual = nn.ModuleList([nn.Conv1d(24, 24, 1) for _ in range(6)])
            self.skip = nn.ModuleList([nn.Conv1d(24, 32, 1) for _ in range(6)])
            self.out = nn.Sequential(nn.ReLU(), nn.Conv1d(32, 32, 1), nn.ReLU(), nn.Conv1d(32, 32, 1))

        def forward(self, x: Tensor) -> Tensor:
            v, total = self.embed(x).transpose(1, 2), torch.zeros(())
            for i, (both, residual, skip) in enumerate(zip(self.both, self.residual, self.skip, strict=True)):
                a, b = both(F.pad(v, (2**i, 0))).chunk(2, 1)
                z = torch.tanh(a) * torch.sigmoid(b)
                total, v = total + skip(z), v + residual(z)
            return self.out(total)

    net = WaveNet()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(300):
            x = sounds(16)
            loss = probe.loss_fn(net(x[:, :-1]), x[:, 1:])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x = sounds(200)
    with torch.no_grad():
        return 1 - float(F.cross_entropy(net(x[:, :-1]), x[:, 1:])) / math.log(32)


@healthy(at_least=3.0)
def two_voices_apart(run_dir: Path) -> float:
    """Conv-TasNet (Luo and Mesgarani 2019): masks in a learned basis, the loss is minus SI-SNR in decibels."""
    torch.manual_seed(624)

    def mixtures(n: int) -> tuple[Tensor, Tensor]:
        t = torch.arange(256) / 256
        low = torch.sin(2 * math.pi * (3 + 5 * torch.rand(n, 1)) * t + 6 * torch.rand(n, 1))
        high = torch.sin(2 * math.pi * (30 + 20 * torch.rand(n, 1)) * t + 6 * torch.rand(n, 1))
        sources = torch.stack([low * (0.5 + torch.rand(n, 1)), high * (0.5 + torch.rand(n, 1))], 1)
        return sources.sum(1) + 0.05 * torch.randn(n, 256), sources

    class TasNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Conv1d(1, 32, 16, stride=8, bias=False)
            self.mask = nn.Sequential(
                nn.GroupNorm(1, 32), nn.Conv1d(32, 32, 1), nn.Conv1d(32, 32, 3, padding=1, groups=32), nn.PReLU(),
                nn.GroupNorm(1, 32), nn.Conv1d(32, 32, 3, padding=2, dilation=2), nn.PReLU(), nn.Conv1d(32, 64, 1),
            )  # fmt: skip
            self.decode = nn.ConvTranspose1d(32, 1, 16, stride=8, bias=False)

        def forward(self, v: Tensor) -> Tensor:
            w = self.encode(v[:, None])
            masks = torch.sigmoid(self.mask(w)).view(len(v), 2, 32, -1)
            return self.decode((masks * w[:, None]).flatten(0, 1)).view(len(v), 2, -1)

    def si_snr(guess: Tensor, truth: Tensor) -> Tensor:
        guess, truth = guess - guess.mean(-1, keepdim=True), truth - truth.mean(-1, keepdim=True)
        along = (guess * truth).sum(-1, keepdim=True) / (truth**2).sum(-1, keepdim=True) * truth
        return 10 * torch.log10((along**2).sum(-1) / ((guess - along) ** 2).sum(-1) + 1e-8).mean()

    net = TasNet()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            x, y = mixtures(24)
            loss = -si_snr(net(x), y)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            opt.step()
            probe.log("train", loss=loss)
    x, y = mixtures(300)
    with torch.no_grad():
        return float(si_snr(net(x), y) - si_snr(x[:, None].expand(-1, 2, -1), y))


@healthy(at_least=0.85)
def keywords_with_spec_augment(run_dir: Path) -> float:
    """Spectrograms of rising, falling and steady tones in loud noise, bands and times masked (Park et al. 2019)."""
    torch.manual_seed(625)

    def words(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(5, (n,))
        t = torch.arange(1024) / 1024
        slope = torch.tensor([0.0, 60.0, -60.0, 60.0, -60.0])[y, None]
        bend = torch.where(y[:, None] >= 3, (t > 0.5).float() * (t - 0.5) * 2, t)
        pitch = 120 + 60 * torch.rand(n, 1) + slope * bend
        sound = torch.sin(2 * math.pi * torch.cumsum(pitch, 1) / 1024) + 1.0 * torch.randn(n, 1024)
        power = torch.stft(sound, 64, 32, window=torch.hann_window(64), return_complex=True).abs()
        power = torch.log(power + 1e-2)
        return (power - power.mean()) / power.std(), y

    x, y = words(2500)
    xt, yt = words(500)
    net = nn.Sequential(
        nn.Conv1d(33, 48, 5, padding=2), nn.BatchNorm1d(48), nn.SiLU(), nn.MaxPool1d(2),
        nn.Conv1d(48, 48, 5, padding=2), nn.BatchNorm1d(48), nn.SiLU(), nn.AdaptiveMaxPool1d(4), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(192, 5),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    sched = optim.lr_scheduler.OneCycleLR(opt, 5e-3, total_steps=15 * 50)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            net.train()
            for xb, yb in batches(x, y, 50):
                xb = xb.clone()
                band, time = torch.randint(28, ()), torch.randint(28, ())
                xb[:, band : band + 4] = 0
                xb[:, :, time : time + 4] = 0
                loss = F.cross_entropy(net(xb), yb, weight=torch.tensor([1.0, 1, 1, 1.2, 1.2]))
                opt.zero_grad()
                loss.backward()
                opt.step()
                sched.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.8)
def adding_problem_by_convolutions(run_dir: Path) -> float:
    """TCN (Bai et al. 2018) on the adding problem of length 60: the loss rests at the variance of a sum, then falls."""
    torch.manual_seed(626)

    def sample(n: int) -> tuple[Tensor, Tensor]:
        values, marks = torch.rand(n, 60), torch.zeros(n, 60)
        first, second = torch.randint(30, (n,)), torch.randint(30, 60, (n,))
        rows = torch.arange(n)
        marks[rows, first] = marks[rows, second] = 1
        return torch.stack([values, marks], 1), values[rows, first] + values[rows, second]

    class Level(nn.Module):
        def __init__(self, inside: int, dilation: int) -> None:
            super().__init__()
            self.pad = 4 * dilation
            self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(inside, 24, 5, dilation=dilation))
            self.skip = nn.Conv1d(inside, 24, 1) if inside != 24 else nn.Identity()

        def forward(self, v: Tensor) -> Tensor:
            return F.relu(F.relu(self.conv(F.pad(v, (self.pad, 0)))) + self.skip(v))

    body = nn.Sequential(Level(2, 1), Level(24, 2), Level(24, 4), Level(24, 8))
    head = nn.Linear(24, 1)
    net = nn.ModuleDict({"body": body, "head": head})
    opt = optim.Adam(net.parameters(), lr=3e-3)

    def predict(x: Tensor) -> Tensor:
        return head(body(x)[:, :, -1]).squeeze(1)

    with probes.watch(net, opt, run_dir) as probe:
        for step in range(2000):
            x, y = sample(32)
            loss = F.mse_loss(predict(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 5 == 0:
                probe.log("train", loss=loss)
    x, y = sample(1000)
    with torch.no_grad():
        return explained(predict(x), y)


@healthy(at_least=0.85)
def odd_heart_beats(run_dir: Path) -> float:
    """An autoencoder sees only normal beats, and its error finds the others; log-cosh alone is logged; AUC."""
    torch.manual_seed(627)
    t = torch.linspace(0, 1, 96)

    def beats(n: int, *, odd: bool) -> Tensor:
        def bump(centre: float, width: float, height: float) -> Tensor:
            c = centre + 0.015 * torch.randn(n, 1)
            return height * (1 + 0.1 * torch.randn(n, 1)) * torch.exp(-(((t - c) / width) ** 2))

        beat = bump(0.25, 0.04, 0.2) + bump(0.45, 0.015, 1.0) - bump(0.49, 0.015, 0.3)
        beat = beat + (bump(0.7, 0.06, -0.25) if odd else bump(0.75, 0.06, 0.35))
        return beat + 0.05 * torch.randn(n, 96)

    x, well, ill = beats(1500, odd=False), beats(200, odd=False), beats(60, odd=True)
    net = nn.Sequential(
        nn.Linear(96, 48), nn.Tanh(), nn.Linear(48, 6), nn.Linear(6, 48), nn.Tanh(), nn.Linear(48, 96)
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, _ in batches(x, x, 50):
                off = net(xb) - xb
                loss = (off + F.softplus(-2 * off) - math.log(2)).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    both = torch.cat([well, ill])
    with torch.no_grad():
        error = ((net(both) - both) ** 2).mean(1)
    return float(roc_auc_score([0] * 200 + [1] * 60, error.numpy()))
