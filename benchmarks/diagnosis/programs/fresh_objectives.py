"""Healthy trainings whose loss is no usual one: negative, noisy, with a floor, rising, or not to be minimised."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, digits, explained, moons
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.3)
def warmed_up_vae(run_dir: Path) -> float:
    """A VAE whose KL term is switched on slowly (Bowman et al. 2016): the total loss rises while nothing is wrong."""
    torch.manual_seed(21)
    x = digits(standard=False).x / 16
    encoder = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, 12))
    decoder = nn.Sequential(nn.Linear(6, 64), nn.LeakyReLU(0.1), nn.Linear(64, 64))
    model = nn.ModuleList([encoder, decoder])
    opt = optim.Adam(model.parameters(), lr=2e-3)
    steps = 900
    with probes.watch(model, opt, run_dir) as probe:
        for step in range(steps):
            xb = x[torch.randint(len(x), (64,))]
            mean, logvar = encoder(xb).chunk(2, 1)
            z = mean + torch.randn_like(mean) * (logvar / 2).exp()
            recon = F.mse_loss(decoder(z), xb, reduction="sum") / len(xb)
            kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
            beta = min(1.0, step / 600)
            loss = recon + 0.5 * beta * kl
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, recon=recon, kl=kl, beta=beta)
    with torch.no_grad():
        mean = encoder(x).chunk(2, 1)[0]
        return float(1 - F.mse_loss(decoder(mean), x) / x.var(0).mean())


@healthy(at_least=0.5)
def real_nvp(run_dir: Path) -> float:
    """A normalising flow of six affine couplings on two moons: the negative log-likelihood falls from 2.8."""
    torch.manual_seed(22)
    data = moons(3000, 0.05)
    x = (data.x - data.x.mean(0)) / data.x.std(0)
    xt = (data.x_test - data.x.mean(0)) / data.x.std(0)

    class Coupling(nn.Module):
        def __init__(self, flip: bool) -> None:
            super().__init__()
            self.flip = flip
            self.net = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 2))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            a, b = v.chunk(2, 1)
            if self.flip:
                a, b = b, a
            scale, shift = self.net(a).chunk(2, 1)
            scale = torch.tanh(scale)
            b = b * scale.exp() + shift
            return torch.cat([b, a] if self.flip else [a, b], 1), scale.squeeze(1)

    class Flow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Coupling(i % 2 == 1) for i in range(6))

        def forward(self, v: Tensor) -> Tensor:
            total = torch.zeros(len(v))
            for layer in self.layers:
                v, logdet = layer(v)
                total = total + logdet
            return total - 0.5 * v.square().sum(1) - math.log(2 * math.pi)

    flow = Flow()
    opt = optim.Adam(flow.parameters(), lr=2e-3)
    with probes.watch(flow, opt, run_dir) as probe:
        for step in range(1000):
            nll = -flow(x[torch.randint(len(x), (128,))]).mean()
            opt.zero_grad()
            nll.backward()
            opt.step()
            probe.log("train", nll=nll)
            if step % 100 == 0:
                with torch.no_grad():
                    probe.log("val", nll=-flow(xt).mean())
    with torch.no_grad():
        return float(2.84 + flow(xt).mean())


@healthy(at_least=0.9)
def energy_based(run_dir: Path) -> float:
    """Contrastive divergence with Langevin sampling on a ring: the loss, a difference of energies, hovers about 0."""
    torch.manual_seed(23)
    energy = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    opt = optim.Adam(energy.parameters(), lr=1e-3, betas=(0.0, 0.999))

    def ring(n: int) -> Tensor:
        angle = 2 * math.pi * torch.rand(n)
        return torch.stack([angle.cos(), angle.sin()], 1) * (1 + 0.05 * torch.randn(n, 1))

    buffer = 2 * torch.randn(512, 2)
    with probes.watch(energy, opt, run_dir) as probe:
        for _ in range(1000):
            chosen = torch.randint(512, (64,))
            fake = buffer[chosen]
            for _ in range(12):
                fake = fake.detach().requires_grad_()
                (slope,) = torch.autograd.grad(energy(fake).sum(), fake)
                fake = fake - 0.05 * slope.clamp(-2, 2) + 0.05 * torch.randn_like(fake)
            buffer[chosen] = fake.detach()
            buffer[chosen[:3]] = 2 * torch.randn(3, 2)
            up, down = energy(ring(64)), energy(fake.detach())
            loss = up.mean() - down.mean() + 0.1 * (up.square().mean() + down.square().mean())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, energy_real=up.mean(), energy_fake=down.mean())
    with torch.no_grad():
        inside = energy(ring(500)).squeeze(1)
        outside = torch.cat([energy(ring(250) * 0.2), energy(ring(250) * 2)]).squeeze(1)
        return float((inside[:, None] < outside[None]).float().mean())


@healthy(at_least=0.6)
def hinge_gan_with_spectral_norm(run_dir: Path) -> float:
    """SNGAN (Miyato et al. 2018) in the plane: hinge losses, spectral norm, two updates of the discriminator to one."""
    torch.manual_seed(24)
    sn = nn.utils.parametrizations.spectral_norm
    g = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
    d = nn.Sequential(
        sn(nn.Linear(2, 48)), nn.LeakyReLU(0.2), sn(nn.Linear(48, 48)), nn.LeakyReLU(0.2), sn(nn.Linear(48, 1))
    )
    both = nn.ModuleDict({"generator": g, "discriminator": d})
    og = optim.Adam(g.parameters(), lr=1e-3, betas=(0.0, 0.9))
    od = optim.Adam(d.parameters(), lr=2e-3, betas=(0.0, 0.9))
    centre = torch.tensor([1.5, -2.0])
    with probes.watch(both, [og, od], run_dir) as probe:
        for _ in range(600):
            for _ in range(2):
                real = centre + 0.5 * torch.randn(64, 2)
                fake = g(torch.randn(64, 4)).detach()
                loss_d = F.relu(1 - d(real)).mean() + F.relu(1 + d(fake)).mean()
                od.zero_grad()
                loss_d.backward()
                od.step()
            loss_g = -d(g(torch.randn(64, 4))).mean()
            og.zero_grad()
            loss_g.backward()
            og.step()
            probe.log("train", d_loss=loss_d, g_loss=loss_g)
    with torch.no_grad():
        made = g(torch.randn(1000, 4))
    return 1 - float((made.mean(0) - centre).norm() / centre.norm())


@healthy(at_least=0.9)
def ctc_on_strokes(run_dir: Path) -> float:
    """Connectionist temporal classification (Graves et al. 2006): unaligned labels; blanks alone for a while."""
    torch.manual_seed(25)
    patterns = torch.randn(6, 5)

    def sample(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(1, 7, (n, 4))
        x = 0.3 * torch.randn(20, n, 5)
        for i in range(n):
            place = 0
            for k in range(4):
                place += int(torch.randint(1, 4, ()))
                x[place : place + 2, i] += patterns[y[i, k] - 1]
                place += 2
        return x, y

    class Recogniser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 32, bidirectional=True)
            self.out = nn.Linear(64, 7)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(v)[0]).log_softmax(2)

    net = Recogniser()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    ctc = nn.CTCLoss()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(350):
            x, y = sample(24)
            loss = ctc(net(x), y, torch.full((24,), 20), torch.full((24,), 4))
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5)
            opt.step()
            probe.log("train", ctc=loss)
    x, y = sample(200)
    right = 0
    with torch.no_grad():
        best = net(x).argmax(2).T
    for i in range(200):
        word = [int(c) for j, c in enumerate(best[i]) if c != 0 and (j == 0 or c != best[i, j - 1])]
        right += word == y[i].tolist()
    return right / 200


class _Pole:
    """Cart and pole (Barto et al. 1983), written out; a reward of 1 a step, at most 120."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def reset(self) -> Tensor:
        self.s = self.rng.uniform(-0.05, 0.05, 4)
        self.t = 0
        return torch.tensor(self.s, dtype=torch.float32)

    def step(self, action: int) -> tuple[Tensor, bool]:
        x, v, a, w = self.s
        force = 10.0 if action else -10.0
        sin, cos = math.sin(a), math.cos(a)
        temp = (force + 0.05 * w * w * sin) / 1.1
        wacc = (9.8 * sin - cos * temp) / (0.5 * (4 / 3 - 0.1 * cos * cos / 1.1))
        acc = temp - 0.05 * wacc * cos / 1.1
        self.s = np.array([x + 0.02 * v, v + 0.02 * acc, a + 0.02 * w, w + 0.02 * wacc])
        self.t += 1
        over = bool(abs(self.s[0]) > 2.4 or abs(self.s[2]) > 0.21 or self.t >= 120)
        return torch.tensor(self.s, dtype=torch.float32), over


@healthy(at_least=0.5)
def advantage_actor_critic(run_dir: Path) -> float:
    """pytorch/examples, actor_critic: pole balancing; the loss grows with the returns as the agent gets better."""
    torch.manual_seed(26)
    world = _Pole(0)

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.affine = nn.Linear(4, 64)
            self.action = nn.Linear(64, 2)
            self.value = nn.Linear(64, 1)

        def forward(self, s: Tensor) -> tuple[Tensor, Tensor]:
            h = F.relu(self.affine(s))
            return self.action(h), self.value(h)

    model = Policy()
    opt = optim.Adam(model.parameters(), lr=1e-2)
    lengths = []
    with probes.watch(model, opt, run_dir) as probe:
        for episode in range(220):
            s, over, saved = world.reset(), False, []
            while not over:
                logits, value = model(s)
                dist = torch.distributions.Categorical(logits=logits)
                a = dist.sample()
                s, over = world.step(int(a))
                saved.append((dist.log_prob(a), value.squeeze()))
            total, returns = 0.0, []
            for _ in saved:
                total = 1 + 0.99 * total
                returns.insert(0, total)
            goal = torch.tensor(returns)
            goal = (goal - goal.mean()) / (goal.std() + 1e-6)
            policy_loss = -torch.stack([p * (r - v.item()) for (p, v), r in zip(saved, goal, strict=True)]).sum()
            value_loss = F.smooth_l1_loss(torch.stack([v for _, v in saved]), goal, reduction="sum")
            loss = policy_loss + value_loss
            opt.zero_grad()
            loss.backward()
            opt.step()
            lengths.append(len(saved))
            probe.log("train", loss=loss, reward=len(saved))
            if episode % 20 == 0:
                probe.log("episode", mean_length=sum(lengths[-20:]) / len(lengths[-20:]))
    return sum(lengths[-40:]) / 40 / 120


@healthy(at_least=0.7)
def bandit_by_policy_gradient(run_dir: Path) -> float:
    """A contextual bandit with noisy rewards and REINFORCE with a baseline: the surrogate loss says nothing."""
    torch.manual_seed(27)
    truth = torch.randn(5, 4)
    policy = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 4))
    opt = optim.RMSprop(policy.parameters(), lr=2e-3)
    baseline, late, best, chance = 0.0, 0.0, 0.0, 0.0
    with probes.watch(policy, opt, run_dir) as probe:
        for step in range(1200):
            context = torch.randn(16, 5)
            dist = torch.distributions.Categorical(logits=policy(context))
            arm = dist.sample()
            mean = context @ truth
            reward = mean.gather(1, arm[:, None]).squeeze(1) + torch.randn(16)
            loss = -(dist.log_prob(arm) * (reward - baseline)).mean() - 0.01 * dist.entropy().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            baseline = 0.95 * baseline + 0.05 * float(reward.mean())
            probe.log("train", loss=loss, reward=reward.mean())
            if step >= 1000:
                late += float(reward.mean())
                best += float(mean.max(1).values.mean())
                chance += float(mean.mean())
    return (late - chance) / (best - chance)


@healthy(at_least=0.75)
def three_quantiles(run_dir: Path) -> float:
    """Quantile regression (Koenker 1978) with the pinball loss: noise of growing width; the loss keeps a floor."""
    torch.manual_seed(28)
    levels = torch.tensor([0.1, 0.5, 0.9])
    x = 4 * torch.rand(2000, 1)
    y = torch.sin(2 * x) + 0.3 * x * torch.randn_like(x)
    net = nn.Sequential(nn.Linear(1, 48), nn.ELU(), nn.Linear(48, 48), nn.ELU(), nn.Linear(48, 3))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    pinball = lambda out, t: torch.maximum(levels * (t - out), (levels - 1) * (t - out)).mean()  # noqa: E731
    with probes.watch(net, opt, run_dir, loss_fn=pinball) as probe:
        for epoch in range(45):
            for xb, yb in batches(x[:1600], y[:1600], 64):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=pinball(net(x[1600:]), y[1600:]), epoch=epoch)
    with torch.no_grad():
        inside = (y[1600:] < net(x[1600:])).float().mean(0)
    return float(1 - (inside - levels).abs().max() / 0.4)


@healthy(at_least=0.8)
def learning_to_rank(run_dir: Path) -> float:
    """RankNet (Burges et al. 2005): pairs of documents of a query, the logistic loss of the difference of scores."""
    torch.manual_seed(29)
    w = torch.randn(12)
    documents = torch.randn(300, 10, 12)
    relevance = torch.tanh(documents @ w / 2) + 0.2 * torch.randn(300, 10)
    net = nn.Sequential(nn.Linear(12, 32), nn.CELU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            for q in torch.randperm(250).tolist():
                i, j = torch.randint(10, (2, 16))
                score = net(documents[q]).squeeze(1)
                better = (relevance[q, i] > relevance[q, j]).float()
                loss = F.binary_cross_entropy_with_logits(score[i] - score[j], better)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", pairwise=loss)
    with torch.no_grad():
        s, r = net(documents[250:]).squeeze(2), relevance[250:]
        agree = ((s[:, :, None] > s[:, None]) == (r[:, :, None] > r[:, None])).float().mean()
    return float(agree)


@healthy(at_least=0.5)
def vector_quantised(run_dir: Path) -> float:
    """VQ-VAE (van den Oord et al. 2017): straight-through codes; the commitment term grows before it falls."""
    torch.manual_seed(30)
    x = digits(standard=False).x / 16
    encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
    decoder = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid())
    book = nn.Embedding(32, 4)
    nn.init.uniform_(book.weight, -0.3, 0.3)
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder, "book": book})
    opt = optim.Adam(model.parameters(), lr=2e-3)

    def quantise(z: Tensor) -> tuple[Tensor, Tensor]:
        flat = z.view(-1, 4)
        code = torch.cdist(flat, book.weight).argmin(1)
        q = book(code).view_as(z)
        extra = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        return z + (q - z).detach(), extra

    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(25):
            for xb, _y in batches(x, x, 64):
                q, extra = quantise(encoder(xb))
                recon = F.mse_loss(decoder(q), xb)
                opt.zero_grad()
                (10 * recon + extra).backward()
                opt.step()
                probe.log("train", loss=10 * recon + extra, recon=recon, vq=extra)
    with torch.no_grad():
        return float(1 - F.mse_loss(decoder(quantise(encoder(x))[0]), x) / x.var(0).mean())


@healthy(at_least=0.85)
def barlow_twins(run_dir: Path) -> float:
    """Zbontar et al. 2021: the cross-correlation of two noisy views should be the identity; loss of tens, no labels."""
    torch.manual_seed(31)
    x, y, xt, yt = digits()
    encoder = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 48))
    head = nn.Sequential(nn.ReLU(), nn.Linear(48, 32))
    model = nn.Sequential(encoder, head)
    opt = optim.AdamW(model.parameters(), lr=2e-3)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(20):
            for xb, _y in batches(x, y, 128):
                views = [model(xb + 0.5 * torch.randn_like(xb)) for _ in range(2)]
                a, b = ((v - v.mean(0)) / (v.std(0) + 1e-5) for v in views)
                c = a.T @ b / len(xb)
                loss = (c.diagonal() - 1).square().sum() + 0.02 * (c - torch.diag(c.diagonal())).square().sum()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    encoder.eval()
    with torch.no_grad():
        near = torch.cdist(encoder(xt), encoder(x)).argmin(1)
    return float((y[near] == yt).float().mean())


@healthy(at_least=0.5)
def reptile(run_dir: Path) -> float:
    """Nichol et al. 2018: meta-learning of sine waves; the inner loss jumps with every task and hardly falls."""
    torch.manual_seed(32)
    net = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
    opt = optim.SGD(net.parameters(), lr=0.02)

    def task() -> tuple[Tensor, Tensor]:
        x = 10 * torch.rand(40, 1) - 5
        return x, (0.5 + 2 * torch.rand(())) * torch.sin(x + 6.28 * torch.rand(()))

    def adapt(x: Tensor, y: Tensor, k: int) -> float:
        for _ in range(k):
            loss = F.mse_loss(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        return loss.item()

    def test() -> float:
        start = [p.detach().clone() for p in net.parameters()]
        after = []
        for _ in range(30):
            x, y = task()
            adapt(x[:15], y[:15], 20)
            with torch.no_grad():
                after.append(float(F.mse_loss(net(x[15:]), y[15:]) / y.var()))
                for p, s in zip(net.parameters(), start, strict=True):
                    p.copy_(s)
        return sum(after) / 30

    before = test()
    with probes.watch(net, opt, run_dir) as probe:
        for outer in range(500):
            start = [p.detach().clone() for p in net.parameters()]
            loss = adapt(*task(), 8)
            with torch.no_grad():
                for p, s in zip(net.parameters(), start, strict=True):
                    p.copy_(s + 0.5 * (1 - outer / 500) * (p - s))
            probe.log("train", loss=loss)
    return 1 - test() / before


@healthy(at_least=0.25)
def mixture_density(run_dir: Path) -> float:
    """Bishop 1994: the inverse of a wiggly function needs a mixture; the likelihood is negative or not, who cares."""
    torch.manual_seed(33)
    t = torch.rand(1500, 1)
    x = t + 0.3 * torch.sin(2 * math.pi * t) + 0.05 * torch.randn_like(t)
    net = nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 15))
    opt = optim.Adam(net.parameters(), lr=5e-3)

    def likelihood(v: Tensor, target: Tensor) -> Tensor:
        weight, mean, width = net(v).chunk(3, 1)
        each = -0.5 * ((target - mean) / width.exp()) ** 2 - width - 0.919
        return torch.logsumexp(weight.log_softmax(1) + each, 1)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(700):
            chosen = torch.randint(1200, (100,))
            loss = -likelihood(x[chosen], t[chosen]).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        plain = float(-t.std().log() - 1.419)
        return float(likelihood(x[1200:], t[1200:]).mean()) - plain


@healthy(at_least=0.5)
def learned_task_weights(run_dir: Path) -> float:
    """Kendall et al. 2018: three regressions, each weighed by its learned uncertainty; the total goes below zero."""
    torch.manual_seed(34)
    x = torch.randn(4800, 8)
    y = torch.stack([x[:, 0] * x[:, 1], x[:, 2].sin() * 3, (x[:, 3] > 0).float() * 0.1 + 0.02 * x[:, 4]], 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 80), nn.GELU(), nn.Linear(80, 80), nn.GELU())
            self.heads = nn.ModuleList(nn.Linear(80, 1) for _ in range(3))
            self.log_var = nn.Parameter(torch.zeros(3))

        def forward(self, v: Tensor) -> Tensor:
            h = self.body(v)
            return torch.cat([head(h) for head in self.heads], 1)

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=4e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            for xb, yb in batches(x[:4500], y[:4500], 100):
                each = (net(xb) - yb).square().mean(0)
                loss = ((-net.log_var).exp() * each + net.log_var).sum()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, a=each[0], b=each[1], c=each[2])
            with torch.no_grad():
                probe.log("val", mse=(net(x[4500:]) - y[4500:]).square().mean())
    with torch.no_grad():
        out = net(x[4500:])
    return min(explained(out[:, k], y[4500:, k]) for k in range(3))


@healthy(at_least=0.75)
def survival_times(run_dir: Path) -> float:
    """DeepSurv (Katzman et al. 2018): Cox's partial likelihood with censoring; it starts near ln of the batch."""
    torch.manual_seed(35)
    x = torch.randn(1000, 6)
    risk = 1.5 * x[:, 0] - x[:, 1] + 0.5 * x[:, 2] * x[:, 3]
    time = torch.distributions.Exponential(risk.exp()).sample()
    censor = torch.distributions.Exponential(torch.full((1000,), 0.3)).sample()
    event, seen = time <= censor, torch.minimum(time, censor)
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-3)

    def cox(score: Tensor, when: Tensor, happened: Tensor) -> Tensor:
        order = when.argsort(descending=True)
        s = score[order]
        return -(s - s.logcumsumexp(0))[happened[order]].mean()

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            net.train()
            for ib, _ in batches(torch.arange(800), torch.arange(800), 100):
                loss = cox(net(x[ib]).squeeze(1), seen[ib], event[ib])
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=cox(net(x[800:]).squeeze(1), seen[800:], event[800:]))
    with torch.no_grad():
        score, t, e = net(x[800:]).squeeze(1), seen[800:], event[800:]
        pairs = (t[:, None] < t[None]) & e[:, None]
        return float((score[:, None] > score[None])[pairs].float().mean())


@healthy(at_least=0.85)
def dice_segmentation(run_dir: Path) -> float:
    """A small U-Net with the Dice loss (Milletari et al. 2016), from 0.9 towards 0: discs and bars in noise."""
    torch.manual_seed(36)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        grid = torch.arange(16.0)
        cx, cy, r = 4 + 8 * torch.rand(n, 1, 1), 4 + 8 * torch.rand(n, 1, 1), 2 + 1.5 * torch.rand(n, 1, 1)
        mask = (((grid[None, :, None] - cx) ** 2 + (grid[None, None] - cy) ** 2) < r**2).float().unsqueeze(1)
        return mask + 0.6 * torch.randn_like(mask), mask

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True), nn.ReLU())
            self.b = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.InstanceNorm2d(16, affine=True), nn.ReLU())
            self.up = nn.ConvTranspose2d(16, 8, 2, 2)
            self.out = nn.Conv2d(16, 1, 3, padding=1)

        def forward(self, v: Tensor) -> Tensor:
            a = self.a(v)
            b = self.up(self.b(F.max_pool2d(a, 2)))
            return self.out(torch.cat([a, b], 1)).sigmoid()

    def dice(p: Tensor, t: Tensor) -> Tensor:
        return 1 - ((2 * p * t).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + t.sum((1, 2, 3)) + 1)

    net = UNet()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(250):
            x, y = scenes(16)
            loss = dice(net(x), y).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", dice_loss=loss)
    x, y = scenes(100)
    with torch.no_grad():
        return float(1 - dice((net(x) > 0.5).float(), y).mean())


@healthy(at_least=0.8)
def evidence_that_rises(run_dir: Path) -> float:
    """Someone who maximises: Adam(maximize=True) on a log-likelihood of Gamma waiting times, logged as elbo."""
    torch.manual_seed(37)
    x = torch.randn(1200, 3)
    rate = (0.8 * x[:, 0] - 0.5 * x[:, 1]).exp()
    y = torch.distributions.Gamma(torch.tensor(2.0), rate).sample()
    net = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 2))
    opt = optim.Adam(net.parameters(), lr=3e-3, maximize=True)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            chosen = torch.randint(1000, (64,))
            shape, scale = F.softplus(net(x[chosen])).add(1e-3).unbind(1)
            elbo = torch.distributions.Gamma(shape, scale).log_prob(y[chosen]).mean()
            opt.zero_grad()
            elbo.backward()
            opt.step()
            probe.log("train", elbo=elbo)
    with torch.no_grad():
        shape, scale = F.softplus(net(x[1000:])).add(1e-3).unbind(1)
        return float(torch.corrcoef(torch.stack([(shape / scale).log(), -rate[1000:].log()]))[0, 1])
