"""Healthy trainings of the third fresh set: nets for points, graphs, bags, operators, energies; odd units; depth."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _clouds(n: int) -> tuple[Tensor, Tensor]:
    """64 points on a sphere, a cube, a torus or a cylinder, turned at random, with noise."""
    y = torch.randint(4, (n,))
    u, v = 2 * math.pi * torch.rand(n, 64), torch.rand(n, 64)
    sphere = F.normalize(torch.randn(n, 64, 3), dim=2)
    cube = torch.rand(n, 64, 3) * 2 - 1
    cube = cube / cube.abs().amax(2, keepdim=True) * 0.8
    w = 2 * math.pi * v
    ring = torch.stack([(1 + 0.35 * w.cos()) * u.cos(), (1 + 0.35 * w.cos()) * u.sin(), 0.35 * w.sin()], 2)
    tube = torch.stack([0.5 * u.cos(), 0.5 * u.sin(), 2 * v - 1], 2)
    shapes = torch.stack([sphere, cube, ring, tube], 1)[torch.arange(n), y]
    turn = torch.linalg.qr(torch.randn(n, 3, 3)).Q
    return shapes @ turn + 0.03 * torch.randn(n, 64, 3), y


@healthy(at_least=0.85)
def point_net(run_dir: Path) -> float:
    """PointNet (Qi et al. 2017): shared layers, the largest of 64 points a feature; rate halved on plateaus."""
    torch.manual_seed(601)
    x, y = _clouds(1500)
    xt, yt = _clouds(400)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2, self.conv3 = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 64, 1), nn.Conv1d(64, 128, 1)
            self.bn1, self.bn2, self.bn3 = nn.BatchNorm1d(32), nn.BatchNorm1d(64), nn.BatchNorm1d(128)
            self.fc1, self.fc2, self.drop = nn.Linear(128, 64), nn.Linear(64, 4), nn.Dropout(0.3)

        def forward(self, v: Tensor) -> Tensor:
            v = F.relu(self.bn1(self.conv1(v.transpose(1, 2))))
            v = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(v))))).amax(2)
            return F.log_softmax(self.fc2(self.drop(F.relu(self.fc1(v)))), 1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    sched = optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=2)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(15):
            net.train()
            total, right = 0.0, 0
            for xb, yb in batches(x, y, 30):
                out = net(xb)
                loss = F.nll_loss(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total, right = total + 30 * loss.item(), right + int((out.argmax(1) == yb).sum())
            net.eval()
            with torch.no_grad():
                out = net(xt)
                val = F.nll_loss(out, yt)
            sched.step(val)
            probe.log("train", loss=total / 1500, accuracy=100 * right / 1500, epoch=epoch)
            probe.log("test", loss=val, accuracy=100 * accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.75)
def isomorphism_network(run_dir: Path) -> float:
    """GIN (Xu et al. 2019): graphs of 12 nodes, sums over neighbours, BatchNorm; how many triangles are there? R^2."""
    torch.manual_seed(602)
    upper = torch.triu((torch.rand(2500, 12, 12) < 0.1 + 0.35 * torch.rand(2500, 1, 1)).float(), 1)
    graph = upper + upper.transpose(1, 2)
    triangles = torch.diagonal(graph @ graph @ graph, dim1=1, dim2=2).sum(1) / 6
    y = triangles.add(1).log()
    y = (y - y.mean()) / y.std()

    class GIN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = ((1, 32), (32, 32), (32, 32))
            self.layers = nn.ModuleList([nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, b)) for a, b in widths])
            self.norms = nn.ModuleList([nn.BatchNorm1d(32) for _ in widths])
            self.eps, self.out = nn.Parameter(torch.zeros(3)), nn.Linear(96, 1)

        def forward(self, g: Tensor) -> Tensor:
            h, pooled = torch.ones(len(g), 12, 1), []
            for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
                h = layer((1 + self.eps[i]) * h + g @ h)
                h = F.relu(norm(h.flatten(0, 1)).view(len(g), 12, 32))
                pooled.append(h.mean(1))
            return self.out(torch.cat(pooled, 1)).squeeze(1)

    net = GIN()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    sched = optim.lr_scheduler.StepLR(opt, 5, gamma=0.5)
    with probes.watch(net, opt, run_dir, loss_fn=nn.L1Loss()) as probe:
        for _ in range(20):
            net.train()
            for gb, yb in batches(graph[:2000], y[:2000], 50):
                loss = probe.loss_fn(net(gb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            sched.step()
            net.eval()
            with torch.no_grad():
                probe.log("val", mae=F.l1_loss(net(graph[2000:]), y[2000:]))
    with torch.no_grad():
        return explained(net(graph[2000:]), y[2000:])


@healthy(at_least=0.8)
def attention_over_bags(run_dir: Path) -> float:
    """Ilse et al. 2018: a bag of ten digits is positive when a nine is among them; one bag a step, weight decay."""
    torch.manual_seed(603)
    x, y, xt, yt = digits()

    def bag(v: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        wanted = torch.rand(()) < 0.5
        nines, others = (labels == 9).nonzero().squeeze(1), (labels != 9).nonzero().squeeze(1)
        chosen = others[torch.randint(len(others), (10,))]
        if wanted:
            chosen[0] = nines[torch.randint(len(nines), ())]
        return v[chosen], wanted.float()

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU())
            self.attend = nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))
            self.out = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            h = self.body(v)
            return self.out(self.attend(h).softmax(0).t() @ h).squeeze()

    net = Attention()
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    running = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(3000):
            v, label = bag(x, y)
            loss = F.binary_cross_entropy_with_logits(net(v), label)
            opt.zero_grad()
            loss.backward()
            opt.step()
            running += loss.item() / 50
            if step % 50 == 49:
                probe.log("train", loss=running)
                running = 0.0
    with torch.no_grad():
        tests = [bag(xt, yt) for _ in range(400)]
        return sum(float((net(v) > 0) == (label > 0)) for v, label in tests) / 400


@healthy(at_least=0.9)
def operator_network(run_dir: Path) -> float:
    """DeepONet (Lu et al. 2021): the antiderivative of random functions, from 40 sensors; never one twice."""
    torch.manual_seed(604)
    grid = torch.linspace(0, 1, 40)

    def sample(n: int) -> tuple[Tensor, Tensor, Tensor]:
        waves, point = torch.randn(n, 5) / torch.arange(1, 6), torch.rand(n, 1)
        k = math.pi * torch.arange(1, 6)
        u = waves @ torch.cos(k[:, None] * grid)
        return u, point, (waves * torch.sin(k * point) / k).sum(1)

    branch = nn.Sequential(nn.Linear(40, 64), nn.Tanh(), nn.Linear(64, 32))
    trunk = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh())
    net = nn.ModuleDict({"branch": branch, "trunk": trunk})
    opt = optim.Adam(net.parameters(), lr=2e-3)
    sched = optim.lr_scheduler.LambdaLR(opt, lambda t: 1 / (1 + t / 400))
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1200):
            u, point, goal = sample(128)
            loss = F.mse_loss((branch(u) * trunk(point)).sum(1), goal)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            if step % 10 == 0:
                probe.log("train", loss=loss)
    u, point, goal = sample(2000)
    with torch.no_grad():
        return explained((branch(u) * trunk(point)).sum(1), goal)


@healthy(at_least=0.9)
def hamiltonian_network(run_dir: Path) -> float:
    """Greydanus et al. 2019: a pendulum's energy is learned through its own gradient, from noisy accelerations."""
    torch.manual_seed(605)
    q, p = (torch.rand(2, 1200) * 4 - 2).unbind()
    x = torch.stack([q, p], 1)
    y = torch.stack([p, -torch.sin(q)], 1)
    noisy = y + 0.1 * torch.randn(1200, 2)
    net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1, bias=False))
    for layer in (net[0], net[2], net[4]):
        nn.init.orthogonal_(layer.weight)

    def field(v: Tensor) -> Tensor:
        v = v.detach().requires_grad_()
        (slope,) = torch.autograd.grad(net(v).sum(), v, create_graph=True)
        return torch.stack([slope[:, 1], -slope[:, 0]], 1)

    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1000):
            chosen = torch.randint(1000, (100,))
            loss = F.mse_loss(field(x[chosen]), noisy[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 100 == 0:
                probe.log("test", loss=F.mse_loss(field(x[1000:]), noisy[1000:]).detach())
    return explained(field(x[1000:]).detach(), y[1000:])


@healthy(at_least=0.9)
def deep_ritz(run_dir: Path) -> float:
    """E and Yu 2018: Poisson's equation by the least energy: the loss goes below zero and is an estimate by chance."""
    torch.manual_seed(606)
    net = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    sched = optim.lr_scheduler.ExponentialLR(opt, 0.998)

    def solution(v: Tensor) -> Tensor:
        return net(v).squeeze(1) * (v * (1 - v)).prod(1) * 16  # zero at the edge of the square

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1000):
            v = torch.rand(256, 2, requires_grad=True)
            u = solution(v)
            (slope,) = torch.autograd.grad(u.sum(), v, create_graph=True)
            force = 2 * math.pi**2 * torch.sin(math.pi * v).prod(1)
            energy = (0.5 * (slope**2).sum(1) - force * u).mean()
            opt.zero_grad()
            energy.backward()
            opt.step()
            sched.step()
            probe.log("train", energy=energy)
    v = torch.rand(1000, 2)
    with torch.no_grad():
        return explained(solution(v), torch.sin(math.pi * v).prod(1))


class _Spline(nn.Module):
    """Kolmogorov and Arnold: on every edge a learned function of one number, here of Gaussian bumps and a SiLU."""

    def __init__(self, inside: int, outside: int, bumps: int = 8) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, bumps))
        self.base, self.spline = nn.Linear(inside, outside), nn.Linear(inside * bumps, outside, bias=False)
        nn.init.normal_(self.spline.weight, std=0.1 / math.sqrt(inside * bumps))

    def forward(self, v: Tensor) -> Tensor:
        bumps = torch.exp(-(((v[..., None] - self.grid) * 7 / 4) ** 2))
        return self.base(F.silu(v)) + self.spline(bumps.flatten(1))


@healthy(at_least=0.95)
def kolmogorov_arnold(run_dir: Path) -> float:
    """A "fast KAN" (Liu et al. 2024) for exp(sin(pi x) + y^2): full batches, 500 steps of Adam, RMSE logged."""
    torch.manual_seed(607)
    x = torch.rand(1000, 2) * 2 - 1
    y = torch.exp(torch.sin(math.pi * x[:, 0]) + x[:, 1] ** 2)
    net = nn.Sequential(_Spline(2, 5), _Spline(5, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            loss = F.mse_loss(net(x[:800]).squeeze(1), y[:800])
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                test = F.mse_loss(net(x[800:]).squeeze(1), y[800:])
            probe.log("train", rmse=loss.detach().sqrt())
            probe.log("test", rmse=test.sqrt())
    with torch.no_grad():
        return explained(net(x[800:]), y[800:])


class _Highway(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.plain, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, v: Tensor) -> Tensor:
        t = torch.sigmoid(self.gate(v))
        return t * torch.tanh(self.plain(v)) + (1 - t) * v


@healthy(at_least=0.9)
def highway_of_twenty_layers(run_dir: Path) -> float:
    """Srivastava et al. 2015: twenty gated layers, gates nearly closed at first by their bias of -2; SGD, momentum."""
    torch.manual_seed(608)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 40), *[_Highway(40) for _ in range(20)], nn.Linear(40, 10))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(15):
            for group in opt.param_groups:
                group["lr"] = 0.05 * 0.85**epoch
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.85)
def identity_recurrent_rows(run_dir: Path) -> float:
    """IRNN (Le et al. 2015): a ReLU RNN that begins as the identity reads digits row by row; clipped, small rate."""
    torch.manual_seed(609)
    x, y, xt, yt = digits(flat=False)

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.RNN(8, 100, nonlinearity="relu", batch_first=True), nn.Linear(100, 10)
            nn.init.eye_(self.rnn.weight_hh_l0)
            nn.init.normal_(self.rnn.weight_ih_l0, std=0.05)
            nn.init.zeros_(self.rnn.bias_hh_l0)
            nn.init.zeros_(self.rnn.bias_ih_l0)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.rnn(v.squeeze(1))[0][:, -1])

    net = Rows()
    opt = optim.RMSprop(net.parameters(), lr=5e-4, alpha=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                opt.step()
                probe.log("train", loss=loss, grad_norm=norm)
            with torch.no_grad():
                probe.log("val", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)
