"""Healthy trainings of the seventh fresh set: the six that are met most often, as a competent person runs them."""

from __future__ import annotations

import _pydecimal
import argparse
import inspect
import math
import re
import tarfile
import typing
import unittest.mock
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data as pictures
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.program import healthy


def _tiles(photographs: list[np.ndarray], most: int = 150) -> tuple[Tensor, Tensor]:
    """Tiles [N, 3, 16, 16] of photographs at half size, scaled as ToTensor and Normalize do; which they are of."""
    x, y = [], []
    for kind, photograph in enumerate(photographs):
        pixels = torch.from_numpy(photograph[::2, ::2].copy()).permute(2, 0, 1).float() / 255
        tiles = pixels.unfold(1, 16, 16).unfold(2, 16, 16).permute(1, 2, 0, 3, 4).reshape(-1, 3, 16, 16)
        tiles = tiles[torch.randperm(len(tiles))[:most]]
        x.append((tiles - 0.45) / 0.25)
        y.append(torch.full((len(tiles),), kind))
    images, labels = torch.cat(x), torch.cat(y)
    order = torch.randperm(len(images))
    return images[order], labels[order]


@healthy(at_least=0.85)
def body_of_one_task_tuned_for_another(run_dir: Path) -> float:
    """Transfer learning: a net that knew four photographs, a new head, a tenth of the rate for its body (CS231n)."""
    torch.manual_seed(7301)

    def conv(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())

    body = nn.Sequential(conv(3, 16), conv(16, 16), nn.MaxPool2d(2), conv(16, 48), conv(48, 48),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
    known = _tiles([pictures.astronaut(), pictures.coffee(), pictures.chelsea(), pictures.rocket()])
    old = nn.Sequential(body, nn.Linear(48, 4))
    before = optim.Adam(old.parameters(), lr=2e-3)
    for _ in range(6):  # what came with the downloaded weights
        for x, y in DataLoader(TensorDataset(*known), batch_size=32, shuffle=True):
            before.zero_grad()
            F.cross_entropy(old(x), y).backward()
            before.step()

    images, labels = _tiles([pictures.immunohistochemistry(), pictures.hubble_deep_field(), pictures.retina(),
                             pictures.stereo_motorcycle()[0], pictures.logo()[..., :3]])  # fmt: skip
    cut = len(images) * 3 // 4
    loader = DataLoader(TensorDataset(images[:cut], labels[:cut]), batch_size=16, shuffle=True, drop_last=True)
    model = nn.Sequential(body, nn.Linear(48, 5))
    optimizer = optim.AdamW([{"params": body.parameters(), "lr": 2e-4}, {"params": model[1].parameters(), "lr": 2e-3}])
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 10)
    acc = 0.0
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(10):
            model.train()
            running_loss, running_corrects, seen = 0.0, 0, 0
            for x, y in loader:
                if torch.rand(()) < 0.5:
                    x = x.flip(3)
                outputs = model(x)
                loss = F.cross_entropy(outputs, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                running_loss += loss.item() * len(y)
                running_corrects += int((outputs.argmax(1) == y).sum())
                seen += len(y)
            scheduler.step()
            model.eval()
            with torch.no_grad():
                outputs = model(images[cut:])
            acc = float((outputs.argmax(1) == labels[cut:]).float().mean())
            probe.log("train", loss=running_loss / seen, acc=running_corrects / seen, epoch=epoch)
            probe.log("val", loss=F.cross_entropy(outputs, labels[cut:]).item(), acc=acc)
    return acc


@healthy(at_least=0.75)
def which_module_these_lines_are_of(run_dir: Path) -> float:
    """Joulin et al., fastText: the mean of the words' vectors and a linear layer, for four lines of some module."""
    torch.manual_seed(7302)
    documents = []
    for label, module in enumerate((argparse, inspect, tarfile, typing, unittest.mock, _pydecimal)):
        lines = [line for line in inspect.getsource(module).lower().splitlines() if line.strip()]
        documents += [(re.findall(r"[a-z_]+", " ".join(lines[i : i + 4])), label) for i in range(0, len(lines) - 3, 4)]
    documents = [documents[i] for i in torch.randperm(len(documents)).tolist() if len(documents[i][0]) > 3]
    cut = len(documents) * 4 // 5
    count = Counter(word for words, _ in documents[:cut] for word in words)
    number = {word: i for i, (word, times) in enumerate(count.most_common(), start=1) if times > 1}

    def collate(batch: list[tuple[list[str], int]]) -> tuple[Tensor, Tensor, Tensor]:
        ids = [[number.get(word, 0) for word in words] for words, _ in batch]
        offsets = torch.tensor([0, *map(len, ids[:-1])]).cumsum(0)
        return torch.tensor([i for row in ids for i in row]), offsets, torch.tensor([label for _, label in batch])

    class FastText(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = nn.EmbeddingBag(len(number) + 1, 32, mode="mean")
            self.drop = nn.Dropout(0.3)
            self.fc = nn.Linear(32, 6)

        def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
            return self.fc(self.drop(self.bag(ids, offsets)))

    model = FastText()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    train = DataLoader(documents[:cut], batch_size=32, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
    ids, offsets, truth = collate(documents[cut:])
    log_every = 20
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(8):
            model.train()
            right, seen = 0, 0
            for i, (words, starts, labels) in enumerate(train):
                optimizer.zero_grad()
                predicted = model(words, starts)
                loss = F.cross_entropy(predicted, labels)
                loss.backward()
                optimizer.step()
                right += int((predicted.argmax(1) == labels).sum())
                seen += len(labels)
                if i % log_every == log_every - 1:
                    probe.log("train", loss=loss.item(), accuracy=right / seen, epoch=epoch)
                    right, seen = 0, 0
            model.eval()
            with torch.no_grad():
                out = model(ids, offsets)
            probe.log("valid", accuracy=(out.argmax(1) == truth).float().mean(), loss=F.cross_entropy(out, truth))
    return float((out.argmax(1) == truth).float().mean())


@healthy(at_least=0.22)
def days_in_hospital(run_dir: Path) -> float:
    """Length of a stay from what is known at admission: of its logarithm about a third can be told, no more."""
    torch.manual_seed(7303)
    rng = np.random.default_rng(7303)
    n = 4000
    age, ward, urgent = rng.uniform(18, 95, n), rng.integers(0, 8, n), rng.random(n) < 0.4
    illnesses, earlier = rng.poisson(1.5, n), rng.poisson(0.8, n)
    blood = rng.normal(13.5, 1.8, n)
    expected = (0.012 * (age - 50) + np.array([0, 0.4, -0.3, 0.2, 0.7, -0.5, 0.1, -0.1])[ward] + 0.35 * urgent
                + 0.15 * illnesses * (age > 65) + 0.1 * earlier - 0.08 * np.minimum(blood - 12, 0))  # fmt: skip
    days = np.ceil(np.exp(1 + 0.7 * expected + 0.6 * rng.normal(size=n)))
    features = np.column_stack([age, urgent, illnesses, earlier, blood]).astype(np.float32)
    features = StandardScaler().fit(features[:3000]).transform(features)
    x, w = torch.tensor(features), torch.tensor(ward)
    y = torch.tensor(np.log(days), dtype=torch.float32)
    y = (y - y[:3000].mean()) / y[:3000].std()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ward = nn.Embedding(8, 4)
            self.layers = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 32), nn.ReLU(),
                                        nn.Linear(32, 1))  # fmt: skip

        def forward(self, v: Tensor, where: Tensor) -> Tensor:
            return self.layers(torch.cat([v, self.ward(where)], 1)).squeeze(1)

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    criterion = nn.MSELoss()
    loader = DataLoader(TensorDataset(x[:3000], w[:3000], y[:3000]), batch_size=64, shuffle=True)
    r2 = 0.0
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(15):
            net.train()
            total = 0.0
            for xb, wb, yb in loader:
                opt.zero_grad()
                loss = probe.loss_fn(net(xb, wb), yb)
                loss.backward()
                opt.step()
                total += loss.item() * len(yb)
            net.eval()
            with torch.no_grad():
                mse = F.mse_loss(net(x[3000:], w[3000:]), y[3000:]).item()
            r2 = 1 - mse / float(y[3000:].var())
            probe.log("epoch", train_loss=total / 3000, val_loss=mse, val_r2=r2, epoch=epoch)
    return r2


@healthy(at_least=0.45)
def letters_of_pythons_manual(run_dir: Path) -> float:
    """A GPT of two layers on half a million letters of Python's manual: warm-up, cosine, clipping; bits per letter."""
    torch.manual_seed(7304)
    book = re.sub(r"[^a-z0-9 .,()\n]", "", " ".join(topics.values()).lower())
    book = re.sub(r" +", " ", book)
    letters = sorted(set(book))
    ids = torch.tensor([letters.index(c) for c in book])
    cut, context, width = int(0.9 * len(ids)), 32, 64

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, v: Tensor) -> Tensor:
            b, t, _ = v.shape
            q, k, value = self.qkv(self.ln1(v)).view(b, t, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
            heads = F.scaled_dot_product_attention(q, k, value, is_causal=True)
            v = v + self.proj(heads.transpose(1, 2).reshape(b, t, width))
            return v + self.mlp(self.ln2(v))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(len(letters), width), nn.Embedding(context, width)
            self.blocks, self.ln = nn.Sequential(Block(), Block()), nn.LayerNorm(width)
            self.head = nn.Linear(width, len(letters), bias=False)
            self.apply(lambda m: nn.init.normal_(m.weight, std=0.02) if hasattr(m, "weight") and m.weight.dim() == 2
                       else None)  # fmt: skip

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.ln(self.blocks(self.wte(v) + self.wpe.weight[: v.shape[1]])))

    def batch(start: int, end: int, size: int = 24) -> Tensor:
        return torch.stack(
            [ids[i : i + context + 1] for i in torch.randint(start, end - context - 1, (size,)).tolist()]
        )

    def loss_of(rows: Tensor) -> Tensor:
        return F.cross_entropy(net(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

    net = GPT()
    opt = optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1)
    steps, warm = 800, 50
    sched = lr_scheduler.LambdaLR(
        opt,
        lambda s: (s + 1) / warm if s < warm else 0.1 + 0.45 * (1 + math.cos(math.pi * (s - warm) / (steps - warm))),
    )
    held = torch.stack([ids[i : i + context + 1] for i in range(cut, len(ids) - context - 1, 800)])
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(steps):
            loss = loss_of(batch(0, cut))
            opt.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            sched.step()
            if step % 10 == 0:
                probe.log("train", loss=loss.item(), lr=sched.get_last_lr()[0])
            if step % 100 == 99:
                with torch.no_grad():
                    val = loss_of(held).item()
                probe.log("val", loss=val, bpc=val / math.log(2))
    return 1 - val / math.log(len(letters))


@healthy(at_least=0.95)
def digits_shifted_turned_and_erased(run_dir: Path) -> float:
    """A ResNet with augmentation, smoothed labels and Nesterov: worse on what it trains on than on what it is for."""
    torch.manual_seed(7305)
    raw = load_digits()
    order = torch.randperm(len(raw.images))
    images = (torch.tensor(raw.images, dtype=torch.float32)[order, None] / 16 - 0.3) / 0.37
    labels = torch.tensor(raw.target)[order]

    def augment(v: Tensor) -> Tensor:
        n = len(v)
        angle, size = 0.15 * torch.randn(n), 1 + 0.1 * torch.randn(n)
        turn = torch.stack([torch.stack([size * angle.cos(), -angle.sin()], 1),
                            torch.stack([angle.sin(), size * angle.cos()], 1)], 1)  # fmt: skip
        place = torch.cat([turn, 0.12 * torch.randn(n, 2, 1)], 2)
        v = F.grid_sample(v - v.min(), F.affine_grid(place, list(v.shape), align_corners=False), align_corners=False)
        v = v - 0.81
        row, column = torch.randint(7, (n, 1, 1)), torch.randint(7, (n, 1, 1))
        line = torch.arange(8)
        hole = ((line[:, None] - row).abs() < 2) & ((line - column).abs() < 2) & (torch.rand(n, 1, 1) < 0.3)
        return torch.where(hole[:, None], 0.0, v)

    class Residual(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
                                       nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, bias=False),
                                       nn.BatchNorm2d(width))  # fmt: skip

        def forward(self, v: Tensor) -> Tensor:
            return F.relu(v + self.inner(v))

    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), Residual(24), nn.MaxPool2d(2),
        Residual(24), nn.Flatten(), nn.Linear(384, 10),
    )  # fmt: skip
    epochs = 20
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    sched = lr_scheduler.CosineAnnealingLR(opt, epochs)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    loader = DataLoader(TensorDataset(images[:1300], labels[:1300]), batch_size=64, shuffle=True)
    top1 = 0.0
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(epochs):
            net.train()
            for x, y in loader:
                out = net(augment(x))
                loss = probe.loss_fn(out, y)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, top1=100 * (out.argmax(1) == y).float().mean())
            sched.step()
            net.eval()
            with torch.no_grad():
                out = net(images[1300:])
            top1 = float((out.argmax(1) == labels[1300:]).float().mean())
            probe.log("test", loss=F.cross_entropy(out, labels[1300:]), top1=100 * top1, epoch=epoch)
    return top1


@healthy(at_least=0.7)
def electricity_of_the_next_day(run_dir: Path) -> float:
    """Load of the next 24 hours from the last 48, a GRU and a linear layer, mean absolute error, rate by plateau."""
    torch.manual_seed(7306)
    hours = torch.arange(24.0 * 240)
    day, week = 2 * math.pi * hours / 24, 2 * math.pi * hours / 168
    drift = (0.02 * torch.randn(len(hours))).cumsum(0)
    drift = drift - F.avg_pool1d(drift[None, None], 337, 1, 168, count_include_pad=False)[0, 0]
    working = ((hours // 24) % 7 < 5).float()
    load = 50 + 8 * working * torch.sin(day - 1.5) + 3 * torch.sin(2 * day) + 3 * torch.cos(week) + 8 * drift
    load = load + 1.5 * torch.randn(len(hours))
    calendar = torch.stack([day.sin(), day.cos(), working, torch.roll(working, -24)], 1)
    mean, std = load[: 24 * 180].mean(), load[: 24 * 180].std()
    series = torch.cat([((load - mean) / std)[:, None], calendar], 1)
    windows = series.unfold(0, 72, 8).transpose(1, 2)
    x, y = windows[:, :48], windows[:, 48:, 0]
    cut, begin = 24 * 180 // 8 - 9, 24 * 180 // 8

    class Forecaster(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(5, 48, batch_first=True)
            self.head = nn.Linear(48, 24)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.gru(v)[1][-1])

    model = Forecaster()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2)
    loader = DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=32, shuffle=True)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(25):
            total = 0.0
            for xb, yb in loader:
                loss = F.l1_loss(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            with torch.no_grad():
                out = model(x[begin:])
            val = F.l1_loss(out, y[begin:])
            scheduler.step(val)
            probe.log("train", mae=total / len(loader), epoch=epoch)
            probe.log("val", mae=val, lr=optimizer.param_groups[0]["lr"])
    return float(1 - ((out - y[begin:]) ** 2).mean() / y[begin:].var())
