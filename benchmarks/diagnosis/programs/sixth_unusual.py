"""Healthy trainings of the sixth set: without classes or values to be told, or with losses that say little."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage.data import astronaut
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.75)
def friendships_by_a_graph_autoencoder(run_dir: Path) -> float:
    """Kipf and Welling 2016: two graph convolutions, inner products, a tenth of the edges held out; nothing logged."""
    torch.manual_seed(1671)
    n = 160
    group = torch.arange(n) % 5
    chance = torch.where(group[:, None] == group, 0.22, 0.01)
    linked = (torch.rand(n, n) < chance).triu(1)
    edges = torch.nonzero(linked)[torch.randperm(int(linked.sum()))]
    held, edges = edges[: len(edges) // 10], edges[len(edges) // 10 :]
    adjacency = torch.eye(n)
    adjacency[edges[:, 0], edges[:, 1]] = adjacency[edges[:, 1], edges[:, 0]] = 1
    norm = adjacency / (adjacency.sum(0).sqrt()[:, None] * adjacency.sum(0).sqrt())
    strange = torch.nonzero(~(linked | linked.T))
    strange = strange[torch.randperm(len(strange))[: len(held)]]

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(n, 32, bias=False)
            self.second = nn.Linear(32, 16, bias=False)

        def forward(self, features: Tensor) -> Tensor:
            return norm @ self.second(F.relu(norm @ self.first(features)))

    net = Encoder()
    opt = optim.Adam(net.parameters(), lr=0.01)
    weight = (n * n - adjacency.sum()) / adjacency.sum()
    with probes.watch(net, opt, run_dir):
        for _ in range(120):
            z = net(torch.eye(n))
            loss = F.binary_cross_entropy_with_logits(z @ z.T, adjacency, pos_weight=weight)
            opt.zero_grad()
            loss.backward()
            opt.step()
    with torch.no_grad():
        z = net(torch.eye(n))
    true, false = ((z[pair[:, 0]] * z[pair[:, 1]]).sum(1) for pair in (held, strange))
    return float((true[:, None] > false).float().mean())


@healthy(at_least=0.6)
def curves_from_a_few_points(run_dir: Path) -> float:
    """A conditional neural process (Garnelo et al. 2018): a new curve at every step, a likelihood that jumps about."""
    torch.manual_seed(1672)

    class Process(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
            self.decoder = nn.Sequential(nn.Linear(65, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))

        def forward(self, x: Tensor, y: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
            about = self.encoder(torch.stack([x, y], 2)).mean(1, keepdim=True).expand(-1, at.shape[1], -1)
            mean, spread = self.decoder(torch.cat([about, at[..., None]], 2)).unbind(2)
            return mean, 0.02 + F.softplus(spread)

    def curves(n: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(n, 40) * 4 - 2
        size, phase = 0.5 + torch.rand(n, 1), 2 * math.pi * torch.rand(n, 1)
        return x, size * torch.sin(2 * x + phase)

    net = Process()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(opt, 1800)
    with probes.watch(net, opt, run_dir) as probe:
        for iteration in range(1800):
            x, y = curves(16)
            known = int(torch.randint(3, 15, ()))
            mean, spread = net(x[:, :known], y[:, :known], x)
            loss = -torch.distributions.Normal(mean, spread).log_prob(y).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            scheduler.step()
            probe.log("train", loss=loss, iteration=iteration)
    x, y = curves(300)
    with torch.no_grad():
        return explained(net(x[:, :10], y[:, :10], x)[0][:, 10:], y[:, 10:])


@healthy(at_least=0.7)
def throws_by_a_gaussian_policy(run_dir: Path) -> float:
    """REINFORCE with a baseline and continuous actions: angle and speed of a throw at a wall somewhere; reward only."""
    torch.manual_seed(1673)
    actor = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    spread = nn.Parameter(torch.full((2,), -0.7))
    policy = nn.ParameterDict({"log_std": spread})
    agent = nn.ModuleDict({"actor": actor, "spread": policy})
    opt = optim.Adam(agent.parameters(), lr=4e-3)

    def missed(far: Tensor, action: Tensor) -> Tensor:
        angle, speed = 0.8 + 0.3 * action[:, 0], 3.2 + action[:, 1]
        return (speed**2 * torch.sin(2 * angle) / 9.81 - far[:, 0]).abs()

    with probes.watch(agent, opt, run_dir) as probe:
        for episode in range(1200):
            far = 0.5 + 1.5 * torch.rand(32, 1)
            law = torch.distributions.Normal(actor(far - 1.25), spread.clamp(-3, 0).exp())
            action = law.sample()
            reward = -missed(far, action)
            advantage = (reward - reward.mean()) / (reward.std() + 1e-6)
            loss = -(law.log_prob(action).sum(1) * advantage).mean() - 0.003 * spread.sum()
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 1.0)
            opt.step()
            if episode % 5 == 0:
                probe.log("episode", reward=reward.mean())
    far = 0.5 + 1.5 * torch.rand(400, 1)
    with torch.no_grad():
        return float(1 - missed(far, actor(far - 1.25)).mean() / 0.4)


@healthy(at_least=0.4)
def a_photograph_from_its_noise_alone(run_dir: Path) -> float:
    """Deep image prior (Ulyanov et al. 2018): one picture, one fixed input, stopped early; batch norm, Adam at 0.01."""
    torch.manual_seed(1674)
    clean = torch.tensor(astronaut()[:128:2, 160:288:2]).float().permute(2, 0, 1)[None] / 255
    noisy = clean + 0.12 * torch.randn_like(clean)
    seed = 0.1 * torch.randn(1, 8, 32, 32)
    net = nn.Sequential(
        nn.Conv2d(8, 24, 3, padding=1), nn.BatchNorm2d(24), nn.LeakyReLU(0.2), nn.Conv2d(24, 24, 3, padding=1),
        nn.BatchNorm2d(24), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(24, 24, 3, padding=1), nn.BatchNorm2d(24), nn.LeakyReLU(0.2), nn.Conv2d(24, 3, 1), nn.Sigmoid(),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=0.01)
    smooth = torch.zeros_like(clean)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(120):
            out = net(seed + 0.01 * torch.randn_like(seed))
            loss = F.mse_loss(out, noisy)
            opt.zero_grad()
            loss.backward()
            opt.step()
            smooth = 0.9 * smooth + 0.1 * out.detach() if step else out.detach()
            if step % 5 == 0:
                probe.log("fit", mse=loss, psnr=-10 * F.mse_loss(smooth, clean).log10())
    gained = F.mse_loss(noisy, clean) / F.mse_loss(smooth, clean)
    return float(gained.log10())


@healthy(at_least=0.8)
def a_family_tree_in_a_poincare_disc(run_dir: Path) -> float:
    """Nickel and Kiela 2017: a binary tree in ten dimensions of a ball, Riemannian descent of one's own, burn-in."""
    torch.manual_seed(1675)
    n = 63
    pairs = [(child, up) for child in range(1, n) for up in _ancestors(child)]
    related = torch.tensor(pairs)
    known = torch.zeros(n, n, dtype=torch.bool)
    known[related[:, 0], related[:, 1]] = known[related[:, 1], related[:, 0]] = True
    known |= torch.eye(n, dtype=torch.bool)
    place = nn.Embedding(n, 10)
    nn.init.uniform_(place.weight, -1e-3, 1e-3)

    def distance(u: Tensor, v: Tensor) -> Tensor:
        inside = (1 - (u**2).sum(-1)) * (1 - (v**2).sum(-1))
        return torch.acosh(1 + 2 * ((u - v) ** 2).sum(-1).clamp(min=1e-10) / inside.clamp(min=1e-6))

    class RiemannianSGD(optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: None = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(group["lr"] * ((1 - (p**2).sum(1, keepdim=True)) ** 2 / 4) * p.grad)
                    p.mul_((0.999 / p.norm(dim=1, keepdim=True)).clamp(max=1.0))

    opt = RiemannianSGD(place.parameters(), {"lr": 0.0})
    with probes.watch(place, opt, run_dir) as probe:
        for epoch in range(120):
            opt.param_groups[0]["lr"] = 1.0 if epoch < 10 else 8.0
            total = 0.0
            for rows in torch.randperm(len(related)).split(32):
                child, up = related[rows].unbind(1)
                others = torch.multinomial((~known[child]).float(), 10, replacement=True)
                far = torch.cat([up[:, None], others], 1)
                loss = F.cross_entropy(-distance(place(child)[:, None], place(far)), torch.zeros_like(child))
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() * len(rows) / len(related)
            probe.log("train", loss=total, epoch=epoch)
    w = place.weight.detach()
    table = distance(w[:, None], w[None])
    better = [(table[c, u] < table[c][~known[c]]).float().mean() for c, u in pairs]
    return float(torch.stack(better).mean())


def _ancestors(child: int) -> list[int]:
    """Those above ``child`` in a binary tree that is counted row by row."""
    found = []
    while child:
        child = (child - 1) // 2
        found.append(child)
    return found


class _Uncertain(nn.Module):
    """A linear layer whose weights are normal distributions."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(outside, inside) / math.sqrt(inside))
        self.rho = nn.Parameter(torch.full((outside, inside), -4.0))
        self.bias = nn.Parameter(torch.zeros(outside))

    def forward(self, v: Tensor) -> Tensor:
        centre = F.linear(v, self.mean, self.bias)
        spread = F.linear(v**2, F.softplus(self.rho) ** 2).clamp(min=1e-10).sqrt()
        return centre + spread * torch.randn_like(spread)

    def divergence(self) -> Tensor:
        sigma = F.softplus(self.rho)
        return (0.5 * (sigma**2 + self.mean**2 - 1) - sigma.log()).sum()


@healthy(at_least=0.8)
def weights_that_are_distributions(run_dir: Path) -> float:
    """Bayes by backprop with local reparametrisation: an evidence bound in the thousands, mostly divergence."""
    torch.manual_seed(1676)
    x = torch.rand(1200, 3) * 4 - 2
    y = torch.sin(2 * x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.2 * torch.randn(1200)
    first, second, last = _Uncertain(3, 40), _Uncertain(40, 40), _Uncertain(40, 1)
    net = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), last)
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(150):
            for xb, yb in batches(x[:900], y[:900], 90):
                misfit = ((net(xb).squeeze(1) - yb) ** 2).mean() / (2 * 0.2**2) * 900
                divergence = first.divergence() + second.divergence() + last.divergence()
                loss = misfit + min(1.0, epoch / 60) * divergence
                opt.zero_grad()
                loss.backward()
                opt.step()
            probe.log("elbo", loss=loss, misfit=misfit, kl=divergence)
    with torch.no_grad():
        return explained(torch.stack([net(x[900:]) for _ in range(20)]).mean(0), y[900:])


@healthy(at_least=0.85)
def zeros_and_how_far_others_are(run_dir: Path) -> float:
    """Deep SVDD (Ruff et al. 2018): only zeros are shown, all go near one centre; no biases; the loss nears nothing."""
    torch.manual_seed(1677)
    x, y, xt, yt = digits(flat=False)
    x = x[y == 0]
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, bias=False), nn.LeakyReLU(0.1), nn.Conv2d(12, 16, 3, bias=False), nn.LeakyReLU(0.1),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 16, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        centre = net(x).mean(0)
    centre[centre.abs() < 0.1] = 0.1
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for chosen in torch.randperm(len(x)).split(16):
                loss = ((net(x[chosen]) - centre) ** 2).sum(1).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("svdd", loss=loss.item())
    with torch.no_grad():
        far = ((net(xt) - centre) ** 2).sum(1)
    return float((far[yt != 0][:, None] > far[yt == 0]).float().mean())


@healthy(at_least=0.9)
def jigsaws_by_sinkhorn(run_dir: Path) -> float:
    """Gumbel-Sinkhorn (Mena et al. 2018): numbers put in order by a matrix made doubly stochastic, temperature 0.5."""
    torch.manual_seed(1678)
    n = 6
    net = nn.Sequential(nn.Linear(1, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, n))

    def sinkhorn(scores: Tensor, noise: float) -> Tensor:
        gumbel = -torch.log(-torch.log(torch.rand_like(scores).clamp(1e-9, 1 - 1e-7)))
        log_p = (scores + noise * gumbel) / 0.5
        for _ in range(10):
            log_p = log_p - log_p.logsumexp(1, keepdim=True)
            log_p = log_p - log_p.logsumexp(2, keepdim=True)
        return log_p.exp()

    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(800):
            x = torch.rand(32, n, 1)
            ordered = sinkhorn(net(4 * x - 2), 0.3).transpose(1, 2) @ x
            loss = F.mse_loss(ordered, x.sort(1).values)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 8 == 0:
                probe.log("sorting", loss=loss)
    x = torch.rand(500, n, 1)
    with torch.no_grad():
        ordered = sinkhorn(net(4 * x - 2), 0.0).transpose(1, 2) @ x
    return explained(ordered, x.sort(1).values)
