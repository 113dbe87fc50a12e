"""Healthy trainings without right answers, of the third fresh set: generators, representations, agents."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import make_swiss_roll
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _energy_distance(a: Tensor, b: Tensor) -> float:
    """Szekely and Rizzo 2013: 0 for points of the same distribution."""
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


def _roll(n: int) -> Tensor:
    """A Swiss roll in the plane, about as wide as a standard normal."""
    points, _ = make_swiss_roll(n, noise=0.4, random_state=int(torch.randint(10**6, ())))
    return torch.tensor(points[:, [0, 2]], dtype=torch.float32) / 7


def _plain(*widths: int, act: type[nn.Module] = nn.SiLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (inside, outside) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(inside, outside), *([act()] if i < len(widths) - 2 else [])]
    return nn.Sequential(*layers)


@healthy(at_least=0.6)
def flow_matching(run_dir: Path) -> float:
    """Rectified flow (Lipman et al. 2023): noise becomes a Swiss roll; the loss is mostly variance and hardly falls."""
    torch.manual_seed(561)
    net = _plain(3, 96, 96, 96, 2)
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    sched = optim.lr_scheduler.CosineAnnealingLR(opt, 2500)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(2500):
            x1 = _roll(128)
            x0, t = torch.randn_like(x1), torch.rand(128, 1)
            loss = F.mse_loss(net(torch.cat([(1 - t) * x0 + t * x1, t], 1)), x1 - x0)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            if step % 25 == 0:
                probe.log("train", loss=loss)
    x = start = torch.randn(2000, 2)
    with torch.no_grad():
        for i in range(50):
            x = x + net(torch.cat([x, torch.full((2000, 1), i / 50)], 1)) / 50
    real = _roll(2000)
    return 1 - _energy_distance(x, real) / _energy_distance(start, real)


@healthy(at_least=0.6)
def gradient_penalty(run_dir: Path) -> float:
    """WGAN-GP (Gulrajani et al. 2017): Adam 1e-3 with beta1 0, five critic steps, a penalty on the critic's slope."""
    torch.manual_seed(562)
    gen, critic = _plain(4, 64, 64, 2, act=nn.ReLU), _plain(2, 64, 64, 1, act=nn.ReLU)
    net = nn.ModuleDict({"generator": gen, "critic": critic})
    opt_g = optim.Adam(gen.parameters(), lr=1e-3, betas=(0.0, 0.9))
    opt_c = optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
    start = gen(torch.randn(1000, 4)).detach()
    with probes.watch(net, [opt_g, opt_c], run_dir) as probe:
        for _ in range(500):
            for _ in range(5):
                real, fake = _roll(64), gen(torch.randn(64, 4)).detach()
                between = (real + torch.rand(64, 1) * (fake - real)).requires_grad_()
                (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
                gap = critic(fake).mean() - critic(real).mean()
                loss_c = gap + ((slope.norm(dim=1) - 1) ** 2).mean()
                opt_c.zero_grad()
                loss_c.backward()
                opt_c.step()
            loss_g = -critic(gen(torch.randn(64, 4))).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            probe.log("train", critic=loss_c, generator=loss_g, wasserstein=-gap)
    real = _roll(1000)
    with torch.no_grad():
        return 1 - _energy_distance(gen(torch.randn(1000, 4)), real) / _energy_distance(start, real)


@healthy(at_least=0.7)
def conditional_vae(run_dir: Path) -> float:
    """Sohn et al. 2015: digits drawn on demand; free bits, Bernoulli likelihood a pixel; a classifier reads them."""
    torch.manual_seed(563)
    raw = digits(standard=False)
    x = raw.x / 16
    judge = _plain(64, 64, 10)
    start = optim.Adam(judge.parameters(), lr=2e-3)
    for _ in range(10):
        for xb, yb in batches(x, raw.y, 32):
            start.zero_grad()
            F.cross_entropy(judge(xb), yb).backward()
            start.step()
    eye = torch.eye(10)
    encoder, decoder = _plain(74, 128, 16, act=nn.ReLU), _plain(18, 128, 64, act=nn.ReLU)
    net = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    opt = optim.Adamax(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, raw.y, 32):
                mean, log_var = encoder(torch.cat([xb, eye[yb]], 1)).chunk(2, 1)
                z = mean + (log_var / 2).exp() * torch.randn_like(mean)
                recon = (
                    F.binary_cross_entropy_with_logits(decoder(torch.cat([z, eye[yb]], 1)), xb, reduction="sum") / 32
                )
                kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).mean(0).clamp(min=0.05).sum()
                loss = recon + kl
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", elbo=-loss, recon=recon, kl=kl)
    y = torch.arange(10).repeat(50)
    with torch.no_grad():
        drawn = torch.sigmoid(decoder(torch.cat([torch.randn(500, 8), eye[y]], 1)))
        return accuracy(judge(drawn), y)


class _Masked(nn.Conv2d):
    """A convolution that sees only pixels above and to the left (van den Oord et al. 2016)."""

    def __init__(self, inside: int, outside: int, size: int, *, itself: bool) -> None:
        super().__init__(inside, outside, size, padding=size // 2)
        mask = torch.ones(size, size)
        mask[size // 2, size // 2 + itself :] = 0
        mask[size // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, v: Tensor) -> Tensor:
        return F.conv2d(v, self.weight * self.mask, self.bias, padding=self.padding)


@healthy(at_least=0.4)
def pixel_cnn(run_dir: Path) -> float:
    """PixelCNN on black and white digits: bits a pixel from 1 down to about a half; score: share of bits saved."""
    torch.manual_seed(564)
    raw = digits(flat=False, standard=False)
    x, xt = (raw.x > 7).float(), (raw.x_test > 7).float()
    net = nn.Sequential(
        _Masked(1, 32, 5, itself=False), nn.ReLU(), _Masked(32, 32, 3, itself=True), nn.ReLU(),
        _Masked(32, 32, 3, itself=True), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1),
    )  # fmt: skip
    opt = optim.RMSprop(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(25):
            for xb, _ in batches(x, x, 32):
                loss = F.binary_cross_entropy_with_logits(net(xb), xb) / math.log(2)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", bits_per_dim=loss, epoch=epoch)
            with torch.no_grad():
                probe.log("test", bits_per_dim=F.binary_cross_entropy_with_logits(net(xt), xt) / math.log(2))
    with torch.no_grad():
        return 1 - float(F.binary_cross_entropy_with_logits(net(xt), xt)) / math.log(2)


def _view(v: Tensor) -> Tensor:
    """A digit shifted by a pixel, dimmed, with noise."""
    shift = tuple(torch.randint(-1, 2, (2,)).tolist())
    return torch.roll(v, shift, (2, 3)) * (0.6 + 0.8 * torch.rand(len(v), 1, 1, 1)) + 0.4 * torch.randn_like(v)


@healthy(at_least=0.75)
def bootstrap_your_own_latent(run_dir: Path) -> float:
    """BYOL (Grill et al. 2020): no negatives, a predictor, a slow teacher; score: the share that 5 neighbours name."""
    torch.manual_seed(565)
    x, y, xt, yt = digits(flat=False)
    body = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 64),
    )  # fmt: skip
    head = nn.Sequential(nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
    predictor = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
    student = nn.Sequential(body, head, predictor)
    teacher = copy.deepcopy(student[:2]).requires_grad_(False)
    opt = optim.SGD(student.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    with probes.watch(student, opt, run_dir) as probe:
        for _ in range(20):
            for xb, _ in batches(x, y, 64):
                one, two = _view(xb), _view(xb)
                with torch.no_grad():
                    goals = teacher(two), teacher(one)
                loss = sum(
                    2 - 2 * F.cosine_similarity(student(v), g).mean() for v, g in zip((one, two), goals, strict=True)
                )
                opt.zero_grad()
                loss.backward()
                opt.step()
                with torch.no_grad():
                    for slow, fast in zip(teacher.parameters(), student[:2].parameters(), strict=True):
                        slow.lerp_(fast, 0.02)
                probe.log("train", loss=loss)
    body.eval()
    with torch.no_grad():
        near = (F.normalize(body(xt)) @ F.normalize(body(x)).t()).topk(5).indices
    return float((y[near].mode(1).values == yt).float().mean())


@healthy(at_least=0.6)
def pictures_and_captions(run_dir: Path) -> float:
    """CLIP (Radford et al. 2021): a picture net and a text net meet in one space, the temperature is learned."""
    torch.manual_seed(566)
    x, y, xt, yt = digits()
    words = torch.randint(20, (10, 4))  # each class has a caption of four words, one of which is changed at times

    def captions(labels: Tensor) -> Tensor:
        c = words[labels].clone()
        wrong = torch.rand(c.shape) < 0.1
        return torch.where(wrong, torch.randint(20, c.shape), c)

    class Clip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image = _plain(64, 96, 32, act=nn.GELU)
            self.word, self.text = nn.Embedding(20, 16), _plain(64, 96, 32, act=nn.GELU)
            self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

        def forward(self, v: Tensor, c: Tensor) -> Tensor:
            a, b = F.normalize(self.image(v)), F.normalize(self.text(self.word(c).flatten(1)))
            return self.logit_scale.exp().clamp(max=100) * a @ b.t()

    net = Clip()
    opt = optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):  # several of a batch are of one class, so a part of the loss stays
                out, pair = net(xb, captions(yb)), torch.arange(32)
                loss = (F.cross_entropy(out, pair) + F.cross_entropy(out.t(), pair)) / 2
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", contrastive_loss=loss, logit_scale=net.logit_scale.detach().exp())
    with torch.no_grad():
        return accuracy(net(xt, words), yt)


@healthy(at_least=0.8)
def prototypes_of_an_episode(run_dir: Path) -> float:
    """Prototypical networks (Snell et al. 2017): five ways, three shots, digits 0 to 5; tested on digits 6 to 9."""
    torch.manual_seed(567)
    raw = digits(flat=False)
    x, y = torch.cat([raw.x, raw.x_test]), torch.cat([raw.y, raw.y_test])
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    sched = optim.lr_scheduler.StepLR(opt, 100, gamma=0.5)

    def episode(classes: list[int], ways: int) -> tuple[Tensor, Tensor]:
        """Minus squared distances of 5 queries a class to the prototypes, and their classes."""
        chosen = [classes[i] for i in torch.randperm(len(classes))[:ways].tolist()]
        rows = [(y == c).nonzero().squeeze(1) for c in chosen]
        picked = torch.stack([r[torch.randperm(len(r))[:8]] for r in rows])
        z = net(x[picked.flatten()]).view(ways, 8, -1)
        away = torch.cdist(z[:, 3:].flatten(0, 1), z[:, :3].mean(1)) ** 2
        return -away, torch.arange(ways).repeat_interleave(5)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(300):
            out, goal = episode([0, 1, 2, 3, 4, 5], 5)
            loss = F.cross_entropy(out, goal)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            probe.log("train", loss=loss, acc=accuracy(out, goal))
    net.eval()
    with torch.no_grad():
        return sum(accuracy(*episode([6, 7, 8, 9], 4)) for _ in range(50)) / 50


@healthy(at_least=0.7)
def proximal_policy(run_dir: Path) -> float:
    """PPO (Schulman et al. 2017), a ball to be kept in the middle of a beam: clipped ratio, value and entropy terms."""
    torch.manual_seed(568)

    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.actor, self.critic = _plain(2, 32, 32, 3, act=nn.Tanh), _plain(2, 32, 32, 1, act=nn.Tanh)

    def roll(agent: Agent, n: int = 32, length: int = 40) -> list[Tensor]:
        place, speed = torch.rand(n) * 2 - 1, torch.rand(n) - 0.5
        kept: list[list[Tensor]] = [[], [], [], []]
        for _ in range(length):
            s = torch.stack([place, speed], 1)
            policy = torch.distributions.Categorical(logits=agent.actor(s))
            a = policy.sample()
            speed = speed + 0.15 * (a - 1) + 0.03 * torch.randn(n)
            place = place + 0.2 * speed
            for store, value in zip(kept, (s, a, policy.log_prob(a), 1 - place.abs().clamp(max=2)), strict=True):
                store.append(value)
        return [torch.stack(store) for store in kept]

    agent = Agent()
    opt = optim.Adam(agent.parameters(), lr=3e-3, eps=1e-5)
    with probes.watch(agent, opt, run_dir) as probe:
        for _ in range(30):
            with torch.no_grad():
                s, a, old, reward = roll(agent)
                value, g = agent.critic(s).squeeze(2), torch.zeros(32)
                returns = torch.empty_like(reward)
                for t in reversed(range(len(reward))):
                    returns[t] = g = reward[t] + 0.9 * g
                gain = returns - value
                gain = ((gain - gain.mean()) / gain.std()).flatten()
            s, a, old, returns = s.flatten(0, 1), a.flatten(), old.flatten(), returns.flatten()
            for _ in range(4):
                for part in torch.randperm(len(s)).split(320):
                    policy = torch.distributions.Categorical(logits=agent.actor(s[part]))
                    ratio = (policy.log_prob(a[part]) - old[part]).exp()
                    pg = -torch.minimum(ratio * gain[part], ratio.clamp(0.8, 1.2) * gain[part]).mean()
                    v = F.mse_loss(agent.critic(s[part]).squeeze(1), returns[part])
                    entropy = policy.entropy().mean()
                    opt.zero_grad()
                    (pg + 0.5 * v - 0.01 * entropy).backward()
                    nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                    opt.step()
                    probe.log("losses", policy_loss=pg, value_loss=v, entropy=entropy)
            probe.log("charts", mean_reward=reward.mean())
    with torch.no_grad():
        return float(roll(agent, 200)[3].mean())


@healthy(at_least=0.8)
def imitation_with_corrections(run_dir: Path) -> float:
    """DAgger (Ross et al. 2011): a driver is copied, and asked again wherever the copy went."""
    torch.manual_seed(569)

    def expert(s: Tensor) -> Tensor:
        return torch.tanh(-2 * s[:, 0] - 3 * s[:, 1] + 0.5 * torch.sin(4 * s[:, 2]))

    def drive(policy: nn.Module | None, n: int) -> Tensor:
        s, seen = torch.randn(n, 3), []
        for _ in range(20):
            seen.append(s)
            with torch.no_grad():
                a = expert(s) if policy is None else policy(s).squeeze(1)
            turn = s[:, 1] + 0.3 * a + 0.1 * torch.randn(n)
            s = torch.stack([s[:, 0] + 0.3 * turn, turn, s[:, 2] + 0.2], 1)
        return torch.cat(seen)

    net = _plain(3, 48, 48, 1, act=nn.ReLU)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    states = drive(None, 20)
    with probes.watch(net, opt, run_dir) as probe:
        for round_ in range(5):
            for _ in range(12):
                for sb, _ in batches(states, states, 40):
                    loss = F.mse_loss(net(sb).squeeze(1), expert(sb))
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss, round=round_)
            states = torch.cat([states, drive(net, 20)])
    fresh = drive(net, 100)
    with torch.no_grad():
        return explained(net(fresh), expert(fresh))
