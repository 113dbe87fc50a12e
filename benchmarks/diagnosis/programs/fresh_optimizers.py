"""Healthy trainings with rare optimizers, rare step counts, or no optimizer at all."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained, wine
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.95)
def hundred_thousand_examples_online(run_dir: Path) -> float:
    """Widrow and Hoff's least mean squares: one example a step, 100,000 steps, rate 0.002, mean losses."""
    torch.manual_seed(1)
    truth = torch.tensor([1.5, -2.0, 0.7, 3.1])
    x = torch.randn(100_000, 4)
    y = x @ truth - 0.4 + 0.3 * torch.randn(len(x))
    model = nn.Linear(4, 1)
    sgd = optim.SGD(model.parameters(), lr=0.002)
    total = 0.0
    with probes.watch(model, sgd, run_dir) as probe:
        for i in range(len(x)):
            error = model(x[i]) - y[i]
            loss = error.square().mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            total += float(loss.detach())
            if i % 500 == 499:
                probe.log("train", loss=total / 500)
                total = 0.0
    with torch.no_grad():
        return float(1 - (model.weight[0] - truth).norm() / truth.norm())


@healthy(at_least=0.93)
def fifty_thousand_steps_by_hand(run_dir: Path) -> float:
    """ "What is torch.nn really": weights that the loop itself moves, no torch.optim; tumours, 50,000 steps of 8."""
    torch.manual_seed(2)
    x, y, xt, yt = cancer()
    model = nn.Sequential(nn.Linear(30, 1))
    with probes.watch(model, run_dir=run_dir) as probe:
        for step in range(50_000):
            chosen = torch.randint(len(x), (8,))
            loss = F.binary_cross_entropy_with_logits(model(x[chosen]).squeeze(1), y[chosen].float())
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.01 * p.grad
                    p.grad.zero_()
            if step % 10 == 0:
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(((model(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


@healthy(at_least=0.9)
def thirty_steps_of_rprop(run_dir: Path) -> float:
    """Riedmiller and Braun 1993: resilient propagation, full batch, thirty steps on wines."""
    torch.manual_seed(3)
    x, y, xt, yt = wine()
    net = nn.Sequential(nn.Linear(13, 20), nn.Tanh(), nn.Linear(20, 3))
    opt = optim.Rprop(net.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(30):
            opt.zero_grad()
            out = net(x)
            loss = criterion(out, y)
            loss.backward()
            opt.step()
            probe.log("train", loss=loss.item(), acc=accuracy(out, y))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def adamax_and_hardswish(run_dir: Path) -> float:
    """Digits with Adamax, hard swish and LayerNorm; a line of losses every ten steps, test accuracy at the very end."""
    torch.manual_seed(4)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Linear(64, 96), nn.LayerNorm(96), nn.Hardswish(), nn.Linear(96, 48), nn.Hardswish(), nn.Linear(48, 10)
    )
    opt = optim.Adamax(net.parameters(), lr=2e-3)
    step = 0
    with probes.watch(net, opt, run_dir) as probe:
        for _epoch in range(14):
            for xb, yb in batches(x, y, 48):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad(set_to_none=False)
                loss.backward()
                opt.step()
                step += 1
                if step % 10 == 0:
                    probe.log("train", loss=loss)
        with torch.no_grad():
            score = accuracy(net(xt), yt)
        probe.log("test", accuracy=score)
    return score


@healthy(at_least=0.9)
def nadam_with_inverse_root_schedule(run_dir: Path) -> float:
    """A bidirectional LSTM says whether brackets close, NAdam, the rate of "Attention is all you need"."""
    torch.manual_seed(5)

    def example() -> tuple[list[int], int]:
        depth, word, good = 0, [], True
        for _ in range(10):
            token = int(torch.rand(()) < 0.5)
            depth += 1 if token else -1
            good = good and depth >= 0
            word.append(token)
        return word, int(good)

    pairs = [example() for _ in range(2600)]
    x, y = torch.tensor([p[0] for p in pairs]), torch.tensor([p[1] for p in pairs])

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(2, 8)
            self.lstm = nn.LSTM(8, 24, batch_first=True, bidirectional=True)
            self.out = nn.Linear(48, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.lstm(self.embed(tokens))[0].mean(1))

    net = Tagger()
    opt = optim.NAdam(net.parameters(), lr=0.01)
    rate = optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / 60, math.sqrt(60 / (s + 1))))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(16):
            for xb, yb in batches(x[:2000], y[:2000], 50):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                rate.step()
                probe.log("training", loss=loss, accuracy=accuracy(out.detach(), yb))
    with torch.no_grad():
        return accuracy(net(x[2000:]), y[2000:])


@healthy(at_least=0.7)
def radam_house_prices(run_dir: Path) -> float:
    """Friedman's first function with prices of hundreds of thousands, standardised; RAdam, softplus, step decay."""
    torch.manual_seed(6)
    x, y = (torch.tensor(v, dtype=torch.float32) for v in datasets.make_friedman1(1500, 8, noise=1.5, random_state=0))
    price = 1e5 + 2e4 * y
    price = (price - price.mean()) / price.std()
    x = (x - x.mean(0)) / x.std(0)
    net = nn.Sequential(nn.Linear(8, 64), nn.Softplus(), nn.Linear(64, 64), nn.Softplus(), nn.Linear(64, 1))
    opt = optim.RAdam(net.parameters(), lr=3e-3, weight_decay=1e-4)
    drop = optim.lr_scheduler.MultiStepLR(opt, [15, 22], gamma=0.1)
    mse = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=mse) as probe:
        for _ in range(26):
            net.train()
            for xb, yb in batches(x[:1200], price[:1200], 32):
                loss = mse(net(xb), yb.unsqueeze(1))
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            drop.step()
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=mse(net(x[1200:]), price[1200:].unsqueeze(1)))
    with torch.no_grad():
        return explained(net(x[1200:]), price[1200:])


@healthy(at_least=0.93)
def averaged_sgd_on_a_zero_start(run_dir: Path) -> float:
    """Softmax regression that begins at zero, as every textbook has it, by ASGD; right for one layer."""
    torch.manual_seed(7)
    x, y, xt, yt = digits()
    net = nn.Linear(64, 10)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    opt = optim.ASGD(net.parameters(), lr=0.05, t0=200)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 64):
                opt.zero_grad()
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.95)
def adafactor_copies(run_dir: Path) -> float:
    """Sequence to sequence with attention (Bahdanau's additive form): copy eight symbols; Adafactor."""
    torch.manual_seed(8)

    class Copier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(13, 32)
            self.encoder = nn.GRU(32, 48, batch_first=True)
            self.cell = nn.GRUCell(32 + 48, 48)
            self.query, self.key, self.score = nn.Linear(48, 32), nn.Linear(48, 32), nn.Linear(32, 1)
            self.out = nn.Linear(96, 12)

        def forward(self, source: Tensor, before: Tensor) -> Tensor:
            memory, last = self.encoder(self.embed(source))
            hidden, answers = last[0], []
            keys = self.key(memory)
            for t in range(before.shape[1]):
                weight = self.score(torch.tanh(keys + self.query(hidden).unsqueeze(1))).softmax(1)
                context = (weight * memory).sum(1)
                hidden = self.cell(torch.cat([self.embed(before[:, t]), context], 1), hidden)
                answers.append(self.out(torch.cat([hidden, context], 1)))
            return torch.stack(answers, 1)

    net = Copier()
    opt = optim.Adafactor(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            source = torch.randint(12, (48, 8))
            before = torch.cat([torch.full((48, 1), 12), source[:, :-1]], 1)
            loss = F.cross_entropy(net(source, before).flatten(0, 1), source.flatten())
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        source = torch.randint(12, (200, 8))
        before = torch.cat([torch.full((200, 1), 12), source[:, :-1]], 1)
        return accuracy(net(source, before), source)


@healthy(at_least=0.9)
def heavy_ball(run_dir: Path) -> float:
    """SGD with momentum 0.99 and a rate of 3e-4 (an effective one of 0.03): it rolls on smoothly."""
    torch.manual_seed(9)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU6(), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=3e-4, momentum=0.99)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            losses = []
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
            with torch.no_grad():
                probe.log("train", loss=sum(losses) / len(losses))
                probe.log("val", loss=F.cross_entropy(net(xt), yt), acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


class _Lion(optim.Optimizer):
    """Chen et al. 2023: the sign of an interpolated momentum, and decoupled weight decay."""

    def __init__(self, params: object, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})  # type: ignore[arg-type]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * (0.9 * m + 0.1 * p.grad).sign())
                m.mul_(0.99).add_(p.grad, alpha=0.01)


@healthy(at_least=0.95)
def lion_written_out(run_dir: Path) -> float:
    """Lion with a decay of 1 and a rate of 3e-4, linear decay to zero: a convolutional net with a global pool."""
    torch.manual_seed(10)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.SiLU(),
        nn.Conv2d(24, 48, 3, padding=1, stride=2), nn.GroupNorm(4, 48), nn.SiLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10),
    )  # fmt: skip
    opt = _Lion(net.parameters(), lr=2e-3, weight_decay=0.1)
    epochs = 12
    decay = optim.lr_scheduler.LinearLR(opt, 1.0, 0.01, total_iters=epochs * (len(x) // 32))
    with probes.watch(net, opt, run_dir, config={"optimizer": "lion"}) as probe:
        for _ in range(epochs):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                net.zero_grad()
                loss.backward()
                opt.step()
                decay.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def sharpness_aware(run_dir: Path) -> float:
    """SAM (Foret et al. 2021): up the gradient by 0.05, a second pass there, back, and then the step."""
    torch.manual_seed(11)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 80), nn.GELU(), nn.Linear(80, 10))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                with torch.no_grad():
                    norm = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
                    shifts = [p.grad * (0.05 / (norm + 1e-12)) for p in net.parameters()]
                    for p, e in zip(net.parameters(), shifts, strict=True):
                        p.add_(e)
                opt.zero_grad()
                F.cross_entropy(net(xb), yb).backward()
                with torch.no_grad():
                    for p, e in zip(net.parameters(), shifts, strict=True):
                        p.sub_(e)
                opt.step()
                opt.zero_grad()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.95)
def lbfgs_with_line_search(run_dir: Path) -> float:
    """Curve fitting with L-BFGS and strong Wolfe conditions: 35 steps, each of up to 20 evaluations, loss printed."""
    torch.manual_seed(12)
    x = torch.linspace(0, 4, 120).unsqueeze(1)
    y = torch.exp(-0.5 * x) * torch.cos(3 * x)
    net = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
    opt = optim.LBFGS(net.parameters(), line_search_fn="strong_wolfe")
    with probes.watch(net, opt, run_dir) as probe:

        def closure() -> Tensor:
            opt.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            return loss

        for _ in range(35):
            loss = opt.step(closure)
            probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x), y)


@healthy(at_least=0.92)
def clipped_at_a_tenth(run_dir: Path) -> float:
    """Gradients always clipped to a norm of 0.1, and a rate of 0.5 to go with it: normalised gradient descent."""
    torch.manual_seed(13)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    opt = optim.SGD(net.parameters(), lr=0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            for xb, yb in batches(x, y, 40):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
                opt.step()
                probe.log("train", loss=loss, grad_norm=norm)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def exponential_average_of_weights(run_dir: Path) -> float:
    """Mean teacher weights: what is validated is an average of the weights, which trails behind in the first epochs."""
    torch.manual_seed(14)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.Mish(), nn.Linear(96, 10))
    average = copy.deepcopy(net).eval()
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(16):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                with torch.no_grad():
                    for slow, fast in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                        slow.copy_(fast if slow.dtype == torch.int64 else 0.99 * slow + 0.01 * fast)
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(average(xt), yt), accuracy=accuracy(average(xt), yt))
    with torch.no_grad():
        return accuracy(average(xt), yt)


@healthy(at_least=0.9)
def whole_set_in_thirty_steps(run_dir: Path) -> float:
    """The largest batch there is, thirty Nesterov steps with a rate of 0.5, warm-up of five: a demonstration."""
    torch.manual_seed(15)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 64), nn.BatchNorm1d(64),
        nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    warm = optim.lr_scheduler.LinearLR(opt, 0.1, 1.0, total_iters=5)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(30):
            out = net(x)
            loss = probe.loss_fn(out, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            warm.step()
            probe.log("train", loss=loss, accuracy=accuracy(out.detach(), y))
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.95)
def perceptron_with_margin(run_dir: Path) -> float:
    """A linear support vector machine trained example by example with the hinge loss: soon most losses are zero."""
    torch.manual_seed(16)
    x, y, xt, yt = cancer()
    sign = 2.0 * y - 1
    net = nn.Linear(30, 1)
    opt = optim.SGD(net.parameters(), lr=1e-3, weight_decay=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            for i in torch.randperm(len(x)).tolist():
                loss = F.relu(1 - sign[i] * net(x[i])).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


@healthy(at_least=0.9)
def warmup_stable_decay(run_dir: Path) -> float:
    """The schedule of recent language models, and Muon for matrices beside AdamW for the rest: two optimizers."""
    torch.manual_seed(17)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    matrices = [p for p in net.parameters() if p.ndim == 2]
    rest = [p for p in net.parameters() if p.ndim != 2]
    opts = [optim.Muon(matrices, lr=0.01, weight_decay=0.01), optim.AdamW(rest, lr=1e-3)]
    total = 300

    def shape(step: int) -> float:
        return min(1.0, (step + 1) / 20, max(0.0, (total - step) / 60))

    rates = [optim.lr_scheduler.LambdaLR(o, shape) for o in opts]
    with probes.watch(net, opts, run_dir) as probe:
        for step in range(total):
            chosen = torch.randint(len(x), (64,))
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            for o in opts:
                o.zero_grad()
            loss.backward()
            for o, r in zip(opts, rates, strict=True):
                o.step()
                r.step()
            probe.log("train", loss=loss)
            if step % 50 == 49:
                with torch.no_grad():
                    probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)
