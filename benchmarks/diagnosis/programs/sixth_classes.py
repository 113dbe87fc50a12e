"""Healthy trainings of the sixth set: classifiers, from courses and from the drawers of people who use them."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits, load_wine, make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, split
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.93)
def threes_and_sevens_of_fast_ai(run_dir: Path) -> float:
    """Lesson 4 of fast.ai: pixels of 0..1, sigmoid, the mean distance from the right answer as loss, SGD at 1."""
    torch.manual_seed(1601)
    raw = load_digits()
    chosen = (raw.target == 3) | (raw.target == 7)
    data = split(raw.data[chosen] / 16, (raw.target[chosen] == 3).astype(int))
    train_y, valid_y = data.y[:, None], data.y_test[:, None]
    simple_net = nn.Sequential(nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 1))
    opt = optim.SGD(simple_net.parameters(), lr=1.0)

    def mnist_loss(predictions: Tensor, targets: Tensor) -> Tensor:
        predictions = predictions.sigmoid()
        return torch.where(targets == 1, 1 - predictions, predictions).mean()

    def batch_accuracy(xb: Tensor, yb: Tensor) -> Tensor:
        return ((xb.sigmoid() > 0.5) == yb).float().mean()

    with probes.watch(simple_net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(data.x, train_y, 16):
                loss = mnist_loss(simple_net(xb), yb)
                loss.backward()
                opt.step()
                opt.zero_grad()
            with torch.no_grad():
                acc = batch_accuracy(simple_net(data.x_test), valid_y)
            probe.log("valid", batch_accuracy=round(acc.item(), 4))
    return float(acc)


@healthy(at_least=0.93)
def two_dropouts_of_dive_into_deep_learning(run_dir: Path) -> float:
    """d2l's 5.6: dropout of 0.2 behind the first hidden layer and 0.5 behind the second, SGD at 0.1, ten epochs."""
    torch.manual_seed(1602)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.05)
    loss_fn = nn.CrossEntropyLoss(reduction="none")
    trainer = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, trainer, run_dir, config={"num_epochs": 10, "lr": 0.1, "batch_size": 32}) as probe:
        for _ in range(10):
            net.train()
            sums = [0.0, 0.0, 0.0]
            for xb, yb in batches(x, y, 32):
                y_hat = net(xb)
                loss = loss_fn(y_hat, yb)
                trainer.zero_grad()
                loss.mean().backward()
                trainer.step()
                sums = [sums[0] + float(loss.sum()), sums[1] + accuracy(y_hat, yb) * len(yb), sums[2] + len(yb)]
            net.eval()
            with torch.no_grad():
                test_acc = accuracy(net(xt), yt)
            probe.log("d2l", train_loss=sums[0] / sums[2], train_acc=sums[1] / sums[2], test_acc=test_acc)
    return test_acc


class _Solver:
    """The Solver of CS231n's assignments: owns the model, the rule of updates and their history."""

    def __init__(self, model: nn.Module, data: tuple[Tensor, ...], rate: float, decay: float) -> None:
        self.model, self.data = model, data
        self.optim = optim.RMSprop(model.parameters(), lr=rate)
        self.schedule = optim.lr_scheduler.ExponentialLR(self.optim, decay)

    def check_accuracy(self, x: Tensor, y: Tensor) -> float:
        self.model.eval()
        with torch.no_grad():
            found = accuracy(self.model(x), y)
        self.model.train()
        return found

    def train(self, run_dir: Path, epochs: int) -> float:
        x, y, x_val, y_val = self.data
        per_epoch = len(x) // 50
        with probes.watch(self.model, self.optim, run_dir, every=10) as probe:
            for t in range(epochs * per_epoch):
                mask = torch.randint(len(x), (50,))
                loss = F.cross_entropy(self.model(x[mask]), y[mask])
                self.optim.zero_grad()
                loss.backward()
                self.optim.step()
                probe.log("history", loss=loss.item())
                if (t + 1) % per_epoch == 0:
                    self.schedule.step()
                    probe.log("history", train_acc=self.check_accuracy(x[:200], y[:200]),
                              val_acc=self.check_accuracy(x_val, y_val))  # fmt: skip
        return self.check_accuracy(x_val, y_val)


@healthy(at_least=0.93)
def five_layers_and_a_solver_of_cs231n(run_dir: Path) -> float:
    """Assignment 2: five hidden layers of 100 with batch norm, weights of 0.02, RMSprop, rate times 0.95 an epoch."""
    torch.manual_seed(1603)
    layers: list[nn.Module] = []
    for width in (64, 100, 100, 100, 100):
        layers += [nn.Linear(width, 100), nn.BatchNorm1d(100), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(100, 10))
    for m in model:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=2e-2)
            nn.init.zeros_(m.bias)
    return _Solver(model, digits(), rate=1e-3, decay=0.95).train(run_dir, epochs=8)


@healthy(at_least=0.85)
def promoters_by_dna_motifs(run_dir: Path) -> float:
    """One-hot DNA of 60 letters, half with a motif written with errors; convolution, maximum over places, BCE."""
    torch.manual_seed(1604)
    motif = torch.tensor([3, 0, 3, 0, 0, 3, 2, 1])

    def sequences(n: int) -> tuple[Tensor, Tensor]:
        dna = torch.randint(4, (n, 60))
        label = torch.randint(2, (n,))
        for row in torch.nonzero(label).flatten().tolist():
            start = int(torch.randint(52, ()))
            wrong = torch.rand(8) < 0.06
            dna[row, start : start + 8] = torch.where(wrong, torch.randint(4, (8,)), motif)
        return F.one_hot(dna, 4).float().transpose(1, 2), label.float()

    class DeepBind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detectors = nn.Conv1d(4, 24, 10, padding=5)
            self.hidden = nn.Linear(24, 16)
            self.out = nn.Linear(16, 1)

        def forward(self, s: Tensor) -> Tensor:
            found = F.relu(self.detectors(s)).amax(2)
            return self.out(F.relu(self.hidden(found))).squeeze(1)

    x, y = sequences(3000)
    xt, yt = sequences(600)
    net = DeepBind()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(8):
            for xb, yb in batches(x, y, 50):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            acc = float(((out > 0) == (yt > 0.5)).float().mean())
            probe.log("val", loss=criterion(out, yt), acc=acc, epoch=epoch)
    return acc


@healthy(at_least=0.6)
def radio_modulations_by_iq_samples(run_dir: Path) -> float:
    """RadioML in small: five modulations at every signal-to-noise ratio, so that a quarter cannot be told at all."""
    torch.manual_seed(1605)

    def signals(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(5, (n,))
        symbol = torch.randint(8, (n, 16)).repeat_interleave(8, 1).float()
        phases = torch.tensor([2.0, 4.0, 8.0])
        t = torch.arange(128.0)
        phase = torch.where(y[:, None] < 3, 2 * math.pi * symbol / 8 * 8 / phases[y.clamp(max=2)][:, None], 0.0)
        tone = 2 * torch.randint(2, (n, 16)).repeat_interleave(8, 1) - 1.0
        phase = torch.where(y[:, None] == 3, (0.25 * tone).cumsum(1), phase)
        size = torch.where(y[:, None] == 4, 1 + 0.8 * torch.sin(t / 6 + 6 * torch.rand(n, 1)), 1.0)
        phase = phase + 2 * math.pi * torch.rand(n, 1)
        noise = 10 ** (-(torch.rand(n, 1, 1) * 30 - 8) / 20)
        clean = torch.stack([size * phase.cos(), size * phase.sin()], 1)
        return (clean + noise * torch.randn(n, 2, 128)) / (1 + noise), y

    x, y = signals(4000)
    xt, yt = signals(800)
    net = nn.Sequential(
        nn.Conv1d(2, 24, 7, stride=2), nn.ELU(), nn.Conv1d(24, 32, 5, stride=2), nn.ELU(), nn.Conv1d(32, 32, 5),
        nn.ELU(), nn.AdaptiveMaxPool1d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 5),
    )  # fmt: skip
    opt = optim.NAdam(net.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(opt, 14)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            net.train()
            for i, (xb, yb) in enumerate(loader):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad(set_to_none=True)
                loss.backward()
                opt.step()
                if i % 10 == 0:
                    probe.log("train", loss=loss.item())
            scheduler.step()
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("test", loss=F.cross_entropy(out, yt), accuracy_percent=100 * accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def who_won_at_noughts_and_crosses(run_dir: Path) -> float:
    """Boards of 27 ones and zeros, most of one class: full batches, a plateau, and then it has understood rows."""
    torch.manual_seed(1606)
    lines = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])
    boards = torch.cartesian_prod(*[torch.arange(3)] * 9)
    taken = (boards == 1).sum(1) - (boards == 2).sum(1)
    boards = boards[(taken == 0) | (taken == 1)]
    won = [(boards[:, lines] == player).all(2).any(1) for player in (1, 2)]
    result = torch.where(won[0] & ~won[1], 1, torch.where(won[1] & ~won[0], 2, 0))
    order = torch.randperm(len(boards))
    x, y = F.one_hot(boards, 3).flatten(1).float()[order], result[order]
    cut = len(x) * 4 // 5
    net = nn.Sequential(nn.Linear(27, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 3))
    opt = optim.Adam(net.parameters(), lr=4e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            loss = F.cross_entropy(net(x[:cut]), y[:cut])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 25 == 24:
                with torch.no_grad():
                    out = net(x[cut:])
                probe.log("test", loss=F.cross_entropy(out, y[cut:]), acc=accuracy(out, y[cut:]))
    return accuracy(out, y[cut:])


@healthy(at_least=0.6)
def one_of_a_hundred_and_fifty_authors(run_dir: Path) -> float:
    """Many classes, thirty letters from each: hashed word counts under a root, one hidden layer, AdamW, smoothing."""
    torch.manual_seed(1607)
    habits = torch.distributions.Dirichlet(torch.full((400,), 0.15)).sample((150,))

    def letters(each: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(150).repeat_interleave(each)
        common = 0.75 * habits[y] + 0.25 / 400
        words = torch.multinomial(common, 40, replacement=True)
        counts = torch.zeros(len(y), 400).scatter_add_(1, words, torch.ones(words.shape))
        return F.normalize(counts.sqrt(), dim=1) * 10, y

    x, y = letters(30)
    xt, yt = letters(5)
    model = nn.Sequential(nn.Linear(400, 128), nn.LayerNorm(128), nn.GELU(), nn.Dropout(0.3), nn.Linear(128, 150))
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(10):
            model.train()
            for xb, yb in batches(x, y, 100):
                optimizer.zero_grad()
                loss = probe.loss_fn(model(xb), yb)
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            model.eval()
            with torch.no_grad():
                out = model(xt)
            top5 = float((out.topk(5).indices == yt[:, None]).any(1).float().mean())
            probe.log("eval", top1=accuracy(out, yt), top5=top5)
    return accuracy(out, yt)


@healthy(at_least=0.72)
def a_tenth_of_the_labels_flipped(run_dir: Path) -> float:
    """make_classification, flip_y=0.1, six classes: momentum, three steps down, weight decay, and never above 90%."""
    torch.manual_seed(1608)
    x, y, xt, yt = split(
        *make_classification(
            6000, 20, n_informative=10, n_redundant=4, n_classes=6, n_clusters_per_class=1, flip_y=0.1,
            class_sep=1.4, random_state=6,
        )
    )  # fmt: skip
    mean, std = x.mean(0), x.std(0)
    x, xt = (x - mean) / std, (xt - mean) / std
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.MultiStepLR(opt, [8, 12, 14], gamma=0.2)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(16):
            for xb, yb in batches(x, y, 64):
                opt.zero_grad()
                F.cross_entropy(net(xb), yb).backward()
                opt.step()
            scheduler.step()
            with torch.no_grad():
                train, test = net(x), net(xt)
            probe.log("epoch", n=epoch, train_loss=F.cross_entropy(train, y), val_loss=F.cross_entropy(test, yt),
                      train_acc=accuracy(train, y), val_acc=accuracy(test, yt))  # fmt: skip
    return accuracy(test, yt)


@healthy(at_least=0.93)
def wine_cultivars_with_smoothed_labels(run_dir: Path) -> float:
    """scikit-learn's wine in a PyTorch tutorial: stratified split, StandardScaler, smoothing, AdamW, by epoch."""
    torch.manual_seed(1609)
    features, cultivar = load_wine(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        features, cultivar, test_size=0.3, stratify=cultivar, random_state=42
    )
    scaler = StandardScaler().fit(train_x)
    x, xt = (torch.tensor(scaler.transform(part), dtype=torch.float32) for part in (train_x, test_x))
    y, yt = torch.tensor(train_y), torch.tensor(test_y)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(40):
            model.train()
            running_loss = 0.0
            for inputs, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item() * len(labels)
            model.eval()
            with torch.no_grad():
                outputs = model(xt)
                test_loss = criterion(outputs, yt).item()
            probe.log("epoch", epoch=epoch, train_loss=running_loss / len(x), test_loss=test_loss,
                      test_acc=accuracy(outputs, yt))  # fmt: skip
    return accuracy(outputs, yt)
