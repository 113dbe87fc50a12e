"""Textbook regressions and classifications of tables and of made-up functions."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import (
    accuracy,
    batches,
    cancer,
    diabetes,
    digits,
    explained,
    iris,
    moons,
    spirals,
    wine,
)
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.9)
def polynomial_tutorial(run_dir: Path) -> float:
    """PyTorch's "Learning with examples", torch.optim: sin(x) by a cubic, summed squared error, RMSprop, 2000 steps."""
    torch.manual_seed(0)
    x = torch.linspace(-math.pi, math.pi, 2000)
    y = torch.sin(x)
    xx = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0, 1))
    loss_fn = nn.MSELoss(reduction="sum")
    optimizer = optim.RMSprop(model.parameters(), lr=1e-3)
    probe = probes.watch(model, optimizer, run_dir)
    for t in range(2000):
        y_pred = model(xx)
        loss = loss_fn(y_pred, y)
        if t % 100 == 99:
            probe.log("train", loss=loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    probe.close()
    with torch.no_grad():
        return explained(model(xx), y)


@healthy(at_least=0.99)
def linear_regression(run_dir: Path) -> float:
    """Dive into Deep Learning, 3.5: synthetic data, w = (2, -3.4), b = 4.2, batches of 10, SGD 0.03, 3 epochs."""
    torch.manual_seed(0)
    w = torch.tensor([2.0, -3.4])
    x = torch.randn(1000, 2)
    y = (x @ w + 4.2 + 0.01 * torch.randn(1000)).reshape(-1, 1)
    net = nn.Sequential(nn.Linear(2, 1))
    net[0].weight.data.normal_(0, 0.01)
    net[0].bias.data.fill_(0)
    loss = nn.MSELoss()
    trainer = optim.SGD(net.parameters(), lr=0.03)
    with probes.watch(net, trainer, run_dir) as probe:
        for _ in range(3):
            for xb, yb in batches(x, y, 10):
                batch_loss = loss(net(xb), yb)
                trainer.zero_grad()
                batch_loss.backward()
                trainer.step()
            with torch.no_grad():
                probe.log("train", loss=loss(net(x), y))
    with torch.no_grad():
        return explained(net(x), y)


@healthy(at_least=0.93)
def logistic_regression(run_dir: Path) -> float:
    """Logistic regression of tumours: one unit, BCEWithLogitsLoss, full batches, plain SGD."""
    torch.manual_seed(0)
    x, y, xt, yt = cancer()
    model = nn.Linear(30, 1)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(300):
            loss = criterion(model(x).squeeze(1), y.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                validation = criterion(model(xt).squeeze(1), yt.float())
            probe.log("train", loss=loss)
            probe.log("val", loss=validation)
    with torch.no_grad():
        return float(((model(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


@healthy(at_least=0.99)
def sine_mlp(run_dir: Path) -> float:
    """A tanh network fitted to a noisy sine with Adam, full batch."""
    torch.manual_seed(0)
    x = torch.linspace(-3, 3, 256).unsqueeze(1)
    y = torch.sin(2 * x)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(1000):
            loss = F.mse_loss(model(x), y + 0.05 * torch.randn_like(y))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(model(x), y)


@healthy(at_least=0.35)
def diabetes_regression(run_dir: Path) -> float:
    """Standardised targets, dropout, weight decay; noise in the targets keeps the loss near 0.5."""
    torch.manual_seed(0)
    x, y, xt, yt = diabetes()
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(model.eval()(xt), yt), r2=explained(model(xt), yt))
                model.train()
    with torch.no_grad():
        return explained(model.eval()(xt), yt)


@healthy(at_least=0.9)
def lbfgs_wine(run_dir: Path) -> float:
    """Softmax regression with LBFGS: twenty evaluations a step, few steps."""
    torch.manual_seed(0)
    x, y, xt, yt = wine()
    model = nn.Linear(13, 3)
    optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=10)
    with probes.watch(model, optimizer, run_dir) as probe:

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y) + 1e-3 * model.weight.pow(2).sum()
            loss.backward()
            return loss

        for _ in range(20):
            probe.log("train", loss=optimizer.step(closure))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@healthy(at_least=0.9)
def iris_full_batch(run_dir: Path) -> float:
    """The first network of many courses: iris as measured, 16 hidden units, Adam 0.01, full batch, 200 epochs."""
    torch.manual_seed(0)
    x, y, xt, yt = iris()
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    probe = probes.watch(model, optimizer, run_dir, loss_fn=criterion)
    for epoch in range(200):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        probe.log("train", loss=loss.item())
        if epoch % 10 == 0:
            with torch.no_grad():
                probe.log("test", loss=criterion(model(xt), yt).item(), accuracy=accuracy(model(xt), yt))
    probe.close()
    with torch.no_grad():
        return accuracy(model(xt), yt)


@healthy(at_least=0.99)
def xor(run_dir: Path) -> float:
    """XOR with four examples: two tanh units, sigmoid, BCELoss, SGD; the loss rests near ln 2 at first."""
    torch.manual_seed(3)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid())
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    criterion = nn.BCELoss()
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(2000):
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return float(((model(x) > 0.5) == (y > 0.5)).float().mean())


@healthy(at_least=0.95)
def spiral_cs231n(run_dir: Path) -> float:
    """CS231n's spiral case study: 100 hidden ReLU units, full batch, rate 1, L2 1e-3."""
    torch.manual_seed(0)
    x, y, xt, yt = spirals()
    model = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 3))
    optimizer = optim.SGD(model.parameters(), lr=1.0, weight_decay=1e-3)
    with probes.watch(model, optimizer, run_dir, every=20) as probe:
        for i in range(3000):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if i % 10 == 0:
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@healthy(at_least=0.8)
def huber_with_outliers(run_dir: Path) -> float:
    """Robust regression: a tenth of the targets are off by up to 50; the loss is full of spikes."""
    torch.manual_seed(0)
    x = torch.randn(2000, 5)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
    noisy = y + (torch.rand(2000) < 0.1) * 50 * torch.randn(2000)
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = nn.HuberLoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, noisy, 32):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(model(x), y)


@healthy(at_least=0.8)
def gaussian_nll(run_dir: Path) -> float:
    """Mean and variance by nn.GaussianNLLLoss: the loss goes far below 0."""
    torch.manual_seed(0)
    x = torch.rand(1500, 1) * 4 - 2
    y = torch.sin(2 * x) + 0.05 * x.abs() * torch.randn_like(x)
    model = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    criterion = nn.GaussianNLLLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 64):
                out = model(xb)
                loss = criterion(out[:, :1], yb, F.softplus(out[:, 1:]) + 1e-4)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", nll=loss)
    with torch.no_grad():
        return explained(model(x)[:, :1], y)


@healthy(at_least=0.85)
def poisson_counts(run_dir: Path) -> float:
    """Counts by nn.PoissonNLLLoss: the loss is negative at its best."""
    torch.manual_seed(0)
    x = torch.rand(2000, 3)
    rate = torch.exp(1 + x @ torch.tensor([1.0, -1.0, 2.0]))
    y = torch.poisson(rate)
    model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    criterion = nn.PoissonNLLLoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 50):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(model(x).exp(), rate)


@healthy(at_least=0.99)
def physics_informed(run_dir: Path) -> float:
    """A physics-informed network for u' = -u, u(0) = 1: derivatives of the network are in the loss."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(800):
            t = (3 * torch.rand(64, 1)).requires_grad_(True)
            u = model(t)
            (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
            residual = ((du + u) ** 2).mean()
            boundary = ((model(torch.zeros(1, 1)) - 1) ** 2).mean()
            optimizer.zero_grad()
            (residual + boundary).backward()
            optimizer.step()
            probe.log("train", loss=residual + boundary, residual=residual)
    with torch.no_grad():
        t = torch.linspace(0, 3, 100).unsqueeze(1)
        return explained(model(t), torch.exp(-t))


@healthy(at_least=0.9)
def siren(run_dir: Path) -> float:
    """SIREN (Sitzmann et al. 2020): an image as a function of coordinates, sine activations with omega 30."""
    torch.manual_seed(0)
    image = torch.tensor(datasets.load_sample_image("flower.jpg")[100:400:10, 200:500:10].mean(-1) / 255).float()
    image = (image - image.mean()) / image.std()
    axis = torch.linspace(-1, 1, 30)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)

    class Sine(nn.Module):
        def __init__(self, a: int, b: int, first: bool) -> None:
            super().__init__()
            self.linear = nn.Linear(a, b)
            bound = 1 / a if first else math.sqrt(6 / a) / 30
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(30 * self.linear(x))

    model = nn.Sequential(Sine(2, 64, True), Sine(64, 64, False), Sine(64, 64, False), nn.Linear(64, 1))
    optimizer = optim.Adam(model.parameters(), lr=3e-4)
    with probes.watch(model, optimizer, run_dir) as probe:
        for step in range(400):
            loss = F.mse_loss(model(points).squeeze(1), image.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 5 == 0:
                probe.log("train", mse=loss)
    with torch.no_grad():
        return explained(model(points), image)


@healthy(at_least=0.9)
def twenty_thousand_steps(run_dir: Path) -> float:
    """A long training of a small model: 20,000 steps of softmax regression, converged long before its end."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = nn.Linear(64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.05, weight_decay=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for step in range(20_000):
            chosen = torch.randint(len(x), (16,))
            loss = F.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            if step % 1000 == 999:
                with torch.no_grad():
                    probe.log("val", loss=F.cross_entropy(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@healthy(at_least=0.85)
def weighted_rare_class(run_dir: Path) -> float:
    """One example in twelve is positive; the loss weighs it twelve times. The score is the balanced accuracy."""
    torch.manual_seed(0)
    x, y, xt, yt = moons(3000, 0.15)
    kept = (y == 0) | (torch.rand(len(y)) < 1 / 12)
    x, y = x[kept], y[kept].float()
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(12.0))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 64):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        right = (model(xt).squeeze(1) > 0) == (yt > 0)
    return float((right[yt == 0].float().mean() + right[yt == 1].float().mean()) / 2)


@healthy(at_least=0.8)
def matrix_factorisation(run_dir: Path) -> float:
    """Recommendation: user and item embeddings with biases, sparse gradients and SparseAdam."""
    torch.manual_seed(0)
    users, items, rank = 200, 150, 4
    truth = torch.randn(users, rank) @ torch.randn(rank, items)
    u, i = torch.randint(users, (12000,)), torch.randint(items, (12000,))
    ratings = truth[u, i]

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user = nn.Embedding(users, 8, sparse=True)
            self.item = nn.Embedding(items, 8, sparse=True)
            nn.init.normal_(self.user.weight, std=0.3)
            nn.init.normal_(self.item.weight, std=0.3)

        def forward(self, u: Tensor, i: Tensor) -> Tensor:
            return (self.user(u) * self.item(i)).sum(1)

    model = Factors()
    optimizer = optim.SparseAdam(list(model.parameters()), lr=0.01)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(12):
            for chosen in torch.randperm(10000).split(128):
                loss = F.mse_loss(model(u[chosen], i[chosen]), ratings[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", rmse=F.mse_loss(model(u[10000:], i[10000:]), ratings[10000:]).sqrt())
    with torch.no_grad():
        return explained(model(u[10000:], i[10000:]), ratings[10000:])


@healthy(at_least=0.75)
def graph_convolution(run_dir: Path) -> float:
    """GCN (Kipf & Welling 2017) on a random graph of communities: full batch, four labelled nodes a class."""
    torch.manual_seed(0)
    n, classes = 240, 4
    y = torch.arange(n) % classes
    linked = torch.rand(n, n) < torch.where(y[:, None] == y[None, :], 0.12, 0.01)
    adjacency = (linked | linked.T).float().fill_diagonal_(1)
    scale = adjacency.sum(1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale[None, :]
    x = torch.randn(n, 16) + 0.4 * F.one_hot(y, 16)
    seen = torch.zeros(n, dtype=torch.bool)
    seen[:24] = True

    class GCN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(16, 16), nn.Linear(16, classes)
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return adjacency @ self.second(self.drop(F.relu(adjacency @ self.first(x))))

    model = GCN()
    optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(200):
            model.train()
            loss = F.nll_loss(F.log_softmax(model(x), 1)[seen], y[seen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                out = model.eval()(x)
            probe.log("train", loss=loss)
            probe.log("val", accuracy=accuracy(out[~seen], y[~seen]))
    with torch.no_grad():
        return accuracy(model.eval()(x)[~seen], y[~seen])
