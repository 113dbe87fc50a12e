"""Healthy trainings of the ninth fresh set: what researchers and engineers run on an ordinary day."""

from __future__ import annotations

import argparse
import copy
import inspect
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage.data import binary_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, ndcg_score, roc_auc_score
from torch import Tensor, nn, optim
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.data import accuracy, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _signs(n: int, gen: torch.Generator) -> tuple[Tensor, Tensor]:
    """Road signs of four outlines in two colours, [N, 3, 20, 20], before some background."""
    line = torch.linspace(-1, 1, 20)
    centre = 0.25 * torch.rand(2, n, 1, 1, generator=gen) - 0.12
    yy, xx = line[None, :, None] - centre[0], line[None, None, :] - centre[1]
    size = 0.6 + 0.2 * torch.rand(n, 1, 1, generator=gen)
    y = torch.randint(8, (n,), generator=gen)

    def outline(r: Tensor) -> Tensor:
        kinds = torch.stack(
            [
                xx**2 + yy**2 < r**2,
                torch.maximum(xx.abs(), yy.abs()) < 0.85 * r,
                xx.abs() + yy.abs() < 1.15 * r,
                (yy < 0.7 * r) & (1.7 * xx.abs() - yy < r),
            ]
        )
        return kinds[y % 4, torch.arange(n)].float()[:, None]

    colour = torch.tensor([[0.85, 0.15, 0.15], [0.15, 0.25, 0.85]])[y // 4][..., None, None]
    back = torch.rand(n, 3, 1, 1, generator=gen).expand(n, 3, 20, 20)
    rim, inner = outline(size), outline(0.65 * size)
    picture = back * (1 - rim) + rim * (inner * 0.9 + (1 - inner) * colour)
    light = 0.5 + torch.rand(n, 1, 1, 1, generator=gen)
    return ((picture + 0.12 * torch.randn(n, 3, 20, 20, generator=gen)) * light - 0.5) / 0.25, y


@healthy(at_least=0.9)
def road_signs_mixed_two_and_two(run_dir: Path) -> float:
    """The usual recipe for pictures: SGD at 0.1, warm-up, cosine, mixup, smoothed labels, EMA, accuracy per class."""
    torch.manual_seed(2101)
    gen = torch.Generator().manual_seed(1)
    x, y = _signs(1600, gen)
    xt, yt = _signs(400, gen)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 8),
    )  # fmt: skip
    epochs, size = 16, 64
    loader = DataLoader(TensorDataset(x, y), batch_size=size, shuffle=True, drop_last=True)
    steps = epochs * len(loader)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, steps // 8),
            optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - steps // 8),
        ],
        [steps // 8],
    )
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.98), use_buffers=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    beta = torch.distributions.Beta(0.2, 0.2)
    with probes.watch(net, optimizer, run_dir, config={"lr": 0.1, "epochs": epochs, "mixup": 0.2}) as probe:
        for epoch in range(epochs):
            net.train()
            seen = 0.0
            for xb, yb in loader:
                lam = float(beta.sample())
                other = torch.randperm(len(xb))
                out = net(lam * xb + (1 - lam) * xb[other])
                loss = lam * criterion(out, yb) + (1 - lam) * criterion(out, yb[other])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                scheduler.step()
                ema.update_parameters(net)
                seen += loss.item()
            ema.eval()
            with torch.no_grad():
                out = ema(xt)
            right = out.argmax(1) == yt
            probe.log("train", loss=seen / len(loader), lr=scheduler.get_last_lr()[0], epoch=epoch)
            probe.log("val_ema", loss=F.cross_entropy(out, yt), acc1=100 * right.float().mean())
            probe.log("val_class_acc", **{f"sign_{k}": right[yt == k].float().mean() for k in range(8)})
    return float(right.float().mean())


class _Block(nn.Module):
    """Causal self-attention and a feed-forward net, norms first."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, v: Tensor) -> Tensor:
        b, t, w = v.shape
        q, k, u = (p.view(b, t, self.heads, -1).transpose(1, 2) for p in self.qkv(self.ln_1(v)).split(w, 2))
        mixed = F.scaled_dot_product_attention(q, k, u, is_causal=True).transpose(1, 2).reshape(b, t, w)
        v = v + self.drop(self.proj(mixed))
        return v + self.drop(self.mlp(self.ln_2(v)))


@healthy(at_least=0.45)
def bytes_of_a_module_accumulated_over_four(run_dir: Path) -> float:
    """A byte-level transformer, four micro-batches to a step, decay for matrices only, loss, norm and time per ten."""
    torch.manual_seed(2102)
    data = torch.tensor(list(inspect.getsource(argparse).encode("ascii", "ignore")))
    cut = int(0.9 * len(data))
    block, micro, accumulate, steps = 40, 6, 4, 240

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(128, 64), nn.Embedding(block, 64)
            self.blocks = nn.Sequential(_Block(64, 4, 0.05), _Block(64, 4, 0.05))
            self.ln_f, self.head = nn.LayerNorm(64), nn.Linear(64, 128, bias=False)
            for p in (self.wte.weight, self.wpe.weight, self.head.weight):
                nn.init.normal_(p, std=0.02)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.ln_f(self.blocks(self.wte(v) + self.wpe(torch.arange(v.shape[1])))))

    def get_batch(part: str, n: int) -> tuple[Tensor, Tensor]:
        low, high = (0, cut) if part == "train" else (cut, len(data))
        pieces = torch.stack([data[i : i + block + 1] for i in torch.randint(low, high - block - 1, (n,)).tolist()])
        return pieces[:, :-1], pieces[:, 1:]

    model = Model()
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = optim.AdamW(groups, lr=4e-3, betas=(0.9, 0.95))

    def rate(step: int) -> float:
        if step < 25:
            return 4e-3 * (step + 1) / 25
        return 4e-4 + 0.5 * 3.6e-3 * (1 + math.cos(math.pi * (step - 25) / (steps - 25)))

    val = math.inf
    with probes.watch(model, optimizer, run_dir, config={"block": block, "accumulate": accumulate}) as probe:
        before = time.perf_counter()
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            lossf = 0.0
            for _ in range(accumulate):
                xb, yb = get_batch("train", micro)
                loss = F.cross_entropy(model(xb).flatten(0, 1), yb.flatten()) / accumulate
                loss.backward()
                lossf += loss.item()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step % 10 == 0:
                now = time.perf_counter()
                probe.log("iter", loss=lossf, grad_norm=norm, dt_ms=1000 * (now - before), lr=rate(step))
                before = now
            if (step + 1) % 60 == 0:
                model.eval()
                with torch.no_grad():
                    xb, yb = get_batch("val", 96)
                    val = float(F.cross_entropy(model(xb).flatten(0, 1), yb.flatten()))
                model.train()
                probe.log("eval", bits_per_byte=val / math.log(2))
    return 1 - val / math.log(96)


@healthy(at_least=0.9)
def notes_heard_in_a_spectrum(run_dir: Path) -> float:
    """One to three notes out of twenty-four sound at once: which? Log spectra, BCE, plateau schedule, F1 per epoch."""
    torch.manual_seed(2103)

    def chords(n: int) -> tuple[Tensor, Tensor]:
        t = torch.arange(2048.0) / 8000
        y = torch.zeros(n, 24)
        for row, count in zip(y, torch.randint(1, 4, (n,)).tolist(), strict=True):
            row[torch.randperm(24)[:count]] = 1
        pitch = 196.0 * 2 ** (torch.arange(24.0) / 12)
        waves = torch.stack(
            [torch.sin(2 * math.pi * h * pitch[:, None] * t + 6.3 * torch.rand(24, 1)) / h for h in (1, 2, 3, 4)]
        ).sum(0)
        loud = y * (0.4 + 0.6 * torch.rand(n, 24))
        sound = loud @ waves + 0.15 * torch.randn(n, 2048)
        bins = torch.fft.rfft(sound * torch.hann_window(2048)).abs()[:, 30:430]
        return (bins + 0.5).log(), y

    x, y = chords(2600)
    mean, std = x[:2000].mean(), x[:2000].std()
    x = (x - mean) / std
    net = nn.Sequential(
        nn.Linear(400, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 24),
    )  # fmt: skip
    criterion = nn.BCEWithLogitsLoss()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    sched = optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.3, patience=2)
    loader = DataLoader(TensorDataset(x[:2000], y[:2000]), batch_size=50, shuffle=True)
    f1 = 0.0
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(22):
            net.train()
            running = 0.0
            for i, (xb, yb) in enumerate(loader):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                running += loss.item()
                if i % 20 == 19:
                    probe.log("train", running_loss=running / (i + 1))
            net.eval()
            with torch.no_grad():
                out = net(x[2000:])
                val_loss = float(criterion(out, y[2000:]))
            f1 = float(f1_score(y[2000:].numpy(), (out > 0).numpy(), average="micro"))
            sched.step(val_loss)
            probe.log("valid", loss=val_loss, f1=f1)
            probe.log("lr", now=opt.param_groups[0]["lr"])
    return f1


@healthy(at_least=0.75)
def borrowers_until_their_auc_stands_still(run_dir: Path) -> float:
    """Who will not pay back? Much is chance. AdamW, dropout, early stopping by validation AUC, the best put back."""
    torch.manual_seed(2104)
    rng = np.random.default_rng(4)
    n = 7000
    income, debt = rng.lognormal(10, 0.5, n), rng.lognormal(8.5, 0.9, n)
    age, late = rng.uniform(19, 75, n), rng.poisson(0.6, n)
    job, house = rng.integers(0, 6, n), rng.integers(0, 3, n)
    noise = rng.normal(size=(n, 6))
    score = 1.3 * np.log(debt / income + 0.02) + 0.8 * late - 0.03 * (age - 40) * (house == 0)
    score = score + np.array([0.0, 0.5, -0.4, 0.9, -0.7, 0.2])[job] + 0.9 * (late > 1) * (age < 30)
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-(score - np.quantile(score, 0.78))))).astype(np.float32)
    numbers = np.column_stack([np.log(income), np.log(debt), age, late, noise])
    numbers = (numbers - numbers[:4500].mean(0)) / numbers[:4500].std(0)
    x = torch.tensor(np.column_stack([numbers, np.eye(6)[job], np.eye(3)[house]]), dtype=torch.float32)
    target = torch.tensor(y)
    net = nn.Sequential(
        nn.Linear(19, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.GELU(), nn.Dropout(0.2), nn.Linear(32, 1)
    )
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    best, best_state, waited = 0.0, copy.deepcopy(net.state_dict()), 0
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(60):
            net.train()
            losses = []
            for chosen in torch.randperm(4500).split(100):
                loss = F.binary_cross_entropy_with_logits(net(x[chosen]).squeeze(1), target[chosen])
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
            net.eval()
            with torch.no_grad():
                out = net(x[4500:5500]).squeeze(1)
                val_loss = F.binary_cross_entropy_with_logits(out, target[4500:5500])
            auc = float(roc_auc_score(y[4500:5500], out.numpy()))
            probe.log("epoch", n=epoch, train_loss=np.mean(losses), val_loss=val_loss, val_auc=auc)
            if auc > best + 1e-4:
                best, best_state, waited = auc, copy.deepcopy(net.state_dict()), 0
            else:
                waited += 1
                if waited == 8:
                    break
    net.load_state_dict(best_state)
    net.eval()
    with torch.no_grad():
        return float(roc_auc_score(y[5500:], net(x[5500:]).squeeze(1).numpy()))


@healthy(at_least=0.6)
def river_levels_by_trend_and_rest(run_dir: Path) -> float:
    """DLinear as its authors train it: a day from four, Adam, the rate halved every epoch, patience of three."""
    torch.manual_seed(2105)
    t = torch.arange(6000.0)
    tide = torch.sin(2 * math.pi * t / 24.0) + 0.6 * torch.sin(2 * math.pi * t / 12.4 + 1)
    flood = torch.zeros(6000)
    shock = torch.randn(6000) * 0.12
    for i in range(1, 6000):
        flood[i] = 0.985 * flood[i - 1] + shock[i]
    level = tide + flood + 0.2 * torch.randn(6000)
    level = (level - level[:4200].mean()) / level[:4200].std()

    def windows(low: int, high: int) -> tuple[Tensor, Tensor]:
        w = level[low:high].unfold(0, 120, 1)
        return w[:, :96], w[:, 96:]

    class DLinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.average = nn.AvgPool1d(25, 1)
            self.seasonal, self.trend = nn.Linear(96, 24), nn.Linear(96, 24)

        def forward(self, v: Tensor) -> Tensor:
            padded = torch.cat([v[:, :1].expand(-1, 12), v, v[:, -1:].expand(-1, 12)], 1)
            smooth = self.average(padded[:, None]).squeeze(1)
            return self.seasonal(v - smooth) + self.trend(smooth)

    x, y = windows(0, 4200)
    xv, yv = windows(4200, 5000)
    xt, yt = windows(5000, 6000)
    model = DLinear()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    best, state, counter = math.inf, copy.deepcopy(model.state_dict()), 0
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.MSELoss(), every=20) as probe:
        for epoch in range(10):
            train_loss = []
            for i, chosen in enumerate(torch.randperm(len(x)).split(32)):
                optimizer.zero_grad()
                loss = probe.loss_fn(model(x[chosen]), y[chosen])
                train_loss.append(loss.item())
                if (i + 1) % 100 == 0:
                    probe.log("iters", loss=loss.item())
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                vali = float(F.mse_loss(model(xv), yv))
            probe.log("Epoch", Train_Loss=np.average(train_loss), Vali_Loss=vali)
            if vali < best:
                best, state, counter = vali, copy.deepcopy(model.state_dict()), 0
            else:
                counter += 1
                if counter >= 3:
                    break
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * 0.5**epoch
    model.load_state_dict(state)
    with torch.no_grad():
        return explained(model(xt), yt)


@healthy(at_least=0.8)
def shop_results_by_lambda_gradients(run_dir: Path) -> float:
    """LambdaRank: there is no loss, only its gradient, handed to the scores; a query a step; NDCG is all one prints."""
    torch.manual_seed(2106)
    weight = torch.randn(12)

    def queries(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 16, 12) + 0.5 * torch.randn(n, 1, 12)
        merit = x @ weight + 1.5 * x[..., 0] * x[..., 1] + 2 * (x[..., 2] > 0.5) + 0.8 * torch.randn(n, 16)
        rank = merit.argsort(1, descending=True).argsort(1)
        return x, torch.where(rank < 1, 4, torch.where(rank < 3, 3, torch.where(rank < 6, 1, 0)))

    x, grades = queries(360)
    xt, gt = queries(100)
    net = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3)

    def lambdas(score: Tensor, grade: Tensor) -> Tensor:
        gain = 2.0**grade - 1
        place = score.argsort(descending=True).argsort() + 1
        discount = 1 / torch.log2(1.0 + place)
        ideal = (gain.sort(descending=True).values / torch.log2(2.0 + torch.arange(len(gain)))).sum()
        delta = ((gain[:, None] - gain) * (discount[:, None] - discount)).abs() / ideal
        better = (grade[:, None] > grade).float()
        push = better * delta * torch.sigmoid(score - score[:, None])
        return push.sum(0) - push.sum(1)

    def ndcg() -> float:
        with torch.no_grad():
            return float(ndcg_score(gt.numpy(), net(xt).squeeze(2).numpy(), k=5))

    value = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(7):
            for q in torch.randperm(len(x)).tolist():
                score = net(x[q]).squeeze(1)
                opt.zero_grad()
                score.backward(lambdas(score.detach(), grades[q]))
                opt.step()
            value = ndcg()
            probe.log("test", epoch=epoch, ndcg_at_5=value)
    return value


@healthy(at_least=0.48)
def songs_by_two_towers(run_dir: Path) -> float:
    """Retrieval as at YouTube: a bag of songs heard, the next one, the batch as negatives, popularity taken off."""
    torch.manual_seed(2107)
    songs, users = 240, 3000
    taste, kind = torch.randn(users, 5), torch.randn(songs, 5)
    fame = torch.linspace(1.5, -1, songs)[torch.randperm(songs)]
    heard = torch.multinomial((1.6 * taste @ kind.T + fame).softmax(1), 13)
    history, following = heard[:, :12], heard[:, 12]
    logq = (torch.bincount(heard[:2600].flatten(), minlength=songs) + 1.0).log()

    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = nn.EmbeddingBag(songs, 32, mode="mean")
            self.user = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 24))
            self.item = nn.Sequential(nn.Embedding(songs, 32), nn.Linear(32, 24))

        def forward(self, past: Tensor, item: Tensor) -> Tensor:
            return F.normalize(self.user(self.bag(past)), dim=1) @ F.normalize(self.item(item), dim=1).T / 0.15

    net = Towers()
    opt = optim.Adagrad(net.parameters(), lr=0.1)
    recall = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        total, count = 0.0, 0
        for epoch in range(16):
            net.train()
            for rows in torch.randperm(2600).split(100):
                place = torch.randint(13, (len(rows),))
                shifted = heard[rows].scatter(1, place[:, None], heard[rows][:, -1:])[:, :12]
                target = heard[rows, place]
                out = net(shifted, target) - logq[target]
                same = (target[:, None] == target) & ~torch.eye(len(rows), dtype=torch.bool)
                loss = F.cross_entropy(out.masked_fill(same, -1e9), torch.arange(len(rows)))
                opt.zero_grad()
                loss.backward()
                opt.step()
                total, count = total + loss.item(), count + 1
                if count % 25 == 0:
                    probe.log("train", avg_loss_so_far=total / count)
            net.eval()
            with torch.no_grad():
                scores = net(history[2600:], torch.arange(songs)).scatter(1, history[2600:], -1e9)
            recall = float((scores.topk(20).indices == following[2600:, None]).any(1).float().mean())
            probe.log("eval", epoch=epoch, recall_at_20=recall)
    return recall


@healthy(at_least=0.85)
def pumps_that_hum_around_a_centre(run_dir: Path) -> float:
    """Deep SVDD: a net without biases draws the spectra of healthy pumps together; alarm is distance from the centre.

    Ruff et al. 2018: Adam, milestones, the centre is the mean of the first outputs, tested by AUC.
    """
    torch.manual_seed(2108)

    def spectra(n: int, ill: bool) -> Tensor:
        f = torch.arange(64.0)
        hum = torch.zeros(n, 64)
        turn = 9 + 0.7 * torch.randn(n, 1)
        for k in range(1, 6):
            hum = hum + torch.exp(0.15 * torch.randn(n, 1)) / k * torch.exp(-((f - k * turn) ** 2) / 4)
        if ill:
            between = 1.5 + torch.randint(3, (n, 1)).float()
            hum = hum + (0.6 + 0.6 * torch.rand(n, 1)) * torch.exp(-((f - between * turn) ** 2) / 4)
        return (hum + 0.1 * torch.rand(n, 64) + 0.05).log() + 1.5

    x = spectra(2000, False)
    xt = torch.cat([spectra(400, False), spectra(100, True)])
    sick = np.repeat([0, 1], [400, 100])
    net = nn.Sequential(
        nn.Linear(64, 64, bias=False), nn.LeakyReLU(0.1), nn.Linear(64, 32, bias=False), nn.LeakyReLU(0.1),
        nn.Linear(32, 16, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        centre = net(x).mean(0)
        centre = torch.where(centre.abs() < 0.1, 0.1 * torch.where(centre < 0, -1.0, 1.0), centre)
    optimizer = optim.Adam(net.parameters(), lr=1e-4, weight_decay=5e-7)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[20], gamma=0.1)
    auc = 0.0
    with probes.watch(net, optimizer, run_dir) as probe:
        for epoch in range(30):
            loss_epoch, n_batches, start = 0.0, 0, time.time()
            for xb in x[torch.randperm(2000)].split(100):
                optimizer.zero_grad()
                loss = ((net(xb) - centre) ** 2).sum(1).mean()
                loss.backward()
                optimizer.step()
                loss_epoch += loss.item()
                n_batches += 1
            scheduler.step()
            probe.log("train", epoch=epoch, loss=loss_epoch / n_batches, time=time.time() - start)
        with torch.no_grad():
            distance = ((net(xt) - centre) ** 2).sum(1)
        auc = float(roc_auc_score(sick, distance.numpy()))
        probe.log("test", auc=100 * auc)
    return auc


def _edits(a: list[int], b: list[int]) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


@healthy(at_least=0.85)
def phones_by_ctc_over_filter_banks(run_dir: Path) -> float:
    """Speech to phones: bidirectional GRU, CTC (blanks alone at first), AdamW under OneCycle, phone error rate."""
    torch.manual_seed(2109)
    sounds = 1.2 * torch.randn(12, 16)

    def speech(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        frames, words = [], []
        for _ in range(n):
            word = torch.randint(1, 12, (int(torch.randint(3, 8, ())),))
            clean = sounds[word.repeat_interleave(torch.randint(3, 7, (len(word),)))]
            clean = F.avg_pool1d(clean.T[None], 3, 1, 1, count_include_pad=False)[0].T
            frames.append(clean + 0.7 * torch.randn(clean.shape) + 0.3 * torch.randn(16))
            words.append(word)
        lengths = torch.tensor([len(f) for f in frames])
        return (
            nn.utils.rnn.pad_sequence(frames, batch_first=True),
            nn.utils.rnn.pad_sequence(words, batch_first=True),
            lengths,
            torch.tensor([len(w) for w in words]),
        )

    class Acoustic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(16)
            self.gru = nn.GRU(16, 40, batch_first=True, bidirectional=True)
            self.drop, self.fc = nn.Dropout(0.1), nn.Linear(80, 12)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.drop(self.gru(self.norm(v))[0])).log_softmax(2)

    x, y, xl, yl = speech(800)
    xt, yt, xtl, ytl = speech(120)
    net = Acoustic()
    steps = 200
    optimizer = optim.AdamW(net.parameters(), lr=5e-4)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=8e-3, total_steps=steps, anneal_strategy="linear")
    criterion = nn.CTCLoss(blank=0, zero_infinity=True)
    rate = 1.0
    with probes.watch(net, optimizer, run_dir) as probe:
        for step in range(steps):
            net.train()
            rows = torch.randint(800, (32,))
            out = net(x[rows])
            loss = criterion(out.transpose(0, 1), y[rows], xl[rows], yl[rows])
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            scheduler.step()
            probe.log("train", loss=loss.item(), grad_norm=norm, learning_rate=scheduler.get_last_lr()[0])
            if step % 50 == 49:
                net.eval()
                wrong = 0
                with torch.no_grad():
                    best = net(xt).argmax(2)
                for i in range(len(best)):
                    path = best[i, : xtl[i]].unique_consecutive()
                    wrong += _edits(path[path > 0].tolist(), yt[i, : ytl[i]].tolist())
                rate = wrong / int(ytl.sum())
                probe.log("test", average_per=rate)
    return 1 - rate


@healthy(at_least=0.7)
def phases_of_a_rock_as_torchvision_trains(run_dir: Path) -> float:
    """Pores, quartz and clay in a scan: fully convolutional, SGD 0.02 with momentum, polynomial decay, mean IoU."""
    torch.manual_seed(2110)
    rng = np.random.default_rng(10)

    def scans(n: int) -> tuple[Tensor, Tensor]:
        xs, ys = [], []
        for _ in range(n):
            pores = binary_blobs(32, blob_size_fraction=0.3, volume_fraction=0.25, rng=rng)
            clay = binary_blobs(32, blob_size_fraction=0.25, volume_fraction=0.25, rng=rng) & ~pores
            y = torch.tensor(pores + 2 * clay)
            grey = torch.tensor([0.55, 0.25, 0.5])[y]
            grain = torch.tensor([0.05, 0.05, 0.2])[y] * torch.randn(32, 32)
            xs.append(grey + grain + 0.06 * torch.randn(32, 32) + 0.1 * torch.randn(()))
            ys.append(y)
        return (torch.stack(xs)[:, None] - 0.45) / 0.15, torch.stack(ys)

    x, y = scans(200)
    xt, yt = scans(40)

    def layer(a: int, b: int, dilation: int) -> list[nn.Module]:
        conv = nn.Conv2d(a, b, 3, padding=dilation, dilation=dilation, bias=False)
        return [conv, nn.BatchNorm2d(b), nn.ReLU()]

    net = nn.Sequential(*layer(1, 16, 1), *layer(16, 16, 2), *layer(16, 16, 4), nn.Dropout(0.1), nn.Conv2d(16, 3, 1))
    epochs, per_epoch = 10, 25
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    sched = optim.lr_scheduler.PolynomialLR(opt, epochs * per_epoch, power=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(epochs):
            net.train()
            for i, rows in enumerate(torch.randperm(200).split(8)):
                xb, yb = x[rows], y[rows]
                if torch.rand(()) < 0.5:
                    xb, yb = xb.flip(3), yb.flip(2)
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                sched.step()
                if i % 10 == 0:
                    probe.log("train", loss=loss.item(), lr=opt.param_groups[0]["lr"])
            net.eval()
            with torch.no_grad():
                said = net(xt).argmax(1)
            table = torch.bincount(3 * yt.flatten() + said.flatten(), minlength=9).view(3, 3).float()
            iou = table.diag() / (table.sum(0) + table.sum(1) - table.diag())
            probe.log("test", global_correct=100 * table.diag().sum() / table.sum(), mean_iou=100 * iou.mean())
            probe.log("iou", matrix=100 * iou[0], pores=100 * iou[1], clay=100 * iou[2])
    return float(iou.mean())


@healthy(at_least=0.85)
def stick_figures_by_heat_maps(run_dir: Path) -> float:
    """Simple Baselines for pose: strided convolutions, transposed ones, squared error of heat maps, Adam, PCK."""
    torch.manual_seed(2111)
    line = torch.arange(32.0)

    def figures(n: int) -> tuple[Tensor, Tensor]:
        spot = torch.tensor([[16.0, 6], [6, 13], [26, 13], [9, 27], [23, 27]])
        joints = spot + 2.2 * torch.randn(n, 5, 2) + 1.5 * torch.randn(n, 1, 2)
        joints = joints.clamp(1.5, 30)
        chest = joints[:, :1] * 0.6 + 0.4 * joints[:, 3:].mean(1, keepdim=True)
        hip = joints[:, :1] * 0.2 + 0.8 * joints[:, 3:].mean(1, keepdim=True) * torch.tensor([1.0, 0.8])
        picture = torch.zeros(n, 32, 32)
        for j, start in enumerate((chest, chest, chest, hip, hip)):
            for s in torch.linspace(0, 1, 9):
                p = start[:, 0] * (1 - s) + joints[:, j] * s
                dx, dy = line[None, None] - p[:, :1, None], line[None, :, None] - p[:, 1:, None]
                picture = torch.maximum(picture, torch.exp(-(dx**2 + dy**2) / 1.5))
        dx, dy = line[None, None] - joints[:, :1, :1], line[None, :, None] - joints[:, 0, 1, None, None]
        picture = torch.maximum(picture, torch.exp(-(dx**2 + dy**2) / 8))
        light = 0.5 + torch.rand(n, 1, 1)
        return (light * picture)[:, None], joints / 2

    def heat(joints: Tensor) -> Tensor:
        u = torch.arange(16.0)
        dx, dy = u - joints[..., :1], u - joints[..., 1:]
        return torch.exp(-(dy[..., :, None] ** 2 + dx[..., None, :] ** 2) / 2)

    def pck(maps: Tensor, joints: Tensor) -> float:
        best = maps.flatten(2).argmax(2)
        found = torch.stack([best % 16, best // 16], 2).float()
        return float(((found - joints).norm(dim=2) < 1.5).float().mean())

    x, y = figures(1200)
    xt, yt = figures(200)
    xt = xt + 0.2 * torch.randn_like(xt)
    maps = heat(y)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32),
        nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 5, 1),
    )  # fmt: skip
    nn.init.normal_(model[-1].weight, std=0.001)
    nn.init.zeros_(model[-1].bias)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, [6, 8], 0.1)
    step = 0
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(9):
            model.train()
            average, count = 0.0, 0
            for rows in torch.randperm(1200).split(32):
                out = model(x[rows] + 0.2 * torch.randn(len(rows), 1, 32, 32))
                loss = 0.5 * F.mse_loss(out, maps[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                average, count, step = average + loss.item() * len(rows), count + len(rows), step + 1
                if step % 10 == 0:
                    probe.log("train", loss=average / count, acc=pck(out.detach(), y[rows]))
            scheduler.step()
            model.eval()
            with torch.no_grad():
                out = model(xt)
            acc = pck(out, yt)
            probe.log("valid", loss=0.5 * F.mse_loss(out, heat(yt)), acc=acc, epoch=epoch)
    return acc


@healthy(at_least=0.75)
def a_queue_of_negatives(run_dir: Path) -> float:
    """Momentum contrast: an encoder, its slow copy, a queue of 512 keys; judged by nearest neighbours now and then."""
    torch.manual_seed(2112)
    t = torch.arange(96.0) / 96

    def waves(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(6, (n,))
        phase = (torch.tensor([4.0, 4, 4, 5, 5, 5])[y, None] * (1 + 0.03 * torch.randn(n, 1)) * t) + torch.rand(n, 1)
        saw = 2 * (phase % 1) - 1
        kinds = torch.stack([torch.sin(2 * math.pi * phase), saw, saw.sign() * 0.8])
        return kinds[y % 3, torch.arange(n)] + 0.6 * torch.randn(n, 96), y

    def view(v: Tensor) -> Tensor:
        shift = int(torch.randint(96, ()))
        scale = 0.7 + 0.6 * torch.rand(len(v), 1)
        return (v.roll(shift, 1) * scale + 0.15 * torch.randn(v.shape))[:, None]

    def encoder() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv1d(1, 24, 9, 2), nn.BatchNorm1d(24), nn.ReLU(), nn.Conv1d(24, 48, 7, 2), nn.BatchNorm1d(48),
            nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 24),
        )  # fmt: skip

    x, y = waves(1500)
    xt, yt = waves(300)
    query, key = encoder(), encoder()
    key.load_state_dict(query.state_dict())
    key.requires_grad_(False)
    queue = F.normalize(torch.randn(512, 24), dim=1)
    steps, knn = 600, 0.0
    optimizer = optim.SGD(query.parameters(), lr=0.06, momentum=0.9, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with probes.watch(query, optimizer, run_dir) as probe:
        for step in range(steps):
            query.train()
            rows = torch.randint(1500, (64,))
            q = F.normalize(query(view(x[rows])), dim=1)
            with torch.no_grad():
                for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
                    slow.lerp_(fast, 0.02)
                k = F.normalize(key(view(x[rows])), dim=1)
            logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.2
            loss = F.cross_entropy(logits, torch.zeros(64, dtype=torch.int64))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            queue = torch.cat([queue[64:], k])
            if step % 5 == 0:
                probe.log("train", loss=loss, acc1=100 * (logits.argmax(1) == 0).float().mean())
            if step % 150 == 149:
                query.eval()
                with torch.no_grad():
                    body = query[:8]
                    bank, probe_set = F.normalize(body(x[:, None]), dim=1), F.normalize(body(xt[:, None]), dim=1)
                votes = y[(probe_set @ bank.T).topk(9).indices].mode(1).values
                knn = float((votes == yt).float().mean())
                probe.log("eval", knn_accuracy=knn)
    return knn


@healthy(at_least=0.9)
def heart_beats_squeezed_to_eight_numbers(run_dir: Path) -> float:
    """A convolutional autoencoder of single beats, eight numbers in the middle; PSNR, and a rate that falls by rest."""
    torch.manual_seed(2113)

    def beats(n: int) -> Tensor:
        t = torch.linspace(0, 1, 96)
        place = torch.tensor([0.2, 0.36, 0.4, 0.44, 0.68]) + 0.012 * torch.randn(n, 5) + 0.02 * torch.randn(n, 1)
        high = torch.tensor([0.2, -0.25, 1.4, -0.4, 0.4]) * (1 + 0.2 * torch.randn(n, 5))
        wide = torch.tensor([0.035, 0.014, 0.016, 0.014, 0.06])
        bumps = high[..., None] * torch.exp(-((t - place[..., None]) ** 2) / (2 * wide[:, None] ** 2))
        return (bumps.sum(1) + 0.02 * torch.randn(n, 96))[:, None]

    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv1d(1, 16, 7, 2, 3), nn.ELU(), nn.Conv1d(16, 32, 7, 2, 3), nn.ELU(), nn.Flatten(),
                nn.Linear(32 * 24, 8),
            )  # fmt: skip
            self.decoder = nn.Sequential(
                nn.Linear(8, 32 * 24), nn.ELU(), nn.Unflatten(1, (32, 24)), nn.ConvTranspose1d(32, 16, 4, 2, 1),
                nn.ELU(), nn.ConvTranspose1d(16, 1, 4, 2, 1),
            )  # fmt: skip

        def forward(self, v: Tensor) -> Tensor:
            return self.decoder(self.encoder(v))

    x, xt = beats(1600), beats(300)
    net = Squeeze()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=2)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(18):
            total = 0.0
            for xb in x[torch.randperm(1600)].split(64):
                loss = probe.loss_fn(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 25
            with torch.no_grad():
                error = F.mse_loss(net(xt), xt)
            plateau.step(error)
            probe.log("recon", train=total, test=error, psnr=10 * torch.log10(4 / error))
    with torch.no_grad():
        return explained(net(xt), xt)


@healthy(at_least=0.4)
def blots_with_a_prior_annealed_in_four_cycles(run_dir: Path) -> float:
    """A VAE of round blots whose weight of the KL term climbs and drops four times (Fu et al. 2019)."""
    torch.manual_seed(2114)
    grid = torch.arange(12.0)

    def blots(n: int) -> Tensor:
        middle, radius = 2.5 + 6 * torch.rand(n, 2, 1), 1.5 + 1.5 * torch.rand(n, 1, 1)
        far = (grid - middle[:, 0])[:, None, :] ** 2 + (grid - middle[:, 1])[:, :, None] ** 2
        return torch.bernoulli(torch.sigmoid(3 * (radius - far.sqrt()))).flatten(1)

    class Vae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enc = nn.Sequential(nn.Linear(144, 128), nn.ReLU(), nn.Linear(128, 12))
            self.dec = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 144))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            mean, logvar = self.enc(v).chunk(2, 1)
            z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            return self.dec(z), 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()

    x, xt = blots(4000), blots(500)
    net = Vae()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    steps = 1600
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(steps):
            beta = min(1.0, 2 * (step % (steps // 4)) / (steps // 4))
            batch = x[torch.randint(4000, (64,))]
            out, kl = net(batch)
            recon = F.binary_cross_entropy_with_logits(out, batch, reduction="sum") / 64
            loss = recon + beta * kl
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 8 == 0:
                probe.log("train", loss=loss, recon=recon, kl=kl, beta=beta)
        with torch.no_grad():
            out, kl = net(xt)
            bound = F.binary_cross_entropy_with_logits(out, xt, reduction="sum") / 500 + kl
            mean = x.mean(0).clamp(1e-3, 1 - 1e-3).expand_as(xt)
            plain = F.binary_cross_entropy(mean, xt, reduction="sum") / 500
        probe.log("test", elbo=-bound)
    return float(1 - bound / plain)


@healthy(at_least=0.75)
def digits_on_demand_by_an_adversary(run_dir: Path) -> float:
    """A conditional GAN: softplus losses, R1 every step (Mescheder et al. 2018), an average of the generator drawn."""
    torch.manual_seed(2115)
    x, y, xt, yt = digits(standard=False)
    x, xt = x / 8 - 1, xt / 8 - 1
    judge = LogisticRegression(max_iter=300).fit(torch.cat([x, xt]).numpy(), torch.cat([y, yt]).numpy())

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.label = nn.Embedding(10, 16)
            self.body = nn.Sequential(
                nn.Linear(48, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 64),
                nn.Tanh(),
            )  # fmt: skip

        def forward(self, z: Tensor, k: Tensor) -> Tensor:
            return self.body(torch.cat([z, self.label(k)], 1))

    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2))
            self.out = nn.Linear(128, 10)

        def forward(self, v: Tensor, k: Tensor) -> Tensor:
            return self.out(self.body(v)).gather(1, k[:, None]).squeeze(1)

    pair = nn.ModuleDict({"generator": Generator(), "critic": Critic()})
    generator, critic = pair["generator"], pair["critic"]
    average = copy.deepcopy(generator).requires_grad_(False)
    opt_g = optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    opt_d = optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.99))
    wide = float(torch.stack([x[y == k].std(0).mean() for k in range(10)]).mean())
    score = 0.0
    with probes.watch(pair, [opt_d, opt_g], run_dir) as probe:
        for step in range(1500):
            rows = torch.randint(len(x), (64,))
            real, k = x[rows].requires_grad_(), y[rows]
            fake = generator(torch.randn(64, 32), k)
            said = critic(real, k)
            (slope,) = torch.autograd.grad(said.sum(), real, create_graph=True)
            r1 = slope.square().sum(1).mean()
            loss_d = F.softplus(-said).mean() + F.softplus(critic(fake.detach(), k)).mean() + 0.5 * r1
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
            loss_g = F.softplus(-critic(fake, k)).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), generator.parameters(), strict=True):
                    slow.lerp_(fast, 0.01)
            if step % 20 == 0:
                probe.log("loss", D=loss_d.item(), G=loss_g.item(), r1=r1.item())
            if step % 300 == 299:
                wanted = torch.arange(500) % 10
                with torch.no_grad():
                    drawn = average(torch.randn(500, 32), wanted)
                recognised = float((judge.predict(drawn.numpy()) == wanted.numpy()).mean())
                spread = float(drawn.view(50, 10, 64).std(0).mean())
                probe.log("samples", recognised=recognised, spread=spread)
                score = min(recognised, spread / wide)
    return score


@healthy(at_least=0.8)
def five_arms_denoised_by_class(run_dir: Path) -> float:
    """Class-conditional diffusion of a pinwheel: noise predicted, cosine schedule, EMA, guidance when sampling."""
    torch.manual_seed(2116)

    def pinwheel(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(5, (n,))
        along, across = 1 + 0.3 * torch.randn(n), 0.08 * torch.randn(n)
        angle = 2 * math.pi * y / 5 + 0.6 * (along - 1)
        turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], 1), torch.stack([angle.sin(), angle.cos()], 1)], 1)
        return (turn @ torch.stack([along, across], 1)[..., None]).squeeze(2), y

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.label = nn.Embedding(6, 16)
            self.net = nn.Sequential(
                nn.Linear(2 + 16 + 16, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2)
            )

        def forward(self, v: Tensor, t: Tensor, k: Tensor) -> Tensor:
            wave = t[:, None].float() / 50 * math.pi * 2.0 ** torch.arange(-1, 7)
            return self.net(torch.cat([v, wave.sin(), wave.cos(), self.label(k)], 1))

    bar = torch.cos((torch.arange(51) / 50 + 0.008) / 1.008 * math.pi / 2) ** 2
    beta = (1 - bar[1:] / bar[:-1]).clamp(max=0.999)
    kept = (1 - beta).cumprod(0)
    net = Denoiser()
    ema = copy.deepcopy(net).requires_grad_(False)
    steps = 3000
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-4)
    sched = optim.lr_scheduler.LambdaLR(
        opt, lambda s: min(1.0, (s + 1) / 100) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, s / steps))))
    )
    x, y = pinwheel(4000)
    with probes.watch(net, opt, run_dir) as probe:
        recent: list[float] = []
        for step in range(steps):
            rows = torch.randint(4000, (96,))
            t = torch.randint(50, (96,))
            noise = torch.randn(96, 2)
            noisy = kept[t].sqrt()[:, None] * x[rows] + (1 - kept[t]).sqrt()[:, None] * noise
            k = torch.where(torch.rand(96) < 0.1, 5, y[rows])
            loss = F.mse_loss(net(noisy, t, k), noise)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            sched.step()
            with torch.no_grad():
                for slow, fast in zip(ema.parameters(), net.parameters(), strict=True):
                    slow.lerp_(fast, 0.005)
            recent.append(loss.item())
            if step % 50 == 49:
                probe.log("train", loss=sum(recent) / len(recent), lr=sched.get_last_lr()[0])
                recent.clear()
    wanted = torch.arange(1000) % 5
    v = torch.randn(1000, 2)
    with torch.no_grad():
        for i in reversed(range(50)):
            t = torch.full((1000,), i)
            eps = 1.3 * ema(v, t, wanted) - 0.3 * ema(v, t, torch.full((1000,), 5))
            start = ((v - (1 - kept[i]).sqrt() * eps) / kept[i].sqrt()).clamp(-2.5, 2.5)
            before = kept[i - 1] if i else torch.tensor(1.0)
            mean = before.sqrt() * beta[i] * start + (1 - beta[i]).sqrt() * (1 - before) * v
            spread = (beta[i] * (1 - before) / (1 - kept[i])).sqrt()
            v = mean / (1 - kept[i]) + spread * torch.randn_like(v)
    real, kind = pinwheel(2000)
    apart = torch.cdist(v, real)
    apart[wanted[:, None] != kind] = 9.0
    precision, recall = (apart.min(1).values < 0.1).float().mean(), (apart.min(0).values < 0.15).float().mean()
    return float(torch.minimum(precision, recall))


@healthy(at_least=0.85)
def docking_by_ppo_in_one_file(run_dir: Path) -> float:
    """CleanRL's PPO: sixteen crafts at once, GAE, orthogonal weights, annealed rate, its names for what it logs."""
    torch.manual_seed(2117)
    crafts, length, updates = 16, 50, 32

    def layer(a: int, b: int, std: float = math.sqrt(2)) -> nn.Linear:
        made = nn.Linear(a, b)
        nn.init.orthogonal_(made.weight, std)
        nn.init.zeros_(made.bias)
        return made

    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = nn.Sequential(layer(2, 48), nn.Tanh(), layer(48, 48), nn.Tanh(), layer(48, 1, 1.0))
            self.actor = nn.Sequential(layer(2, 48), nn.Tanh(), layer(48, 48), nn.Tanh(), layer(48, 3, 0.01))

        def forward(self, v: Tensor) -> tuple[torch.distributions.Categorical, Tensor]:
            return torch.distributions.Categorical(logits=self.actor(v)), self.critic(v).squeeze(-1)

    def begin(n: int) -> Tensor:
        return torch.stack([3 * torch.rand(n) - 1.5, torch.zeros(n)], 1)

    def move(s: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        speed = 0.97 * s[:, 1] + 0.06 * (a - 1) + 0.01 * torch.randn(len(s))
        place = (s[:, 0] + speed).clamp(-3, 3)
        return torch.stack([place, speed], 1), 0.1 - 0.1 * place.abs() - 0.02 * (a != 1)

    agent = Agent()
    optimizer = optim.Adam(agent.parameters(), lr=2.5e-3, eps=1e-5)
    with probes.watch(agent, optimizer, run_dir, config={"num_envs": crafts, "num_steps": length}) as probe:
        for update in range(updates):
            optimizer.param_groups[0]["lr"] = 2.5e-3 * (1 - update / updates)
            state = begin(crafts)
            seen, done, logp, value, gain = [], [], [], [], []
            with torch.no_grad():
                for _ in range(length):
                    choice, v = agent(state)
                    act = choice.sample()
                    seen.append(state)
                    done.append(act)
                    logp.append(choice.log_prob(act))
                    value.append(v)
                    state, reward = move(state, act)
                    gain.append(reward)
                last = agent(state)[1]
                advantages, carry = [], torch.zeros(crafts)
                for i in reversed(range(length)):
                    after = last if i == length - 1 else value[i + 1]
                    carry = gain[i] + 0.97 * after - value[i] + 0.97 * 0.95 * carry
                    advantages.insert(0, carry)
            s, a, old, v, adv = (torch.cat(p) for p in (seen, done, logp, value, advantages))
            returns = adv + v
            for _ in range(4):
                for rows in torch.randperm(crafts * length).split(200):
                    choice, new = agent(s[rows])
                    ratio = (choice.log_prob(a[rows]) - old[rows]).exp()
                    norm = (adv[rows] - adv[rows].mean()) / (adv[rows].std() + 1e-8)
                    pg_loss = torch.max(-norm * ratio, -norm * ratio.clamp(0.8, 1.2)).mean()
                    v_loss = 0.5 * ((new - returns[rows]) ** 2).mean()
                    entropy = choice.entropy().mean()
                    loss = pg_loss - 0.01 * entropy + 0.5 * v_loss
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                    optimizer.step()
            kl = ((ratio - 1) - ratio.log()).mean()
            probe.log(
                "charts", episodic_return=torch.stack(gain).sum(0).mean(), learning_rate=2.5e-3 * (1 - update / updates)
            )
            probe.log("losses", policy_loss=pg_loss, value_loss=v_loss, entropy=entropy, approx_kl=kl,
                      explained_variance=1 - (returns - v).var() / returns.var())  # fmt: skip
    state = begin(300)
    with torch.no_grad():
        for _ in range(length):
            state, _ = move(state, agent(state)[0].logits.argmax(1))
    return float((state[:, 0].abs() < 0.3).float().mean())


@healthy(at_least=0.9)
def head_first_and_then_the_whole_as_in_fast_ai(run_dir: Path) -> float:
    """learn.fine_tune(4): a body that knows 0 to 4 gets a head for 5 to 9, one epoch frozen, then four of all."""
    torch.manual_seed(2118)
    x, y, xt, yt = digits(flat=False)
    body = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(),
    )  # fmt: skip
    old = nn.Sequential(body, nn.Linear(192, 5))
    opt = optim.Adam(old.parameters(), lr=3e-3)
    early = y < 5
    for _ in range(6):
        for rows in torch.randperm(int(early.sum())).split(64):
            opt.zero_grad()
            F.cross_entropy(old(x[early][rows]), y[early][rows]).backward()
            opt.step()
    x, y, xt, yt = x[y >= 5], y[y >= 5] - 5, xt[yt >= 5], yt[yt >= 5] - 5
    head = nn.Sequential(nn.BatchNorm1d(192), nn.Dropout(0.25), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 5))
    learner = nn.Sequential(body, head)
    size, base = 48, 4e-3
    groups = [{"params": body.parameters()}, {"params": head.parameters()}]
    optimizer = optim.AdamW(groups, lr=base, betas=(0.9, 0.99), weight_decay=0.01)
    per_epoch = len(x) // size
    error = 1.0
    with probes.watch(learner, optimizer, run_dir) as probe:
        for stage, (epochs, rates) in enumerate([(1, [base, base]), (4, [base / 20, base / 2])]):
            for layer in body:
                layer.requires_grad_(stage > 0 or isinstance(layer, nn.BatchNorm2d))
            total = epochs * per_epoch
            sched = optim.lr_scheduler.OneCycleLR(
                optimizer, rates, total, pct_start=0.99 if stage == 0 else 0.3, cycle_momentum=True
            )
            smooth, weight = 0.0, 0.0
            for _ in range(epochs):
                learner.train()
                for rows in torch.randperm(len(x))[: per_epoch * size].split(size):
                    loss = F.cross_entropy(learner(x[rows]), y[rows], label_smoothing=0.1)
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    sched.step()
                    smooth, weight = 0.98 * smooth + 0.02 * loss.item(), 0.98 * weight + 0.02
                learner.eval()
                with torch.no_grad():
                    out = learner(xt)
                error = 1 - accuracy(out, yt)
                probe.log("epoch", train_loss=smooth / weight, error_rate=error,
                          valid_loss=F.cross_entropy(out, yt, label_smoothing=0.1))  # fmt: skip
    return 1 - error


@healthy(at_least=0.75)
def clicks_one_by_one_as_vowpal_wabbit_shows_them(run_dir: Path) -> float:
    """12,000 clicks, each seen once: hashed features, Adagrad, "average loss" and "since last" at 2, 4, 8, ..."""
    torch.manual_seed(2119)
    effects = [0.9 * torch.randn(k) for k in (24, 40, 30, 4)]
    cross = 0.6 * torch.randn(40, 4)

    def stream(n: int) -> tuple[Tensor, Tensor]:
        hour, site, ad, device = (torch.randint(k, (n,)) for k in (24, 40, 30, 4))
        logit = sum(e[i] for e, i in zip(effects, (hour, site, ad, device), strict=True)) + cross[site, device] - 1.2
        hashed = torch.stack(
            [(hour * 7919 + 13) % 1024, (site * 104729 + 7) % 1024, (ad * 15485863 + 5) % 1024,
             (device * 32452843 + 3) % 1024, (site * 4 + device) * 49979687 % 1024, torch.full((n,), 1023)], 1
        )  # fmt: skip
        return hashed, torch.bernoulli(torch.sigmoid(logit))

    x, y = stream(12000)
    xt, yt = stream(1500)
    model = nn.EmbeddingBag(1024, 1, mode="sum")
    nn.init.zeros_(model.weight)
    optimizer = optim.Adagrad(model.parameters(), lr=0.15)
    total, since, count, shown = 0.0, 0.0, 0, 2
    with probes.watch(model, optimizer, run_dir) as probe:
        for features, clicked in zip(x, y, strict=True):
            loss = F.binary_cross_entropy_with_logits(model(features[None])[0, 0], clicked)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()
            total, since, count = total + value, since + value, count + 1
            if count == shown:
                probe.log("progressive", average_loss=total / count, since_last=since / max(1, count - count // 2))
                since, shown = 0.0, 2 * shown
        probe.log("progressive", average_loss=total / count)
    with torch.no_grad():
        return float(roc_auc_score(yt.numpy(), model(xt).squeeze(1).numpy()))
