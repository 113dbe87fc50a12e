"""Healthy trainings in regimes that look odd from outside: plateaus, memorising, raw numbers, frozen or noisy parts."""

from __future__ import annotations

import ast
import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _source() -> tuple[Tensor, int]:
    """The characters of another module of the standard library, as numbers, and how many different there are."""
    text = Path(ast.__file__).read_text(encoding="utf-8")[:40000]
    letters = sorted(set(text))
    return torch.tensor([letters.index(c) for c in text]), len(letters)


@healthy(at_least=0.95)
def sparse_parity(run_dir: Path) -> float:
    """Parity of 3 of 16 bits (Barak et al. 2022): the loss rests at chance for long and then falls off a cliff."""
    torch.manual_seed(41)
    net = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def sample(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randint(2, (n, 16)).float() * 2 - 1
        return x, (x[:, 2] * x[:, 7] * x[:, 11] > 0).float()

    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(2500):
            x, y = sample(64)
            loss = probe.loss_fn(net(x).squeeze(1), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x, y = sample(2000)
    with torch.no_grad():
        return float(((net(x).squeeze(1) > 0) == (y > 0)).float().mean())


@healthy(at_least=0.9)
def curriculum_of_lengths(run_dir: Path) -> float:
    """Bengio et al. 2009: add up numbers in sequences of 3, then 6, 12, 20; the loss jumps at each new lesson."""
    torch.manual_seed(42)

    class Adder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(1, 32, batch_first=True)
            self.out = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.gru(v)[0][:, -1]).squeeze(1)

    net = Adder()
    opt = optim.Adam(net.parameters(), lr=3e-3)

    def lesson(n: int, length: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(n, length, 1)
        return x, x.sum((1, 2)) - length / 2

    with probes.watch(net, opt, run_dir) as probe:
        for length in (3, 6, 12, 20):
            for _ in range(200):
                x, y = lesson(32, length)
                loss = F.mse_loss(net(x), y)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                opt.step()
                probe.log("train", loss=loss, length=length)
    x, y = lesson(300, 20)
    with torch.no_grad():
        return explained(net(x), y)


@healthy(at_least=0.99)
def overfit_one_batch(run_dir: Path) -> float:
    """Karpathy's recipe, "overfit one batch": sixteen images to a loss of nearly zero, on purpose, no validation."""
    torch.manual_seed(43)
    x, y, _xt, _yt = digits(flat=False)
    x, y = x[:16], y[:16]
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(400):
            out = net(x)
            loss = F.cross_entropy(out, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, accuracy=accuracy(out, y))
    with torch.no_grad():
        return accuracy(net(x), y)


@healthy(at_least=0.8)
def bikes_as_counted(run_dir: Path) -> float:
    """Rentals of up to a thousand an hour, not scaled; Adam at 0.01 copes: the loss falls from 10^5 to 10^3."""
    torch.manual_seed(44)
    hour = torch.randint(24, (3000,))
    warm = torch.rand(3000)
    y = 300 * warm * (1 + torch.cos((hour - 17) * math.pi / 12)) + 30 * torch.randn(3000).abs()
    x = torch.cat([F.one_hot(hour, 24).float(), warm[:, None]], 1)
    net = nn.Sequential(nn.Linear(25, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    mse = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=mse) as probe:
        for _ in range(25):
            for xb, yb in batches(x[:2400], y[:2400], 64):
                loss = mse(net(xb).squeeze(-1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=mse(net(x[2400:]).squeeze(-1), y[2400:]))
    with torch.no_grad():
        return explained(net(x[2400:]), y[2400:])


@healthy(at_least=0.9)
def normalised_inside(run_dir: Path) -> float:
    """Sensors in volts, pascals and kelvins go in as measured: the first layer is a BatchNorm, all they need."""
    torch.manual_seed(45)
    z = torch.randn(2000, 5)
    y = (z[:, 0] * z[:, 1] + z[:, 2] > 0.2).long()
    x = z * torch.tensor([0.01, 2000.0, 8.0, 1.0, 300.0]) + torch.tensor([0.0, 101325.0, 293.0, -5.0, 1e4])
    net = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(25):
            net.train()
            for xb, yb in batches(x[:1600], y[:1600], 50):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            net.eval()
            with torch.no_grad():
                out = net(x[1600:])
                probe.log("val", loss=F.cross_entropy(out, y[1600:]), accuracy=accuracy(out, y[1600:]))
    net.eval()
    with torch.no_grad():
        return accuracy(net(x[1600:]), y[1600:])


class _Adapted(nn.Module):
    """Hu et al. 2022: a frozen layer plus a low-rank correction whose second factor begins at zero."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, v: Tensor) -> Tensor:
        return self.layer(v) + self.up(self.down(v))


@healthy(at_least=0.85)
def low_rank_adaptation(run_dir: Path) -> float:
    """LoRA: a net trained on upright digits is adapted to mirrored ones with 3% of its weights; the rest is frozen."""
    torch.manual_seed(46)
    x, y, xt, yt = digits()
    first, second, head = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 10)
    base = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), head)
    start = optim.Adam(base.parameters(), lr=2e-3)
    for _ in range(8):
        for xb, yb in batches(x, y, 32):
            start.zero_grad()
            F.cross_entropy(base(xb), yb).backward()
            start.step()
    flip = lambda v: v.view(-1, 8, 8).flip(2).flatten(1)  # noqa: E731
    head.requires_grad_(False)
    net = nn.Sequential(_Adapted(first, 4), nn.ReLU(), _Adapted(second, 4), nn.ReLU(), head)
    opt = optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(flip(x), y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", acc=accuracy(net(flip(xt)), yt))
    with torch.no_grad():
        return accuracy(net(flip(xt)), yt)


@healthy(at_least=0.8)
def private_gradients(run_dir: Path) -> float:
    """DP-SGD (Abadi et al. 2016): each example's gradient clipped to 1, noise added; it learns, if not smoothly."""
    torch.manual_seed(47)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    opt = optim.SGD(net.parameters(), lr=0.3)
    names = [n for n, _ in net.named_parameters()]

    def one(params: dict[str, Tensor], xi: Tensor, yi: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(net, params, (xi[None],)), yi[None])

    each = torch.func.vmap(torch.func.grad(one), (None, 0, 0))
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(250):
            chosen = torch.randint(len(x), (96,))
            xb, yb = x[chosen], y[chosen]
            loss = F.cross_entropy(net(xb), yb)
            grads = each({n: p.detach() for n, p in net.named_parameters()}, xb, yb)
            norm = torch.stack([grads[n].flatten(1).norm(dim=1) for n in names]).norm(dim=0)
            scale = (1 / norm).clamp(max=1)
            opt.zero_grad()
            for n, p in net.named_parameters():
                total = torch.einsum("b,b...->...", scale, grads[n]) + 1.0 * torch.randn_like(p)
                p.grad = total / 96
            opt.step()
            probe.log("train", loss=loss)
            if step % 50 == 49:
                with torch.no_grad():
                    probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.85)
def echo_state(run_dir: Path) -> float:
    """Jaeger 2001: a recurrent reservoir stays random for good, a linear readout is trained: a chaotic series."""
    torch.manual_seed(48)
    series = torch.empty(1600)
    series[:18] = 1.2 + 0.1 * torch.randn(18)
    for t in range(18, 1600):
        series[t] = series[t - 1] + 0.2 * series[t - 18] / (1 + series[t - 18] ** 10) - 0.1 * series[t - 1]
    series = (series - series.mean()) / series.std()

    class Reservoir(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(1, 100, batch_first=True)
            w = torch.randn(100, 100)
            self.rnn.weight_hh_l0.data = 0.9 * w / torch.linalg.eigvals(w).abs().max()
            self.rnn.requires_grad_(False)
            self.readout = nn.Linear(100, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.readout(self.rnn(v)[0]).squeeze(2)

    net = Reservoir()
    opt = optim.Adam(net.readout.parameters(), lr=3e-3)
    windows = series.unfold(0, 61, 5)
    train, test = windows[:240], windows[260:]
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            for wb, _w in batches(train, train, 24):
                loss = F.mse_loss(net(wb[:, :-1].unsqueeze(2))[:, 20:], wb[:, 21:])
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(test[:, :-1].unsqueeze(2))[:, 20:], test[:, 21:])


@healthy(at_least=0.93)
def rezero_with_stochastic_depth(run_dir: Path) -> float:
    """Twelve residual blocks whose branches begin at zero (Bachlechner et al. 2021) and are skipped at random."""
    torch.manual_seed(49)
    x, y, xt, yt = digits()

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
            self.alpha = nn.Parameter(torch.zeros(1))

        def forward(self, v: Tensor) -> Tensor:
            if self.training and float(torch.rand(())) < 0.3:
                return v
            return v + self.alpha * self.inner(v)

    net = nn.Sequential(*(Block() for _ in range(12)), nn.Linear(64, 10))
    opt = optim.Adam(net.parameters(), lr=1.5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            net.train()
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.25)
def bigram_language_model(run_dir: Path) -> float:
    """Karpathy's makemore: one table of logits, 3,000 steps; it comes to rest at the entropy of pairs of letters."""
    torch.manual_seed(50)
    data, size = _source()
    cut = int(0.9 * len(data))
    table = nn.Embedding(size, size)
    opt = optim.AdamW(table.parameters(), lr=1e-2)

    def batch(part: Tensor) -> tuple[Tensor, Tensor]:
        i = torch.randint(len(part) - 9, (32,))
        both = torch.stack([part[k : k + 9] for k in i])
        return both[:, :-1], both[:, 1:]

    with probes.watch(table, opt, run_dir) as probe:
        for step in range(3000):
            xb, yb = batch(data[:cut])
            loss = F.cross_entropy(table(xb).flatten(0, 1), yb.flatten())
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            if step % 300 == 0:
                with torch.no_grad():
                    val = sum(
                        F.cross_entropy(table(a).flatten(0, 1), b.flatten()).item()
                        for a, b in (batch(data[cut:]) for _ in range(20))
                    )
                probe.log("train", loss=loss)
                probe.log("val", loss=val / 20)
    with torch.no_grad():
        return float(1 - F.cross_entropy(table(data[cut:-1]), data[cut + 1 :]) / math.log(size))


@healthy(at_least=0.3)
def gated_convolutions(run_dir: Path) -> float:
    """Dauphin et al. 2017: causal convolutions with gated linear units and weight norm model the text of a program."""
    torch.manual_seed(51)
    data, size = _source()
    weighted = nn.utils.parametrizations.weight_norm

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(size, 32)
            self.layers = nn.ModuleList(weighted(nn.Conv1d(32, 64, 3)) for _ in range(3))
            self.out = nn.Linear(32, size)

        def forward(self, v: Tensor) -> Tensor:
            h = self.embed(v).transpose(1, 2)
            for layer in self.layers:
                h = h + F.glu(layer(F.pad(h, (2, 0))), dim=1)
            return self.out(h.transpose(1, 2))

    net = Gated()
    opt = optim.SGD(net.parameters(), lr=0.6, momentum=0.9, nesterov=True)
    decay = optim.lr_scheduler.PolynomialLR(opt, 450, power=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(450):
            i = torch.randint(36000 - 49, (16,))
            both = torch.stack([data[k : k + 49] for k in i])
            loss = F.cross_entropy(net(both[:, :-1]).flatten(0, 1), both[:, 1:].flatten())
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            opt.step()
            decay.step()
            probe.log("train", loss=loss)
            if step % 90 == 89:
                with torch.no_grad():
                    held = data[36000:38000].view(-1, 50)
                    val = F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten())
                probe.log("val", loss=val)
    return float(1 - val / math.log(size))


@healthy(at_least=0.85)
def noisy_labels_stopped_early(run_dir: Path) -> float:
    """A fifth of the labels is wrong; training stops when the validation loss has not improved for three epochs."""
    torch.manual_seed(52)
    x, y, xt, yt = digits()
    wrong = torch.rand(len(y)) < 0.2
    y = torch.where(wrong, torch.randint(10, y.shape), y)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-3)
    best, since, kept = math.inf, 0, copy.deepcopy(net.state_dict())
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(60):
            net.train()
            for xb, yb in batches(x[:1100], y[:1100], 50):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                val = F.cross_entropy(net(x[1100:]), y[1100:])
            probe.log("val", loss=val)
            if val < best - 1e-4:
                best, since, kept = float(val), 0, copy.deepcopy(net.state_dict())
            else:
                since += 1
            if since == 3:
                break
    net.load_state_dict(kept)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def rare_class_drawn_more_often(run_dir: Path) -> float:
    """One in fifty is positive, and a WeightedRandomSampler draws both classes alike; validation is as rare as life."""
    torch.manual_seed(53)
    y = (torch.rand(6000) < 0.02).long()
    x = torch.randn(6000, 6) + 1.8 * y[:, None] * torch.tensor([1.0, -1.0, 0.5, 0.0, 0.0, 1.0])
    weight = torch.where(y[:5000] == 1, 50.0, 1.0)
    sampler = WeightedRandomSampler(weight.tolist(), 3000)
    loader = DataLoader(TensorDataset(x[:5000], y[:5000]), batch_size=50, sampler=sampler)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(6):
            for xb, yb in loader:
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(x[5000:])
                probe.log("val", loss=F.cross_entropy(out, y[5000:]), accuracy=accuracy(out, y[5000:]))
    with torch.no_grad():
        right = net(x[5000:]).argmax(1) == y[5000:]
    return float((right[y[5000:] == 1].float().mean() + right[y[5000:] == 0].float().mean()) / 2)


@healthy(at_least=0.8)
def deep_set_of_digits(run_dir: Path) -> float:
    """Zaheer et al. 2017: the sum of the digits in a bag of images, from the sum alone; targets from 0 to 45, L1."""
    torch.manual_seed(54)
    x, y, xt, yt = digits()

    class DeepSet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.phi = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32), nn.ReLU())
            self.rho = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, bag: Tensor) -> Tensor:
            return self.rho(self.phi(bag).sum(1)).squeeze(1)

    def bags(images: Tensor, labels: Tensor, n: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(images), (n, 5))
        return images[chosen], labels[chosen].sum(1).float()

    net = DeepSet()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(900):
            xb, yb = bags(x, y, 64)
            loss = F.l1_loss(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 150 == 149:
                with torch.no_grad():
                    probe.log("val", loss=F.l1_loss(*((lambda b: (net(b[0]), b[1]))(bags(xt, yt, 300)))))
    with torch.no_grad():
        xb, yb = bags(xt, yt, 500)
        return explained(net(xb), yb)


@healthy(at_least=0.9)
def mixture_of_experts(run_dir: Path) -> float:
    """Shazeer et al. 2017, small: the best two of eight experts, a balancing loss; some experts rest in every batch."""
    torch.manual_seed(55)
    x, y, xt, yt = digits()

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(64, 8)
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)) for _ in range(8)
            )

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            raw = self.gate(v)
            top = raw.topk(2, 1)
            weight = torch.full_like(raw, -torch.inf).scatter(1, top.indices, top.values).softmax(1)
            out = torch.stack([expert(v) for expert in self.experts], 1)
            share = raw.softmax(1).mean(0)
            return (weight.unsqueeze(2) * out).sum(1), 8 * (share * (weight > 0).float().mean(0)).sum()

    net = Mixture()
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 64):
                out, balance = net(xb)
                task = F.cross_entropy(out, yb)
                loss = task + 0.01 * balance
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", total=loss, ce=task, balance=balance)
    with torch.no_grad():
        return accuracy(net(xt)[0], yt)


@healthy(at_least=0.93)
def pruned_and_tuned(run_dir: Path) -> float:
    """Han et al. 2015: four fifths of a trained net's weights are cut, and the rest is tuned with a low rate."""
    from torch.nn.utils import prune

    torch.manual_seed(56)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    start = optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(12):
        for xb, yb in batches(x, y, 32):
            start.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            start.step()
    for k in (0, 2):
        prune.l1_unstructured(net[k], "weight", amount=0.8)
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(4):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("finetune", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def euler_ode(run_dir: Path) -> float:
    """A neural ordinary differential equation (Chen et al. 2018) by Euler steps: a net called 20 times a pass."""
    torch.manual_seed(57)
    matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])

    def flow(start: Tensor, speed: object, n: int = 20) -> Tensor:
        path, v = [], start
        for _ in range(n):
            v = v + 0.05 * speed(v)  # type: ignore[operator]
            path.append(v)
        return torch.stack(path, 1)

    field = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
    for layer in (field[0], field[2]):
        nn.init.normal_(layer.weight, std=0.1)
        nn.init.zeros_(layer.bias)
    opt = optim.RMSprop(field.parameters(), lr=3e-3)
    with probes.watch(field, opt, run_dir) as probe:
        for _ in range(700):
            start = 2 * torch.rand(20, 2)
            truth = flow(start, lambda v: v.sin() @ matrix.T)
            loss = (flow(start, field) - truth).abs().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    start = 2 * torch.rand(200, 2)
    truth = flow(start, lambda v: v.sin() @ matrix.T)
    with torch.no_grad():
        return explained(flow(start, field), truth)
