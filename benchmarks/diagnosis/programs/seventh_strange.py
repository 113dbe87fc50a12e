"""Healthy trainings of the seventh set whose curves look ill: negative or level losses, late understanding, noise."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.85)
def information_two_signals_share(run_dir: Path) -> float:
    """MINE (Belghazi et al. 2018): the loss is minus a bound on the mutual information, noisy, and falls below zero."""
    torch.manual_seed(7501)
    rho = 0.9
    true = -2 * math.log(1 - rho**2) / 2  # two pairs of coordinates

    def pairs(n: int) -> tuple[Tensor, Tensor]:
        a = torch.randn(n, 2)
        return a, rho * a + math.sqrt(1 - rho**2) * torch.randn(n, 2)

    net = nn.Sequential(nn.Linear(4, 64), nn.ELU(), nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3)

    def bound(n: int) -> Tensor:
        a, b = pairs(n)
        apart = net(torch.cat([a, b[torch.randperm(n)]], 1)).squeeze(1)
        return net(torch.cat([a, b], 1)).mean() - (apart.logsumexp(0) - math.log(n))

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(2500):
            loss = -bound(128)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        told = float(bound(20_000))
    return 1 - abs(told - true) / true


@healthy(at_least=0.9)
def sums_on_a_clock_grokked(run_dir: Path) -> float:
    """Addition modulo 31 (Power et al. 2022): half the table is known by heart long before the rest is understood."""
    torch.manual_seed(7502)
    p = 31
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    a, b = a.flatten(), b.flatten()
    y = (a + b) % p
    order = torch.randperm(p * p)
    train, test = order[: p * p // 2], order[p * p // 2 :]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(p, 64)
            self.mix = nn.Linear(64, 128)
            self.out = nn.Linear(128, p)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.out(F.relu(self.mix(self.embed(left) + self.embed(right))))

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98))
    with probes.watch(net, opt, run_dir, config={"modulus": p, "weight_decay": 1.0}) as probe:
        for step in range(4000):
            out = net(a[train], b[train])
            loss = F.cross_entropy(out, y[train])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 20 == 19:
                with torch.no_grad():
                    held = net(a[test], b[test])
                probe.log("train", loss=loss, acc=accuracy(out, y[train]))
                probe.log("val", loss=F.cross_entropy(held, y[test]), acc=accuracy(held, y[test]))
    with torch.no_grad():
        return accuracy(net(a[test], b[test]), y[test])


@healthy(at_least=0.75)
def volumes_two_at_a_time(run_dir: Path) -> float:
    """Organs in scans by 3D convolutions (Cicek et al. 2016): batches of two, group norm, cross-entropy and Dice."""
    torch.manual_seed(7503)
    line = torch.arange(12.0)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")

    def scans(n: int) -> tuple[Tensor, Tensor]:
        centre = 3 + 6 * torch.rand(n, 3, 1, 1, 1)
        radius = 2 + 2 * torch.rand(n, 1, 1, 1)
        far = ((z - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2 + 1.5 * (x - centre[:, 2]) ** 2).sqrt()
        organ = (far < radius).float()
        shade = 0.4 * torch.sin(x / 3 + 6 * torch.rand(n, 1, 1, 1))
        return (organ + shade + 0.7 * torch.randn(n, 12, 12, 12))[:, None], organ[:, None]

    def block(i: int, o: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(nn.Conv3d(i, o, 3, stride, 1), nn.GroupNorm(4, o), nn.LeakyReLU(0.01))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.down, self.deep = block(1, 8), block(8, 16, 2), block(16, 16)
            self.up = nn.ConvTranspose3d(16, 8, 2, 2)
            self.last = nn.Sequential(block(16, 8), nn.Conv3d(8, 1, 1))

        def forward(self, v: Tensor) -> Tensor:
            high = self.first(v)
            return self.last(torch.cat([high, self.up(self.deep(self.down(high)))], 1))

    def dice(out: Tensor, target: Tensor) -> Tensor:
        p = out.sigmoid().flatten(1)
        both = (p * target.flatten(1)).sum(1)
        return (2 * both + 1) / (p.sum(1) + target.flatten(1).sum(1) + 1)

    net = Net()
    images, organs = scans(120)
    images_val, organs_val = scans(20)
    steps = 480
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
    scheduler = optim.lr_scheduler.LambdaLR(opt, lambda s: (1 - s / (steps + 1)) ** 0.9)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for epoch in range(8):
            for chosen in torch.randperm(120).split(2):
                out = net(images[chosen])
                loss = F.binary_cross_entropy_with_logits(out, organs[chosen]) - dice(out, organs[chosen]).mean()
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 12)
                opt.step()
                scheduler.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(images_val)
                val = dice((out > 0).float() * 200 - 100, organs_val).mean()
            probe.log("val", dice=val, epoch=epoch)
    return float(val)


@healthy(at_least=0.85)
def only_the_hardest_eighth(run_dir: Path) -> float:
    """Online hard example mining (Shrivastava et al. 2016): the loss is that of the hardest, and stays where it is."""
    torch.manual_seed(7504)
    centres = torch.randn(6, 16)

    def calls(n: int) -> tuple[Tensor, Tensor]:
        k = torch.randint(6, (n,))
        v = 1.15 * torch.randn(n, 16) + centres[k]
        return v * (1 + 0.3 * torch.randn(n, 1)), k % 3

    x, y = calls(40_000)
    xt, yt = calls(2000)
    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.MultiStepLR(opt, [600, 1000], gamma=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1250):
            chosen = slice(32 * step, 32 * step + 32)
            each = F.cross_entropy(net(x[chosen]), y[chosen], reduction="none")
            loss = each.topk(4).values.mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            scheduler.step()
            probe.log("train", loss=loss.item())
            if step % 50 == 49:
                with torch.no_grad():
                    probe.log("test", accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.6)
def elites_of_the_episodes(run_dir: Path) -> float:
    """Deep cross-entropy method (Lapan's book): imitate the best fifth; the loss hovers, the reward rises."""
    torch.manual_seed(7505)
    crews, length = 100, 60
    net = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=0.01)

    def flights(greedy: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        height, speed = 4 + 4 * torch.rand(crews), torch.zeros(crews)
        goal = 3 + 6 * torch.rand(crews)
        seen, acts, reward = [], [], torch.zeros(crews)
        with torch.no_grad():
            for _ in range(length):
                state = torch.stack([(height - goal) / 3, speed, (goal - 6) / 3], 1)
                p = net(state).softmax(1)[:, 1]
                act = (p > 0.5).long() if greedy else torch.bernoulli(p).long()
                speed = 0.95 * speed + 0.12 * (2 * act - 1) + 0.03 * torch.randn(crews)
                height = (height + speed).clamp(0, 12)
                reward += ((height - goal).abs() < 1).float()
                seen.append(state)
                acts.append(act)
        return torch.stack(seen, 1), torch.stack(acts, 1), reward

    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for iteration in range(80):
            seen, acts, reward = flights()
            best = reward >= reward.quantile(0.8)
            states, taken = seen[best].flatten(0, 1), acts[best].flatten()
            for _ in range(3):
                chosen = torch.randint(len(states), (256,))
                loss = probe.loss_fn(net(states[chosen]), taken[chosen])
                opt.zero_grad()
                loss.backward()
                opt.step()
            probe.log("train", loss=loss)
            probe.log("rollout", reward_mean=reward.mean(), reward_bound=reward[best].min(), iteration=iteration)
    return float(flights(greedy=True)[2].mean()) / length


@healthy(at_least=0.62)
def preferences_in_sixty_steps(run_dir: Path) -> float:
    """Direct preference optimisation (Rafailov et al. 2023): a trained model, a tiny rate, log 2 and a little less."""
    torch.manual_seed(7506)
    words, length = 30, 8
    step_up = torch.softmax(1.5 * torch.randn(words, words), 1)
    polite = torch.zeros(words)
    polite[:6], polite[6:12] = 1.0, -1.0

    def texts(n: int) -> Tensor:
        rows = [torch.randint(words, (n,))]
        for _ in range(length):
            rows.append(torch.multinomial(step_up[rows[-1]], 1).squeeze(1))
        return torch.stack(rows, 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(words, 32)
            self.gru = nn.GRU(32, 64, batch_first=True)
            self.out = nn.Linear(64, words)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.gru(self.embed(v))[0]).log_softmax(-1)

        def likelihood(self, v: Tensor) -> Tensor:
            return self(v[:, :-1]).gather(2, v[:, 1:, None]).sum((1, 2))

    net = Net()
    before = optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(400):
        loss = -net.likelihood(texts(64)).mean()
        before.zero_grad()
        loss.backward()
        before.step()
    reference = copy.deepcopy(net).requires_grad_(False)

    def judged(n: int) -> tuple[Tensor, Tensor]:
        one, other = texts(n), texts(n)
        other[:, 0] = one[:, 0]
        better = torch.rand(n) < (polite[one].sum(1) - polite[other].sum(1)).sigmoid()
        return torch.where(better[:, None], one, other), torch.where(better[:, None], other, one)

    def margin(liked: Tensor, not_liked: Tensor) -> Tensor:
        gained = net.likelihood(liked) - reference.likelihood(liked)
        return 0.1 * (gained - (net.likelihood(not_liked) - reference.likelihood(not_liked)))

    held = judged(400)
    opt = optim.AdamW(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, config={"beta": 0.1}) as probe:
        for step in range(60):
            for group in opt.param_groups:
                group["lr"] = 1e-3 * min(1.0, (step + 1) / 6)
            gap = margin(*judged(64))
            loss = -F.logsigmoid(gap).mean()
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("train", loss=loss, rewards_accuracies=(gap > 0).float().mean(), rewards_margins=gap.mean())
    with torch.no_grad():
        return float((margin(*held) > 0).float().mean())
