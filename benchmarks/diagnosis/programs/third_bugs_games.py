"""Faulty programs of the third fresh set: adversaries, agents, graphs, and steps that meet no number."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, explained
from benchmarks.diagnosis.programs.program import faulty


def _ring(n: int) -> Tensor:
    """Points near eight places on a circle of radius 2."""
    angle = torch.randint(8, (n,)) * math.pi / 4
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(n, 2)


def _covered(points: Tensor) -> float:
    """How much alike the shares of points at the eight places are: 1 when each has an eighth."""
    angle = torch.arange(8) * math.pi / 4
    d, nearest = torch.cdist(points, 2 * torch.stack([angle.cos(), angle.sin()], 1)).min(1)
    shares = torch.bincount(nearest[d < 0.5], minlength=8) / len(points)
    return float(shares.clamp(max=0.125).sum())


class _Rivals(nn.Module):
    """A generator of points from noise, and its critic."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(
            nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
        )  # fmt: skip
        self.critic = nn.Sequential(
            nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
        )


@faulty("vanishing-gradients", "loss-not-decreasing", "parameters-not-updated", "learning-rate-too-high",
        "constant-predictions", "collapsed-activations", "saturated-activations", below=0.35)  # fmt: skip
def generator_without_a_chance(run_dir: Path, *, mended: bool = False) -> float:
    """Goodfellow's first loss, log(1 - D(G(z))), against a critic trained ten times as often: it is flat."""
    torch.manual_seed(541)
    net = _Rivals()
    g_opt = optim.Adam(net.generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    d_opt = optim.Adam(net.critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    ones, zeros = torch.ones(128, 1), torch.zeros(128, 1)
    with probes.watch(net, [g_opt, d_opt], run_dir) as probe:
        for _ in range(1500):
            for _ in range(1 if mended else 10):
                fake = net.generator(torch.randn(128, 8)).detach()
                real = net.critic(_ring(128) + 4)
                d_loss = F.binary_cross_entropy_with_logits(real, ones)
                d_loss = d_loss + F.binary_cross_entropy_with_logits(net.critic(fake), zeros)
                d_opt.zero_grad()
                d_loss.backward()
                d_opt.step()
            judged = net.critic(net.generator(torch.randn(128, 8)))
            if mended:
                g_loss = F.binary_cross_entropy_with_logits(judged, ones)
            else:
                g_loss = -F.binary_cross_entropy_with_logits(judged, zeros)
            g_opt.zero_grad()
            g_loss.backward()
            g_opt.step()
            probe.log("gan", d_loss=d_loss, g_loss=g_loss)
    with torch.no_grad():
        return _covered(net.generator(torch.randn(1000, 8)) - 4)


@faulty("collapsed-activations", "constant-predictions", "oscillating-loss", "loss-not-decreasing", "noisy-loss",
        below=0.35)  # fmt: skip
def generator_with_one_idea(run_dir: Path, *, mended: bool = False) -> float:
    """Mode collapse: ten generator steps for each of the critic's, and all points chase the critic's blind spot."""
    torch.manual_seed(542)
    net = _Rivals()
    g_opt = optim.Adam(net.generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    d_opt = optim.Adam(net.critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    ones, zeros = torch.ones(128, 1), torch.zeros(128, 1)
    with probes.watch(net, [g_opt, d_opt], run_dir) as probe:
        for step in range(1500 if mended else 600):
            fake = net.generator(torch.randn(128, 8)).detach()
            d_loss = F.binary_cross_entropy_with_logits(net.critic(_ring(128)), ones)
            d_loss = d_loss + F.binary_cross_entropy_with_logits(net.critic(fake), zeros)
            d_opt.zero_grad()
            d_loss.backward()
            d_opt.step()
            for _ in range(1 if mended else 10):
                g_loss = F.binary_cross_entropy_with_logits(net.critic(net.generator(torch.randn(128, 8))), ones)
                g_opt.zero_grad()
                g_loss.backward()
                g_opt.step()
            if step % 10 == 0:
                probe.log("gan", d_loss=d_loss, g_loss=g_loss)
    with torch.no_grad():
        return _covered(net.generator(torch.randn(1000, 8)))


@faulty("gradients-not-cleared", "loss-not-decreasing", "oscillating-loss", "loss-diverging",
        "learning-rate-too-high", "exploding-gradients", "collapsed-activations", "weights-growing",
        below=0.35)  # fmt: skip
def critic_keeps_its_opponents_gradients(run_dir: Path, *, mended: bool = False) -> float:
    """GAN: the generator's step leaves its gradients in the critic, and zero_grad() of the critic comes too early."""
    torch.manual_seed(543)
    net = _Rivals()
    g_opt = optim.Adam(net.generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    d_opt = optim.Adam(net.critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    ones, zeros = torch.ones(128, 1), torch.zeros(128, 1)
    with probes.watch(net, [g_opt, d_opt], run_dir) as probe:
        for step in range(1500):
            if mended or step == 0:
                d_opt.zero_grad()
            fake = net.generator(torch.randn(128, 8)).detach()
            d_loss = F.binary_cross_entropy_with_logits(net.critic(_ring(128)), ones)
            d_loss = d_loss + F.binary_cross_entropy_with_logits(net.critic(fake), zeros)
            d_loss.backward()
            d_opt.step()
            g_loss = F.binary_cross_entropy_with_logits(net.critic(net.generator(torch.randn(128, 8))), ones)
            g_opt.zero_grad()
            g_loss.backward()
            g_opt.step()
            probe.log("train", discriminator=d_loss, generator=g_loss)
    with torch.no_grad():
        return _covered(net.generator(torch.randn(1000, 8)))


def _walk(place: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A corridor of ten places; right at the end pays 1. Returns the next place, the reward, and whether it is over."""
    following = (place + 2 * action - 1).clamp(0, 9)
    over = following == 9
    return following, over.float(), over


@faulty("parameters-not-updated", "missing-gradients", below=0.8)
def target_net_never_synchronised(run_dir: Path, *, mended: bool = False) -> float:
    """DQN whose target net keeps its random weights (load_state_dict under a wrong condition): values stay local."""
    torch.manual_seed(544)

    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
            self.target = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))

    agent = Agent()
    opt = optim.Adam(agent.q.parameters(), lr=2e-3)
    with probes.watch(agent, opt, run_dir) as probe:
        for step in range(2000):
            place, action = torch.randint(9, (32,)), torch.randint(2, (32,))
            following, reward, over = _walk(place, action)
            with torch.no_grad():
                later = agent.target(F.one_hot(following, 10).float()).amax(1)
            goal = reward + 0.9 * later * ~over
            value = agent.q(F.one_hot(place, 10).float())[torch.arange(32), action]
            loss = F.smooth_l1_loss(value, goal)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % (50 if mended else 5000) == 49:
                agent.target.load_state_dict(agent.q.state_dict())
            probe.log("dqn", loss=loss)
    with torch.no_grad():
        return explained(agent.q(torch.eye(10))[:9, 1], 0.9 ** torch.arange(8.0, -1.0, -1.0))


@faulty("unexpected-initial-loss", "exploding-gradients", "dead-units", "learning-rate-too-high",
        "loss-output-mismatch", "loss-spikes", "constant-predictions", "loss-diverging", "nonfinite-values",
        "collapsed-activations", "unnormalized-inputs", below=0.8)  # fmt: skip
def returns_in_points(run_dir: Path, *, mended: bool = False) -> float:
    """A value net asked for scores of tens of thousands as the game counts them; squared error, SGD, no clipping."""
    torch.manual_seed(545)
    x = torch.randn(1200, 6)
    score = 30_000 + 12_000 * (x[:, 0] + torch.sin(2 * x[:, 1]))
    y = (score - 30_000) / 12_000 if mended else score
    net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.SGD(net.parameters(), lr=1e-2)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for step in range(3000):
            at = torch.randint(1000, (32,))
            loss = F.mse_loss(net(x[at]).squeeze(1), y[at])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 5 == 0:
                probe.log("critic", value_loss=loss)
    with torch.no_grad():
        return explained(net(x[1000:]), y[1000:])


@faulty("nonfinite-values", below=0.7)
def advantages_of_a_single_step(run_dir: Path, *, mended: bool = False) -> float:
    """(a - a.mean()) / a.std() for each episode: one that ends after a single step has no deviation, NaN (issues)."""
    torch.manual_seed(546)
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = optim.Adam(net.parameters(), lr=5e-3)

    def episode() -> tuple[Tensor, Tensor, Tensor]:
        """A point drifts away from 0, an action pushes it left or right; over after 20 steps, or when it is lost."""
        at = 0.75 * torch.randn(1)
        states, actions, rewards = [], [], []
        while len(states) < 20 and (not states or float(at.abs()) < 2):
            states.append(at)
            with torch.no_grad():
                actions.append((torch.rand(1) < net(at).sigmoid()).float())
            at = 1.1 * at + 0.4 * (2 * actions[-1] - 1) + 0.1 * torch.randn(1)
            rewards.append(-at.abs())
        return torch.stack(states), torch.stack(actions), torch.stack(rewards)

    lengths: list[int] = []
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            states, actions, rewards = episode()
            lengths.append(len(states))
            deviation = rewards.std(unbiased=False) + 1e-6 if mended else rewards.std()
            advantage = (rewards - rewards.mean()) / deviation
            loss = F.binary_cross_entropy_with_logits(net(states), actions, weight=advantage)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("policy", loss=loss, length=len(states))
    return sum(lengths[-100:]) / 2000


@faulty("collapsed-activations", "constant-predictions", "saturated-activations", "vanishing-gradients",
        "loss-not-decreasing", "loss-diverging", "weights-growing", "underfitting", "loss-output-mismatch",
        below=0.8)  # fmt: skip
def entropy_with_the_wrong_sign(run_dir: Path, *, mended: bool = False) -> float:
    """loss + 0.5 * entropy where minus was meant: the policy is sure of its first guess, and tries nothing else."""
    torch.manual_seed(547)
    best = torch.randint(6, (8,))
    net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 6))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    sign = -0.02 if mended else 0.5
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(800):
            state = torch.randint(8, (32,))
            policy = torch.distributions.Categorical(logits=net(F.one_hot(state, 8).float()))
            action = policy.sample()
            reward = (action == best[state]).float()
            gain = reward - reward.mean()
            entropy = policy.entropy().mean()
            loss = -(policy.log_prob(action) * gain).mean() + sign * entropy
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("bandit", loss=loss, reward=reward.mean(), entropy=entropy)
    with torch.no_grad():
        return float((net(torch.eye(8)).argmax(1) == best).float().mean())


@faulty("exploding-gradients", "unexpected-initial-loss", "learning-rate-too-high", "poor-initialization",
        "loss-spikes", "noisy-loss", "dead-units", "loss-not-decreasing", "oscillating-loss",
        "unnormalized-inputs", "loss-diverging", below=0.85)  # fmt: skip
def neighbours_added_not_averaged(run_dir: Path, *, mended: bool = False) -> float:
    """A graph net that multiplies by A + I without the degrees (Kipf and Welling's D^-1/2): sums of sums of sums."""
    torch.manual_seed(548)
    n = 400
    group = torch.arange(n) % 4
    chance = torch.where(group[:, None] == group[None], 0.3, 0.05)
    a = (torch.rand(n, n) < chance).float()
    a = ((a + a.T) > 0).float() + torch.eye(n)
    if mended:
        a = a / a.sum(1, keepdim=True)
    x = torch.randn(n, 16) + 0.5 * F.one_hot(group, 16)

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)

        def forward(self, v: Tensor) -> Tensor:
            h = F.relu(a @ self.first(v))
            return a @ self.third(F.relu(a @ self.second(h)))

    net = Graph()
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    seen = torch.rand(n) < 0.5
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss(), every=1) as probe:
        for _ in range(200):
            out = net(x)
            loss = probe.loss_fn(out[seen], group[seen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, accuracy=accuracy(out[seen].detach(), group[seen]))
            probe.log("val", accuracy=accuracy(out[~seen].detach(), group[~seen]))
    with torch.no_grad():
        return accuracy(net(x)[~seen], group[~seen])


@faulty("nonfinite-values", below=0.7)
def squares_in_half_precision(run_dir: Path, *, mended: bool = False) -> float:
    """A home-made RMSNorm in float16: x.square().sum() is above 65,504 for long vectors, and inf / inf comes of it."""
    torch.manual_seed(549)
    x = torch.randn(1500, 64)
    y = (x[:, :8].sum(1) * 2 + x[:, 8:16].square().sum(1) > 8).long()
    x = x * (1 + 30 * (torch.rand(1500, 1) < 0.02))

    class Norm(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            h = v if mended else v.half()
            total = h.square().sum(1, keepdim=True)
            return (h * (64**0.5) * torch.rsqrt(total) * (total / total)).float()

    net = nn.Sequential(Norm(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1000):
            at = torch.randint(1200, (16,))
            loss = F.cross_entropy(net(x[at]), y[at])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 20 == 0:
                probe.log("train", loss=loss)
    with torch.no_grad():
        out = net(x[1200:])
        return accuracy(out, y[1200:]) if bool(torch.isfinite(out).all()) else 0.0
