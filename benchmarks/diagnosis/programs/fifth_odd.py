"""Healthy trainings of the fifth fresh set: odd ones, which look wrong only to somebody who does not know them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _rows(n: int, *, seed: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    """A table of ten columns whose classes are clouds bent by a product of two columns."""
    generator = torch.Generator().manual_seed(seed)
    centres = 1.1 * torch.randn(classes, 10, generator=torch.Generator().manual_seed(99))
    y = torch.randint(classes, (n,), generator=generator)
    x = centres[y] + torch.randn(n, 10, generator=generator)
    return torch.cat([x, (x[:, :1] * x[:, 1:2]).tanh()], 1), y


class _Spike(torch.autograd.Function):
    """A step forward, the slope of a fast sigmoid backward (Zenke & Ganguli 2018)."""

    @staticmethod
    def forward(ctx, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v > 0).float()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad / (1 + 10 * ctx.saved_tensors[0].abs()) ** 2


@healthy(at_least=0.9)
def leaky_neurons_that_spike(run_dir: Path) -> float:
    """snnTorch's tutorial: leaky integrate-and-fire layers over 15 ticks, surrogate slopes, losses summed."""
    torch.manual_seed(81)
    raw = digits(standard=False)
    x, y, xt, yt = raw.x / 16, raw.y, raw.x_test / 16, raw.y_test

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 96), nn.Linear(96, 10)

        def forward(self, v: Tensor) -> Tensor:
            one, two, said = torch.zeros(len(v), 96), torch.zeros(len(v), 10), []
            for _ in range(15):
                one = 0.9 * one + self.fc1(v)
                spikes = _Spike.apply(one - 1)
                one = one - spikes.detach()
                two = 0.9 * two + self.fc2(spikes)
                said.append(two)
            return torch.stack(said)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.999))
    with probes.watch(net, opt, run_dir) as probe:
        for i in range(10):
            for xb, yb in batches(x, y, 32):
                membrane = net(xb)
                loss = sum(F.cross_entropy(m, yb) for m in membrane)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("test", acc=accuracy(net(xt).sum(0), yt), epoch=i)
    with torch.no_grad():
        return accuracy(net(xt).sum(0), yt)


@healthy(at_least=0.9)
def straight_through_binary_code(run_dir: Path) -> float:
    """Hidden units are -1 or 1, with the clipped identity as slope: most gradients of far inputs are zero by design."""
    torch.manual_seed(82)
    x, y, xt, yt = digits()

    class Sign(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            soft = v.clamp(-1, 1)
            return soft + (torch.where(v >= 0, 1.0, -1.0) - soft).detach()

    net = nn.Sequential(
        nn.Linear(64, 256, bias=False), nn.BatchNorm1d(256), Sign(), nn.Linear(256, 128, bias=False),
        nn.BatchNorm1d(128), Sign(), nn.Linear(128, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    lower = optim.lr_scheduler.StepLR(opt, 10, 0.3)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(25):
            net.train()
            for xb, yb in batches(x, y, 64):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb + 0.3 * torch.randn_like(xb)), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            lower.step()
            net.eval()
            with torch.no_grad():
                probe.log("val", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.8)
def experts_behind_a_top_two_gate(run_dir: Path) -> float:
    """Shazeer's sparse mixture: two of eight experts answer, a balancing loss keeps all in use; by region."""
    torch.manual_seed(83)
    regions = torch.randn(8, 4)
    slopes = torch.randn(8, 4)

    def rows(n: int) -> tuple[Tensor, Tensor]:
        v = torch.randn(n, 4)
        return v, (slopes[torch.cdist(v, regions).argmin(1)] * v).sum(1) + 0.1 * torch.randn(n)

    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 8))
            self.experts = nn.ModuleList(nn.Sequential(nn.Linear(4, 24), nn.GELU(), nn.Linear(24, 1)) for _ in range(8))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            score = self.gate(v)
            top, which = score.topk(2, 1)
            weight = torch.zeros_like(score).scatter(1, which, top.softmax(1))
            out = torch.cat([e(v) for e in self.experts], 1)
            used = (weight > 0).float().mean(0) / 2
            return (out * weight).sum(1), 8 * (used * score.softmax(1).mean(0)).sum()

    net = Sparse()
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    cosine = optim.lr_scheduler.CosineAnnealingLR(opt, 1500)
    held = rows(1500)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1500):
            v, target = rows(128)
            out, balance = net(v)
            mse = F.mse_loss(out, target)
            loss = mse + 0.02 * balance
            opt.zero_grad()
            loss.backward()
            opt.step()
            cosine.step()
            if step % 10 == 0:
                probe.log("train", loss=loss, mse=mse, aux=balance)
    with torch.no_grad():
        return explained(net(held[0])[0], held[1])


@healthy(at_least=0.9)
def hypernetwork_with_a_context(run_dir: Path) -> float:
    """Ha et al. 2016: a net writes the weights of another from what kind of curve it is."""
    torch.manual_seed(84)

    def curves(n: int) -> tuple[Tensor, Tensor, Tensor]:
        kind = torch.rand(n, 2) * 2 - 1
        x = torch.rand(n, 16, 1) * 2 - 1
        return kind, x, kind[:, None, :1] * torch.sin(3 * x) + kind[:, None, 1:] * x**2

    class Hyper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.writer = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3 * 16 + 1))
            nn.init.normal_(self.writer[2].weight, std=0.05)

        def forward(self, kind: Tensor, v: Tensor) -> Tensor:
            w1, b1, w2, b2 = self.writer(kind).split([16, 16, 16, 1], 1)
            h = torch.tanh(v * (2 * torch.linspace(-1, 1, 16) + w1[:, None]) + b1[:, None])
            return (h * w2[:, None]).sum(2, keepdim=True) + b2[:, None]

    net = Hyper()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1500):
            kind, x, y = curves(32)
            loss = F.mse_loss(net(kind, x), y)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("hyper", loss=loss)
    kind, x, y = curves(500)
    with torch.no_grad():
        return explained(net(kind, x), y)


@healthy(at_least=0.93)
def thirty_six_steps_and_done(run_dir: Path) -> float:
    """An easy table, a linear layer, batches of 200, SGD at one half: three epochs of twelve steps are enough."""
    torch.manual_seed(85)
    x, y = _rows(2400, seed=1)
    xt, yt = _rows(600, seed=2)
    net = nn.Linear(11, 4)
    opt = optim.SGD(net.parameters(), lr=0.5, momentum=0.5)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(3):
            for xb, yb in batches(x, y, 200):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(net(xt), yt), acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def fifteen_thousand_steps_of_a_pendulum(run_dir: Path) -> float:
    """A small net, a small rate, 15,000 steps of sixteen: a pendulum, Adam at 3e-4 with a long linear fall."""
    torch.manual_seed(86)

    def swings(n: int) -> tuple[Tensor, Tensor]:
        state = torch.stack([(torch.rand(n) * 2 - 1) * 3, torch.randn(n)], 1)
        angle, speed = state.T
        for _ in range(10):
            speed = speed - 0.05 * (4 * angle.sin() + 0.1 * speed)
            angle = angle + 0.05 * speed
        return state, torch.stack([angle, speed], 1) - state

    net = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=3e-4)
    fall = optim.lr_scheduler.LinearLR(opt, 1.0, 0.02, 15_000)
    x, y = swings(20_000)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(15_000):
            at = torch.randint(19_000, (16,))
            loss = F.mse_loss(net(x[at]), y[at])
            opt.zero_grad()
            loss.backward()
            opt.step()
            fall.step()
            if step % 100 == 0:
                probe.log("train", loss=loss)
            if step % 1000 == 999:
                with torch.no_grad():
                    probe.log("val", loss=F.mse_loss(net(x[19_000:]), y[19_000:]))
    with torch.no_grad():
        return explained(net(x[19_000:]), y[19_000:])


@healthy(at_least=0.85)
def one_row_at_a_time_by_adagrad(run_dir: Path) -> float:
    """Online learning: one row a step, Adagrad at 0.05, 6,000 rows, each seen once; right answers lately."""
    torch.manual_seed(87)
    x, y = _rows(6000, seed=3, classes=8)
    xt, yt = _rows(1000, seed=4, classes=8)
    net = nn.Sequential(nn.Linear(11, 24), nn.Tanh(), nn.Linear(24, 8))
    opt = optim.Adagrad(net.parameters(), lr=0.05)
    lately: list[float] = []
    with probes.watch(net, opt, run_dir) as probe:
        for i in range(6000):
            out = net(x[i : i + 1])
            loss = F.cross_entropy(out, y[i : i + 1])
            opt.zero_grad()
            loss.backward()
            opt.step()
            lately = [*lately[-499:], accuracy(out, y[i : i + 1])]
            probe.log("online", loss=loss)
            if i % 500 == 499:
                probe.log("online", prequential_accuracy=np.mean(lately))
    with torch.no_grad():
        return accuracy(net(xt), yt)


class _Adan(optim.Optimizer):
    """Adan (Xie 2022), without its restarts: moments of gradients and of their differences."""

    def __init__(self, params, lr: float, decay: float = 0.02) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                s, g = self.state[p], p.grad
                if not s:
                    s.update(m=torch.zeros_like(p), v=torch.zeros_like(p), n=torch.zeros_like(p), last=g.clone(), t=0)
                s["t"] += 1
                change = g - s["last"]
                s["m"].lerp_(g, 0.02)
                s["v"].lerp_(change, 0.08)
                s["n"].lerp_((g + 0.92 * change) ** 2, 0.01)
                c1, c2, c3 = (1 - b ** s["t"] for b in (0.98, 0.92, 0.99))
                move = (s["m"] / c1 + 0.92 * s["v"] / c2) / ((s["n"] / c3).sqrt() + 1e-8)
                p.sub_(group["lr"] * move).div_(1 + group["lr"] * group["weight_decay"])
                s["last"] = g.clone()


@healthy(at_least=0.95)
def optimizer_of_ones_own(run_dir: Path) -> float:
    """Adan written by hand with its moments; a small convolutional net; two values logged every seventh step."""
    torch.manual_seed(88)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.GroupNorm(4, 32),
        nn.SiLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.SiLU(), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    opt = _Adan(net.parameters(), lr=2e-3)
    n = 0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                n += 1
                if n % 7 == 0:
                    probe.log("train", loss=loss, acc=accuracy(out, yb))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.85)
def resumed_twice_from_a_file(run_dir: Path) -> float:
    """Three sessions of the same run: model and optimizer are saved, loaded, and `watch` is given the same folder."""
    saved = run_dir.with_name(run_dir.name + "-checkpoint.pt")
    x, y = _rows(6000, seed=5, classes=6)
    xt, yt = _rows(500, seed=6, classes=6)
    score = 0.0
    for session in range(3):
        torch.manual_seed(890 + session)
        net = nn.Sequential(nn.Linear(11, 40), nn.ReLU(), nn.Linear(40, 6))
        opt = optim.SGD(net.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
        if saved.exists():
            state = torch.load(saved)
            net.load_state_dict(state["net"])
            opt.load_state_dict(state["opt"])
        with probes.watch(net, opt, run_dir) as probe:
            for _ in range(3):
                for xb, yb in batches(x, y, 60):
                    loss = F.cross_entropy(net(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss)
                with torch.no_grad():
                    score = accuracy(net(xt), yt)
                    probe.log("val", loss=F.cross_entropy(net(xt), yt), acc=score)
        torch.save({"net": net.state_dict(), "opt": opt.state_dict()}, saved)
    saved.unlink()
    return score


@healthy(at_least=0.93)
def stopped_by_its_own_patience(run_dir: Path) -> float:
    """Early stopping with a patience of eight ends a run of 200 planned epochs; best weights restored."""
    torch.manual_seed(90)
    x, y, xt, yt = cancer()
    x, y, xv, yv = x[:320], y[:320], x[320:], y[320:]
    net = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))
    opt = optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-3)
    best, kept, waited = math.inf, {}, 0
    with probes.watch(net, opt, run_dir, config={"max_epochs": 200, "patience": 8}) as probe:
        for _ in range(200):
            net.train()
            total = 0.0
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 20
            net.eval()
            with torch.no_grad():
                val = float(F.cross_entropy(net(xv), yv))
            probe.log("loss", train=total, valid=val)
            waited += 1
            if val < best - 1e-4:
                best, waited, kept = val, 0, {k: v.clone() for k, v in net.state_dict().items()}
            if waited >= 8:
                break
    net.load_state_dict(kept)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def folds_one_after_another_in_one_run(run_dir: Path) -> float:
    """Five folds; the weights are reset in place before each, so the one watched loss jumps back up four times."""
    torch.manual_seed(91)
    x, y = _rows(3000, seed=7, classes=6)
    net = nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 6))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    scores = []
    with probes.watch(net, opt, run_dir) as probe:
        for fold in range(5):
            opt.state.clear()
            for layer in net:
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()
            held = torch.arange(3000) % 5 == fold
            for _ in range(6):
                for xb, yb in batches(x[~held], y[~held], 60):
                    loss = F.cross_entropy(net(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss)
            with torch.no_grad():
                scores.append(accuracy(net(x[held]), y[held]))
            probe.log("fold", accuracy=scores[-1], fold=fold)
    return float(np.mean(scores))


@healthy(at_least=0.93)
def body_frozen_head_trained(run_dir: Path) -> float:
    """A net that has learned the digits 0..4 is frozen, its head made new for 5..9."""
    torch.manual_seed(92)
    x, y, xt, yt = digits(flat=False)
    body = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    first = nn.Sequential(body, nn.Linear(1024, 5))
    learn = optim.Adam(first.parameters(), lr=1e-3)
    for _ in range(8):
        for xb, yb in batches(x[y < 5], y[y < 5], 32):
            learn.zero_grad()
            F.cross_entropy(first(xb), yb).backward()
            learn.step()
    body.requires_grad_(False)
    net = nn.Sequential(body, nn.Linear(1024, 5))
    opt = optim.SGD(net[1].parameters(), lr=0.01, momentum=0.9)
    xs, ys, xv, yv = x[y >= 5], y[y >= 5] - 5, xt[yt >= 5], yt[yt >= 5] - 5
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(10):
            for xb, yb in batches(xs, ys, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("finetune", loss=loss)
            with torch.no_grad():
                probe.log("finetune", val_loss=F.cross_entropy(net(xv), yv), val_acc=accuracy(net(xv), yv))
    with torch.no_grad():
        return accuracy(net(xv), yv)


@healthy(at_least=0.82)
def six_to_one_with_weights_for_the_few(run_dir: Path) -> float:
    """Failures are one row in seven; CrossEntropyLoss with class weights; recall, precision, balanced accuracy."""
    torch.manual_seed(93)

    def parts(n: int) -> tuple[Tensor, Tensor]:
        y = (torch.rand(n) < 1 / 7).long()
        return torch.randn(n, 8) + y[:, None] * torch.tensor([1.5, -1.2, 0.8, 0.8, 0, 0, 0, 0]), y

    x, y = parts(3500)
    xt, yt = parts(1500)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([7 / 12, 3.5]))

    def recalls() -> tuple[float, float, float]:
        with torch.no_grad():
            said = net(xt).argmax(1)
        few, many = said[yt == 1].float().mean(), 1 - said[yt == 0].float().mean()
        return float(few), float(yt[said == 1].float().mean()), float(few + many) / 2

    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 50):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            recall, precision, balanced = recalls()
            probe.log("val", recall=recall, precision=precision, balanced_acc=balanced)
    return balanced


@healthy(at_least=0.93)
def seven_tenths_dropped_of_a_wide_net(run_dir: Path) -> float:
    """Dropout of 0.7 on layers of 512: the training loss stays above the validation loss all the way, as it should."""
    torch.manual_seed(94)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Linear(64, 512),
        nn.ReLU(),
        nn.Dropout(0.7),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(0.7),
        nn.Linear(512, 10),
    )
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(18):
            net.train()
            total, right = 0.0, 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total, right = total + loss.item() / 42, right + accuracy(out, yb) / 42
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=total, accuracy=right)
            probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    return accuracy(out, yt)


@healthy(at_least=0.5)
def ridge_as_strong_as_the_table_needs(run_dir: Path) -> float:
    """Sixty correlated columns, 160 rows: weight decay of 0.3 with SGD is what cross-validation picked (ridge)."""
    torch.manual_seed(95)
    factors = torch.randn(5, 60)
    slope = torch.randn(60) / 8

    def rows(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 5) @ factors / 2.2 + 0.5 * torch.randn(n, 60)
        return x, x @ slope + 0.6 * torch.randn(n)

    x, y = rows(160)
    xt, yt = rows(500)
    net = nn.Linear(60, 1)
    opt = optim.SGD(net.parameters(), lr=0.01, weight_decay=0.3)
    with probes.watch(net, opt, run_dir) as probe:
        for i in range(600):
            loss = F.mse_loss(net(x).squeeze(1), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if i % 20 == 0:
                with torch.no_grad():
                    probe.log("mse", train=loss, test=F.mse_loss(net(xt).squeeze(1), yt))
    with torch.no_grad():
        return explained(net(xt), yt)


@healthy(at_least=0.9)
def rate_up_and_down_and_weights_averaged(run_dir: Path) -> float:
    """Triangular cyclic rates whose valleys are averaged (as fast ensembling does); the loss goes in waves."""
    torch.manual_seed(96)
    x, y = _rows(2500, seed=8, classes=8)
    xt, yt = _rows(800, seed=9, classes=8)
    net = nn.Sequential(nn.Linear(11, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 8))
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    waves = optim.lr_scheduler.CyclicLR(opt, 0.002, 0.3, step_size_up=50, cycle_momentum=False)
    average = optim.swa_utils.AveragedModel(net)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(800):
            at = torch.randint(2500, (50,))
            loss = F.cross_entropy(net(x[at]), y[at])
            opt.zero_grad()
            loss.backward()
            opt.step()
            waves.step()
            probe.log("cyc", loss=loss.item(), lr=waves.get_last_lr()[0])
            if step % 100 == 99 and step >= 200:
                average.update_parameters(net)
    optim.swa_utils.update_bn([x], average)
    average.eval()
    with torch.no_grad():
        return accuracy(average(xt), yt)


@healthy(at_least=0.75)
def pictures_noisier_week_by_week(run_dir: Path) -> float:
    """A curriculum: the digits get noisier in six stages, so the training loss rises while the net gets better."""
    torch.manual_seed(97)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.BatchNorm2d(48),
        nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(768, 10),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    hardest = xt + 1.0 * torch.randn_like(xt)
    with probes.watch(net, opt, run_dir, config={"stages": 6}) as probe:
        for stage in range(6):
            for _ in range(3):
                net.train()
                for xb, yb in batches(x, y, 32):
                    loss = F.cross_entropy(net(xb + 0.2 * stage * torch.randn_like(xb)), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss)
                net.eval()
                with torch.no_grad():
                    probe.log("hardest", acc=accuracy(net(hardest), yt), stage=stage)
    with torch.no_grad():
        return accuracy(net(hardest), yt)


@healthy(at_least=0.9)
def layer_in_equilibrium(run_dir: Path) -> float:
    """A deep equilibrium model (Bai 2019): a layer to its fixed point without a graph, one step with one."""
    torch.manual_seed(98)
    x, y = _rows(4000, seed=10, classes=6)
    xt, yt = _rows(1000, seed=11, classes=6)

    class Equilibrium(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inject, self.again, self.head = nn.Linear(11, 32), nn.Linear(32, 32, bias=False), nn.Linear(32, 6)
            nn.init.orthogonal_(self.again.weight, gain=0.6)

        def forward(self, v: Tensor) -> Tensor:
            fed = self.inject(v)
            with torch.no_grad():
                h = torch.zeros_like(fed)
                for _ in range(20):
                    h = torch.tanh(fed + self.again(h))
            return self.head(torch.tanh(fed + self.again(h)))

    net = Equilibrium()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("deq", train_loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("deq", val_loss=F.cross_entropy(out, yt), val_acc=accuracy(out, yt))
    return accuracy(out, yt)
