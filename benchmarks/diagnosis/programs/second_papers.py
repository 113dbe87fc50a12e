"""Healthy programs of the second fresh set: small versions of papers, with losses that mislead."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, moons
from benchmarks.diagnosis.programs.program import healthy
from benchmarks.diagnosis.programs.second_textbook import letters_of


@healthy(at_least=0.85)
def domain_adversarial(run_dir: Path) -> float:
    """DANN (Ganin et al. 2016): reversed gradients make the domain loss rise to ln 2, which is what is wanted."""
    torch.manual_seed(261)

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, v: Tensor) -> Tensor:
            return v.view_as(v)

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:
            return -grad

    x, y, xt, yt = digits()
    shift = 0.4 * torch.randn(64)
    target, target_test = 0.8 * x + shift, 0.8 * xt + shift
    body = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    label, domain = nn.Linear(64, 10), nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    model = nn.ModuleDict({"body": body, "label": label, "domain": domain})
    opt = optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 64):
                other = target[torch.randint(len(target), (64,))]
                h = body(torch.cat([xb, other]))
                task = F.cross_entropy(label(h[:64]), yb)
                where = torch.cat([torch.zeros(64), torch.ones(64)])
                adversary = F.binary_cross_entropy_with_logits(domain(Reverse.apply(h)).squeeze(1), where)
                loss = task + 0.3 * adversary
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, task=task, domain=adversary)
    with torch.no_grad():
        return accuracy(label(body(target_test)), yt)


@healthy(at_least=0.8)
def heavy_tailed_noise(run_dir: Path) -> float:
    """Squared error with Student-t noise of 2.2 degrees of freedom: single losses are a hundred times the median."""
    torch.manual_seed(262)
    x = torch.randn(4000, 6)
    truth = torch.sin(2 * x[:, 0]) * 2 + x[:, 1] * x[:, 2]
    y = truth + torch.distributions.StudentT(2.2).sample((4000,))
    net = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:3600], y[:3600], 36):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 2.0)
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[3600:]).squeeze(1), y[3600:]))
    with torch.no_grad():
        return explained(net(x[3600:]).squeeze(1), truth[3600:])


@healthy(at_least=0.5)
def glove(run_dir: Path) -> float:
    """Pennington et al. 2014 on characters: weighted least squares of log counts, Adagrad 0.05."""
    torch.manual_seed(263)
    data, size = letters_of(60000)
    counts = torch.zeros(size, size)
    for d in range(1, 5):
        counts.index_put_((data[:-d], data[d:]), torch.tensor(1.0 / d), accumulate=True)
    i, j = counts.nonzero(as_tuple=True)
    logs, weight = counts[i, j].log(), (counts[i, j] / 100).clamp(max=1) ** 0.75

    class GloVe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word, self.context = nn.Embedding(size, 16), nn.Embedding(size, 16)
            self.bias, self.other = nn.Embedding(size, 1), nn.Embedding(size, 1)
            for p in self.parameters():
                nn.init.uniform_(p, -0.05, 0.05)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return (self.word(a) * self.context(b)).sum(1) + self.bias(a)[:, 0] + self.other(b)[:, 0]

    model = GloVe()
    opt = optim.Adagrad(model.parameters(), lr=0.05)
    with probes.watch(model, opt, run_dir) as probe:
        for epoch in range(25):
            total = 0.0
            for ix, _ in batches(torch.arange(len(i)), torch.arange(len(i)), 64):
                loss = (weight[ix] * (model(i[ix], j[ix]) - logs[ix]).square()).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            probe.log("epoch", loss=total, number=epoch)
    with torch.no_grad():
        return explained(model(i, j), logs)


@healthy(at_least=0.7)
def bayesian_ranking(run_dir: Path) -> float:
    """BPR (Rendle et al. 2009): matrix factorisation of clicks with sampled negatives, from ln 2 down, SGD."""
    torch.manual_seed(264)
    users, items = torch.randn(150, 4), torch.randn(200, 4)
    likes = users @ items.T + 0.5 * torch.randn(150, 200)
    clicked = likes > likes.quantile(0.85, dim=1, keepdim=True)
    known = clicked & (torch.rand(150, 200) < 0.7)
    u, pos = known.nonzero(as_tuple=True)
    model = nn.ModuleDict({"user": nn.Embedding(150, 8), "item": nn.Embedding(200, 8)})
    for p in model.parameters():
        nn.init.normal_(p, std=0.1)
    opt = optim.SGD(model.parameters(), lr=5.0, weight_decay=1e-4)

    def score(a: Tensor, b: Tensor) -> Tensor:
        return (model["user"](a) * model["item"](b)).sum(1)

    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(2500):
            ix = torch.randint(len(u), (64,))
            neg = torch.randint(200, (64,))
            loss = -F.logsigmoid(score(u[ix], pos[ix]) - score(u[ix], neg)).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", bpr=loss)
    with torch.no_grad():
        all_scores = model["user"].weight @ model["item"].weight.T
    held, never = clicked & ~known, ~clicked
    aucs = [
        (all_scores[k][held[k]][:, None] > all_scores[k][never[k]][None]).float().mean()
        for k in range(150)
        if held[k].any()
    ]
    return float(torch.stack(aucs).mean())


@healthy(at_least=0.2)
def score_matching(run_dir: Path) -> float:
    """Denoising score matching (Vincent 2011): two moons, noise of 0.3; the loss keeps to about 2 for good."""
    torch.manual_seed(265)
    data = moons(3000, 0.02).x
    net = nn.Sequential(nn.Linear(2, 64), nn.Softplus(), nn.Linear(64, 64), nn.Softplus(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1500):
            v = data[torch.randint(len(data), (128,))]
            noise = torch.randn_like(v)
            loss = (0.3 * net(v + 0.3 * noise) + noise).square().sum(1).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        noise = torch.randn(len(data), 2)
        return float(1 - (0.3 * net(data + 0.3 * noise) + noise).square().sum(1).mean() / 2)


@healthy(at_least=0.9)
def karate_club(run_dir: Path) -> float:
    """Kipf and Welling's demonstration: two labelled members of 34, two layers, no features, 120 steps."""
    torch.manual_seed(266)
    first = (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31)
    edges = [(0, k) for k in first] + [
        (33, k) for k in (8, 9, 13, 14, 15, 18, 19, 20, 22, 23, 26, 27, 28, 29, 30, 31, 32)
    ]
    edges += [(32, k) for k in (2, 8, 14, 15, 18, 20, 22, 23, 29, 30, 31)] + [
        (1, k) for k in (2, 3, 7, 13, 17, 19, 21, 30)
    ]
    edges += [
        (2, 3),
        (2, 7),
        (2, 8),
        (2, 9),
        (2, 13),
        (2, 27),
        (2, 28),
        (3, 7),
        (3, 12),
        (3, 13),
        (4, 6),
        (4, 10),
        (5, 6),
    ]
    edges += [(5, 10), (5, 16), (6, 16), (8, 30), (23, 25), (23, 27), (23, 29), (24, 25), (24, 27), (24, 31), (25, 31)]
    edges += [(26, 29), (28, 31)]
    a = torch.eye(34)
    for p, q in edges:
        a[p, q] = a[q, p] = 1
    a = a / a.sum(1).sqrt()[:, None] / a.sum(1).sqrt()[None]
    camp = torch.tensor(
        [0 if k in {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 19, 21} else 1 for k in range(34)]
    )

    class GCN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(34, 8), nn.Linear(8, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.two(a @ torch.tanh(self.one(a @ v)))

    net = GCN()
    opt = optim.Adam(net.parameters(), lr=0.02)
    x, seen = torch.eye(34), torch.tensor([0, 33])
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(120):
            out = net(x)
            loss = F.cross_entropy(out[seen], camp[seen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(a @ net(x), camp)


@healthy(at_least=0.9)
def sixty_thousand_noisy_examples(run_dir: Path) -> float:
    """XOR of two noisy signs by a 2-8-1 tanh net, one example a step, 60,000 steps, each loss logged."""
    torch.manual_seed(267)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    opt = optim.SGD(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60000):
            x = torch.randn(1, 2)
            y = (x[:, 0] * x[:, 1] > 0).float()
            loss = F.binary_cross_entropy_with_logits(net(x).squeeze(1), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss.item())
    x = torch.randn(2000, 2)
    with torch.no_grad():
        return float(((net(x).squeeze(1) > 0) == (x[:, 0] * x[:, 1] > 0)).float().mean())


@healthy(at_least=0.12)
def masked_autoencoder_for_density(run_dir: Path) -> float:
    """MADE (Germain et al. 2015) on black-and-white digits: summed cross-entropy, from 44 nats down; Adam, decay."""
    torch.manual_seed(268)
    x, _y, xt, _yt = digits(standard=False)
    x, xt = (x > 8).float(), (xt > 8).float()

    class Masked(nn.Linear):
        def __init__(self, a: int, b: int, mask: Tensor) -> None:
            super().__init__(a, b)
            self.register_buffer("mask", mask.float())

        def forward(self, v: Tensor) -> Tensor:
            return F.linear(v, self.weight * self.mask, self.bias)

    place, hidden = torch.arange(64), torch.randint(63, (256,))
    net = nn.Sequential(
        Masked(64, 256, hidden[:, None] >= place[None]), nn.ReLU(), Masked(256, 64, place[:, None] > hidden[None])
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    decay = optim.lr_scheduler.ExponentialLR(opt, 0.97)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, _ in batches(x, x, 50):
                nll = F.binary_cross_entropy_with_logits(net(xb), xb, reduction="sum") / len(xb)
                opt.zero_grad()
                nll.backward()
                opt.step()
                probe.log("train", nll=nll)
            decay.step()
            with torch.no_grad():
                test = F.binary_cross_entropy_with_logits(net(xt), xt, reduction="sum") / len(xt)
            probe.log("test", nll=test)
    p = x.mean(0).clamp(1e-3, 1 - 1e-3)
    alone = -(xt * p.log() + (1 - xt) * (1 - p).log()).sum(1).mean()
    return float(1 - test / alone)


@healthy(at_least=0.9)
def five_nets_at_once(run_dir: Path) -> float:
    """A deep ensemble (Lakshminarayanan et al. 2017): five nets in one ModuleList, a sum of losses."""
    torch.manual_seed(269)
    x, y, xt, yt = digits()
    nets = nn.ModuleList(nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)) for _ in range(5))
    opt = optim.Adadelta(nets.parameters(), lr=1.0)
    with probes.watch(nets, opt, run_dir) as probe:
        for epoch in range(8):
            for xb, yb in batches(x, y, 32):
                loss = sum(F.cross_entropy(net(xb), yb) for net in nets)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            if epoch == 7:
                with torch.no_grad():
                    probe.log("val", accuracy=accuracy(sum(net(xt).softmax(1) for net in nets), yt))
    with torch.no_grad():
        return accuracy(sum(net(xt).softmax(1) for net in nets), yt)


@healthy(at_least=0.95)
def fourier_features(run_dir: Path) -> float:
    """Tancik et al. 2020: a signal of high frequency through random Fourier features; the rate decays."""
    torch.manual_seed(270)
    t = torch.linspace(0, 1, 400).unsqueeze(1)
    y = torch.sin(40 * t) + 0.5 * torch.sign(torch.sin(9 * t))
    b = 10 * torch.randn(1, 64)
    features = torch.cat([torch.sin(2 * math.pi * t @ b), torch.cos(2 * math.pi * t @ b)], 1)
    net = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    decay = optim.lr_scheduler.ExponentialLR(opt, 0.997)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(800):
            loss = probe.loss_fn(net(features), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            decay.step()
            probe.log("train", loss=loss, psnr=-10 * torch.log10(loss.detach()))
    with torch.no_grad():
        return explained(net(features), y)
