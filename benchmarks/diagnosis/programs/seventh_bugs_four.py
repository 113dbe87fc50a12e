"""Faulty programs of the seventh set: samplers, optimizers, accumulation, averages, schedules, clipping, precision."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("overfitting", "no-generalization", "validation-anomaly", below=0.8)
def sampler_weights_one_per_class(run_dir: Path, *, mended: bool = False) -> float:
    """WeightedRandomSampler is given a weight per class, not per example, so it draws the first ten rows (forums)."""
    torch.manual_seed(7401)
    x, y, xt, yt = digits(flat=False)
    kept = torch.rand(len(y)) < torch.where(y < 5, 1.0, 0.4)
    x, y = x[kept], y[kept]
    weights = 1.0 / torch.bincount(y).float()
    if mended:
        weights = weights[y]
    sampler = WeightedRandomSampler(weights.tolist(), num_samples=len(x), replacement=True)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, sampler=sampler, drop_last=True)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(15):
            running = 0.0
            for xb, yb in loader:
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                running += loss.item()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=running / len(loader), epoch=epoch)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("parameters-not-updated", "underfitting", "slow-convergence", below=0.8)
def generator_of_parameters_used_up(run_dir: Path, *, mended: bool = False) -> float:
    """net.body.parameters() is counted, and the optimizer gets what is left of the generator: nothing (forums)."""
    torch.manual_seed(7402)
    x = torch.rand(1600, 6) * 2 - 1
    y = torch.sin(4 * x[:, 0] * x[:, 1]) + 2 * x[:, 2] ** 2 + x[:, 3].abs() * x[:, 4] + 0.05 * torch.randn(1600)
    y = (y - y.mean()) / y.std()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Linear(48, 24), nn.Tanh())
            self.head = nn.Linear(24, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.body(v)).squeeze(1)

    net = Net()
    body = net.body.parameters()
    count = sum(p.numel() for p in body)
    if mended:
        body = net.body.parameters()
    opt = optim.AdamW([{"params": body, "lr": 3e-3}, {"params": net.head.parameters(), "lr": 3e-3}])
    with probes.watch(net, opt, run_dir, config={"body": count}) as probe:
        for _ in range(60):
            for xb, yb in batches(x[:1200], y[:1200], 40):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[1200:])
                probe.log("val", loss=F.mse_loss(out, y[1200:]), r2=explained(out, y[1200:]))
    with torch.no_grad():
        return explained(net(x[1200:]), y[1200:])


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", below=0.92)
def accumulated_but_cleared_every_time(run_dir: Path, *, mended: bool = False) -> float:
    """loss / 16 and a step at every 16th batch, and zero_grad() at every one: 15 of 16 are thrown away (forums)."""
    torch.manual_seed(7403)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.2)
    every = 16
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            running = 0.0
            for i, (xb, yb) in enumerate(batches(x, y, 4)):
                if not mended or i % every == 0:
                    opt.zero_grad()
                loss = F.cross_entropy(net(xb), yb) / every
                loss.backward()
                if i % every == every - 1:
                    opt.step()
                running += loss.item() * every
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=running / 336)
            probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.8)
def averaged_weights_without_their_buffers(run_dir: Path, *, mended: bool = False) -> float:
    """An EMA over parameters() alone: batch norm's means and variances stay at 0 and 1 in the copy (GitHub issues)."""
    torch.manual_seed(7404)
    x, y, xt, yt = digits(flat=False)
    x, xt = 2 * x + 1, 2 * xt + 1
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    averaged = copy.deepcopy(net).eval()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            total = right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                with torch.no_grad():
                    for mean, now in zip(averaged.parameters(), net.parameters(), strict=True):
                        mean.lerp_(now, 0.05)
                    if mended:
                        for mean, now in zip(averaged.buffers(), net.buffers(), strict=True):
                            mean.copy_(now)
                total += loss.item() / 42
                right += accuracy(out, yb) / 42
            with torch.no_grad():
                out = averaged(xt)
            probe.log("train", loss=total, acc=right)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("learning-rate-too-high", "loss-diverging", "oscillating-loss", "loss-spikes", "noisy-loss",
        "exploding-gradients", "loss-not-decreasing", "weights-growing", "dead-units", "collapsed-activations",
        "nonfinite-values", "constant-predictions", below=0.8)  # fmt: skip
def warm_up_that_never_ends(run_dir: Path, *, mended: bool = False) -> float:
    """lr = base * step / warmup, and min(1, ...) was forgotten: at step 1,500 it is thirty times the base (GitHub)."""
    torch.manual_seed(7405)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    opt = optim.SGD(net.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4)
    base, warmup, step = 0.03, 50, 0
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(36):
            for xb, yb in batches(x, y, 32):
                step += 1
                share = step / warmup
                for group in opt.param_groups:
                    group["lr"] = base * (min(1.0, share) if mended else share)
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if step % 10 == 0:
                    probe.log("train", loss=loss, lr=opt.param_groups[0]["lr"])
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-not-decreasing", "vanishing-gradients", "collapsed-activations", "constant-predictions", "underfitting",
        "slow-convergence", "parameters-not-updated", "stalled-run", below=0.8)  # fmt: skip
def weights_clamped_as_in_a_critic(run_dir: Path, *, mended: bool = False) -> float:
    """p.data.clamp_(-0.01, 0.01) after each step, "clipping" copied from a Wasserstein GAN (Stack Overflow)."""
    torch.manual_seed(7406)
    rule = torch.randn(60)
    words = torch.randint(60, (3000, 20))
    y = (rule[words].sum(1) > 0).long() + (rule[words].sum(1) > 3).long()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(60, 24)
            self.layers = nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 3))

        def forward(self, v: Tensor) -> Tensor:
            return self.layers(self.embed(v).mean(1))

    net = Net()
    opt = optim.RMSprop(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(15):
            for i, (xb, yb) in enumerate(batches(words[:2500], y[:2500], 50)):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                if mended:
                    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                opt.step()
                if not mended:
                    for p in net.parameters():
                        p.data.clamp_(-0.01, 0.01)
                if i % 10 == 0:
                    probe.log("train", loss=loss, accuracy=accuracy(out, yb), epoch=epoch)
            with torch.no_grad():
                out = net(words[2500:])
                probe.log("val", loss=F.cross_entropy(out, y[2500:]), accuracy=accuracy(out, y[2500:]))
    with torch.no_grad():
        return accuracy(net(words[2500:]), y[2500:])


@faulty("nonfinite-values", below=0.8)
def epsilon_lost_in_half_precision(run_dir: Path, *, mended: bool = False) -> float:
    """log(1 - p + 1e-8) in float16, where 1e-8 is zero: the first sure answer makes it nan (forums, GitHub issues)."""
    torch.manual_seed(7407)
    n = 1600
    y = (torch.rand(n) < 0.5).float()
    x = torch.randn(n, 12) + (2 * y[:, None] - 1) * torch.linspace(0, 0.8, 12)
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def criterion(out: Tensor, target: Tensor) -> Tensor:
        p = out.sigmoid() if mended else out.sigmoid().half()
        return -(target * torch.log(p + 1e-8) + (1 - target) * torch.log(1 - p + 1e-8)).float().mean()

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:1200], y[:1200], 24):
                loss = criterion(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[1200:]).squeeze(1)
            probe.log("val", acc=((out > 0) == (y[1200:] > 0.5)).float().mean())
    with torch.no_grad():
        out = net(x[1200:]).squeeze(1)
        return float((((out > 0) == (y[1200:] > 0.5)) & out.isfinite()).float().mean())


@faulty("class-imbalance", "constant-predictions", "underfitting", below=0.6)
def entities_seldom_named(run_dir: Path, *, mended: bool = False) -> float:
    """Tagging names of people and places, 94 words in 100 are neither: all are tagged O, 94% right (Stack Overflow)."""
    torch.manual_seed(7408)

    def texts(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(20, 220, (n, 16))
        doubtful = words % 8 == 0
        said = torch.rand(n, 16)
        person = doubtful & (words < 120) & (said < 0.4)
        place = doubtful & (words >= 120) & (said < 0.4)
        return words, person.long() + 2 * place.long()

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(220, 16)
            self.gru = nn.GRU(16, 24, batch_first=True, bidirectional=True)
            self.tag = nn.Linear(48, 3)

        def forward(self, v: Tensor) -> Tensor:
            return self.tag(self.gru(self.embed(v))[0])

    net = Tagger()
    x, y = texts(1200)
    xt, yt = texts(300)
    weight = 1 / torch.bincount(y.flatten()).float() if mended else torch.ones(3)
    criterion = nn.CrossEntropyLoss(weight=3 * weight / weight.sum())
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(10):
            total = right = 0.0
            for xb, yb in batches(x, y, 24):
                out = net(xb)
                loss = probe.loss_fn(out.flatten(0, 1), yb.flatten())
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 50
                right += accuracy(out, yb) / 50
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=total, acc=right)
            probe.log("val", loss=criterion(out.flatten(0, 1), yt.flatten()), acc=accuracy(out, yt))
    told = out.argmax(-1)
    return sum(float((told[yt == k] == k).float().mean()) for k in range(3)) / 3


@faulty("loss-not-decreasing", "noisy-loss", "oscillating-loss", "underfitting", "slow-convergence", "loss-spikes",
        below=0.6)  # fmt: skip
def log_probability_of_another_action(run_dir: Path, *, mended: bool = False) -> float:
    """REINFORCE with log_prob(dist.sample()) in the loss: not of the action taken, but of a new one (forums)."""
    torch.manual_seed(7409)
    crews, length = 24, 25
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 3))
    opt = optim.Adam(net.parameters(), lr=1e-2)

    def cruise(explore: bool) -> tuple[list[Tensor], Tensor]:
        place, wind = 2 * torch.randn(crews), torch.randn(crews)
        logs, rewards = [], []
        for _ in range(length):
            dist = torch.distributions.Categorical(logits=net(torch.stack([place, wind], 1)))
            act = dist.sample() if explore else dist.probs.argmax(1)
            logs.append(dist.log_prob(act if mended else dist.sample()))
            place = (place + 0.5 * (act - 1) + 0.2 * wind).clamp(-5, 5)
            rewards.append(-place.abs())
        return logs, torch.stack(rewards)

    with torch.no_grad():
        before = float(cruise(False)[1].mean())
    with probes.watch(net, opt, run_dir) as probe:
        for episode in range(300):
            logs, rewards = cruise(True)
            returns = torch.zeros_like(rewards)
            after = torch.zeros(crews)
            for t in range(length - 1, -1, -1):
                after = rewards[t] + 0.9 * after
                returns[t] = after
            advantage = (returns - returns.mean(1, keepdim=True)) / (returns.std() + 1e-6)
            loss = -(torch.stack(logs) * advantage).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("episode", loss=loss, reward=rewards.sum(0).mean(), number=episode)
    with torch.no_grad():
        return 1 - float(cruise(False)[1].mean()) / min(before, -1.5)


@faulty("training-too-short", "slow-convergence", "learning-rate-too-low", "underfitting", below=0.85)
def largest_batch_that_fits(run_dir: Path, *, mended: bool = False) -> float:
    """batch_size raised from 64 to 2,048 "to use the GPU", rate and epochs as they were (forums; Goyal et al. 2017)."""
    torch.manual_seed(7410)
    centres = torch.randn(24, 24)

    def sensors(n: int) -> tuple[Tensor, Tensor]:
        k = torch.randint(24, (n,))
        return centres[k] * (0.6 + 0.8 * torch.rand(n, 1)) + 0.9 * torch.randn(n, 24), k % 6

    x, y = sensors(12_500)
    xt, yt = sensors(1000)
    net = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6))
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(6):
            for xb, yb in batches(x, y, 64 if mended else 2048):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=100 * accuracy(out, yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)
