"""Healthy trainings on tables, of the third fresh set: rare events, counts, ranks, clicks, doses, noisy outcomes."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, wine
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.35)
def fraud_two_in_a_hundred(run_dir: Path) -> float:
    """Card fraud, 2% of the rows, no weights: accuracy is 98% from the start; score: average precision."""
    torch.manual_seed(541)
    x = torch.randn(12000, 12)
    risk = 1.5 * x[:, 0] + x[:, 1] * x[:, 2] + 1.2 * (x[:, 3] > 1).float() + x[:, 4].abs()
    y = (risk + 0.4 * torch.randn(12000) > 4.6).long()
    net = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-5)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:9000], y[:9000], 128):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                out = net(x[9000:])
                probe.log("val", loss=F.cross_entropy(out, y[9000:]), accuracy=accuracy(out, y[9000:]))
    with torch.no_grad():
        return float(average_precision_score(y[9000:].numpy(), net(x[9000:]).softmax(1)[:, 1].numpy()))


@healthy(at_least=0.18)
def three_tenths_is_all_there_is(run_dir: Path) -> float:
    """A clinical score: R^2 of 0.3 is all that the features tell; the loss falls from 1 to 0.7 and stays; R^2."""
    torch.manual_seed(542)
    x = torch.randn(4000, 8)
    signal = 0.6 * x[:, 0] + 0.5 * torch.sin(2 * x[:, 1]) + 0.4 * x[:, 2] * x[:, 3]
    y = (signal / signal.std()) * math.sqrt(0.3) + math.sqrt(0.7) * torch.randn(4000)
    net = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Dropout(0.1), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    mse = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=mse) as probe:
        for _ in range(20):
            net.train()
            total = 0.0
            for xb, yb in batches(x[:3000], y[:3000], 60):
                loss = mse(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 50
            net.eval()
            with torch.no_grad():
                out = net(x[3000:]).squeeze(1)
                probe.log("train", loss=total)
                probe.log("val", loss=mse(out, y[3000:]), r2=explained(out, y[3000:]))
    with torch.no_grad():
        return explained(net(x[3000:]), y[3000:])


@healthy(at_least=0.75)
def entity_embeddings(run_dir: Path) -> float:
    """Guo and Berkhahn 2016 (Rossmann): embeddings of shop, weekday and month beside numbers; one-cycle, as fast.ai."""
    torch.manual_seed(543)
    sizes = (60, 7, 12)
    effects = [0.6 * torch.randn(n) for n in sizes]
    codes = torch.stack([torch.randint(n, (6000,)) for n in sizes], 1)
    numbers = torch.randn(6000, 3)
    promo = (numbers[:, 0] > 0).float()
    y = sum(e[codes[:, i]] for i, e in enumerate(effects)) + 0.5 * promo * effects[0][codes[:, 0]] + 0.3 * numbers[:, 1]
    y = 8.5 + y + 0.3 * torch.randn(6000)  # the logarithm of sales

    class Tabular(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeds = nn.ModuleList([nn.Embedding(n, min(16, (n + 1) // 2)) for n in sizes])
            self.emb_drop, self.bn_cont = nn.Dropout(0.04), nn.BatchNorm1d(3)
            self.layers = nn.Sequential(
                nn.Linear(16 + 4 + 6 + 3, 100), nn.ReLU(), nn.BatchNorm1d(100), nn.Dropout(0.05),
                nn.Linear(100, 50), nn.ReLU(), nn.BatchNorm1d(50), nn.Linear(50, 1),
            )  # fmt: skip

        def forward(self, c: Tensor, v: Tensor) -> Tensor:
            z = torch.cat([e(c[:, i]) for i, e in enumerate(self.embeds)], 1)
            return 4 + 10 * torch.sigmoid(self.layers(torch.cat([self.emb_drop(z), self.bn_cont(v)], 1)).squeeze(1))

    net = Tabular()
    opt = optim.AdamW(net.parameters(), lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1)
    epochs, size = 8, 64
    sched = optim.lr_scheduler.OneCycleLR(opt, 1e-2, total_steps=epochs * (4800 // size), pct_start=0.25)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(epochs):
            net.train()
            for chosen in torch.randperm(4800).split(size):
                if len(chosen) == size:
                    loss = F.mse_loss(net(codes[chosen], numbers[chosen]), y[chosen])
                    loss.backward()
                    opt.step()
                    sched.step()
                    opt.zero_grad()
                    probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                val = F.mse_loss(net(codes[4800:], numbers[4800:]), y[4800:])
                probe.log("valid", loss=val, rmse=val.sqrt())
    with torch.no_grad():
        return explained(net(codes[4800:], numbers[4800:]), y[4800:])


@healthy(at_least=0.7)
def ordered_grades(run_dir: Path) -> float:
    """CORAL (Cao et al. 2020): five ordered grades, one slope, four thresholds; score: R^2 of grades."""
    torch.manual_seed(544)
    x = torch.randn(2400, 10)
    quality = x[:, 0] + 0.7 * x[:, 1] ** 2 - 0.5 * x[:, 2] + 0.3 * torch.randn(2400)
    grade = torch.bucketize(quality, torch.tensor([-0.8, 0.1, 0.9, 2.0]))
    goal = (grade[:, None] > torch.arange(4)).float()

    class Coral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(10, 32), nn.ELU(), nn.Linear(32, 16), nn.ELU())
            self.slope = nn.Linear(16, 1, bias=False)
            self.thresholds = nn.Parameter(torch.zeros(4))

        def forward(self, v: Tensor) -> Tensor:
            return self.slope(self.body(v)) + self.thresholds

    net = Coral()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    bce = nn.BCEWithLogitsLoss(reduction="none")
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x[:1800], goal[:1800], 40):
                loss = bce(net(xb), yb).sum(1).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                off = ((net(x[1800:]) > 0).sum(1) - grade[1800:]).abs().float().mean()
                probe.log("val", mae=off)
    with torch.no_grad():
        return explained((net(x[1800:]) > 0).sum(1).float(), grade[1800:].float())


@healthy(at_least=0.5)
def claims_with_exposure(run_dir: Path) -> float:
    """Insurance claims, most of them none: Poisson likelihood, exposure as an offset; share of the signal found."""
    torch.manual_seed(545)
    x = torch.randn(20000, 6)
    exposure = 0.2 + 0.8 * torch.rand(20000)
    truth = -2.2 + 0.5 * x[:, 0] - 0.4 * x[:, 1] + 0.3 * (x[:, 2] > 0) * x[:, 3]
    y = torch.poisson(exposure * truth.exp())
    net = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 15), nn.Tanh(), nn.Linear(15, 1))
    nn.init.zeros_(net[4].weight)
    nn.init.constant_(net[4].bias, math.log(float(y[:15000].sum() / exposure[:15000].sum())))
    opt = optim.NAdam(net.parameters(), lr=2e-3)
    nll = nn.PoissonNLLLoss(log_input=True)
    table = torch.cat([x, exposure.log()[:, None]], 1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(table[:15000], y[:15000], 250):
                loss = nll(net(xb[:, :6]).squeeze(1) + xb[:, 6], yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", poisson_loss=loss)
            with torch.no_grad():
                probe.log("val", poisson_loss=nll(net(x[15000:]).squeeze(1) + exposure[15000:].log(), y[15000:]))
    with torch.no_grad():
        return explained(net(x[15000:]), truth[15000:])


@healthy(at_least=0.66)
def clicks_by_factorisation_machine(run_dir: Path) -> float:
    """DeepFM's first half (Rendle 2010): sparse fields, Adagrad 0.05, a log loss that falls little; score: AUC."""
    torch.manual_seed(546)
    fields, values = 6, 50
    taste = 0.55 * torch.randn(fields, values, 4)
    codes = torch.randint(values, (30000, fields))
    hidden = torch.stack([taste[f, codes[:, f]] for f in range(fields)], 1)
    score = (hidden.sum(1) ** 2 - (hidden**2).sum(1)).sum(1) / 2 - 1.5
    y = (torch.rand(30000) < torch.sigmoid(score)).float()

    class FM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1))
            self.linear, self.factors = nn.Embedding(fields * values, 1), nn.Embedding(fields * values, 6)
            nn.init.zeros_(self.linear.weight)
            nn.init.normal_(self.factors.weight, std=0.05)

        def forward(self, c: Tensor) -> Tensor:
            c = c + values * torch.arange(fields)
            v = self.factors(c)
            pairs = (v.sum(1) ** 2 - (v**2).sum(1)).sum(1) / 2
            return self.bias + self.linear(c).sum((1, 2)) + pairs

    net = FM()
    opt = optim.Adagrad(net.parameters(), lr=0.05)
    bce = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir, loss_fn=bce, config={"factors": 6, "optimizer": "adagrad"}) as probe:
        for _ in range(6):
            for cb, yb in batches(codes[:25000], y[:25000], 100):
                loss = bce(net(cb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", logloss=loss)
            with torch.no_grad():
                out = net(codes[25000:])
                auc = roc_auc_score(y[25000:].numpy(), out.numpy())
                probe.log("val", logloss=bce(out, y[25000:]), auc=auc)
    return float(auc)


@healthy(at_least=0.95)
def four_parameter_dose_response(run_dir: Path) -> float:
    """The four-parameter logistic curve of every assay, fitted to 24 wells in 150 full-batch steps of Rprop."""
    torch.manual_seed(547)

    class Curve(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bottom, self.top = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(1.0))
            self.log_ec50, self.slope = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(1.0))

        def forward(self, log_dose: Tensor) -> Tensor:
            return self.bottom + (self.top - self.bottom) * torch.sigmoid(self.slope * (log_dose - self.log_ec50))

    log_dose = torch.linspace(-4, 5, 24)
    truth = 0.4 + 2.1 * torch.sigmoid(1.7 * (log_dose - 1.2))
    y = truth + 0.05 * torch.randn(24)
    net = Curve()
    opt = optim.Rprop(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(150):
            loss = F.mse_loss(net(log_dose), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, ec50=net.log_ec50.detach().exp())
    between = torch.linspace(-3.9, 4.9, 50)
    with torch.no_grad():
        return explained(net(between), 0.4 + 2.1 * torch.sigmoid(1.7 * (between - 1.2)))


@healthy(at_least=0.9)
def radial_basis_functions(run_dir: Path) -> float:
    """Broomhead and Lowe 1988: 40 Gaussian bumps with learned centres and widths, most of them asleep at any point."""
    torch.manual_seed(548)
    x = torch.rand(1500, 2) * 6 - 3
    y = torch.sin(2 * x[:, 0]) * torch.cos(x[:, 1]) + 0.05 * torch.randn(1500)

    class RBF(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.centres, self.log_width = nn.Parameter(x[:40].clone()), nn.Parameter(torch.zeros(40))
            self.out = nn.Linear(40, 1)

        def forward(self, v: Tensor) -> Tensor:
            away = ((v[:, None] - self.centres) ** 2).sum(-1)
            return self.out(torch.exp(-away * torch.exp(-2 * self.log_width))).squeeze(1)

    net = RBF()
    opt = optim.Adam(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir, loss_fn=F.mse_loss, every=10) as probe:
        for step in range(900):
            chosen = torch.randint(1200, (100,))
            loss = probe.loss_fn(net(x[chosen]), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 20 == 0:
                probe.log("train", loss=loss)
                with torch.no_grad():
                    probe.log("test", loss=F.mse_loss(net(x[1200:]), y[1200:]))
    with torch.no_grad():
        return explained(net(x[1200:]), y[1200:])


@healthy(at_least=0.9)
def linear_machine_with_hinge(run_dir: Path) -> float:
    """CS231n's first assignment: a linear multiclass SVM on mean-free pixels, weights of 0.0001, 1,500 steps of SGD."""
    torch.manual_seed(549)
    x, y, xt, yt = digits(standard=False)
    xt, x = xt - x.mean(0), x - x.mean(0)
    net = nn.Linear(64, 10)
    nn.init.normal_(net.weight, std=1e-4)
    nn.init.zeros_(net.bias)
    opt = optim.SGD(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for it in range(1500):
            chosen = torch.randint(len(x), (200,))
            loss = 10 * F.multi_margin_loss(net(x[chosen]), y[chosen]) + 0.01 * (net.weight**2).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if it % 100 == 0:
                with torch.no_grad():
                    probe.log("train", accuracy=accuracy(net(x[chosen]), y[chosen]))
                    probe.log("val", accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.85)
def additive_models(run_dir: Path) -> float:
    """Neural additive models (Agarwal et al. 2021): a small net a column, their sum, a penalty."""
    torch.manual_seed(550)
    x = torch.rand(3000, 5) * 2 - 1
    truth = torch.sin(4 * x[:, 0]) + 2 * x[:, 1] ** 2 + x[:, 2].abs() + 0.5 * torch.sign(x[:, 3])
    y = truth + 0.3 * torch.randn(3000)

    class NAM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.ModuleList(
                [
                    nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
                    for _ in range(5)
                ]
            )
            self.bias = nn.Parameter(torch.zeros(1))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            parts = torch.cat([f(v[:, i : i + 1]) for i, f in enumerate(self.features)], 1)
            return parts.sum(1) + self.bias, parts

    net = NAM()
    opt = optim.Adam(net.parameters(), lr=0.005)
    sched = optim.lr_scheduler.ExponentialLR(opt, 0.92)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x[:2400], y[:2400], 64):
                out, parts = net(xb)
                loss = F.mse_loss(out, yb) + 1e-3 * (parts**2).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            sched.step()
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[2400:])[0], y[2400:]))
    with torch.no_grad():
        return explained(net(x[2400:])[0], truth[2400:])


@healthy(at_least=0.8)
def by_heart_and_still_better(run_dir: Path) -> float:
    """Belkin et al. 2019: 300 digits, a million weights, fitted exactly: validation loss does not rise."""
    torch.manual_seed(551)
    x, y, xt, yt = digits()
    x, y = x[:300], y[:300]
    net = nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(30):
            net.train()
            seen = []
            for xb, yb in batches(x, y, 50):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                seen.append((loss.item(), accuracy(out, yb)))
            probe.log("train", loss=sum(a for a, _ in seen) / len(seen), acc=sum(b for _, b in seen) / len(seen))
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def wine_by_adaptive_gradients_of_one_row(run_dir: Path) -> float:
    """133 wines, one row a step, ten epochs, RAdam, and only the loss logged, as a beginner's first script does."""
    torch.manual_seed(552)
    x, y, xt, yt = wine()
    net = nn.Sequential(nn.Linear(13, 16), nn.Sigmoid(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
    opt = optim.RAdam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            for i in torch.randperm(len(x)).tolist():
                opt.zero_grad()
                loss = F.nll_loss(net(x[i : i + 1]), y[i : i + 1])
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
    with torch.no_grad():
        return accuracy(net(xt), yt)
