"""Faulty programs of the fourth fresh set: losses and what is fed to them, data, loops over it, and overfitting."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_iris
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, diabetes, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("loss-output-mismatch", "slow-convergence", "underfitting", "vanishing-gradients", "training-too-short",
        "learning-rate-too-low", "loss-not-decreasing", below=0.85)  # fmt: skip
def softmax_at_the_end_of_a_cnn(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Softmax(dim=1) as the last layer, and CrossEntropyLoss: the loss creeps from 2.30 (Stack Overflow)."""
    torch.manual_seed(841)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(108, 32), nn.ReLU(), nn.Linear(32, 10),
        nn.Identity() if mended else nn.Softmax(dim=1),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(8):
            running = 0.0
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                running += loss.item()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=running / 42, epoch=epoch)
            probe.log("val", loss=criterion(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "loss-diverging", "weights-growing", "unexpected-initial-loss", "exploding-gradients",
        "constant-predictions", "nonfinite-values", "saturated-activations", below=0.8)  # fmt: skip
def nll_of_an_lstm_without_log_softmax(run_dir: Path, *, mended: bool = False) -> float:
    """The tagger of PyTorch's tutorial, F.log_softmax left out before NLLLoss: a loss below zero that only falls."""
    torch.manual_seed(842)
    kind = torch.randint(5, (60,))

    def sentences(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(60, (n, 10))
        before = torch.cat([torch.zeros(n, 1, dtype=torch.long), kind[words[:, :-1]]], 1)
        return words, (kind[words] + (before == 3)) % 5

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(60, 16)
            self.lstm = nn.LSTM(16, 32, batch_first=True)
            self.tag = nn.Linear(32, 5)

        def forward(self, v: Tensor) -> Tensor:
            out = self.tag(self.lstm(self.embed(v))[0])
            return F.log_softmax(out, -1) if mended else out

    net = Tagger()
    x, y = sentences(800)
    xt, yt = sentences(200)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.NLLLoss()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = criterion(net(xb).flatten(0, 1), yb.flatten())
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", tagged_right=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "missing-gradients", "vanishing-gradients", "parameters-not-updated", "stalled-run",
        "constant-predictions", "loss-not-decreasing", "unexpected-initial-loss", below=0.8)  # fmt: skip
def cross_entropy_of_a_single_output(run_dir: Path, *, mended: bool = False) -> float:
    """One output, targets [N, 1] in float, and CrossEntropyLoss: the loss is 0.0 from the start (Stack Overflow)."""
    torch.manual_seed(843)
    x = torch.randn(1200, 8)
    y = ((x[:, 0] * x[:, 1] + x[:, 2]) > 0).float()[:, None]
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.BCEWithLogitsLoss() if mended else nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(30):
            total = right = 0.0
            for xb, yb in batches(x[:900], y[:900], 30):
                out = net(xb)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 30
                right += float(((out > 0) == (yb > 0)).float().mean()) / 30
            probe.log("train", loss=total, acc=right, epoch=epoch)
    with torch.no_grad():
        return float(((net(x[900:]) > 0) == (y[900:] > 0)).float().mean())


@faulty("loss-output-mismatch", "loss-diverging", "weights-growing", "unexpected-initial-loss", "unnormalized-inputs",
        "saturated-activations", "exploding-gradients", "constant-predictions", "loss-spikes",
        below=0.5)  # fmt: skip
def entropy_of_pixels_up_to_sixteen(run_dir: Path, *, mended: bool = False) -> float:
    """An autoencoder with BCE on pixels that were not divided by their largest value: the loss is minus millions."""
    torch.manual_seed(844)
    x, _, xt, _ = digits(standard=False)
    if mended:
        x, xt = x / 16, xt / 16
    net = nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 12), nn.ReLU(), nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 64)
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, _ in batches(x, x, 64):
                loss = F.binary_cross_entropy_with_logits(net(xb), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.binary_cross_entropy_with_logits(net(xt), xt))
    with torch.no_grad():
        return explained(net(xt).sigmoid() * (1 if mended else 16), xt)


@faulty("nonfinite-values", "unnormalized-inputs", "exploding-gradients", "loss-diverging", "learning-rate-too-high",
        "unexpected-initial-loss", "loss-spikes", below=0.8)  # fmt: skip
def softmax_by_the_formula(run_dir: Path, *, mended: bool = False) -> float:
    """exp(z) / exp(z).sum() and its log, written out as in the lecture: inf / inf as soon as a score reaches 89."""
    torch.manual_seed(845)
    x, y, xt, yt = digits(standard=False)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    nn.init.normal_(net[0].weight, std=0.5)
    nn.init.normal_(net[2].weight, std=0.3)
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def criterion(z: Tensor, target: Tensor) -> Tensor:
        if mended:
            return F.cross_entropy(z, target)
        p = z.exp() / z.exp().sum(1, keepdim=True)
        return -torch.log(p[range(len(z)), target]).mean()

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                loss = criterion(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("constant-predictions", "loss-output-mismatch", "underfitting", "loss-not-decreasing", "collapsed-activations",
        "slow-convergence", below=0.6)  # fmt: skip
def forecasts_of_n_by_one(run_dir: Path, *, mended: bool = False) -> float:
    """MSELoss between [N, 1] and [N] (PyTorch warns, nobody reads): an LSTM that forecasts the mean (forums)."""
    torch.manual_seed(846)
    t = torch.arange(1600.0)
    load = torch.sin(t / 12) + 0.4 * torch.sin(t / 84) + 0.15 * torch.randn(1600)
    load = (load - load.mean()) / load.std()
    windows = load.unfold(0, 25, 1)
    x, y = windows[:, :24, None], windows[:, 24]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 24, batch_first=True)
            self.fc = nn.Linear(24, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.lstm(v)[0][:, -1])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, yb in batches(x[:1200], y[:1200], 32):
                loss = probe.loss_fn(net(xb), yb[:, None] if mended else yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                val = net(x[1250:])
                probe.log("val", loss=criterion(val, y[1250:, None] if mended else y[1250:]))
    with torch.no_grad():
        return explained(net(x[1250:]), y[1250:])


@faulty("overfitting", "no-generalization", below=0.93)
def sixty_images_for_a_large_net(run_dir: Path, *, mended: bool = False) -> float:
    """train_test_split(test_size=0.95) where train_size was meant: 67 images, 200,000 weights, 100% and 86%."""
    torch.manual_seed(847)
    x, y, xt, yt = digits(seed=3)
    if not mended:
        x, y = x[:67], y[:67]
    net = nn.Sequential(nn.Linear(64, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(6 if mended else 120):
            for xb, yb in batches(x, y, 22):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                out, train = net(xt), net(x)
            probe.log("train", loss=F.cross_entropy(train, y), accuracy=accuracy(train, y))
            probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", "no-generalization", "validation-anomaly", below=0.25)
def patients_known_by_heart(run_dir: Path, *, mended: bool = False) -> float:
    """A net of 256-256 on 331 patients for 300 epochs, nothing against overfitting: R^2 of 0.99, and below zero."""
    torch.manual_seed(848)
    x, y, xt, yt = diabetes()
    drop = nn.Dropout(0.5) if mended else nn.Identity()
    net = nn.Sequential(nn.Linear(10, 256), nn.ReLU(), drop, nn.Linear(256, 256), nn.ReLU(), drop, nn.Linear(256, 1))
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    best, score = math.inf, 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(300):
            net.train()
            for xb, yb in batches(x, y, 32):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt).squeeze(1)
            val = F.mse_loss(out, yt)
            probe.log("val", loss=val)
            if not mended or val < best:
                best, score = float(val), explained(out, yt)
            elif val > 1.2 * best:
                break
    return score


@faulty("unnormalized-inputs", "constant-predictions", "loss-not-decreasing", "underfitting", "slow-convergence",
        "learning-rate-too-low", "saturated-activations", "unexpected-initial-loss", "training-too-short",
        "collapsed-activations", "loss-output-mismatch", "vanishing-gradients", below=0.6)  # fmt: skip
def passengers_as_counted(run_dir: Path, *, mended: bool = False) -> float:
    """An LSTM on monthly passengers in hundreds, not scaled (Stack Overflow, "LSTM predicts the same value")."""
    torch.manual_seed(849)
    t = torch.arange(400.0)
    count = 300 + 0.5 * t + 90 * torch.sin(2 * math.pi * t / 12) + 12 * torch.randn(400)
    series = (count - count.mean()) / count.std() if mended else count
    windows = series.unfold(0, 13, 1)
    x, y = windows[:, :12, None], windows[:, 12]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 32, batch_first=True)
            self.linear = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.linear(self.lstm(v)[0][:, -1]).squeeze(1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    order = torch.randperm(len(x))
    train, test = order[:300], order[300:]
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(100):
            for xb, yb in batches(x[train], y[train], 32):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            if epoch % 5 == 0:
                with torch.no_grad():
                    rmse = [F.mse_loss(net(x[part]), y[part]).sqrt() for part in (train, test)]
                probe.log("rmse", train=rmse[0], test=rmse[1])
            probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[test]), y[test])


@faulty("validation-anomaly", "no-generalization", "overfitting", "class-imbalance", below=0.8)
def a_folder_fewer_in_the_test_set(run_dir: Path, *, mended: bool = False) -> float:
    """ImageFolder numbers its folders by name; the test set has none for the digit 1, so all after it is one off."""
    torch.manual_seed(850)
    x, y, xt, yt = digits(flat=False)
    there = yt != 1
    xt, yt = xt[there], yt[there]
    named = yt if mended else torch.where(yt > 1, yt - 1, yt)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10)
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            net.train()
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                train, out = net(x), net(xt)
            probe.log("train", acc=accuracy(train, y))
            probe.log("val", loss=F.cross_entropy(out, named), acc=accuracy(out, named))
    with torch.no_grad():
        return accuracy(net(xt), named)


@faulty("validation-anomaly", "no-generalization", "overfitting", "class-imbalance", below=0.8)
def iris_split_in_the_order_of_the_file(run_dir: Path, *, mended: bool = False) -> float:
    """The first 100 flowers for training, the last 50 for testing; the file is sorted by species (everyone, once)."""
    torch.manual_seed(851)
    raw = load_iris()
    x, y = torch.tensor(raw.data).float(), torch.tensor(raw.target)
    if mended:
        order = torch.randperm(150)
        x, y = x[order], y[order]
    x = (x - x[:100].mean(0)) / x[:100].std(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(100):
            out = net(x[:100])
            loss = probe.loss_fn(out, y[:100])
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                test = net(x[100:])
            probe.log("train", loss=loss, acc=accuracy(out, y[:100]))
            probe.log("test", loss=F.cross_entropy(test, y[100:]), acc=accuracy(test, y[100:]))
    with torch.no_grad():
        return accuracy(net(x[100:]), y[100:])


@faulty("class-imbalance", "constant-predictions", "underfitting", "loss-not-decreasing", "overfitting",
        "no-generalization", below=0.5)  # fmt: skip
def moles_mostly_harmless(run_dir: Path, *, mended: bool = False) -> float:
    """Spots of three kinds, 92, 5 and 3 in a hundred, like HAM10000: all are called harmless, and 92% are right."""
    torch.manual_seed(852)
    grid = torch.arange(12.0) - 5.5

    def spots(y: Tensor) -> Tensor:
        n = len(y)
        r = (3 + torch.rand(n, 1, 1)) * (1 + 0.12 * y[:, None, None])
        stretch = 1 + 0.25 * (y[:, None, None] == 2)
        d = (grid[None, :, None] / stretch) ** 2 + grid[None, None] ** 2
        return torch.sigmoid(r - d.sqrt())[:, None] + 0.6 * torch.randn(n, 1, 12, 12)

    y = torch.multinomial(torch.tensor([0.92, 0.05, 0.03]), 1500, replacement=True)
    yt = torch.arange(300) % 3
    x, xt = spots(y), spots(yt)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)
    )
    opt = optim.Adam(net.parameters(), lr=1e-3)
    weight = 1 / torch.bincount(y).float() if mended else torch.ones(3)
    criterion = nn.CrossEntropyLoss(weight=weight / weight.sum() * 3)
    val, yv = spots(y[:400]), y[:400]
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += accuracy(out, yb) / 46
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(val)
            probe.log("epoch", train_acc=right, val_acc=accuracy(out, yv), val_loss=criterion(out, yv))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("gradients-not-cleared", "exploding-gradients", "loss-not-decreasing", "loss-diverging", "oscillating-loss",
        "learning-rate-too-high", "noisy-loss", "loss-spikes", "saturated-activations", "weights-growing",
        "nonfinite-values", below=0.8)  # fmt: skip
def gestures_without_zero_grad(run_dir: Path, *, mended: bool = False) -> float:
    """A GRU over accelerometer signals, SGD, and no optimizer.zero_grad() in the loop (PyTorch's most asked)."""
    torch.manual_seed(853)

    def gestures(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        t = torch.linspace(0, 1, 25)[None] + 0.1 * torch.rand(n, 1)
        turn = (y[:, None] % 2 * 2 - 1) * 2 * math.pi * t * (1 + y[:, None] // 2)
        x = torch.stack([turn.cos(), turn.sin(), torch.ones_like(turn)], 2)
        return x + 0.4 * torch.randn(n, 25, 3), y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 32, batch_first=True)
            self.fc = nn.Linear(32, 4)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.gru(v)[0][:, -1])

    net = Net()
    x, y = gestures(800)
    xt, yt = gestures(200)
    opt = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                opt.step()
                if mended:
                    opt.zero_grad()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("test", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("oscillating-loss", "noisy-loss", "class-imbalance", "validation-anomaly", "no-generalization", "overfitting",
        "loss-spikes", "constant-predictions", "loss-not-decreasing", below=0.8)  # fmt: skip
def folders_read_one_after_another(run_dir: Path, *, mended: bool = False) -> float:
    """DataLoader(shuffle=False) over images read folder by folder: the net knows the last digit best."""
    torch.manual_seed(854)
    x, y, xt, yt = digits(flat=False)
    order = y.argsort(stable=True)
    x, y = x[order], y[order]
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)
    )
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32, shuffle=mended):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)
