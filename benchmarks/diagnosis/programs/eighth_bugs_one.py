"""Faulty programs of the eighth fresh set: rates, schedules, units, starts and loops, in uncommon nets."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("learning-rate-too-high", "loss-diverging", "oscillating-loss", "loss-spikes", "exploding-gradients",
        "loss-not-decreasing", "dead-units", "underfitting", "constant-predictions", "slow-convergence",
        "collapsed-activations", "weights-growing", "noisy-loss", "training-too-short", below=0.8)  # fmt: skip
def bonds_by_messages_at_three_hundredths(run_dir: Path, *, mended: bool = False) -> float:
    """A message-passing net on small molecules with Adam at 0.03, ten times too much (PyTorch Geometric's forum)."""
    torch.manual_seed(8101)
    strength = torch.randn(5, 5)
    strength = strength + strength.T

    def molecules(n: int) -> tuple[Tensor, Tensor, Tensor]:
        kind = torch.randint(5, (n, 14))
        bond = (torch.rand(n, 14, 14) < 0.14).float().triu(1)
        bond = bond + bond.transpose(1, 2)
        energy = (bond * strength[kind[:, :, None], kind[:, None, :]]).sum((1, 2)) / 2
        return kind, bond, energy + 0.5 * (bond.sum(2) - 2).pow(2).sum(1)

    class MessagePassing(nn.Module):
        def __init__(self, width: int = 48) -> None:
            super().__init__()
            self.atom = nn.Embedding(5, width)
            self.message = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
            self.update = nn.ModuleList([nn.Linear(2 * width, width) for _ in range(3)])
            self.readout = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

        def forward(self, kind: Tensor, bond: Tensor) -> Tensor:
            h = self.atom(kind)
            for message, update in zip(self.message, self.update, strict=True):
                h = F.relu(update(torch.cat([h, bond @ F.relu(message(h))], -1)))
            return self.readout(h).mean(1).squeeze(-1)

    kind, bond, energy = molecules(1800)
    mean, std = energy.mean(), energy.std()
    energy = (energy - mean) / std
    kt, bt, et = molecules(400)
    et = (et - mean) / std
    net = MessagePassing()
    opt = optim.Adam(net.parameters(), lr=0.003 if mended else 0.03)
    step = 0
    with probes.watch(net, opt, run_dir, name="mpnn") as probe:
        for _ in range(25):
            for chosen in torch.randperm(1800).split(60):
                opt.zero_grad()
                loss = F.l1_loss(net(kind[chosen], bond[chosen]), energy[chosen])
                loss.backward()
                opt.step()
                step += 1
                if step % 10 == 0:
                    probe.log("train", loss=loss.item())
            with torch.no_grad():
                probe.log("valid", mae=F.l1_loss(net(kt, bt), et) * std)
    with torch.no_grad():
        return explained(net(kt, bt), et)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        below=0.9)  # fmt: skip
def damped_spring_by_its_equation_at_a_crawl(run_dir: Path, *, mended: bool = False) -> float:
    """A PINN for a damped spring (Ben Moseley's blog) whose Adam has 3e-5 where 3e-3 is usual."""
    torch.manual_seed(8102)
    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=3e-3 if mended else 3e-5)
    d, w0 = 0.5, 3.0
    w = math.sqrt(w0**2 - d**2)
    start = torch.zeros(1, 1, requires_grad=True)

    def exact(t: Tensor) -> Tensor:
        return torch.exp(-d * t) * (torch.cos(w * t) + d / w * torch.sin(w * t))

    t = torch.linspace(0, 3, 60)[:, None].requires_grad_()
    with probes.watch(net, opt, run_dir, every=50) as probe:
        for step in range(4000):
            opt.zero_grad()
            u0 = net(start)
            v0 = torch.autograd.grad(u0.sum(), start, create_graph=True)[0]
            u = net(t)
            v = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
            a = torch.autograd.grad(v.sum(), t, create_graph=True)[0]
            boundary = (u0 - 1).pow(2).mean() + 0.1 * v0.pow(2).mean()
            physics = 0.01 * (a + 2 * d * v + w0**2 * u).pow(2).mean()
            loss = boundary + physics
            loss.backward()
            opt.step()
            if step % 20 == 0:
                probe.log("loss", total=loss, boundary=boundary, physics=physics)
    with torch.no_grad():
        return explained(net(t), exact(t))


@faulty("training-too-short", "learning-rate-too-low", "slow-convergence", "underfitting", "loss-not-decreasing",
        "class-imbalance", "constant-predictions", "stalled-run", below=0.75)  # fmt: skip
def wave_arrivals_with_milestones_of_epochs(run_dir: Path, *, mended: bool = False) -> float:
    """A 1-d U-Net picks seismic waves; MultiStepLR's milestones are epochs, it is stepped with every batch."""
    torch.manual_seed(8103)
    place = torch.arange(128.0)

    def traces(n: int) -> tuple[Tensor, Tensor]:
        begin = 20 + 70 * torch.rand(n, 1)
        last = 15 + 20 * torch.rand(n, 1)
        since = place[None] - begin
        inside = ((since > 0) & (since < last)).float()
        wave = torch.sin(since * (0.9 + 0.6 * torch.rand(n, 1))) * inside * 1.3
        hum = 0.8 * torch.sin(place[None] * (0.15 + 0.2 * torch.rand(n, 1)) + 6 * torch.rand(n, 1))
        return (wave + hum + 0.5 * torch.randn(n, 128))[:, None], inside[:, None]

    def block(i: int, o: int) -> nn.Module:
        return nn.Sequential(nn.Conv1d(i, o, 5, padding=2), nn.ReLU(), nn.Conv1d(o, o, 5, padding=2), nn.ReLU())

    class UNet1d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([block(1, 8), block(8, 16), block(16, 32)])
            self.up = nn.ModuleList([block(48, 16), block(24, 8)])
            self.out = nn.Conv1d(8, 1, 1)

        def forward(self, v: Tensor) -> Tensor:
            kept = []
            for layer in self.down:
                v = layer(v)
                kept.append(v)
                v = F.max_pool1d(v, 2)
            v = kept.pop()
            for layer in self.up:
                v = layer(torch.cat([F.interpolate(v, scale_factor=2), kept.pop()], 1))
            return self.out(v)

    x, y = traces(800)
    xt, yt = traces(200)
    net = UNet1d()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.MultiStepLR(opt, milestones=[12, 17], gamma=0.1)

    def dice() -> float:
        net.eval()
        with torch.no_grad():
            guess = (net(xt) > 0).float()
        net.train()
        return float(2 * (guess * yt).sum() / (guess.sum() + yt.sum()).clamp_min(1))

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.binary_cross_entropy_with_logits(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if not mended:
                    schedule.step()
                total += loss.item() / 25
            if mended:
                schedule.step()
            probe.log("epoch", train_loss=total, val_dice=dice(), lr=opt.param_groups[0]["lr"])
    return dice()


@faulty("unnormalized-inputs", "exploding-gradients", "unexpected-initial-loss", "loss-spikes", "underfitting",
        "slow-convergence", "training-too-short", "learning-rate-too-low", "weights-growing", "no-generalization",
        "noisy-loss", below=0.6)  # fmt: skip
def spectra_in_counts_of_the_detector(run_dir: Path, *, mended: bool = False) -> float:
    """A convolutional VAE on spectra as the detector counts them, up to several thousands (PyTorch forums)."""
    torch.manual_seed(8104)
    channel = torch.arange(64.0)

    def spectra(n: int) -> Tensor:
        share = torch.rand(n, 4, 1)
        peak = torch.tensor([10.0, 22.0, 35.0, 52.0])[None, :, None] + 2 * torch.randn(n, 1, 1)
        lines = (share * torch.exp(-(((channel - peak) / 3) ** 2))).sum(1)
        return torch.poisson(4_000 * lines + 120)[:, None]

    x, xt = spectra(1500), spectra(300)
    if mended:
        mean, std = x.mean(), x.std()
        x, xt = (x - mean) / std, (xt - mean) / std

    class SpectraVAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv1d(1, 8, 5, 2, 2), nn.ReLU(), nn.Conv1d(8, 16, 5, 2, 2), nn.ReLU(), nn.Flatten(),
                nn.Linear(256, 12),
            )  # fmt: skip
            self.decoder = nn.Sequential(
                nn.Linear(6, 256), nn.ReLU(), nn.Unflatten(1, (16, 16)), nn.ConvTranspose1d(16, 8, 4, 2, 1), nn.ReLU(),
                nn.ConvTranspose1d(8, 1, 4, 2, 1),
            )  # fmt: skip

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mu, logvar = self.encoder(v).chunk(2, 1)
            logvar = logvar.clamp(-8, 8)
            z = mu + torch.randn_like(mu) * (logvar / 2).exp() if self.training else mu
            return self.decoder(z), mu, logvar

    net = SpectraVAE()
    opt = optim.Adam(net.parameters(), lr=1e-3)

    def elbo(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out, mu, logvar = net(v)
        recon = (out - v).pow(2).sum((1, 2)).mean()
        kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
        return recon + kl, recon, kl

    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(40):
            net.train()
            for (v,) in zip(x[torch.randperm(1500)].split(50), strict=False):
                loss, recon, kl = elbo(v)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, recon=recon, kl=kl)
            net.eval()
            with torch.no_grad():
                probe.log("test", loss=elbo(xt)[0], epoch=epoch)
    with torch.no_grad():
        drawn = net.decoder(torch.randn(1000, 6)).flatten(1)
    nearest = torch.cdist(xt.flatten(1), drawn).min(1).values.pow(2).mean()
    score = float(1 - nearest / (xt - x.mean(0)).pow(2).sum((1, 2)).mean())
    return score if math.isfinite(score) else 0.0


@faulty("poor-initialization", "exploding-gradients", "unexpected-initial-loss", "loss-diverging",
        "loss-spikes", "slow-convergence", "training-too-short", "noisy-loss", "saturated-activations",
        "learning-rate-too-low", below=0.55)  # fmt: skip
def couplings_scaled_from_unit_normal(run_dir: Path, *, mended: bool = False) -> float:
    """RealNVP on two moons; nn.init.normal_ for all weights, the scales go through exp (issues of many flow ports)."""
    torch.manual_seed(8105)
    raw, _ = make_moons(2400, noise=0.08, random_state=5)
    x = torch.tensor(raw, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    x, xt = x[:1800], x[1800:]

    class Coupling(nn.Module):
        def __init__(self, flip: bool) -> None:
            super().__init__()
            self.flip = flip
            self.net = nn.Sequential(nn.Linear(1, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
            for layer in self.net:
                if isinstance(layer, nn.Linear) and not mended:
                    nn.init.normal_(layer.weight)
                    nn.init.zeros_(layer.bias)

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            a, b = v.chunk(2, 1)
            if self.flip:
                a, b = b, a
            s, t = self.net(a).chunk(2, 1)
            s = 2 * torch.tanh(s / 2)
            b = b * s.exp() + t
            return torch.cat([b, a] if self.flip else [a, b], 1), s.squeeze(1)

    class RealNVP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.couplings = nn.ModuleList([Coupling(i % 2 == 1) for i in range(6)])

        def forward(self, v: Tensor) -> Tensor:
            logdet = torch.zeros(len(v))
            for coupling in self.couplings:
                v, s = coupling(v)
                logdet = logdet + s
            return -0.5 * v.pow(2).sum(1) - math.log(2 * math.pi) + logdet

    flow = RealNVP()
    opt = optim.Adam(flow.parameters(), lr=1e-3)
    with probes.watch(flow, opt, run_dir) as probe:
        for epoch in range(40):
            for v in x[torch.randperm(1800)].split(100):
                loss = -flow(v).mean()
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
                opt.step()
                probe.log("train", nll=loss)
            with torch.no_grad():
                probe.log("val", nll=-flow(xt).mean(), epoch=epoch)
    cov = torch.cov(x.T)
    gaussian = torch.distributions.MultivariateNormal(x.mean(0), cov).log_prob(xt).mean()
    with torch.no_grad():
        gain = float(flow(xt).mean() - gaussian)
    return gain if math.isfinite(gain) else -10.0


@faulty("gradients-not-cleared", "oscillating-loss", "loss-diverging", "exploding-gradients", "loss-not-decreasing",
        "learning-rate-too-high", "noisy-loss", "loss-spikes", "weights-growing", "nonfinite-values", "dead-units",
        "constant-predictions", "underfitting", "collapsed-activations", below=0.6)  # fmt: skip
def demand_quantiles_without_zero_grad(run_dir: Path, *, mended: bool = False) -> float:
    """Dilated convolutions forecast three quantiles of the next hour; zero_grad was lost as the loop was rewritten."""
    torch.manual_seed(8106)
    t = torch.arange(3000.0)
    load = torch.sin(2 * math.pi * t / 24) + 0.5 * torch.sin(2 * math.pi * t / 168) * torch.sin(2 * math.pi * t / 12)
    load = load + (0.1 + 0.15 * (torch.sin(2 * math.pi * t / 24) > 0)) * torch.randn(3000)
    load = (load - load.mean()) / load.std()
    windows = load.unfold(0, 49, 1)
    x, y = windows[:2200, None, :48], windows[:2200, 48]
    xt, yt = windows[2300:, None, :48], windows[2300:, 48]
    levels = torch.tensor([0.1, 0.5, 0.9])

    def pinball(guess: Tensor, target: Tensor) -> Tensor:
        off = target[:, None] - guess
        return torch.maximum(levels * off, (levels - 1) * off).mean()

    class Tcn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(
                [nn.Conv1d(16 if i else 1, 16, 3, dilation=2**i, padding=2 ** (i + 1)) for i in range(4)]
            )
            self.head = nn.Linear(16, 3)

        def forward(self, v: Tensor) -> Tensor:
            for i, conv in enumerate(self.convs):
                out = F.relu(conv(v)[..., : v.shape[-1]])
                v = out + v if i else out
            return self.head(v[..., -1])

    net = Tcn()
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=pinball) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 44):
                if mended:
                    opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", pinball=loss)
            with torch.no_grad():
                probe.log("val", pinball=pinball(net(xt), yt))
    with torch.no_grad():
        plain = pinball(torch.quantile(y, levels).expand(len(yt), 3), yt)
        score = float(1 - pinball(net(xt), yt) / plain)
    return score if math.isfinite(score) else 0.0


@faulty("missing-gradients", "parameters-not-updated", "underfitting", "no-generalization", "overfitting",
        "slow-convergence", below=0.8)  # fmt: skip
def item_vectors_kept_for_speed(run_dir: Path, *, mended: bool = False) -> float:
    """Two towers; the items' vectors are computed once an epoch under no_grad "for speed": their tower never learns."""
    torch.manual_seed(8107)
    users, items = torch.randn(400, 12), torch.randn(600, 24)
    taste = torch.tanh(users[:, :6] @ torch.randn(6, 3))
    trait = torch.stack([items[:, 0] * items[:, 1], torch.tanh(2 * items[:, 2]), items[:, 3].abs() - 0.8], 1)
    liked = (taste @ trait.T + 0.2 * torch.randn(400, 600)) > 1.0
    known = torch.arange(600) < 500
    pairs = (liked & known).nonzero()

    class TwoTowers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 8))
            self.item = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))

    net = TwoTowers()
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def auc() -> float:
        with torch.no_grad():
            score = net.user(users) @ net.item(items[~known]).T
        ranks = score.argsort(1).argsort(1).float()
        good = liked[:, ~known].float()
        n = good.sum(1)
        some = (n > 0) & (n < 100)
        return float((((ranks * good).sum(1) - n * (n - 1) / 2) / (n * (100 - n)).clamp_min(1))[some].mean())

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            with torch.no_grad():
                kept = net.item(items)
            for chosen in pairs[torch.randperm(len(pairs))[:12800]].split(128):
                u = net.user(users[chosen[:, 0]])
                v = net.item(items[chosen[:, 1]]) if mended else kept[chosen[:, 1]]
                logits = u @ v.T
                same = liked[chosen[:, 0]][:, chosen[:, 1]].fill_diagonal_(False)
                loss = F.cross_entropy(logits.masked_fill(same, -1e9), torch.arange(len(u)))
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            probe.log("val", auc_new_items=auc())
    return auc()


@faulty("noisy-loss", "underfitting", "training-too-short", "slow-convergence", "loss-not-decreasing",
        "oscillating-loss", below=0.7)  # fmt: skip
def catch_one_game_at_a_time(run_dir: Path, *, mended: bool = False) -> float:
    """Advantage actor-critic that updates after each single game, where its paper has many at once (r/RL, often)."""
    torch.manual_seed(8108)

    class ActorCritic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(280, 64), nn.ReLU()
            )
            self.actor = nn.Linear(64, 3)
            self.critic = nn.Linear(64, 1)

        def forward(self, board: Tensor) -> tuple[torch.distributions.Categorical, Tensor]:
            h = self.body(board)
            return torch.distributions.Categorical(logits=self.actor(h)), self.critic(h).squeeze(1)

    def draw(column: Tensor, paddle: Tensor, row: int) -> Tensor:
        board = torch.zeros(len(column), 2, 7, 5)
        board[torch.arange(len(column)), 0, row, column] = 1
        board[torch.arange(len(column)), 1, 6, paddle] = 1
        return board

    net = ActorCritic()
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def play(n: int) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
        column, paddle = torch.randint(5, (n,)), torch.randint(5, (n,))
        logs, entropies, values = [], [], []
        for row in range(6):
            policy, value = net(draw(column, paddle, row))
            move = policy.sample()
            logs.append(policy.log_prob(move))
            entropies.append(policy.entropy())
            values.append(value)
            paddle = (paddle + move - 1).clamp(0, 4)
            column = (column + (torch.rand(n) < 0.1).long() * (torch.randint(2, (n,)) * 2 - 1)).clamp(0, 4)
        return logs, entropies, values, (column == paddle).float() * 2 - 1

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(900):
            logs, entropies, values, reward = play(32 if mended else 1)
            value = torch.stack(values)
            advantage = reward[None] - value
            actor = -(torch.stack(logs) * advantage.detach()).mean()
            loss = actor + 0.5 * advantage.pow(2).mean() - 0.005 * torch.stack(entropies).mean()
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            opt.step()
            probe.log("a2c", loss=loss, reward=reward.mean(), entropy=torch.stack(entropies).mean())
    with torch.no_grad():
        return float((play(2000)[3] > 0).float().mean())


@faulty("learning-rate-too-high", "exploding-gradients", "loss-diverging", "oscillating-loss", "loss-spikes",
        "unexpected-initial-loss", "noisy-loss", "saturated-activations", "loss-not-decreasing", "weights-growing",
        "constant-predictions", "underfitting", "loss-output-mismatch", "vanishing-gradients", below=0.6)  # fmt: skip
def ratings_of_five_stars_summed(run_dir: Path, *, mended: bool = False) -> float:
    """Stars by cumulative thresholds over a GRU: reduction="sum" over four thresholds and 64 reviews, SGD at 0.1."""
    torch.manual_seed(8109)
    mood = torch.randn(80) * (torch.rand(80) < 0.4)

    def reviews(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(1, 80, (n, 16))
        words[torch.rand(n, 16) < 0.1] = 0
        feeling = (mood[words] * (words > 0)).sum(1) + 0.2 * torch.randn(n)
        return words, torch.bucketize(feeling, torch.tensor([-2.2, -0.7, 0.7, 2.2]))

    class Stars(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(80, 24, padding_idx=0)
            self.gru = nn.GRU(24, 32, batch_first=True)
            self.score = nn.Linear(32, 1)
            self.cuts = nn.Parameter(torch.tensor([-1.5, -0.5, 0.5, 1.5]))

        def forward(self, v: Tensor) -> Tensor:
            return self.score(self.gru(self.words(v))[0].mean(1)) - self.cuts

    x, y = reviews(1500)
    xt, yt = reviews(400)
    net = Stars()
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss(reduction="mean" if mended else "sum")

    def share_right() -> float:
        with torch.no_grad():
            return float(((net(xt) > 0).sum(1) == yt).float().mean())

    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(25):
            for xb, yb in batches(x, y, 64):
                reached = (yb[:, None] > torch.arange(4)).float()
                loss = criterion(net(xb), reached)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            probe.log("val", stars_right=100 * share_right(), epoch=epoch)
    return share_right()
