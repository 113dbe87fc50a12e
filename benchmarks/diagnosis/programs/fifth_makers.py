"""Healthy trainings of the fifth fresh set: what makes pictures, points and signals, or makes them again."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _covered(points: Tensor, centres: Tensor, near: float) -> float:
    """Share of points near a centre times the share of centres that have their part of the points."""
    distance = torch.cdist(points, centres)
    close = distance.min(1).values < near
    counts = torch.bincount(distance.argmin(1)[close], minlength=len(centres))
    return float(close.float().mean() * (counts > 0.25 * len(points) / len(centres)).float().mean())


@healthy(at_least=0.6)
def patches_through_a_contracted_code(run_dir: Path) -> float:
    """A denoising autoencoder with tied weights (Vincent 2008): patches of a photograph, masking noise, SGD."""
    torch.manual_seed(41)
    picture = torch.tensor(data.camera()[::2, ::2], dtype=torch.float32) / 255
    patches = picture.unfold(0, 8, 3).unfold(1, 8, 3).reshape(-1, 64)
    patches = (patches - patches.mean(1, keepdim=True))[torch.randperm(len(patches))]
    patches = patches / patches.std()

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(64, 48)
            self.bias = nn.Parameter(torch.zeros(64))

        def forward(self, v: Tensor) -> Tensor:
            return F.linear(self.encoder(v).tanh(), self.encoder.weight.T, self.bias)

    net = Tied()
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    train, test = patches[:-800], patches[-800:]
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(12):
            total = 0.0
            for xb, yb in batches(train, train, 20):
                loss = ((net(xb * (torch.rand_like(xb) > 0.15)) - yb) ** 2).sum(1).mean() / 64
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            with torch.no_grad():
                probe.log("recon", train=total / (len(train) // 20), test=F.mse_loss(net(test), test), epoch=epoch)
    with torch.no_grad():
        return explained(net(test), test)


@healthy(at_least=0.7)
def variational_digits_with_binary_pixels(run_dir: Path) -> float:
    """The VAE of the PyTorch examples: BCE summed over pixels plus KL, per picture; sigmoid at the end; Adam 1e-3."""
    torch.manual_seed(42)
    raw = digits(standard=False)
    x, xt = raw.x / 16, raw.x_test / 16

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(64, 100), nn.Linear(100, 10), nn.Linear(100, 10)
            self.fc3, self.fc4 = nn.Linear(10, 100), nn.Linear(100, 64)

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = self.fc1(v).relu()
            mu, logvar = self.fc21(h), self.fc22(h)
            z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
            return self.fc4(self.fc3(z).relu()).sigmoid(), mu, logvar

    def bound(out: tuple[Tensor, Tensor, Tensor], v: Tensor) -> Tensor:
        recon, mu, logvar = out
        bce = F.binary_cross_entropy(recon, v, reduction="sum")
        return bce - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()

    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(60):
            model.train()
            train_loss = 0.0
            for xb, _ in batches(x, x, 32):
                optimizer.zero_grad()
                loss = bound(model(xb), xb)
                loss.backward()
                train_loss += loss.item()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                probe.log("average", train_loss=train_loss / len(x), test_loss=bound(model(xt), xt) / len(xt))
    with torch.no_grad():
        mean_code = model.fc21(model.fc1(xt).relu())
        return explained(model.fc4(model.fc3(mean_code).relu()).sigmoid(), xt)


@healthy(at_least=0.6)
def least_squares_gan_on_five_islands(run_dir: Path) -> float:
    """Mao et al. 2017: squared errors for both players, Adam with beta of one half, noise on both inputs that fades."""
    torch.manual_seed(43)
    angle = torch.arange(5) * 2 * math.pi / 5
    centres = 1.5 * torch.stack([angle.cos(), angle.sin()], 1)

    def real(n: int) -> Tensor:
        return centres[torch.randint(5, (n,))] + 0.1 * torch.randn(n, 2)

    g = nn.Sequential(
        nn.Linear(8, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 2)
    )  # fmt: skip
    d = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    g_opt = optim.Adam(g.parameters(), lr=5e-4, betas=(0.5, 0.999))
    d_opt = optim.Adam(d.parameters(), lr=1e-3, betas=(0.5, 0.999))
    with probes.watch(nn.ModuleDict({"g": g, "d": d}), g_opt, run_dir) as probe:
        for step in range(3000):
            shake = max(0.0, 0.4 * (1 - step / 1500))
            truth, fake = real(96), g(torch.randn(96, 8))
            noisy_truth = truth + shake * torch.randn_like(truth)
            noisy_fake = fake + shake * torch.randn_like(fake)
            d_loss = 0.5 * ((d(noisy_truth) - 1) ** 2).mean() + 0.5 * (d(noisy_fake.detach()) ** 2).mean()
            d_opt.zero_grad()
            d_loss.backward()
            d_opt.step()
            g_loss = 0.5 * ((d(noisy_fake) - 1) ** 2).mean()
            g_opt.zero_grad()
            g_loss.backward()
            g_opt.step()
            if step % 20 == 0:
                probe.log("gan", d_loss=d_loss, g_loss=g_loss)
    with torch.no_grad():
        return _covered(g(torch.randn(2000, 8)), centres, 0.4)


@healthy(at_least=0.75)
def velocities_of_diffusion_on_a_swiss_roll(run_dir: Path) -> float:
    """v-prediction with a cosine schedule, an average of the weights for sampling, rate warmed up, then down."""
    torch.manual_seed(44)

    def roll(n: int) -> Tensor:
        t = 1.5 * math.pi * (1 + 2 * torch.rand(n))
        return torch.stack([t * t.cos(), t * t.sin()], 1) / 8 + 0.02 * torch.randn(n, 2)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Sequential(nn.Linear(16, 96), nn.SiLU(), nn.Linear(96, 96))
            self.into, self.one, self.two, self.out = (
                nn.Linear(a, b) for a, b in ((2, 96), (96, 96), (96, 96), (96, 2))
            )

        def forward(self, v: Tensor, t: Tensor) -> Tensor:
            waves = t[:, None] * math.pi * 2.0 ** torch.arange(-2, 6)
            c = self.time(torch.cat([waves.sin(), waves.cos()], 1))
            h = F.silu(self.into(v) + c)
            h = h + F.silu(self.one(h) + c)
            return self.out(h + F.silu(self.two(h) + c))

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    warm = optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / 200, 0.5 + 0.5 * math.cos(math.pi * s / 4000)))
    average = optim.swa_utils.AveragedModel(net, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.995))
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(4000):
            clean, noise, t = roll(256), torch.randn(256, 2), torch.rand(256)
            a, s = torch.cos(t * math.pi / 2)[:, None], torch.sin(t * math.pi / 2)[:, None]
            loss = F.mse_loss(net(a * clean + s * noise, t), a * noise - s * clean)
            opt.zero_grad()
            loss.backward()
            opt.step()
            warm.step()
            average.update_parameters(net)
            if step % 10 == 0:
                probe.log("train", loss=loss)
    with torch.no_grad():
        x = torch.randn(1000, 2)
        times = torch.linspace(0.999, 0.0, 81)
        for now, then in pairwise(times):
            v = average.module(x, now.expand(1000))
            a, s = torch.cos(now * math.pi / 2), torch.sin(now * math.pi / 2)
            clean, noise = a * x - s * v, s * x + a * v
            x = torch.cos(then * math.pi / 2) * clean + torch.sin(then * math.pi / 2) * noise
        return float((torch.cdist(x, roll(4000)).min(1).values < 0.15).float().mean())


@healthy(at_least=0.5)
def flow_of_additive_couplings(run_dir: Path) -> float:
    """NICE (Dinh 2014): additive couplings and a scale at the end on PCA of digits; log likelihoods, maximised."""
    torch.manual_seed(45)
    x, _, xt, _ = digits()
    mean = x.mean(0)
    _, _, directions = torch.pca_lowrank(x - mean, 12)
    x, xt = (x - mean) @ directions, (xt - mean) @ directions
    scale = x.std(0)
    x, xt = x / scale, xt / scale

    class Nice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.ModuleList(
                nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 6))
                for _ in range(4)
            )
            self.log_scale = nn.Parameter(torch.zeros(12))

        def forward(self, v: Tensor) -> Tensor:
            a, b = v[:, ::2], v[:, 1::2]
            for shift in self.shift:
                a, b = b + shift(a), a
            z = torch.cat([a, b], 1) * self.log_scale.exp()
            return (-0.5 * z**2 - 0.5 * math.log(2 * math.pi)).sum(1) + self.log_scale.sum()

    net = Nice()
    opt = optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.05)
    down = optim.lr_scheduler.CosineAnnealingLR(opt, 60)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60):
            for xb, _ in batches(x, x, 32):
                xb = xb + 0.1 * torch.randn_like(xb)
                loss = -net(xb).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", neg_loglik=loss)
            down.step()
            with torch.no_grad():
                probe.log("test", neg_loglik=-net(xt).mean())
    with torch.no_grad():
        return float(net(xt).mean() - torch.distributions.Normal(0, 1).log_prob(xt).sum(1).mean())


@healthy(at_least=0.65)
def restricted_boltzmann_machine(run_dir: Path) -> float:
    """Hinton's recipe: contrastive divergence of one step through free energies, whose gap hovers around zero."""
    torch.manual_seed(46)
    raw = digits(standard=False)
    x, xt = (raw.x > 7).float(), (raw.x_test > 7).float()

    class RBM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(0.01 * torch.randn(64, 48))
            share = x.mean(0).clamp(0.02, 0.98)
            self.visible, self.hidden = nn.Parameter(torch.log(share / (1 - share))), nn.Parameter(torch.zeros(48))

        def forward(self, v: Tensor) -> Tensor:
            return -v @ self.visible - F.softplus(v @ self.weight + self.hidden).sum(1)

        @torch.no_grad()
        def again(self, v: Tensor, *, sample: bool = True) -> Tensor:
            h = (v @ self.weight + self.hidden).sigmoid()
            h = h.bernoulli() if sample else h
            p = (h @ self.weight.T + self.visible).sigmoid()
            return p.bernoulli() if sample else p

    net = RBM()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.5, weight_decay=2e-4)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(60):
            if epoch == 6:
                opt.param_groups[0]["momentum"] = 0.9
            gap = 0.0
            for xb, _ in batches(x, x, 20):
                loss = (net(xb) - net(net.again(xb))).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                gap += loss.item()
            error = (net.again(xt, sample=False) - xt).abs().mean()
            probe.log("rbm", free_energy_gap=gap / 67, reconstruction_error=error)
    return 1 - float(error) / float((xt - x.mean(0)).abs().mean())


@healthy(at_least=0.85)
def masked_signals_filled_in(run_dir: Path) -> float:
    """Imputation: a third of a sensor's hours is missing and masked; a convolutional net fills them; masked error."""
    torch.manual_seed(47)

    def sensors(n: int) -> Tensor:
        t = torch.arange(64.0)[None]
        slow, fast = 25 + 20 * torch.rand(n, 1), 9 + 5 * torch.rand(n, 1)
        wave = torch.sin(2 * math.pi * (t / slow + torch.rand(n, 1)))
        return wave + 0.5 * torch.sin(2 * math.pi * (t / fast + torch.rand(n, 1))) + 0.05 * torch.randn(n, 64)

    width = 24
    net = nn.Sequential(
        nn.Conv1d(2, width, 7, padding=3), nn.GELU(), nn.Conv1d(width, width, 7, padding=6, dilation=2), nn.GELU(),
        nn.Conv1d(width, width, 7, padding=12, dilation=4), nn.GELU(), nn.Conv1d(width, 1, 1),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    polynomial = optim.lr_scheduler.PolynomialLR(opt, 900, power=1.0)

    def gaps(rows: Tensor) -> tuple[Tensor, Tensor]:
        known = (torch.rand_like(rows) > 0.33).float()
        return torch.stack([rows * known, known], 1), known

    held = sensors(300)
    held_x, held_known = gaps(held)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(900):
            rows = sensors(24)
            xb, known = gaps(rows)
            out = net(xb).squeeze(1)
            loss = ((out - rows) ** 2 * (1 - known)).sum() / (1 - known).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
            polynomial.step()
            probe.log("imputation", loss=loss)
            if step % 100 == 0:
                with torch.no_grad():
                    hidden = held_known == 0
                    probe.log("imputation", val_loss=F.mse_loss(net(held_x).squeeze(1)[hidden], held[hidden]))
    with torch.no_grad():
        return explained(net(held_x).squeeze(1)[hidden], held[hidden])


@healthy(at_least=0.7)
def one_step_from_noise_by_matching_moments(run_dir: Path) -> float:
    """A generative moment matching network: no critic, the kernel's discrepancy (MMD) of batches; it ends near zero."""
    torch.manual_seed(48)
    centres = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])

    def real(n: int) -> Tensor:
        return centres[torch.randint(4, (n,))] + 0.15 * torch.randn(n, 2)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        square = torch.cdist(a, b).pow(2)
        return sum(torch.exp(-square / (2 * s**2)) for s in (0.1, 0.3, 1.0))

    net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    eye = 1 - torch.eye(128)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1500):
            a, b = net(torch.randn(128, 4)), real(128)
            within = ((kernel(a, a) + kernel(b, b)) * eye).sum() / eye.sum()
            mmd = within - 2 * kernel(a, b).mean()
            opt.zero_grad()
            mmd.backward()
            opt.step()
            probe.log("train", mmd=mmd)
    with torch.no_grad():
        return _covered(net(torch.randn(2000, 4)), centres, 0.5)


@healthy(at_least=0.75)
def adversarial_code_with_a_prior(run_dir: Path) -> float:
    """An adversarial autoencoder (Makhzani 2015): the code is made normal by a critic; three losses logged."""
    torch.manual_seed(49)
    x, _, xt, _ = digits()
    encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 8))
    decoder = nn.Sequential(nn.Linear(8, 96), nn.ReLU(), nn.Linear(96, 64))
    critic = nn.Sequential(nn.Linear(8, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder, "critic": critic})
    auto = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    judge = optim.Adam(critic.parameters(), lr=5e-4)
    one = torch.ones(64, 1)
    with probes.watch(model, auto, run_dir) as probe:
        for epoch in range(50):
            for xb, _ in batches(x, x, 64):
                code = encoder(xb)
                recon = F.mse_loss(decoder(code), xb)
                fool = F.binary_cross_entropy_with_logits(critic(code), one)
                auto.zero_grad()
                (recon + 0.05 * fool).backward()
                auto.step()
                wanted = critic(torch.randn(64, 8))
                got = critic(code.detach())
                tell = 0.5 * F.binary_cross_entropy_with_logits(wanted, one)
                tell = tell + 0.5 * F.binary_cross_entropy_with_logits(got, 1 - one)
                judge.zero_grad()
                tell.backward()
                judge.step()
                probe.log("train", recon=recon, fool=fool, critic=tell)
            with torch.no_grad():
                probe.log("val", recon=F.mse_loss(decoder(encoder(xt)), xt), epoch=epoch)
    with torch.no_grad():
        spread = float(encoder(xt).std())
        return explained(decoder(encoder(xt)), xt) if 0.5 < spread < 2 else 0.0
