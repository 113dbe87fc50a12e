"""Healthy trainings of the third fresh set whose course is unusual: few labels, drift, lessons, cuts, jumps, noise."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _convolutions(norm: bool = True) -> nn.Sequential:
    """A small net for 8x8 digits of any size after pooling."""
    layers = [
        nn.Conv2d(1, 24, 3, padding=1), *([nn.BatchNorm2d(24)] if norm else []), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1), *([nn.BatchNorm2d(48)] if norm else []), nn.ReLU(),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(192, 10),
    ]  # fmt: skip
    return nn.Sequential(*layers)


@torch.no_grad()
def _evaluate(net: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Loss and accuracy in evaluation mode; training mode is restored."""
    net.eval()
    out = net(x)
    net.train()
    return float(F.cross_entropy(out, y)), accuracy(out, y)


def _jitter(v: Tensor) -> Tensor:
    return torch.roll(v, tuple(torch.randint(-1, 2, (2,)).tolist()), (2, 3)) + 0.2 * torch.randn_like(v)


@healthy(at_least=0.75)
def mean_teacher(run_dir: Path) -> float:
    """Tarvainen and Valpola 2017: 60 labels and 1,200 digits without; a cost of disagreement is ramped up to 10."""
    torch.manual_seed(641)
    x, y, xt, yt = digits(flat=False)
    student = _convolutions()
    teacher = copy.deepcopy(student).requires_grad_(False)
    opt = optim.Adam(student.parameters(), lr=2e-3)
    with probes.watch(student, opt, run_dir) as probe:
        for step in range(600):
            labelled, free = torch.randint(60, (30,)), torch.randint(60, len(x), (60,))
            both = torch.cat([x[labelled], x[free]])
            out = student(_jitter(both))
            with torch.no_grad():
                goal = teacher(_jitter(both)).softmax(1)
            weight = 10 * math.exp(-5 * (1 - min(1.0, step / 300)) ** 2)
            supervised = F.cross_entropy(out[:30], y[labelled])
            consistency = F.mse_loss(out.softmax(1), goal)
            loss = supervised + weight * consistency
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                    slow.lerp_(fast, 0.02)
            probe.log("train", loss=loss, supervised=supervised, consistency=consistency)
            if step % 50 == 49:
                probe.log("val", accuracy=_evaluate(student, xt, yt)[1])
    return _evaluate(student, xt, yt)[1]


@healthy(at_least=0.75)
def pseudo_labels(run_dir: Path) -> float:
    """Lee 2013: trained on 150 labels; then what it is sure of is taken for true, and it goes on, in three rounds."""
    torch.manual_seed(642)
    x, y, xt, yt = digits(flat=False)
    net = _convolutions()
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    seen_x, seen_y = x[:150], y[:150]
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for round_ in range(4):
            for _ in range(16 if round_ == 0 else 4):
                for xb, yb in batches(seen_x, seen_y, 25):
                    out = net(_jitter(xb))
                    loss = probe.loss_fn(out, yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
                val_loss, val_accuracy = _evaluate(net, xt, yt)
                probe.log("val", loss=val_loss, accuracy=val_accuracy)
            net.eval()
            with torch.no_grad():
                sure, named = net(x[150:]).softmax(1).max(1)
            net.train()
            seen_x = torch.cat([x[:150], x[150:][sure > 0.9]])
            seen_y = torch.cat([y[:150], named[sure > 0.9]])
    return _evaluate(net, xt, yt)[1]


@healthy(at_least=0.85)
def lottery_tickets(run_dir: Path) -> float:
    """Frankle and Carbin 2019: trained, cut by 60%, set back to the first weights and trained anew, three times."""
    torch.manual_seed(643)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    first = copy.deepcopy(net.state_dict())
    weights = [net[0].weight, net[2].weight]
    masks = [torch.ones_like(w) for w in weights]
    opt = optim.Adam(net.parameters(), lr=1.2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for round_ in range(3):
            net.load_state_dict(first)
            opt.state.clear()
            with torch.no_grad():
                for w, m in zip(weights, masks, strict=True):
                    w.mul_(m)
            for _ in range(6):
                for xb, yb in batches(x, y, 60):
                    loss = F.cross_entropy(net(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    for w, m in zip(weights, masks, strict=True):
                        w.grad.mul_(m)
                    opt.step()
                    probe.log("train", loss=loss, round=round_)
                probe.log("val", acc=_evaluate(net, xt, yt)[1])
            if round_ < 2:
                with torch.no_grad():
                    for w, m in zip(weights, masks, strict=True):
                        alive = w[m > 0].abs()
                        m.mul_((w.abs() >= alive.quantile(0.6)).float())
    return _evaluate(net, xt, yt)[1]


class _Signs(torch.autograd.Function):
    """The sign of each weight; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: object, w: Tensor) -> Tensor:
        return torch.where(w >= 0, 1.0, -1.0) * w.abs().mean()

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return grad


class _Binary(nn.Linear):
    def forward(self, v: Tensor) -> Tensor:
        return F.linear(v, _Signs.apply(self.weight), self.bias)


@healthy(at_least=0.88)
def binary_weights(run_dir: Path) -> float:
    """BinaryConnect (Courbariaux et al. 2015): only signs of weights count, straight-through, clipped to 1."""
    torch.manual_seed(644)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        _Binary(64, 128), nn.BatchNorm1d(128), nn.ReLU(), _Binary(128, 128), nn.BatchNorm1d(128), nn.ReLU(),
        _Binary(128, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 64):
                loss = F.multi_margin_loss(net(xb), yb, p=2)
                opt.zero_grad()
                loss.backward()
                opt.step()
                with torch.no_grad():
                    for layer in net:
                        if isinstance(layer, _Binary):
                            layer.weight.clamp_(-1, 1)
                probe.log("train", loss=loss)
            probe.log("val", error=100 * (1 - _evaluate(net, xt, yt)[1]))
    return _evaluate(net, xt, yt)[1]


@healthy(at_least=0.9)
def frozen_statistics(run_dir: Path) -> float:
    """As detectors are tuned: BatchNorm in evaluation mode, batches of two, the stem frozen; negatives."""
    torch.manual_seed(645)
    x, y, xt, yt = digits(flat=False)
    net = _convolutions()
    start = optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(5):
        for xb, yb in batches(x, y, 32):
            start.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            start.step()
    net.eval()
    for p in [*net[0].parameters(), *net[1].parameters(), *net[5].parameters()]:
        p.requires_grad_(False)
    opt = optim.SGD([p for p in net.parameters() if p.requires_grad], lr=1e-3, momentum=0.9, weight_decay=1e-4)
    total = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1800):
            chosen = torch.randint(len(x), (2,))
            loss = F.cross_entropy(net(0.8 - x[chosen]), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() / 20
            if step % 20 == 19:
                probe.log("train", total_loss=total)
                total = 0.0
    with torch.no_grad():
        return accuracy(net(0.8 - xt), yt)


@healthy(at_least=0.93)
def small_pictures_first(run_dir: Path) -> float:
    """Progressive resizing (fast.ai): 4x4, then 8x8, then 16x16; the loss jumps when the pictures grow."""
    torch.manual_seed(646)
    x, y, xt, yt = digits(flat=False)
    net = _convolutions()
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for size, epochs in ((4, 5), (8, 5), (16, 4)):
            small, small_test = (F.interpolate(v, (size, size), mode="area") for v in (x, xt))
            for _ in range(epochs):
                for xb, yb in batches(small, y, 50):
                    loss = F.cross_entropy(net(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss, size=size)
                val_loss, acc = _evaluate(net, small_test, yt)
                probe.log("val", loss=val_loss, accuracy=acc)
    return _evaluate(net, small_test, yt)[1]


@healthy(at_least=0.7)
def the_world_changes(run_dir: Path) -> float:
    """Online learning under concept drift (Gama et al. 2014): what is asked turns about twice; the loss recovers."""
    torch.manual_seed(647)
    laws = [torch.randn(8, 8) for _ in range(3)]
    net = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 1))
    opt = optim.SGD(net.parameters(), lr=0.05)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(4500):
            law = laws[step // 1500]
            x = torch.randn(8, 8)
            y = torch.tanh(x @ law[0]) + 0.5 * (x @ law[1]).abs() / 3 + 0.1 * torch.randn(8)
            loss = F.mse_loss(net(x).squeeze(1), y)  # tested on each batch before it learns from it
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("online", loss=loss)
    x = torch.randn(2000, 8)
    with torch.no_grad():
        return explained(net(x).squeeze(1), torch.tanh(x @ laws[2][0]) + 0.5 * (x @ laws[2][1]).abs() / 3)


@healthy(at_least=0.75)
def new_classes_with_rehearsal(run_dir: Path) -> float:
    """Class-incremental learning (iCaRL's setting): two new digits at a time, 15 kept examples of each old one."""
    torch.manual_seed(648)
    x, y, xt, yt = digits(flat=False)
    net = _convolutions(norm=False)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    kept_x, kept_y = x[:0], y[:0]
    with probes.watch(net, opt, run_dir) as probe:
        for task in range(5):
            new = (y // 2) == task
            for _ in range(8):
                for xb, yb in batches(x[new], y[new], 32):
                    if task:
                        old = torch.randint(len(kept_x), (16 + 8 * task,))
                        xb, yb = torch.cat([xb, kept_x[old]]), torch.cat([yb, kept_y[old]])
                    loss = F.cross_entropy(net(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss, task=task)
                known = yt < 2 * task + 2
                probe.log("val", accuracy=_evaluate(net, xt[known], yt[known])[1])
            for c in (2 * task, 2 * task + 1):
                rows = (y == c).nonzero().squeeze(1)[:15]
                kept_x, kept_y = torch.cat([kept_x, x[rows]]), torch.cat([kept_y, y[rows]])
    return _evaluate(net, xt, yt)[1]


@healthy(at_least=0.88)
def three_in_ten_labels_wrong(run_dir: Path) -> float:
    """Generalised cross-entropy (Zhang and Sabuncu 2018): 30% of the labels drawn by lot; validation is clean."""
    torch.manual_seed(649)
    x, y, xt, yt = digits(flat=False)
    y = torch.where(torch.rand(len(y)) < 0.3, torch.randint(10, (len(y),)), y)
    net = _convolutions()
    opt = optim.SGD(net.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)
    sched = optim.lr_scheduler.CosineAnnealingLR(opt, 15)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                out = net(_jitter(xb))
                right = out.softmax(1).gather(1, yb[:, None]).squeeze(1)
                loss = ((1 - right**0.7) / 0.7).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            sched.step()
            probe.log("val", accuracy=_evaluate(net, xt, yt)[1])
    return _evaluate(net, xt, yt)[1]


@healthy(at_least=0.5)
def second_order_meta_learning(run_dir: Path) -> float:
    """MAML (Finn et al. 2017) on sine waves: the loss after one inner step, differentiated through; it flickers."""
    torch.manual_seed(650)
    net = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    params = dict(net.named_parameters())

    def tasks() -> tuple[Tensor, Tensor]:
        size, phase = 0.5 + 3.5 * torch.rand(1), math.pi * torch.rand(1)
        x = torch.rand(20, 1) * 10 - 5
        return x, size * torch.sin(x + phase)

    def after_a_step(x: Tensor, y: Tensor, *, create_graph: bool) -> dict[str, Tensor]:
        inner = F.mse_loss(net(x), y)
        grads = torch.autograd.grad(inner, list(params.values()), create_graph=create_graph)
        return {n: p - 0.02 * g for (n, p), g in zip(params.items(), grads, strict=True)}

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1200):
            loss = torch.zeros(())
            for _ in range(5):
                x, y = tasks()
                adapted = after_a_step(x[:10], y[:10], create_graph=True)
                loss = loss + F.mse_loss(torch.func.functional_call(net, adapted, (x[10:],)), y[10:]) / 5
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("meta", loss=loss)
    before, after = 0.0, 0.0
    for _ in range(300):
        x, y = tasks()
        adapted = after_a_step(x[:10], y[:10], create_graph=False)
        with torch.no_grad():
            before += float(F.mse_loss(net(x[10:]), y[10:]))
            after += float(F.mse_loss(torch.func.functional_call(net, adapted, (x[10:],)), y[10:]))
    return 1 - after / before


@healthy(at_least=0.9)
def weights_made_by_a_net(run_dir: Path) -> float:
    """A hypernetwork (Ha et al. 2017): given a wave's pitch it makes the weights of a net that draws it."""
    torch.manual_seed(651)
    net = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 16 * 3 + 1))
    with torch.no_grad():
        net[4].weight.mul_(0.3)
        net[4].bias[:32].normal_(std=2.0)  # the small net's first layer, as it would have been begun
    opt = optim.NAdam(net.parameters(), lr=2e-3)

    def draw(pitch: Tensor, t: Tensor) -> Tensor:
        w = net(pitch)
        hidden = torch.tanh(t * w[:, :16] + w[:, 16:32])
        return (hidden * w[:, 32:48]).sum(1) + w[:, 48]

    def sample(n: int) -> tuple[Tensor, Tensor, Tensor]:
        pitch, t = torch.rand(n, 1) * 2 - 1, torch.rand(n, 1) * 4 - 2
        return pitch, t, torch.sin((1.5 + pitch) * t).squeeze(1)

    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1500):
            pitch, t, y = sample(128)
            loss = F.mse_loss(draw(pitch, t), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 20 == 0:
                probe.log("train", loss=loss)
    pitch, t, y = sample(2000)
    with torch.no_grad():
        return explained(draw(pitch, t), y)
