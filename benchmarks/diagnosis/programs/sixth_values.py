"""Healthy trainings of the sixth set: prices, counts, angles, forces, forecasts, and how sure one is of them."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, explained
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.8)
def houses_by_a_linear_layer_on_log_prices(run_dir: Path) -> float:
    """d2l's Kaggle chapter: standardised columns and one-hot ones, the logarithm of prices, plain SGD."""
    torch.manual_seed(1661)
    n = 1460
    numbers = torch.randn(n, 12)
    numbers[:, 1] = 0.7 * numbers[:, 0] + 0.7 * numbers[:, 1]
    district = torch.randint(15, (n,))
    features = torch.cat([numbers, F.one_hot(district, 15).float()], 1)
    weight = torch.cat([0.12 * torch.randn(12), 0.25 * torch.randn(15)])
    price = torch.exp(12 + features @ weight + 0.12 * torch.randn(n))
    x, y = features[:1100], price[:1100].log()[:, None]
    x_val, y_val = features[1100:], price[1100:].log()[:, None]
    net = nn.Linear(27, 1)
    trainer = optim.SGD(net.parameters(), lr=0.02)
    loss = nn.MSELoss()
    with probes.watch(net, trainer, run_dir) as probe:
        for epoch in range(80):
            total = 0.0
            for xb, yb in batches(x, y, 64):
                trainer.zero_grad()
                value = loss(net(xb), yb)
                value.backward()
                trainer.step()
                total += value.item() / 17
            with torch.no_grad():
                val = loss(net(x_val), y_val)
            probe.log("kaggle", train_loss=total, val_loss=val, epoch=epoch)
    with torch.no_grad():
        return explained(net(x_val), y_val)


@healthy(at_least=0.12)
def wages_of_which_little_is_explained(run_dir: Path) -> float:
    """A survey's wages: schooling, years and region explain a fifth, luck the rest; small net, dropout, NAdam."""
    torch.manual_seed(1662)
    n = 5000
    schooling, years = torch.randn(n), torch.rand(n) * 40
    others = torch.randn(n, 8)
    y = 0.3 * schooling + 0.04 * years - 0.0007 * years**2 + 0.1 * others[:, 0] * schooling
    y = y + 0.62 * torch.distributions.StudentT(5.0).sample((n,))
    x = torch.cat([schooling[:, None], (years[:, None] - 20) / 11.5, others], 1)
    y = (y - y.mean()) / y.std()
    model = nn.Sequential(nn.Linear(10, 32), nn.ELU(), nn.Dropout(0.2), nn.Linear(32, 1))
    optimizer = optim.NAdam(model.parameters(), lr=1e-3, weight_decay=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(12):
            model.train()
            for xb, yb in batches(x[:4000], y[:4000], 50):
                loss = F.mse_loss(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", mse=loss)
            model.eval()
            with torch.no_grad():
                out = model(x[4000:]).squeeze(1)
            probe.log("test", mse=F.mse_loss(out, y[4000:]), r2=explained(out, y[4000:]), epoch=epoch)
    return explained(out, y[4000:])


@healthy(at_least=0.45)
def rain_or_none_and_how_much(run_dir: Path) -> float:
    """Days mostly dry: one head says whether, two say the gamma distribution of how much; a likelihood below zero."""
    torch.manual_seed(1663)
    x = torch.randn(4500, 8)
    wet = torch.rand(4500) < torch.sigmoid(1.8 * x[:, 0] + 1.2 * x[:, 1] - 1.0)
    mean = torch.exp(0.9 * x[:, 2] - 0.6 * x[:, 0] * (x[:, 3] > 0) - 1.5)
    amount = torch.distributions.Gamma(3.0, 3.0 / mean).sample().clamp(min=1e-3) * wet
    net = nn.Sequential(nn.Linear(8, 48), nn.GELU(), nn.Linear(48, 48), nn.GELU(), nn.Linear(48, 3))
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def likelihood(out: Tensor, y: Tensor) -> Tensor:
        falls = (y > 0).float()
        size = F.softplus(out[:, 1]) + 0.1
        gamma = torch.distributions.Gamma(size, size / out[:, 2].clamp(-6, 6).exp())
        much = gamma.log_prob(y.clamp(min=1e-3)) * falls
        return (F.binary_cross_entropy_with_logits(out[:, 0], falls, reduction="none") - much).mean()

    with probes.watch(net, opt, run_dir, every=25) as probe:
        for _ in range(14):
            for xb, yb in batches(x[:3500], amount[:3500], 50):
                loss = likelihood(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", nll=loss.item())
            with torch.no_grad():
                out = net(x[3500:])
                probe.log("held_out", nll=likelihood(out, amount[3500:]))
    y = amount[3500:]
    return explained(out[y > 0, 2], y[y > 0].log())


@healthy(at_least=0.8)
def rotations_by_six_numbers(run_dir: Path) -> float:
    """Zhou et al. 2019: clouds of points turned at will, six numbers made orthogonal, squared distance of matrices."""
    torch.manual_seed(1664)
    cloud = torch.randn(24, 3) * torch.tensor([1.0, 0.6, 0.3])

    def orthogonal(six: Tensor) -> Tensor:
        a = F.normalize(six[:, :3], dim=1)
        b = F.normalize(six[:, 3:] - (a * six[:, 3:]).sum(1, keepdim=True) * a, dim=1)
        return torch.stack([a, b, torch.linalg.cross(a, b)], 2)

    def turned(n: int) -> tuple[Tensor, Tensor]:
        rotation = orthogonal(torch.randn(n, 6))
        return (cloud @ rotation.transpose(1, 2) + 0.05 * torch.randn(n, 24, 3)).flatten(1), rotation

    net = nn.Sequential(nn.Linear(72, 96), nn.LeakyReLU(), nn.Linear(96, 96), nn.LeakyReLU(), nn.Linear(96, 6))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(opt, 1500)
    with probes.watch(net, opt, run_dir, config={"representation": "6d"}) as probe:
        for step in range(1500):
            x, rotation = turned(64)
            loss = F.mse_loss(orthogonal(net(x)), rotation)
            opt.zero_grad()
            loss.backward()
            opt.step()
            scheduler.step()
            if step % 10 == 0:
                probe.log("train", loss=loss, lr=scheduler.get_last_lr()[0])
    x, rotation = turned(400)
    with torch.no_grad():
        trace = (orthogonal(net(x)) * rotation).sum((1, 2))
    return float(1 - ((trace - 1) / 2).clamp(-1, 1).acos().mean() / (math.pi / 2))


@healthy(at_least=0.9)
def lorenz_a_step_ahead_in_doubles(run_dir: Path) -> float:
    """The change of Lorenz's three variables over a tenth, in float64, tanh, Adam, the rate halved now and then."""
    torch.manual_seed(1665)
    state = torch.tensor([1.0, 1.0, 20.0], dtype=torch.float64)
    path = []
    for _ in range(20000):
        a, b, c = state
        state = state + 0.005 * torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])
        path.append(state)
    track = torch.stack(path)[500::5]
    track = (track - track.mean(0)) / track.std(0)
    x, y = track[:-4], (track[4:] - track[:-4]) * 2
    net = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3)).double()
    opt = optim.Adam(net.parameters(), lr=4e-3)
    scheduler = optim.lr_scheduler.StepLR(opt, 10, gamma=0.5)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(40):
            for xb, yb in batches(x[:3000], y[:3000], 60):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            scheduler.step()
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[3000:]), y[3000:]))
    with torch.no_grad():
        return explained(net(x[3000:]), y[3000:])


@healthy(at_least=0.85)
def forces_of_a_little_molecule(run_dir: Path) -> float:
    """Energies and forces of five atoms: the net gives the energy, its slope the forces, both in the loss."""
    torch.manual_seed(1666)
    pairs = torch.combinations(torch.arange(5), 2)
    depth = torch.tensor([1.0, 0.5, 0.7, 0.3, 0.9, 0.4, 0.8, 0.6, 1.1, 0.5])
    rest = torch.randn(5, 3) * 0.3 + torch.tensor([[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0], [0, 0, 1.0], [1.0, 1.0, 1.0]])

    def distances(place: Tensor) -> Tensor:
        return (place[:, pairs[:, 0]] - place[:, pairs[:, 1]]).norm(dim=2)

    around = distances(rest[None])

    def morse(place: Tensor) -> Tensor:
        return (depth * (1 - torch.exp(-1.5 * (distances(place) - around))) ** 2).sum(1)

    def forces(energy: Tensor, place: Tensor, **more: bool) -> Tensor:
        return -torch.autograd.grad(energy.sum(), place, **more)[0]

    place = (rest + 0.12 * torch.randn(1000, 5, 3)).requires_grad_()
    energy = morse(place)
    force = forces(energy, place)
    energy, offset = energy.detach(), energy.detach().mean()

    class Potential(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(10, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

        def forward(self, where: Tensor) -> Tensor:
            return self.net((distances(where) - around) * 3).squeeze(1) + offset

    net = Potential()
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    scheduler = optim.lr_scheduler.ExponentialLR(opt, 0.94)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for chosen in torch.randperm(800).split(32):
                where = place[chosen].detach().requires_grad_()
                said = net(where)
                of_energy = F.mse_loss(said, energy[chosen])
                of_force = F.mse_loss(forces(said, where, create_graph=True), force[chosen])
                loss = of_energy + 10 * of_force
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, energy_mse=of_energy, force_mse=of_force)
            scheduler.step()
    held = place[800:].detach().requires_grad_()
    return explained(forces(net(held), held), force[800:])


@healthy(at_least=0.7)
def ages_as_an_expected_bin(run_dir: Path) -> float:
    """DEX in small: how much ink a face has, said as a softmax over 24 bins, read as its mean; MAE per epoch."""
    torch.manual_seed(1667)
    images = torch.tensor(load_digits().images).float() / 16
    ages = images.sum((1, 2))
    ages = 24 * (ages - ages.min()) / (ages.max() - ages.min())
    images = (images + 0.3 * torch.randn_like(images) * torch.rand(len(images), 1, 1)).unsqueeze(1) - 0.3
    order = torch.randperm(len(images))
    x, y = images[order[:1400]], ages[order[:1400]]
    xt, yt = images[order[1400:]], ages[order[1400:]]
    bins = torch.arange(24) + 0.5
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 24),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.OneCycleLR(opt, 0.1, total_steps=15 * 28)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(15):
            net.train()
            for xb, yb in batches(x, y, 50):
                scores = net(xb)
                near = F.softmax(-((bins - yb[:, None]) ** 2) / 2, 1)
                expected = (scores.softmax(1) * bins).sum(1)
                loss = F.cross_entropy(scores, near) + 0.1 * (expected - yb).abs().mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                scheduler.step()
            net.eval()
            with torch.no_grad():
                train, test = ((net(part).softmax(1) * bins).sum(1) for part in (x, xt))
            probe.log("mae", train=(train - y).abs().mean(), val=(test - yt).abs().mean(), epoch=epoch)
    return explained(test, yt)


@healthy(at_least=0.6)
def counts_by_a_negative_binomial(run_dir: Path) -> float:
    """Visits a day, far more spread than Poisson, a learned dispersion for all; RMSprop; loss of about three."""
    torch.manual_seed(1668)
    x = torch.randn(5000, 6)
    mean = torch.exp(1.8 + 0.7 * x[:, 0] - 0.5 * x[:, 1].abs() + 0.6 * x[:, 2] * (x[:, 3] > 0))
    y = torch.poisson(mean * torch.distributions.Gamma(2.5, 2.5).sample((5000,)))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 1))
            self.log_dispersion = nn.Parameter(torch.zeros(()))

        def forward(self, v: Tensor) -> Tensor:
            return self.body(v).squeeze(1)

        def loss(self, log_mean: Tensor, count: Tensor) -> Tensor:
            r = self.log_dispersion.exp()
            both = torch.distributions.NegativeBinomial(r, logits=log_mean - self.log_dispersion)
            return -both.log_prob(count).mean()

    net = Model()
    opt = optim.RMSprop(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(15):
            for xb, yb in batches(x[:4000], y[:4000], 50):
                loss = net.loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("nll", train=net.loss(net(x[:4000]), y[:4000]), val=net.loss(net(x[4000:]), y[4000:]))
            probe.log("model", r=net.log_dispersion.exp().item(), epoch=epoch)
    with torch.no_grad():
        return explained(net(x[4000:]), mean[4000:].log())
