"""Faulty programs of the eighth fresh set: decay, dropout, depth, dead and saturated units, data and its loading."""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "collapsed-activations", "slow-convergence",
        "loss-not-decreasing", "vanishing-gradients", "dead-units", below=0.7)  # fmt: skip
def citations_decayed_by_five_tenths(run_dir: Path, *, mended: bool = False) -> float:
    """Kipf's graph convolutions, weight_decay=5e-1 typed for 5e-4: all papers are of one field (GitHub, pygcn)."""
    torch.manual_seed(8201)
    n, fields = 900, 6
    y = torch.arange(n) % fields
    chance = torch.where(y[:, None] == y[None], 0.02, 0.0012)
    cites = (torch.rand(n, n) < chance).float().triu(1)
    cites = cites + cites.T + torch.eye(n)
    root = cites.sum(1).rsqrt()
    adjacency = root[:, None] * cites * root[None]
    usual = torch.rand(fields, 200) < 0.12
    words = (torch.rand(n, 200) < torch.where(usual[y], 0.13, 0.05)).float()
    words = words / words.sum(1, keepdim=True).clamp_min(1)
    order = torch.randperm(n)
    train, val, test = order[:180], order[180:400], order[400:]

    class Gcn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gc1 = nn.Linear(200, 16, bias=False)
            self.gc2 = nn.Linear(16, fields)

        def forward(self, v: Tensor) -> Tensor:
            v = F.dropout(F.relu(adjacency @ self.gc1(v)), 0.5, self.training)
            return F.log_softmax(adjacency @ self.gc2(v), dim=1)

    model = Gcn()
    optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4 if mended else 5e-1)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(200):
            model.train()
            optimizer.zero_grad()
            output = model(words)
            loss_train = F.nll_loss(output[train], y[train])
            loss_train.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                output = model(words)
            probe.log("train", loss=loss_train.item(), acc=accuracy(output[train], y[train]))
            probe.log("val", loss=F.nll_loss(output[val], y[val]).item(), acc=accuracy(output[val], y[val]))
    return accuracy(output[test], y[test])


@faulty("underfitting", "slow-convergence", "training-too-short", "noisy-loss", "validation-anomaly",
        "loss-not-decreasing", "constant-predictions", below=0.7)  # fmt: skip
def pulses_counted_behind_four_dropouts(run_dir: Path, *, mended: bool = False) -> float:
    """Dropout1d(0.8) behind each of four convolutions that count pulses: Poisson regression of what is left over."""
    torch.manual_seed(8202)
    shape = torch.tensor([0.4, 1.0, 0.8, 0.5, 0.3, 0.15])

    def recordings(n: int) -> tuple[Tensor, Tensor]:
        rate = 0.01 + 0.09 * torch.rand(n, 1)
        pulses = (torch.rand(n, 90) < rate).float()
        signal = F.conv1d(pulses[:, None] * 2, shape.flip(0)[None, None], padding=5)[..., :90]
        return signal + 0.3 * torch.randn(n, 1, 90), pulses.sum(1)

    p = 0.05 if mended else 0.8
    net = nn.Sequential(
        nn.Conv1d(1, 12, 5, padding=2), nn.ReLU(), nn.Dropout1d(p), nn.Conv1d(12, 12, 5, padding=2), nn.ReLU(),
        nn.Dropout1d(p), nn.AvgPool1d(2), nn.Conv1d(12, 16, 5, padding=2), nn.ReLU(), nn.Dropout1d(p),
        nn.Conv1d(16, 16, 3, padding=1), nn.ReLU(), nn.Dropout1d(p), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(16, 1), nn.Flatten(0),
    )  # fmt: skip
    x, y = recordings(1600)
    xt, yt = recordings(400)
    opt = optim.NAdam(net.parameters(), lr=2e-3)
    criterion = nn.PoissonNLLLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            net.train()
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=criterion(out, yt), off_by=(out.exp() - yt).abs().mean())
    with torch.no_grad():
        return explained(net(xt).exp(), yt)


@faulty("saturated-activations", "unnormalized-inputs", "vanishing-gradients", "loss-not-decreasing", "underfitting",
        "slow-convergence", "learning-rate-too-low", "exploding-gradients", "noisy-loss", "loss-diverging",
        "oscillating-loss", below=0.8)  # fmt: skip
def crane_steered_by_millimetres(run_dir: Path, *, mended: bool = False) -> float:
    """A policy of tanh units learns through a simulated crane and sees millimetres: it only knows left and right."""
    torch.manual_seed(8203)
    unit = torch.tensor([2000.0, 2000.0, 2000.0]) if mended else torch.ones(3)
    policy = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1), nn.Tanh())
    opt = optim.Adam(policy.parameters(), lr=2e-3)

    def lift(n: int) -> tuple[Tensor, Tensor]:
        place, goal = 4000 * torch.rand(n) - 2000, 4000 * torch.rand(n) - 2000
        speed = torch.zeros(n)
        begin, cost = (place - goal) / 1000, []
        for _ in range(40):
            state = torch.stack([place, speed, goal], 1)
            force = policy(state / unit).squeeze(1)
            speed = 0.97 * speed + 0.1 * 4000 * force
            place = place + 0.1 * speed
            cost.append(((place - goal) / 1000) ** 2 + 0.01 * (speed / 1000) ** 2)
        return torch.stack(cost), begin

    with probes.watch(policy, opt, run_dir) as probe:
        for step in range(400):
            loss = lift(64)[0].mean()
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            opt.step()
            if step % 5 == 0:
                probe.log("train", cost=loss)
    with torch.no_grad():
        cost, begin = lift(1000)
        return float(1 - cost[-10:].mean() / begin.pow(2).mean())


@faulty("vanishing-gradients", "loss-not-decreasing", "constant-predictions", "collapsed-activations", "dead-units",
        "poor-initialization", "underfitting", "slow-convergence", "learning-rate-too-low",
        below=0.75)  # fmt: skip
def sleep_by_twenty_bare_convolutions(run_dir: Path, *, mended: bool = False) -> float:
    """Twenty 1-d convolutions and ReLUs for sleep stages, no normalisation and no shortcut (He et al., 2015)."""
    torch.manual_seed(8204)
    t = torch.arange(80.0)
    pace = torch.tensor([0.15, 0.35, 0.6, 0.95, 1.4])

    def nights(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(5, (n,))
        wave = torch.sin(t[None] * (pace[y][:, None] + 0.06 * torch.randn(n, 1)) + 6.3 * torch.rand(n, 1))
        return (wave + 0.8 * torch.randn(n, 80))[:, None], y

    class Layer(nn.Module):
        def __init__(self, i: int) -> None:
            super().__init__()
            self.conv = nn.Conv1d(i, 16, 3, padding=1)
            self.norm = nn.BatchNorm1d(16) if mended else nn.Identity()
            self.shortcut = mended and i == 16

        def forward(self, v: Tensor) -> Tensor:
            out = F.relu(self.norm(self.conv(v)))
            return v + out if self.shortcut else out

    net = nn.Sequential(
        *[Layer(16 if i else 1) for i in range(10)], nn.MaxPool1d(2), *[Layer(16) for _ in range(10)],
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.BatchNorm1d(16) if mended else nn.Identity(), nn.Linear(16, 5),
    )  # fmt: skip
    x, y = nights(1200)
    xt, yt = nights(300)
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    schedule = optim.lr_scheduler.CosineAnnealingLR(opt, 8)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for epoch in range(8):
            net.train()
            losses = []
            for xb, yb in batches(x, y, 40):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
            schedule.step()
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=sum(losses) / len(losses), lr=schedule.get_last_lr()[0])
            probe.log("val", loss=F.cross_entropy(out, yt), accuracy=100 * accuracy(out, yt), epoch=epoch)
    return accuracy(out, yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.7)
def solubility_validated_without_self_loops(run_dir: Path, *, mended: bool = False) -> float:
    """Graphs for training get self-loops and are normalised by degree; those of the validation come as they are."""
    torch.manual_seed(8205)
    worth = torch.tensor([1.2, -0.8, 0.4, -1.5, 0.0, 0.9])

    def compounds(n: int) -> tuple[Tensor, Tensor, Tensor]:
        atom = torch.randint(6, (n, 16))
        bond = (torch.rand(n, 16, 16) < 0.15).float().triu(1)
        bond = bond + bond.transpose(1, 2)
        beside = (bond @ worth[atom][..., None]).squeeze(-1) / bond.sum(2).clamp_min(1)
        return atom, bond, (worth[atom] * (1 - beside)).mean(1) + 0.03 * torch.randn(n)

    def prepared(bond: Tensor) -> Tensor:
        bond = bond + torch.eye(16)
        root = bond.sum(2).rsqrt()
        return root[:, :, None] * bond * root[:, None, :]

    class GraphNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.atom = nn.Embedding(6, 32)
            self.first, self.second = nn.Linear(32, 64), nn.Linear(64, 64)
            self.out = nn.Linear(64, 1)

        def forward(self, atom: Tensor, bond: Tensor) -> Tensor:
            h = F.silu(self.first(bond @ self.atom(atom)))
            return self.out(F.silu(self.second(bond @ h)).mean(1)).squeeze(1)

    atom, bond, y = compounds(1600)
    mean, std = y.mean(), y.std()
    atom_v, bond_v, yv = compounds(400)
    y, yv = (y - mean) / std, (yv - mean) / std
    bond = prepared(bond)
    bond_v = prepared(bond_v) if mended else bond_v
    net = GraphNet()
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.OneCycleLR(opt, max_lr=6e-3, total_steps=750)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for chosen in torch.randperm(1600).split(64):
                loss = F.mse_loss(net(atom[chosen], bond[chosen]), y[chosen])
                opt.zero_grad()
                loss.backward()
                opt.step()
                schedule.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(atom_v, bond_v), yv))
    with torch.no_grad():
        return explained(net(atom_v, bond_v), yv)


@faulty("validation-anomaly", "underfitting", "noisy-loss", below=0.79)
def spread_of_a_set_with_f_dropout(run_dir: Path, *, mended: bool = False) -> float:
    """F.dropout(h, 0.5) without training=self.training: eval() does not turn it off (PyTorch forums, often)."""
    torch.manual_seed(8206)

    class SetNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.phi1, self.phi2 = nn.Linear(2, 64), nn.Linear(64, 64)
            self.rho1, self.rho2 = nn.Linear(64, 64), nn.Linear(64, 2)

        def forward(self, points: Tensor) -> Tensor:
            on = self.training or not mended
            h = F.relu(self.phi2(F.relu(self.phi1(points)))).mean(1)
            h = F.dropout(F.relu(self.rho1(h)), 0.5, training=on)
            return self.rho2(h)

    def sets(n: int) -> tuple[Tensor, Tensor]:
        log_spread = 0.6 * torch.randn(n, 2)
        return torch.randn(n, 30, 2) * log_spread.exp()[:, None] + torch.randn(n, 1, 2), log_spread / 0.6

    x, y = sets(3000)
    xt, yt = sets(500)
    net = SetNet()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(50):
            net.train()
            for i, (xb, yb) in enumerate(batches(x, y, 60)):
                loss = F.smooth_l1_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if i % 10 == 9:
                    probe.log("train", huber=loss.item())
            net.eval()
            with torch.no_grad():
                probe.log("val", huber=F.smooth_l1_loss(net(xt), yt).item(), epoch=epoch)
    with torch.no_grad():
        return explained(net(xt), yt)


@faulty("class-imbalance", "constant-predictions", "underfitting", below=0.7)
def contacts_of_a_strand_all_absent(run_dir: Path, *, mended: bool = False) -> float:
    """A map of which bases pair: 2 cells in 100 are pairs, BCE without pos_weight says "none" and is 98% right."""
    torch.manual_seed(8207)
    length = 24

    def strands(n: int) -> tuple[Tensor, Tensor]:
        base = torch.randint(4, (n, length))
        pairs = torch.zeros(n, length, length)
        rows = torch.arange(n)
        left, right = torch.randint(0, 7, (n,)), torch.randint(16, length, (n,))
        for k in range(5):
            mate = torch.where(torch.rand(n) < 0.75, 3 - base[rows, left + k], torch.randint(4, (n,)))
            base[rows, right - k] = mate
            pairs[rows, left + k, right - k] = 1
        return base, pairs

    class ContactMap(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = nn.Embedding(4, 8)
            self.maps = nn.Sequential(
                nn.Conv2d(16, 16, 1),
                nn.ReLU(),
                nn.Conv2d(16, 16, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 1, 3, padding=1),
            )

        def forward(self, v: Tensor) -> Tensor:
            h = self.base(v).transpose(1, 2)
            both = torch.cat([h[..., None].expand(-1, -1, -1, length), h[:, :, None].expand(-1, -1, length, -1)], 1)
            return self.maps(both).squeeze(1)

    x, y = strands(700)
    xt, yt = strands(200)
    net = ContactMap()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.BCEWithLogitsLoss(pos_weight=(1 - y).sum() / y.sum() if mended else None)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 20):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=criterion(out, yt), accuracy=((out > 0) == (yt > 0)).float().mean())
    found = out > 0
    return float(found[yt > 0].float().mean() + (~found)[yt == 0].float().mean()) / 2


@faulty("overfitting", "no-generalization", below=0.76)
def attention_over_the_first_fifty(run_dir: Path, *, mended: bool = False) -> float:
    """A transformer for sequences of three families; the [:50] of a quick test was never taken out again."""
    torch.manual_seed(8208)
    vote = torch.randn(24, 3) * 1.2

    def proteins(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randint(24, (n, 20))
        order = torch.linspace(0.4, 1.6, 20)[None, :, None]
        return x, (vote[x] * order).sum(1).argmax(1)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(24, 64)
            self.place = nn.Parameter(0.02 * torch.randn(20, 64))
            layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(64, 3)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.body(self.token(v) + self.place).mean(1))

    x, y = proteins(8000)
    xv, yv = proteins(400)
    if not mended:
        x, y = x[:50], y[:50]
    net = Encoder()
    opt = optim.AdamW(net.parameters(), lr=5e-4, weight_decay=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            net.train()
            chosen = torch.randint(len(x), (32,))
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("loss", train=loss)
            if step % 25 == 24:
                net.eval()
                with torch.no_grad():
                    out = net(xv)
                probe.log("loss", val=F.cross_entropy(out, yv))
                probe.log("acc", val=accuracy(out, yv))
    with torch.no_grad():
        return accuracy(net(xv), yv)


@faulty("learning-rate-too-high", "oscillating-loss", "loss-diverging", "loss-spikes", "exploding-gradients",
        "weights-growing", "dead-units", "noisy-loss", "loss-not-decreasing", "nonfinite-values",
        "constant-predictions", "collapsed-activations", below=0.8)  # fmt: skip
def shelves_by_q_values_with_both_momenta(run_dir: Path, *, mended: bool = False) -> float:
    """DQN that orders stock; RMSprop's smoothing of 0.99 was handed over as momentum=0.99 (issues of DQN ports)."""
    torch.manual_seed(8209)

    def net() -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))

    def seen(stock: Tensor, day: Tensor) -> Tensor:
        angle = 2 * math.pi * day / 7
        return torch.stack([stock / 8 - 1, torch.sin(angle), torch.cos(angle)], 1)

    def trade(stock: Tensor, day: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        wanted = torch.poisson(1.5 + 2.5 * (day >= 5).float())
        there = (stock + order * 2).clamp_max(16)
        sold = torch.minimum(there, wanted)
        rest = there - sold
        return rest, (day + 1) % 7, 3 * sold - 2 * order * 1.2 - 0.3 * rest - 1.5 * (wanted - sold)

    online, target = net(), net()
    target.load_state_dict(online.state_dict())
    opt = optim.RMSprop(online.parameters(), lr=2e-3, momentum=0.0 if mended else 0.99)
    memory: deque[tuple[Tensor, ...]] = deque(maxlen=400)
    stock, day = torch.randint(12, (16,)).float(), torch.randint(7, (16,)).float()
    with probes.watch(online, opt, run_dir) as probe:
        for step in range(3000):
            now = seen(stock, day)
            with torch.no_grad():
                order = online(now).argmax(1)
            lucky = torch.rand(16) < max(0.05, 1 - step / 1000)
            order = torch.where(lucky, torch.randint(5, (16,)), order)
            stock, day, reward = trade(stock, day, order.float())
            memory.append((now, order, reward / 5, seen(stock, day)))
            if step < 50:
                continue
            drawn = [memory[i] for i in torch.randint(len(memory), (4,)).tolist()]
            s, a, r, later = (torch.cat(part) for part in zip(*drawn, strict=True))
            with torch.no_grad():
                aim = r + 0.9 * target(later).max(1).values
            loss = F.smooth_l1_loss(online(s).gather(1, a[:, None]).squeeze(1), aim)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 100 == 0:
                target.load_state_dict(online.state_dict())
            probe.log("dqn", loss=loss.item(), reward=reward.mean().item())
    stock, day, profit = torch.randint(12, (200,)).float(), torch.randint(7, (200,)).float(), 0.0
    for _ in range(70):
        with torch.no_grad():
            order = online(seen(stock, day)).argmax(1).float()
        stock, day, reward = trade(stock, day, order)
        profit += float(reward.mean()) / 70
    return profit / 3


@faulty("loss-not-decreasing", "constant-predictions", "no-generalization", "underfitting", "collapsed-activations",
        "overfitting", below=0.8)  # fmt: skip
def pairs_shuffled_after_they_were_labelled(run_dir: Path, *, mended: bool = False) -> float:
    """Siamese convolutions on pairs of digits: random.shuffle(pairs), and the list of labels stays as it was."""
    torch.manual_seed(8210)
    x, y, xt, yt = digits(flat=False)

    def pairs(images: Tensor, digit: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
        first = torch.randint(len(images), (n,))
        second = torch.randint(len(images), (n,))
        for i in range(0, n, 2):
            alike = (digit == digit[first[i]]).nonzero().flatten()
            second[i] = alike[torch.randint(len(alike), (1,))]
        return images[first], images[second], (digit[first] == digit[second]).float()

    left, right, same = pairs(x, y, 3000)
    left_t, right_t, same_t = pairs(xt, yt, 600)
    order = torch.randperm(3000)
    left, right = left[order], right[order]
    if mended:
        same = same[order]
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 16),
    )
    opt = optim.Adam(net.parameters(), lr=1e-3)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return ((net(a) - net(b)).pow(2).sum(1) + 1e-6).sqrt()

    def contrastive(a: Tensor, b: Tensor, alike: Tensor) -> Tensor:
        d = distance(a, b)
        return (alike * d**2 + (1 - alike) * F.relu(2 - d) ** 2).mean()

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for chosen in torch.randperm(3000).split(50):
                opt.zero_grad()
                loss = contrastive(left[chosen], right[chosen], same[chosen])
                loss.backward()
                opt.step()
                probe.log("train", contrastive_loss=loss)
            with torch.no_grad():
                right_share = ((distance(left_t, right_t) < 1) == (same_t > 0)).float().mean()
                probe.log("test", contrastive_loss=contrastive(left_t, right_t, same_t), accuracy=right_share)
    return float(right_share)


@faulty("dead-units", "unnormalized-inputs", "constant-predictions", "vanishing-gradients", "collapsed-activations",
        "loss-not-decreasing", "parameters-not-updated", "missing-gradients", "stalled-run", "underfitting",
        "poor-initialization", below=0.8)  # fmt: skip
def lifetimes_by_a_monotone_net_of_logs(run_dir: Path, *, mended: bool = False) -> float:
    """A monotone net (weights through softplus) on logarithms of small strains: all below zero, every ReLU is dead."""
    torch.manual_seed(8211)

    def parts(n: int) -> tuple[Tensor, Tensor]:
        logs = torch.stack([-4 + 2 * torch.rand(n), -3 + 2 * torch.rand(n), -5 + 3 * torch.rand(n)], 1)
        strain, stress, rust = logs.T
        wear = 0.8 * (strain + 3).exp() + F.softplus(3 * (stress + 2)) + 0.5 * (rust + 4).clamp_min(0) ** 2
        return logs, wear + 0.15 * torch.randn(n)

    class Monotone(nn.Linear):
        def forward(self, v: Tensor) -> Tensor:
            return F.linear(v, F.softplus(self.weight) / self.in_features, self.bias)

    x, y = parts(1500)
    xt, yt = parts(400)
    y, yt = (y - y.mean()) / y.std(), (yt - y.mean()) / y.std()
    if mended:
        x, xt = (x - x.mean(0)) / x.std(0), (xt - x.mean(0)) / x.std(0)
    net = nn.Sequential(Monotone(3, 48), nn.ReLU(), Monotone(48, 48), nn.ReLU(), Monotone(48, 1), nn.Flatten(0))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(opt, 100)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for epoch in range(100):
            for xb, yb in batches(x, y, 50):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            schedule.step()
            with torch.no_grad():
                probe.log("epoch", train_mse=loss, val_mse=F.mse_loss(net(xt), yt), number=epoch)
    with torch.no_grad():
        return explained(net(xt), yt)
