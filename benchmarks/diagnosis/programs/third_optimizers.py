"""Healthy trainings of the third fresh set: unusual optimizers, precision, schedules, restarts, very short and long."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, diabetes, digits, explained, moons, spirals
from benchmarks.diagnosis.programs.program import healthy


class _Muon(optim.Optimizer):
    """Jordan et al. 2024: momentum made orthogonal by five Newton-Schulz iterations, for matrices only."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                kept = self.state[p].setdefault("momentum", torch.zeros_like(p))
                kept.mul_(group["momentum"]).add_(p.grad)
                z = p.grad + group["momentum"] * kept
                z = z / (z.norm() + 1e-7)
                flip = z.shape[0] > z.shape[1]
                z = z.t() if flip else z
                for _ in range(5):
                    a = z @ z.t()
                    z = 3.4445 * z + (-4.7750 * a + 2.0315 * a @ a) @ z
                p.add_(z.t() if flip else z, alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)


@healthy(at_least=0.93)
def muon_for_matrices_adam_for_the_rest(run_dir: Path) -> float:
    """Two optimizers at once, as in the nanoGPT speed run: orthogonalised steps of one size, decayed at last."""
    torch.manual_seed(581)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Linear(64, 96), nn.RMSNorm(96), nn.GELU(), nn.Linear(96, 96), nn.RMSNorm(96), nn.GELU(), nn.Linear(96, 10)
    )
    hidden = [net[0].weight, net[3].weight]
    others = [p for p in net.parameters() if all(p is not h for h in hidden)]
    muon, adam = _Muon(hidden, lr=0.02), optim.AdamW(others, lr=3e-3)
    scheds = [optim.lr_scheduler.LambdaLR(o, lambda t: min(1.0, 2 * (1 - t / 420))) for o in (muon, adam)]
    with probes.watch(net, [muon, adam], run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                net.zero_grad()
                loss.backward()
                muon.step()
                adam.step()
                for sched in scheds:
                    sched.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def slow_and_fast_weights(run_dir: Path) -> float:
    """Lookahead (Zhang et al. 2019): every fifth step the weights jump half-way back to where they were."""
    torch.manual_seed(582)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.PReLU(), nn.Linear(64, 64), nn.PReLU(), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    slow = [p.detach().clone() for p in net.parameters()]
    step = 0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                step += 1
                if step % 5 == 0:
                    with torch.no_grad():
                        for s, p in zip(slow, net.parameters(), strict=True):
                            s.lerp_(p, 0.5)
                            p.copy_(s)
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def half_precision_with_a_scaler(run_dir: Path) -> float:
    """PyTorch's AMP recipe in float16: the scaler begins too high, so the first steps are left out, as they should."""
    torch.manual_seed(583)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.LayerNorm(128), nn.Linear(128, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                with torch.autocast("cpu", dtype=torch.float16):
                    out = net(xb)
                    loss = probe.loss_fn(out, yb)
                scaler.scale(loss).backward()
                scaler.unscale_(opt)
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                scaler.step(opt)
                scaler.update()
                probe.log("train", loss=loss, scale=scaler.get_scale())
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16):
                probe.log("val", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def continued_from_a_checkpoint(run_dir: Path) -> float:
    """PyTorch's "saving and loading a general checkpoint": stopped after four epochs, loaded, and the run goes on."""
    torch.manual_seed(584)
    x, y, xt, yt = digits(flat=False)

    def make() -> tuple[nn.Module, optim.Optimizer]:
        net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
        )  # fmt: skip
        return net, optim.SGD(net.parameters(), lr=0.02, momentum=0.9)

    def epochs(net: nn.Module, opt: optim.Optimizer, n: int, step: int | None) -> int:
        with probes.watch(net, opt, run_dir, step=step) as probe:
            for _ in range(n):
                net.train()
                for xb, yb in batches(x, y, 32):
                    loss = F.cross_entropy(net(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss)
                net.eval()
                with torch.no_grad():
                    out = net(xt)
                    probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
            return probe.step

    net, opt = make()
    reached = epochs(net, opt, 4, None)
    saved = {"model": net.state_dict(), "optimizer": opt.state_dict()}
    net, opt = make()
    net.load_state_dict(saved["model"])
    opt.load_state_dict(saved["optimizer"])
    epochs(net, opt, 4, reached)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.95)
def last_epochs_at_a_small_rate(run_dir: Path) -> float:
    """The end of a long training, watched alone: a trained net, Adam at 0.00001; the loss is low and hardly falls."""
    torch.manual_seed(585)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    start = optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(12):
        for xb, yb in batches(x, y, 32):
            start.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            start.step()
    opt = optim.Adam(net.parameters(), lr=1e-5)
    opt.load_state_dict({**start.state_dict(), "param_groups": opt.state_dict()["param_groups"]})
    with probes.watch(
        net, opt, run_dir, loss_fn=nn.CrossEntropyLoss(), config={"lr": 1e-5, "resume": "best.pt"}
    ) as probe:
        for _ in range(10):
            net.train()
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, acc=accuracy(out.detach(), yb))
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def langevin_dynamics(run_dir: Path) -> float:
    """Welling and Teh 2011: SGD with as much noise samples a posterior, never settles; the mean votes."""
    torch.manual_seed(586)
    x, y, xt, yt = cancer()
    net = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 1))
    n, rate = len(x), 2e-3
    opt = optim.SGD(net.parameters(), lr=rate)
    votes = torch.zeros(len(xt))
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(3000):
            chosen = torch.randint(n, (32,))
            nll = F.binary_cross_entropy_with_logits(net(x[chosen]).squeeze(1), y[chosen].float())
            prior = sum((p**2).sum() for p in net.parameters()) / (2 * n)
            opt.zero_grad()
            (nll + prior).backward()
            for p in net.parameters():
                p.grad += torch.randn_like(p) * math.sqrt(2 / (n * rate))
            opt.step()
            probe.log("train", potential=nll + prior, nll=nll)
            if step >= 1000 and step % 20 == 0:
                with torch.no_grad():
                    votes += torch.sigmoid(net(xt).squeeze(1))
    return float(((votes / 100 > 0.5) == (yt > 0)).float().mean())


@healthy(at_least=0.9)
def twenty_thousand_single_points(run_dir: Path) -> float:
    """Two inputs, 33 weights, 20,000 steps of plain SGD one point at a time, logged every hundredth: a first lesson."""
    torch.manual_seed(587)
    x, y, xt, yt = moons()
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    opt = optim.SGD(net.parameters(), lr=0.05)
    running = 0.0
    with probes.watch(net, opt, run_dir, every=100) as probe:
        for step in range(20000):
            i = int(torch.randint(len(x), ()))
            loss = F.binary_cross_entropy(net(x[i]), y[i : i + 1].float())
            opt.zero_grad()
            loss.backward()
            opt.step()
            running += loss.item() / 100
            if step % 100 == 99:
                probe.log("train", loss=running)
                running = 0.0
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0.5) == (yt > 0)).float().mean())


@healthy(at_least=0.9)
def three_million_weights_in_sixty_steps(run_dir: Path) -> float:
    """A wide net of three million weights, batch 256, 60 steps of AdamW with warm-up; every step a frame."""
    torch.manual_seed(588)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Linear(64, 1536), nn.Mish(), nn.LayerNorm(1536), nn.Dropout(0.2), nn.Linear(1536, 1800), nn.Mish(),
        nn.LayerNorm(1800), nn.Linear(1800, 10),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    sched = optim.lr_scheduler.LinearLR(opt, 0.1, 1.0, 10)
    with probes.watch(net, opt, run_dir, every=1) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 256):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                sched.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(xt), yt))
            net.train()
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def layerwise_rates_for_one_large_batch(run_dir: Path) -> float:
    """LARS (You et al. 2017): 1,024 digits a step, each layer's rate from its norms, 150 steps."""
    torch.manual_seed(589)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    opt = optim.SGD([{"params": [p]} for p in net.parameters()], lr=1.0, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(150):
            chosen = torch.randperm(len(x))[:1024]
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            opt.zero_grad()
            loss.backward()
            base = 2.0 * min(1.0, (step + 1) / 15) * (1 - step / 150) ** 2
            for group in opt.param_groups:
                (p,) = group["params"]
                trust = 0.003 * float(p.norm() / (p.grad.norm() + 1e-4 * p.norm())) if p.dim() > 1 else 0.01
                group["lr"] = base * trust
            opt.step()
            probe.log("train", loss=loss)
            if step % 15 == 14:
                net.eval()
                with torch.no_grad():
                    probe.log("val", loss=F.cross_entropy(net(xt), yt))
                net.train()
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def normalised_weights_and_warm_restarts(run_dir: Path) -> float:
    """Weight normalisation (Salimans and Kingma 2016), AMSGrad, restarts of growing length: the loss jumps at each."""
    torch.manual_seed(590)
    x, y, xt, yt = spirals(1500)
    norm = nn.utils.parametrizations.weight_norm
    net = nn.Sequential(
        norm(nn.Linear(2, 64)),
        nn.Softplus(beta=5),
        norm(nn.Linear(64, 64)),
        nn.Softplus(beta=5),
        norm(nn.Linear(64, 3)),
    )
    opt = optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-4, amsgrad=True)
    sched = optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=6, T_mult=2)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for epoch in range(42):
            for i, (xb, yb) in enumerate(batches(x, y, 45)):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                sched.step(epoch + i / 25)
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.3)
def diabetes_by_averaged_sgd(run_dir: Path) -> float:
    """331 patients, targets as measured less their mean, ASGD, batch 10, and an error in points of the score; R^2."""
    torch.manual_seed(591)
    x, y, xt, yt = diabetes(standard=False)
    mean = y.mean()
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.ASGD(net.parameters(), lr=1e-4, lambd=1e-4, t0=300, weight_decay=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.L1Loss()) as probe:
        for _ in range(60):
            for xb, yb in batches(x, y - mean, 10):
                out = net(xb).squeeze(1)
                loss = F.mse_loss(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("train", mse=loss, mae=(out - yb).abs().mean())
                probe.log("val", mae=(net(xt).squeeze(1) + mean - yt).abs().mean())
    with torch.no_grad():
        return explained(net(xt).squeeze(1) + mean, yt)
