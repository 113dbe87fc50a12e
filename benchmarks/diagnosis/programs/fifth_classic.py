"""Healthy trainings of the fifth fresh set: classifiers as courses and tutorials have them."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage import color, data, transform
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, split
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.9)
def softmax_regression_from_scratch(run_dir: Path) -> float:
    """Dive into Deep Learning 4.4: one linear layer, weights of 0.01, SGD at 0.1, ten epochs, all by epoch."""
    torch.manual_seed(1)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.normal_(net[1].weight, std=0.01)
    nn.init.zeros_(net[1].bias)
    trainer = optim.SGD(net.parameters(), lr=0.1)
    loss = nn.CrossEntropyLoss(reduction="none")
    with probes.watch(net, trainer, run_dir) as probe:
        for _ in range(10):
            total, right, count = 0.0, 0.0, 0
            for xb, yb in DataLoader(TensorDataset(x, y), 64, shuffle=True):
                out = net(xb)
                each = loss(out, yb)
                trainer.zero_grad()
                each.mean().backward()
                trainer.step()
                total += float(each.sum())
                right += float((out.argmax(1) == yb).sum())
                count += len(yb)
            with torch.no_grad():
                probe.log("epoch", train_loss=total / count, train_acc=right / count, test_acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.95)
def three_layer_convnet_of_cs231n(run_dir: Path) -> float:
    """CS231n, assignment 2: conv - relu - pool - affine - relu - affine, Adam at 1e-3, L2 of 1e-3 in the loss."""
    torch.manual_seed(2)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 100), nn.ReLU(),
        nn.Linear(100, 10),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, optimizer, run_dir) as probe:
        for _epoch in range(10):
            for t, (xb, yb) in enumerate(batches(x, y, 50)):
                scores = net(xb)
                loss = F.cross_entropy(scores, yb)
                loss = loss + 0.5 * 1e-3 * sum((p**2).sum() for p in net.parameters() if p.dim() > 1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss.item())
                if t % 20 == 0:
                    with torch.no_grad():
                        probe.log("val", accuracy=accuracy(net(xt), yt), train_accuracy=accuracy(net(x[:400]), y[:400]))
    with torch.no_grad():
        return accuracy(net(xt), yt)


class _Maxout(nn.Module):
    """The largest of ``pieces`` linear functions, unit by unit."""

    def __init__(self, inside: int, outside: int, pieces: int = 4) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inside, outside * pieces)

    def forward(self, v: Tensor) -> Tensor:
        return self.linear(v).view(len(v), -1, self.pieces).amax(2)


@healthy(at_least=0.94)
def maxout_with_half_dropped(run_dir: Path) -> float:
    """Goodfellow et al. 2013: maxout units, dropout of inputs and units, momentum, a rate that falls by the step."""
    torch.manual_seed(3)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Dropout(0.2), _Maxout(64, 64), nn.Dropout(0.5), _Maxout(64, 64), nn.Dropout(0.5), nn.Linear(64, 10)
    )
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.7)
    falling = optim.lr_scheduler.ExponentialLR(opt, 0.9995)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(60):
            net.train()
            running = 0.0
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                falling.step()
                running += loss.item() / 42
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("loss", train=running, val=F.cross_entropy(out, yt))
                probe.log("acc", val=accuracy(out, yt))
    return accuracy(out, yt)


@healthy(at_least=0.95)
def network_in_network(run_dir: Path) -> float:
    """Dive into Deep Learning 8.3: NiN blocks, Xavier weights, no linear layer at all, global average pooling."""
    torch.manual_seed(4)
    x, y, xt, yt = digits(flat=False)

    def block(inside: int, outside: int, stride: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inside, outside, 3, stride, 1), nn.ReLU(), nn.Conv2d(outside, outside, 1), nn.ReLU(),
            nn.Conv2d(outside, outside, 1), nn.ReLU(),
        ]  # fmt: skip

    net = nn.Sequential(
        *block(1, 24, 1), *block(24, 32, 2), *block(32, 32, 1), nn.Dropout(0.2), nn.Conv2d(32, 10, 3, 1, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            net.train()
            for i, (xb, yb) in enumerate(batches(x, y, 64)):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if i % 5 == 0:
                    probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("test", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.75)
def which_module_a_line_is_from(run_dir: Path) -> float:
    """TF-IDF of words and a linear layer, as every text tutorial begins: five modules of the standard library."""
    import argparse
    import ast
    import statistics
    import tarfile
    import turtle

    from sklearn.feature_extraction.text import TfidfVectorizer

    torch.manual_seed(5)
    rows, labels = [], []
    for k, module in enumerate((argparse, statistics, tarfile, turtle, ast)):
        lines = [line.strip() for line in inspect.getsource(module).splitlines() if len(line.strip()) > 12]
        pieces = [" ".join(lines[i : i + 4]) for i in range(0, min(len(lines), 1600), 4)]
        rows += pieces
        labels += [k] * len(pieces)
    found = TfidfVectorizer(max_features=800).fit_transform(rows).toarray()
    x, y, xt, yt = split(found, np.array(labels))
    net = nn.Linear(800, 5)
    opt = optim.Adam(net.parameters(), lr=1e-2, weight_decay=1e-5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            total = []
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                opt.step()
                total.append(loss.item())
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=np.mean(total))
            probe.log("valid", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    return accuracy(out, yt)


@healthy(at_least=0.9)
def two_spirals_of_the_playground(run_dir: Path) -> float:
    """TensorFlow Playground: two noisy spirals, three layers of eight tanh units, batches of ten, rate 0.03."""
    torch.manual_seed(6)
    turn = torch.rand(800) * 3.5 + 0.5
    arm = torch.randint(2, (800,))
    angle = turn * 1.6 + math.pi * arm
    x = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 2 + 0.07 * torch.randn(800, 2)
    y = arm.float()[:, None]
    net = nn.Sequential(
        nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)
    )
    opt = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(120):
            for xb, yb in batches(x[:600], y[:600], 10):
                loss = criterion(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            if epoch % 2 == 0:
                with torch.no_grad():
                    probe.log("loss", training=criterion(net(x[:600]), y[:600]), test=criterion(net(x[600:]), y[600:]))
    with torch.no_grad():
        return float(((net(x[600:]) > 0) == (y[600:] > 0.5)).float().mean())


@healthy(at_least=0.8)
def squeezed_and_excited_photographs(run_dir: Path) -> float:
    """Which of four photographs a coloured patch was cut from: residual, squeeze and excitation, OneCycle."""
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    pictures = [
        transform.resize(p(), (160, 160), anti_aliasing=True)
        for p in (data.astronaut, data.coffee, data.cat, data.rocket)
    ]

    def cut(n: int, first: int, last: int) -> tuple[Tensor, Tensor]:
        y = rng.integers(4, size=n)
        rows = rng.integers(0, 144, n)
        columns = rng.integers(first, last - 16, n)
        x = [pictures[k][r : r + 16, c : c + 16] for k, r, c in zip(y, rows, columns, strict=True)]
        return torch.tensor(np.stack(x), dtype=torch.float32).permute(0, 3, 1, 2) * 2 - 1, torch.tensor(y)

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
            self.norm_one, self.norm_two = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
            self.squeeze, self.excite = nn.Linear(width, width // 4), nn.Linear(width // 4, width)

        def forward(self, v: Tensor) -> Tensor:
            h = self.norm_two(self.two(self.norm_one(self.one(v)).relu()))
            gate = self.excite(self.squeeze(h.mean((2, 3))).relu()).sigmoid()
            return (v + h * gate[:, :, None, None]).relu()

    x, y = cut(1500, 0, 120)
    xt, yt = cut(400, 100, 160)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), Block(16), nn.MaxPool2d(2), Block(16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    cycle = optim.lr_scheduler.OneCycleLR(opt, 8e-3, total_steps=8 * 46)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(8):
            net.train()
            for xb, yb in batches(x, y, 32):
                flipped = xb.flip(3) if torch.rand(()) < 0.5 else xb
                loss = F.cross_entropy(net(flipped), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                cycle.step()
                probe.log("train", loss=loss, lr=cycle.get_last_lr()[0])
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt), epoch=epoch)
    return accuracy(out, yt)


@healthy(at_least=0.93)
def tumours_by_logistic_regression_in_batches(run_dir: Path) -> float:
    """The logistic regression everybody writes: thirty columns, BCELoss behind a sigmoid, SGD at 0.1, no frills."""
    torch.manual_seed(8)
    x, y, xt, yt = cancer()
    net = nn.Sequential(nn.Linear(30, 1), nn.Sigmoid())
    opt = optim.SGD(net.parameters(), lr=0.1)
    criterion = nn.BCELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y.float(), 16):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0.5) == (yt == 1)).float().mean())


@healthy(at_least=0.9)
def mushrooms_in_one_hot_columns(run_dir: Path) -> float:
    """Categories to one-hot columns, two small ReLU layers, NAdam, rate divided when the validation loss rests."""
    torch.manual_seed(9)
    many = torch.tensor([6, 4, 10, 2, 9, 2, 2, 12, 5, 4])
    raw = torch.stack([torch.randint(int(m), (3000,)) for m in many], 1)
    bad = (raw[:, 4] >= 6) | ((raw[:, 2] == 3) & (raw[:, 5] == 0)) | ((raw[:, 7] > 8) & (raw[:, 0] < 2))
    x = torch.cat([F.one_hot(raw[:, i], int(m)) for i, m in enumerate(many)], 1).float()
    y = (bad ^ (torch.rand(3000) < 0.02)).long()
    net = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.NAdam(net.parameters(), lr=2e-3, weight_decay=1e-3, decoupled_weight_decay=True)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.3, patience=2)
    with probes.watch(net, opt, run_dir, config={"model": "mlp", "bs": 50}) as probe:
        for _ in range(14):
            for xb, yb in batches(x[:2250], y[:2250], 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad(set_to_none=True)
                loss.backward()
                opt.step()
                probe.log("batch", loss=loss)
            with torch.no_grad():
                out = net(x[2250:])
                val = F.cross_entropy(out, y[2250:])
            plateau.step(val)
            probe.log("epoch", val_loss=val, val_acc=accuracy(out, y[2250:]))
    return accuracy(out, y[2250:])


@healthy(at_least=0.93)
def inception_with_two_auxiliary_heads(run_dir: Path) -> float:
    """Szegedy et al. 2014: parallel kernels, a helper's head in the middle whose loss counts 0.3."""
    torch.manual_seed(10)
    x, y, xt, yt = digits(flat=False)

    class Inception(nn.Module):
        def __init__(self, inside: int) -> None:
            super().__init__()
            self.one = nn.Conv2d(inside, 8, 1)
            self.three = nn.Sequential(nn.Conv2d(inside, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1))
            self.five = nn.Sequential(nn.Conv2d(inside, 4, 1), nn.ReLU(), nn.Conv2d(4, 6, 5, padding=2))
            self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(inside, 6, 1))

        def forward(self, v: Tensor) -> Tensor:
            return torch.cat([self.one(v), self.three(v), self.five(v), self.pool(v)], 1).relu()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 16, 3, padding=1)
            self.low, self.high = Inception(16), Inception(32)
            self.aux, self.head = nn.Linear(32, 10), nn.Linear(32 * 4, 10)

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            h = F.max_pool2d(self.low(self.stem(v).relu()), 2)
            top = F.max_pool2d(self.high(h), 2)
            return self.head(top.flatten(1)), self.aux(h.mean((2, 3)))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    step_down = optim.lr_scheduler.MultiStepLR(opt, [8, 12], 0.2)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            for xb, yb in batches(x, y, 40):
                main, aux = net(xb)
                main_loss, aux_loss = F.cross_entropy(main, yb), F.cross_entropy(aux, yb)
                loss = main_loss + 0.3 * aux_loss
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", total_loss=loss, main_loss=main_loss, aux_loss=aux_loss)
            step_down.step()
            with torch.no_grad():
                probe.log("val", acc=accuracy(net(xt)[0], yt))
    with torch.no_grad():
        return accuracy(net(xt)[0], yt)


@healthy(at_least=0.9)
def brighter_than_around_by_pixel(run_dir: Path) -> float:
    """A fully convolutional net says where a photograph is brighter than around; pixels of the other half count."""
    torch.manual_seed(11)
    grey = torch.tensor(color.rgb2gray(data.astronaut())[::2, ::2], dtype=torch.float32)
    blurred = F.avg_pool2d(grey[None, None], 9, 1, 4)[0, 0]
    brighter = (grey > blurred).float()
    x = (grey - grey.mean()) / grey.std()
    net = nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2), nn.ELU(), nn.Conv2d(12, 12, 5, padding=2), nn.ELU(), nn.Conv2d(12, 1, 1)
    )
    opt = optim.RMSprop(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(300):
            rows, columns = torch.randint(256 - 32, (8,)), torch.randint(128 - 32, (8,))
            at = list(zip(rows.tolist(), columns.tolist(), strict=True))
            xb = torch.stack([x[r : r + 32, c : c + 32] for r, c in at])[:, None]
            yb = torch.stack([brighter[r : r + 32, c : c + 32] for r, c in at])[:, None]
            loss = F.binary_cross_entropy_with_logits(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", bce=loss)
            if step % 60 == 59:
                with torch.no_grad():
                    said = net(x[None, None, :, 128:])[0, 0] > 0
                probe.log("val", pixel_acc=(said == (brighter[:, 128:] > 0)).float().mean())
    return float((said == (brighter[:, 128:] > 0)).float().mean())
