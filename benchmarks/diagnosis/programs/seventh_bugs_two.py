"""Faulty programs of the seventh fresh set: the same nine mistakes once more, in other people's other networks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, Dataset, TensorDataset

import probes
from benchmarks.diagnosis.programs.program import faulty


@faulty("learning-rate-too-high", "noisy-loss", "oscillating-loss", "loss-spikes", "underfitting",
        "saturated-activations", "loss-not-decreasing", "constant-predictions", below=0.8)  # fmt: skip
def gestures_by_a_gru_at_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """A GRU by Adam at 0.1: "the loss goes down a little and then jumps about" (Stack Overflow)."""
    torch.manual_seed(7201)
    t = torch.linspace(0, 1, 30)

    def gestures(n: int) -> tuple[Tensor, Tensor]:
        """Circle, circle the other way, eight, wave, tick, zigzag: how a hand moved, with a trembling of its own."""
        kind = torch.randint(6, (n,))
        a = 2 * math.pi * (t + 0.2 * torch.randn(n, 1))
        shapes = torch.stack([
            torch.stack([a.cos(), a.sin()], 2), torch.stack([a.cos(), -a.sin()], 2),
            torch.stack([a.sin(), (2 * a).sin()], 2), torch.stack([a / 3 - 1, (2 * a).sin()], 2),
            torch.stack([a / 3 - 1, (a - 2).abs() / 2 - 1], 2), torch.stack([a / 3 - 1, (a % 2) - 1], 2),
        ], 1)  # fmt: skip
        path = shapes[torch.arange(n), kind] * (0.7 + 0.6 * torch.rand(n, 1, 1))
        moves = path.diff(dim=1) * 5 + 0.9 * torch.randn(n, 29, 2)
        return moves, kind

    class Recogniser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(2, 48, num_layers=2, batch_first=True)
            self.fc = nn.Linear(48, 6)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.gru(v)[0][:, -1])

    x, y = gestures(1200)
    xt, yt = gestures(300)
    net = Recogniser()
    optimizer = optim.Adam(net.parameters(), lr=3e-3 if mended else 0.1)
    loader = DataLoader(TensorDataset(x, y), batch_size=30, shuffle=True)
    acc = 0.0
    with probes.watch(net, optimizer, run_dir) as probe:
        for _ in range(10):
            for i, (moves, kind) in enumerate(loader):
                optimizer.zero_grad()
                loss = F.cross_entropy(net(moves), kind)
                loss.backward()
                optimizer.step()
                if i % 4 == 0:
                    probe.log("train", loss=loss.item())
            with torch.no_grad():
                logits = net(xt)
            acc = float((logits.argmax(1) == yt).float().mean())
            probe.log("val", loss=F.cross_entropy(logits, yt).item(), acc=acc)
    return acc


@faulty("unnormalized-inputs", "saturated-activations", "constant-predictions", "underfitting", "slow-convergence",
        "loss-not-decreasing", "collapsed-activations", "vanishing-gradients", below=0.4)  # fmt: skip
def weather_in_its_own_units(run_dir: Path, *, mended: bool = False) -> float:
    """Pascal, kelvin and degrees of wind straight from the CSV into a GRU that is to forecast (Stack Overflow)."""
    torch.manual_seed(7202)
    rng = np.random.default_rng(7202)
    hours = np.arange(2400)
    front = np.convolve(rng.normal(size=2400 + 60), np.exp(-np.arange(61) / 15), mode="valid")
    front = front / front.std()
    day = np.sin(2 * np.pi * hours / 24)
    frame = pd.DataFrame({
        "T (K)": 283 + 4 * day - 5 * np.roll(front, 6) + 0.5 * rng.normal(size=2400),
        "p (Pa)": 101_300 + 900 * front + 60 * rng.normal(size=2400),
        "rh (%)": 70 - 12 * day + 8 * rng.normal(size=2400),
        "wd (deg)": (180 + 90 * front + 20 * rng.normal(size=2400)) % 360,
    })  # fmt: skip
    temperature = frame["T (K)"]
    ahead = ((temperature.shift(-5) - temperature) / 4).iloc[:-5]  # by how much it will be warmer in five hours
    if mended:
        frame = (frame - frame[:1800].mean()) / frame[:1800].std()
    values = torch.tensor(frame.to_numpy(), dtype=torch.float32)
    windows = values.unfold(0, 12, 1).transpose(1, 2)[:-5]
    targets = torch.tensor(ahead.to_numpy(), dtype=torch.float32)[11:]

    class Forecaster(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 32, batch_first=True)
            self.linear = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.linear(self.gru(v)[1][-1]).squeeze(-1)

    train = DataLoader(TensorDataset(windows[:1800], targets[:1800]), batch_size=64, shuffle=True)
    x_val, y_val = windows[1830:], targets[1830:]
    model = Forecaster()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.MSELoss()
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for epoch in range(20):
            losses = []
            for x, y in train:
                optimizer.zero_grad()
                loss = probe.loss_fn(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            with torch.no_grad():
                val_loss = F.mse_loss(model(x_val), y_val).item()
            probe.log("train", loss=sum(losses) / len(losses), epoch=epoch)
            probe.log("val", loss=val_loss)
    return 1 - val_loss / float(y_val.var())


@faulty("poor-initialization", "saturated-activations", "unexpected-initial-loss", "exploding-gradients",
        "slow-convergence", "learning-rate-too-low", "overfitting", "no-generalization", "underfitting",
        "vanishing-gradients", "training-too-short", below=0.7)  # fmt: skip
def attention_of_plain_randn(run_dir: Path, *, mended: bool = False) -> float:
    """Wq, Wk, Wv = nn.Parameter(torch.randn(d, d)): attention from scratch, as blogs write it; it looks at one."""
    torch.manual_seed(7203)
    d = 48

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            scale = d**-0.5 if mended else 1.0
            self.wq, self.wk, self.wv, self.wo = (nn.Parameter(scale * torch.randn(d, d)) for _ in range(4))
            self.w1, self.w2 = nn.Parameter(scale * torch.randn(d, 2 * d)), nn.Parameter(scale * torch.randn(2 * d, d))
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

        def forward(self, v: Tensor) -> Tensor:
            h = self.norm1(v)
            weights = ((h @ self.wq) @ (h @ self.wk).transpose(1, 2) / d**0.5).softmax(-1)
            v = v + weights @ (h @ self.wv) @ self.wo
            return v + F.relu(self.norm2(v) @ self.w1) @ self.w2

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.keys, self.values = nn.Embedding(8, d), nn.Embedding(9, d)
            self.layers = nn.Sequential(Layer(), Layer(), Layer())
            self.head = nn.Linear(d, 8)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.layers(self.keys(v[..., 0]) + self.values(v[..., 1]))[:, -1])

    def lookups(n: int) -> tuple[Tensor, Tensor]:
        """Six keys, each with a value, then one of the keys again with none (8): which value was it?"""
        keys = torch.rand(n, 8).argsort(1)[:, :6]
        values = torch.randint(8, (n, 6))
        asked = torch.randint(6, (n, 1))
        row = torch.cat([torch.stack([keys, values], 2), torch.stack([keys.gather(1, asked), 0 * asked + 8], 2)], 1)
        return row, values.gather(1, asked).squeeze(1)

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    sched = optim.lr_scheduler.OneCycleLR(opt, max_lr=2e-3, total_steps=500)
    xt, yt = lookups(400)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            xb, yb = lookups(64)
            loss = F.cross_entropy(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            if step % 10 == 0:
                probe.log("train", loss=loss)
            if step % 50 == 49:
                with torch.no_grad():
                    out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=(out.argmax(1) == yt).float().mean())
    return float((out.argmax(1) == yt).float().mean())


class _Residual(nn.Module):
    """Two convolutions with batch norm and what came in added."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)
        self.short = nn.Identity()
        if stride != 1 or inside != outside:
            self.short = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, v: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(v)))))
        return F.relu(out + self.short(v))


def _resnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        _Residual(16, 16, 1), _Residual(16, 32, 2), _Residual(32, 32, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


@faulty("no-generalization", "loss-not-decreasing", "underfitting", "slow-convergence", "overfitting",
        "constant-predictions", below=0.8)  # fmt: skip
def picture_10_before_picture_2(run_dir: Path, *, mended: bool = False) -> float:
    """sorted(os.listdir()) puts img_10.png before img_2.png, the labels go by their numbers (Stack Overflow)."""
    torch.manual_seed(7204)
    raw = load_digits()
    folder = {f"img_{i}.png": picture for i, picture in enumerate(raw.images)}

    class Pictures(Dataset[tuple[Tensor, Tensor]]):
        def __init__(self) -> None:
            self.files = sorted(folder, key=lambda name: int(name[4:-4])) if mended else sorted(folder)
            self.labels = raw.target

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            picture = torch.tensor(folder[self.files[i]], dtype=torch.float32)[None] / 16
            return (picture - 0.3) / 0.35, torch.tensor(self.labels[i])

    train, val = torch.utils.data.random_split(Pictures(), [1500, 297])
    loader = DataLoader(train, batch_size=50, shuffle=True)
    x_val, y_val = next(iter(DataLoader(val, batch_size=297)))
    model = _resnet()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(8):
            model.train()
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in loader:
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = F.cross_entropy(outputs, labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item() * len(labels)
                running_corrects += int((outputs.argmax(1) == labels).sum())
            probe.log("train", loss=running_loss / 1500, acc=running_corrects / 1500, epoch=epoch)
            model.eval()
            with torch.no_grad():
                outputs = model(x_val)
            acc = (outputs.argmax(1) == y_val).float().mean().item()
            probe.log("val", loss=F.cross_entropy(outputs, y_val).item(), acc=acc)
    return acc


@faulty("class-imbalance", "constant-predictions", "underfitting", "no-generalization", "overfitting",
        below=0.75)  # fmt: skip
def gaps_in_the_labels_filled_with_zero(run_dir: Path, *, mended: bool = False) -> float:
    """tickets.merge(labels, how="left").fillna(0): what nobody has labelled is class 0, two in three (pandas)."""
    torch.manual_seed(7205)
    rng = np.random.default_rng(7205)
    topic = rng.integers(0, 5, 2400)
    favourite = rng.integers(0, 300, (5, 25))
    words = np.where(rng.random((2400, 20)) < 0.32, favourite[topic[:, None], rng.integers(0, 25, (2400, 20))],
                     rng.integers(0, 300, (2400, 20)))  # fmt: skip
    tickets = pd.DataFrame({"id": np.arange(2400), "words": list(words)})
    labelled = rng.permutation(2000)[:700]
    names = pd.DataFrame({"id": labelled, "label": topic[labelled]})
    table = tickets[:2000].merge(names, how="left", on="id")
    if mended:
        table = pd.DataFrame({"id": np.arange(2000), "words": list(words[:2000]), "label": topic[:2000]})
    table = table.fillna({"label": 0})
    x = torch.tensor(np.stack(table["words"].to_list()))
    y = torch.tensor(table["label"].to_numpy().astype(np.int64))
    by_hand, truth = torch.tensor(words[2000:]), torch.tensor(topic[2000:])

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(300, 32)
            layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.2, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1)
            self.fc = nn.Linear(32, 5)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.encoder(self.embedding(v)).mean(1))

    model = Classifier()
    optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    loader = DataLoader(TensorDataset(x[:1800], y[:1800]), batch_size=32, shuffle=True)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(8):
            model.train()
            total_acc, total_count = 0, 0
            for idx, (text, label) in enumerate(loader):
                optimizer.zero_grad()
                predicted = model(text)
                loss = F.cross_entropy(predicted, label)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                total_acc += int((predicted.argmax(1) == label).sum())
                total_count += len(label)
                if idx % 10 == 0:
                    probe.log("train", loss=loss, acc=total_acc / total_count, epoch=epoch)
            model.eval()
            with torch.no_grad():
                out = model(x[1800:])
            probe.log("valid", loss=F.cross_entropy(out, y[1800:]), acc=(out.argmax(1) == y[1800:]).float().mean())
    with torch.no_grad():
        return float((model(by_hand).argmax(1) == truth).float().mean())


@faulty("training-too-short", "slow-convergence", "underfitting", "learning-rate-too-low", below=0.75)
def epochs_of_a_larger_data_set(run_dir: Path, *, mended: bool = False) -> float:
    """A U-Net for "5 epochs, as in the tutorial", whose 5,000 images were many steps; here are 120 (PyTorch forums)."""
    torch.manual_seed(7206)
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")

    def roads(n: int) -> tuple[Tensor, Tensor]:
        """Crossing roads over fields of several greys; the task is to find the roads."""
        mask = torch.zeros(n, 32, 32)
        fields = torch.zeros(n, 32, 32)
        for _ in range(2):
            angle, bend = math.pi * torch.rand(n, 1, 1), 3 * torch.randn(n, 1, 1)
            u = (row - 16) * angle.cos() + (column - 16) * angle.sin()
            v = (column - 16) * angle.cos() - (row - 16) * angle.sin()
            away = u - 8 * torch.randn(n, 1, 1) - bend * torch.sin(v / 6)
            mask = torch.maximum(mask, (away.abs() < 1.6).float())
            fields = fields + 0.5 * torch.sign(torch.sin(u / 5 + v / 8 + 6 * torch.rand(n, 1, 1)))
        return (fields + (0.8 - fields) * mask + 0.3 * torch.randn(n, 32, 32))[:, None], mask[:, None]

    def conv(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(True),
            nn.Conv2d(outside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(True),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inc, self.down1, self.down2 = conv(1, 8), conv(8, 16), conv(16, 32)
            self.up1, self.up2 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
            self.conv1, self.conv2, self.outc = conv(32, 16), conv(16, 8), nn.Conv2d(8, 1, 1)

        def forward(self, v: Tensor) -> Tensor:
            x1 = self.inc(v)
            x2 = self.down1(F.max_pool2d(x1, 2))
            x3 = self.down2(F.max_pool2d(x2, 2))
            v = self.conv1(torch.cat([x2, self.up1(x3)], 1))
            return self.outc(self.conv2(torch.cat([x1, self.up2(v)], 1)))

    images, masks = roads(120)
    x_val, y_val = roads(60)
    loader = DataLoader(TensorDataset(images, masks), batch_size=16, shuffle=True, drop_last=True)
    model = UNet()
    optimizer = optim.RMSprop(model.parameters(), lr=2e-4, momentum=0.9, weight_decay=1e-8)
    dice = 0.0
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(30 if mended else 5):
            model.train()
            for image, mask in loader:
                loss = F.binary_cross_entropy_with_logits(model(image), mask)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                probe.log("train", loss=loss.item(), epoch=epoch)
            model.eval()
            with torch.no_grad():
                out = model(x_val)
            dice = float(2 * ((out > 0) * y_val).sum() / ((out > 0).sum() + y_val.sum()))
            probe.log("validation", dice=dice, loss=F.binary_cross_entropy_with_logits(out, y_val))
    return dice


@faulty("underfitting", "slow-convergence", below=0.75)
def two_hidden_units_for_twelve_clubs(run_dir: Path, *, mended: bool = False) -> float:
    """hidden_channels=2, kept from the karate club's picture, for a network of twelve clubs (PyTorch Geometric)."""
    torch.manual_seed(7207)
    n, clubs = 600, 12
    club = torch.randint(clubs, (n,))
    meet = torch.rand(n, n) < torch.where(club[:, None] == club, 0.08, 0.004)
    edges = (meet | meet.T).float().fill_diagonal_(1)
    root = edges.sum(1).rsqrt()
    normal = root[:, None] * edges * root
    centre = torch.randn(clubs, 24)
    x = centre[club] + 1.5 * torch.randn(n, 24)

    class GCN(nn.Module):
        def __init__(self, hidden_channels: int) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Linear(24, hidden_channels), nn.Linear(hidden_channels, clubs)

        def forward(self, v: Tensor) -> Tensor:
            v = F.relu(normal @ self.conv1(v))
            return normal @ self.conv2(F.dropout(v, 0.2, training=self.training))

    model = GCN(hidden_channels=32 if mended else 2)
    optimizer = optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
    order = torch.randperm(n)
    train, test = order[:300], order[300:]
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(1, 201):
            model.train()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x)[train], club[train])
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                right = model(x).argmax(1) == club
            probe.log("gcn", epoch=epoch, loss=loss, train_acc=right[train].float().mean(),
                      test_acc=right[test].float().mean())  # fmt: skip
    return float(right[test].float().mean())


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "collapsed-activations",
        "loss-not-decreasing", "vanishing-gradients", "slow-convergence", below=0.8)  # fmt: skip
def decay_of_a_tenth_for_a_small_resnet(run_dir: Path, *, mended: bool = False) -> float:
    """AdamW's weight_decay of 0.1 given to SGD at a rate of 0.1: the weights go to nothing (PyTorch forums)."""
    torch.manual_seed(7208)
    raw = load_digits()
    images = torch.tensor(raw.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(raw.target)
    order = torch.randperm(len(images))
    x, y, xt, yt = images[order[:1400]], labels[order[:1400]], images[order[1400:]], labels[order[1400:]]
    net = _resnet()
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4 if mended else 0.1)
    epochs = 8
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    sched = optim.lr_scheduler.StepLR(opt, 4, gamma=0.3)
    probe = probes.watch(net, opt, run_dir)
    for epoch in range(epochs):
        net.train()
        train_loss, correct = 0.0, 0
        for inputs, targets in loader:
            opt.zero_grad()
            outputs = net(inputs)
            loss = F.cross_entropy(outputs, targets)
            loss.backward()
            opt.step()
            train_loss += loss.item()
            correct += int(outputs.argmax(1).eq(targets).sum())
        probe.log("train", loss=train_loss / len(loader), acc=100.0 * correct / 1400, epoch=epoch)
        sched.step()
        net.eval()
        with torch.no_grad():
            outputs = net(xt)
        acc = float(outputs.argmax(1).eq(yt).float().mean())
        probe.log("test", loss=F.cross_entropy(outputs, yt), acc=100.0 * acc)
    probe.close()
    return acc


@faulty("vanishing-gradients", "loss-not-decreasing", "slow-convergence", "constant-predictions", "underfitting",
        "saturated-activations", "poor-initialization", "collapsed-activations", "training-too-short",
        "learning-rate-too-low", below=0.8)  # fmt: skip
def le_net_made_deeper_with_its_sigmoids(run_dir: Path, *, mended: bool = False) -> float:
    """LeNet as Dive into Deep Learning has it, with a sigmoid behind each layer, made six convolutions deep."""
    torch.manual_seed(7209)
    raw = load_digits()
    order = torch.randperm(len(raw.images))
    images = (torch.tensor(raw.images, dtype=torch.float32)[order, None] / 16 - 0.3) / 0.37
    labels = torch.tensor(raw.target)[order]
    layers: list[nn.Module] = []
    inside = 1
    for outside, pool in ((8, False), (8, False), (16, True), (16, False), (32, True), (32, False)):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU() if mended else nn.Sigmoid()]
        layers += [nn.AvgPool2d(2)] if pool else []
        inside = outside
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 48), nn.ReLU() if mended else nn.Sigmoid(),
                        nn.Linear(48, 10))  # fmt: skip
    for module in net:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    trainer = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    train_iter = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=40, shuffle=True)
    x_test, y_test = images[1400:], labels[1400:]
    loss = nn.CrossEntropyLoss()
    with probes.watch(net, trainer, run_dir, loss_fn=loss) as probe:
        for epoch in range(16):
            metric = [0.0, 0.0]
            for X, y in train_iter:
                trainer.zero_grad()
                y_hat = net(X)
                l = probe.loss_fn(y_hat, y)  # noqa: E741
                l.backward()
                trainer.step()
                metric[0] += float(l) * len(y)
                metric[1] += float((y_hat.argmax(1) == y).sum())
            with torch.no_grad():
                test_acc = float((net(x_test).argmax(1) == y_test).float().mean())
            probe.log("d2l", train_loss=metric[0] / 1400, train_acc=metric[1] / 1400, test_acc=test_acc, epoch=epoch)
    return test_acc
