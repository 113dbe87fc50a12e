"""Faulty programs of the tenth fresh set: ports of mistakes that people asked about, in their own kinds of nets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import make_classification, make_gaussian_quantiles
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, explained
from benchmarks.diagnosis.programs.program import faulty

SEGMENTS = (
    "1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011"
)  # fmt: skip


def _meters(n: int, side: int, seed: int, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    """Displays of seven segments, 9 by 5 pixels somewhere in a square, [n, 1, side, side], and their digits."""
    rng = np.random.default_rng(seed)
    places = [(0, slice(1, 4)), (slice(1, 4), 0), (slice(1, 4), 4), (4, slice(1, 4)), (slice(5, 8), 0),
              (slice(5, 8), 4), (8, slice(1, 4))]  # fmt: skip
    x = rng.normal(0, noise, (n, side, side)).astype(np.float32)
    y = rng.integers(0, 10, n)
    for image, digit in zip(x, y, strict=True):
        glyph = np.zeros((9, 5), np.float32)
        for on, place in zip(SEGMENTS[digit], places, strict=True):
            if on == "1":
                glyph[place] = 1
        top, left = rng.integers(0, side - 8), rng.integers(0, side - 4)
        image[top : top + 9, left : left + 5] += glyph * rng.uniform(0.7, 1.3)
    return torch.tensor(x)[:, None], torch.tensor(y)


@faulty("loss-output-mismatch", "constant-predictions", "underfitting", "loss-not-decreasing", below=0.7)
def second_largest_of_ten(run_dir: Path, *, mended: bool = False) -> float:
    """The second largest of ten numbers (Stack Overflow): outputs [N, 1], targets [N], and a warning nobody reads."""
    torch.manual_seed(1001)
    x = torch.rand(20000, 10)
    y = x.topk(2).values[:, 1]
    x, y = x - 0.5, (y - y.mean()) / y.std()
    model = nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.SmoothL1Loss()
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(16):
            epoch_loss = 0.0
            for inputs, targets in batches(x[:16000], y[:16000], 100):
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = loss_fn(outputs.squeeze(1) if mended else outputs, targets)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
            probe.log("train", epoch=epoch, loss=epoch_loss / 160)
    with torch.no_grad():
        return explained(model(x[16000:]), y[16000:])


def _flags(n: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:16, 0:16]
    x = np.empty((n, 3, 16, 16), np.float32)
    y = rng.integers(0, 5, n)
    for k in range(n):
        a, b = rng.integers(4, 7), rng.integers(10, 13)
        middle = rng.integers(6, 10)
        parts = (
            (rows >= a).astype(int) + (rows >= b),
            (columns >= a).astype(int) + (columns >= b),
            ((abs(rows - middle) < 2) | (abs(columns - middle) < 2)).astype(int),
            (((rows - middle) ** 2 + (columns - middle) ** 2) < 16).astype(int),
            (rows > columns).astype(int) + (rows > columns + 5),
        )[y[k]]
        x[k] = rng.uniform(-1, 1, (3, 3))[parts].transpose(2, 0, 1) + rng.normal(0, 0.2, (3, 16, 16))
    return torch.tensor(x), torch.tensor(y)


@faulty("learning-rate-too-high", "dead-units", "loss-not-decreasing", "constant-predictions", "loss-diverging",
        "exploding-gradients", "nonfinite-values", "loss-spikes", "collapsed-activations", "oscillating-loss",
        "weights-growing", below=0.7)  # fmt: skip
def flags_by_momentum_at_a_half(run_dir: Path, *, mended: bool = False) -> float:
    """A first CNN whose rate was raised "because it was slow", momentum kept: it says one class (Stack Overflow)."""
    torch.manual_seed(1002)
    x, y = _flags(1200, 1)
    xt, yt = _flags(300, 2)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
            self.fc1 = nn.Linear(32 * 4 * 4, 64)
            self.fc2 = nn.Linear(64, 5)

        def forward(self, v: Tensor) -> Tensor:
            v = F.max_pool2d(F.relu(self.conv1(v)), 2)
            v = F.max_pool2d(F.relu(self.conv2(v)), 2)
            return self.fc2(F.relu(self.fc1(v.flatten(1))))

    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.02 if mended else 0.5, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(9):
            for i, (xb, yb) in enumerate(batches(x, y, 40)):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                if i % 5 == 0:
                    probe.log("train", loss=loss.item())
            with torch.no_grad():
                probe.log("test", accuracy=100 * accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "oscillating-loss", "noisy-loss", "loss-spikes", "dead-units", "weights-growing",
        "loss-not-decreasing", "collapsed-activations", "exploding-gradients", "loss-diverging",
        below=0.65)  # fmt: skip
def fuel_by_rmsprop_at_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """Keras' tutorial on miles per gallon in torch: RMSprop, and 0.1 for the 0.001 it has (Stack Overflow)."""
    torch.manual_seed(1003)
    size = torch.randn(1200)
    weight = 0.85 * size + 0.5 * torch.randn(1200)
    power = 0.8 * size + 0.6 * torch.randn(1200)
    year = torch.randn(1200)
    origin = F.one_hot(torch.randint(3, (1200,)), 3).float()
    lag = -0.6 * power + 0.8 * torch.randn(1200)
    x = torch.cat([torch.stack([size, weight, power, year, lag], 1), origin], 1)
    mpg = 23.5 * torch.exp(-0.2 * weight - 0.1 * power + 0.1 * year + 0.08 * origin[:, 2]) + 1.2 * torch.randn(1200)
    mpg = (mpg - mpg.mean()) / mpg.std()
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = optim.RMSprop(model.parameters(), lr=1e-3 if mended else 0.1)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(60):
            for xb, yb in batches(x[:960], mpg[:960], 32):
                loss = F.mse_loss(model(xb)[:, 0], yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", mse=loss)
            with torch.no_grad():
                probe.log("val", mse=F.mse_loss(model(x[960:])[:, 0], mpg[960:]),
                          mae=F.l1_loss(model(x[960:])[:, 0], mpg[960:]))  # fmt: skip
    with torch.no_grad():
        return explained(model(x[960:]), mpg[960:])


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", below=0.75)
def a_tide_in_twenty_thousand_small_steps(run_dir: Path, *, mended: bool = False) -> float:
    """A curve by a small tanh net with SGD at 0.00001, "20,000 epochs and still a straight line" (PyTorch forums)."""
    torch.manual_seed(1004)
    t = torch.linspace(-4, 4, 240)[:, None]
    level = torch.sin(t) + 0.5 * torch.sin(2.3 * t + 1) + 0.05 * torch.randn_like(t)
    seen = torch.arange(240) % 4 != 0
    net = nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))
    opt = optim.SGD(net.parameters(), lr=0.1 if mended else 1e-5)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(20_000):
            opt.zero_grad()
            loss = ((net(t[seen]) - level[seen]) ** 2).mean()
            loss.backward()
            opt.step()
            if step % 100 == 99:
                probe.log("train", loss=loss.item())
    with torch.no_grad():
        return explained(net(t[~seen]), level[~seen])


@faulty("poor-initialization", "symmetric-initialization", "unexpected-initial-loss", "exploding-gradients",
        "dead-units", "loss-not-decreasing", "constant-predictions", "slow-convergence", "underfitting",
        "collapsed-activations", "noisy-loss", below=0.8)  # fmt: skip
def batch_norms_start_given_to_every_layer(run_dir: Path, *, mended: bool = False) -> float:
    """DCGAN's weights_init, its branches merged: normal_(1.0, 0.02) is for batch norm alone (PyTorch forums)."""
    torch.manual_seed(1005)
    x, y = _meters(2500, 12, 1)
    xt, yt = _meters(400, 12, 2)

    def weights_init(m: nn.Module) -> None:
        name = type(m).__name__
        if mended and name.find("BatchNorm") == -1 and hasattr(m, "weight"):
            nn.init.normal_(m.weight, 0.0, 0.05)
        elif name.find("Conv") != -1 or name.find("Linear") != -1 or name.find("BatchNorm") != -1:
            nn.init.normal_(m.weight, 1.0, 0.02)  # type: ignore[arg-type]
            nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.LeakyReLU(0.2), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.LeakyReLU(0.2), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(288, 64), nn.LeakyReLU(0.2), nn.Linear(64, 10),
    )  # fmt: skip
    net.apply(weights_init)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(8):
            net.train()
            for xb, yb in batches(x, y, 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), acc=accuracy(net(xt), yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "constant-predictions", "loss-not-decreasing", "underfitting", "vanishing-gradients",
        "slow-convergence", "training-too-short", "stalled-run", below=0.75)  # fmt: skip
def absolute_error_of_one_hot_gestures(run_dir: Path, *, mended: bool = False) -> float:
    """loss="mean_absolute_error" on a softmax and one-hot classes, ported: it stays at a tenth (Stack Overflow)."""
    torch.manual_seed(1007)
    raw, labels = make_classification(3000, 24, n_informative=14, n_redundant=4, n_classes=10, n_clusters_per_class=1,
                                      class_sep=1.6, random_state=7)  # fmt: skip
    x = torch.tensor((raw - raw.mean(0)) / raw.std(0), dtype=torch.float32)
    y = torch.tensor(labels)
    net = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:2400], y[:2400], 32):
                out = net(xb)
                if mended:
                    loss = F.cross_entropy(out, yb)
                else:
                    loss = F.l1_loss(F.softmax(out, 1), F.one_hot(yb, 10).float())
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("train", loss=loss.item(), acc=accuracy(net(x[:2400]), y[:2400]))
                probe.log("val", acc=accuracy(net(x[2400:]), y[2400:]))
    with torch.no_grad():
        return accuracy(net(x[2400:]), y[2400:])


@faulty("gradients-not-cleared", "loss-diverging", "loss-spikes", "exploding-gradients", "oscillating-loss",
        "learning-rate-too-high", "noisy-loss", "weights-growing", "dead-units", "loss-not-decreasing",
        "nonfinite-values", "constant-predictions", below=0.75)  # fmt: skip
def zero_grad_indented_under_the_print(run_dir: Path, *, mended: bool = False) -> float:
    """optimizer.zero_grad() slipped into `if i % 50 == 0: print(...)`: gradients of fifty batches (Stack Overflow)."""
    torch.manual_seed(1008)
    x = torch.randn(6000, 12)
    score = torch.stack([x[:, 0] * 2, x[:, 1] + x[:, 2] ** 2, x[:, 3] - x[:, 4], x[:, 5] * 1.5 + 0.5], 1)
    y = (score + 0.15 * torch.randn_like(score)).argmax(1)
    model = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(8):
            running_loss = 0.0
            for i, (inputs, labels) in enumerate(batches(x[:4800], y[:4800], 24)):
                loss = criterion(model(inputs), labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
                if i % 50 == 49:
                    probe.log("train", running_loss=running_loss / 50)
                    running_loss = 0.0
                    optimizer.zero_grad()
                if mended:
                    optimizer.zero_grad()
    with torch.no_grad():
        return accuracy(model(x[4800:]), y[4800:])


@faulty("missing-gradients", "parameters-not-updated", "underfitting", "slow-convergence", below=0.88)
def last_states_copied_into_a_new_tensor(run_dir: Path, *, mended: bool = False) -> float:
    """torch.tensor([out[i, n - 1].tolist() ...]) instead of torch.stack: the GRU has no gradient (PyTorch forums)."""
    torch.manual_seed(1009)
    ids = torch.randint(1, 9, (1400, 14))
    lengths = torch.randint(6, 15, (1400,))
    ids[torch.arange(14)[None] >= lengths[:, None]] = 0
    more = ((ids == 1) | (ids == 2)).sum(1) - ((ids == 3) | (ids == 4)).sum(1)
    y = (more > 0).long()

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 8, padding_idx=0)
            self.gru = nn.GRU(8, 16, batch_first=True)
            self.fc = nn.Linear(16, 2)

        def forward(self, words: Tensor, n: Tensor) -> Tensor:
            out, _ = self.gru(self.embedding(words))
            last = [out[i, k - 1] for i, k in enumerate(n.tolist())]
            states = torch.stack(last) if mended else torch.tensor([state.tolist() for state in last])
            return self.fc(states)

    model = Reader()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(ids[:1000], lengths[:1000], y[:1000]), batch_size=40, shuffle=True)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(20):
            for words, n, label in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(words, n), label)
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                out = model(ids[1000:], lengths[1000:])
            probe.log("valid", loss=F.cross_entropy(out, y[1000:]), acc=accuracy(out, y[1000:]), epoch=epoch)
    with torch.no_grad():
        return accuracy(model(ids[1000:], lengths[1000:]), y[1000:])


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.75)
def eval_without_its_parentheses(run_dir: Path, *, mended: bool = False) -> float:
    """`model.eval` and no call before a test loader of batch size 1: batch norm sees one bearing (PyTorch forums)."""
    torch.manual_seed(1010)
    t = torch.arange(64.0)

    def bearings(n: int) -> tuple[Tensor, Tensor]:
        wear = torch.randint(4, (n,))
        pitch, phase = 0.25 + 0.35 * torch.rand(n, 1), 6.3 * torch.rand(n, 1)
        loud = torch.tensor([0.5, 1.0, 1.8, 3.0])[wear][:, None] * (0.85 + 0.3 * torch.rand(n, 1))
        return (loud * (torch.sin(pitch * t + phase) + 0.3 * torch.randn(n, 64)))[:, None], wear

    x, y = bearings(1000)
    test_loader = DataLoader(TensorDataset(*bearings(250)), batch_size=1)
    model = nn.Sequential(
        nn.Conv1d(1, 12, 7, padding=3), nn.BatchNorm1d(12), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(12, 24, 5, padding=2), nn.BatchNorm1d(24), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(24, 4),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(15):
            model.train()
            train_loss, train_correct = 0.0, 0.0
            for data, target in batches(x, y, 40):
                optimizer.zero_grad()
                output = model(data)
                loss = criterion(output, target)
                loss.backward()
                optimizer.step()
                train_loss += loss.item() / 25
                train_correct += accuracy(output, target) / 25
            if mended:
                model.eval()
            else:
                model.eval  # noqa: B018
            test_loss, correct = 0.0, 0
            with torch.no_grad():
                for data, target in test_loader:
                    output = model(data)
                    test_loss += criterion(output, target).item() / 250
                    correct += int(output.argmax() == target)
            probe.log("train", loss=train_loss, acc=train_correct, epoch=epoch)
            probe.log("test", loss=test_loss, acc=correct / 250, epoch=epoch)
    return correct / 250


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.75)
def dummies_made_of_each_table_apart(run_dir: Path, *, mended: bool = False) -> float:
    """pd.get_dummies of train and of test: a job is missing there, all columns move by one (Stack Overflow)."""
    torch.manual_seed(1011)
    rng = np.random.default_rng(1011)
    jobs, towns = np.append(rng.integers(1, 8, 1495), [0] * 5), rng.integers(0, 10, 1500)
    numbers = rng.normal(0, 1, (1500, 2))
    terms = rng.integers(0, 3, 1500)
    job_effect, town_effect = rng.permutation(np.linspace(-3, 3, 8)), rng.permutation(np.linspace(-3, 3, 10))
    logit = job_effect[jobs] + town_effect[towns] + numbers[:, 0] + np.array([-1, 0, 1])[terms]
    bought = (logit + rng.logistic(0, 0.3, 1500) > 0).astype(np.int64)
    order = np.append(rng.permutation(1495)[:1000], np.arange(1495, 1500))
    rest = np.setdiff1d(np.arange(1500), order)

    def frame(rows: np.ndarray, like: np.ndarray) -> Tensor:
        columns = [numbers[rows]]
        for column in (jobs, towns, terms):
            columns.append(column[rows][:, None] == np.unique(column[like])[None])
        table = np.concatenate(columns, axis=1).astype(np.float32)
        return torch.tensor(np.pad(table, ((0, 0), (0, 23 - table.shape[1]))))

    x, y = frame(order, order), torch.tensor(bought[order])
    xt, yt = frame(rest, order if mended else rest), torch.tensor(bought[rest])
    net = nn.Sequential(nn.Linear(23, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(20):
            total = right = 0.0
            for xb, yb in batches(x, y, 25):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total, right = total + loss.item() / 40, right + accuracy(out, yb) / 40
            with torch.no_grad():
                out = net(xt)
            probe.log("epoch", train_loss=total, train_acc=right, val_loss=F.cross_entropy(out, yt).item(),
                      val_acc=accuracy(out, yt), epoch=epoch)  # fmt: skip
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("training-too-short", "slow-convergence", "learning-rate-too-low", "underfitting", below=0.75)
def batches_of_two_thousand(run_dir: Path, *, mended: bool = False) -> float:
    """batch_size=2048 "to use the GPU", rate and epochs as they were for 32: 36 steps in all (Stack Overflow)."""
    torch.manual_seed(1012)
    raw, labels = make_gaussian_quantiles(n_samples=7500, n_features=6, n_classes=3, random_state=12)
    x, y = torch.tensor(raw, dtype=torch.float32), torch.tensor(labels)
    x_val, y_val = x[6200:], y[6200:]
    net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.SGD(net.parameters(), lr=0.05)
    loss_fn = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=loss_fn) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:6200], y[:6200], 32 if mended else 2048):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x_val)
                probe.log("val", loss=loss_fn(out, y_val), accuracy=accuracy(out, y_val))
    with torch.no_grad():
        return accuracy(net(x_val), y_val)


@faulty("training-too-short", "slow-convergence", "underfitting", "learning-rate-too-low", below=0.75)
def return_one_indent_too_deep(run_dir: Path, *, mended: bool = False) -> float:
    """`return model` stands inside `for epoch in range(30)`: one epoch, and it is over (Stack Overflow)."""
    torch.manual_seed(1013)
    t = torch.arange(1900.0)
    series = torch.sin(t / 4) + 0.6 * torch.sin(t / 11 + 1) + 0.4 * torch.sign(torch.sin(t / 30))
    series = series + 0.1 * torch.randn(1900)
    windows = series.unfold(0, 25, 1)
    x, y = windows[:, :24, None], windows[:, 24]
    net = nn.ModuleDict({"lstm": nn.LSTM(1, 24, batch_first=True), "fc": nn.Linear(24, 1)})

    def predict(v: Tensor) -> Tensor:
        return net["fc"](net["lstm"](v)[0][:, -1])[:, 0]

    def train(epochs: int) -> nn.Module:
        opt = optim.Adam(net.parameters(), lr=2e-3)
        with probes.watch(net, opt, run_dir) as probe:
            for epoch in range(epochs):
                for xb, yb in batches(x[:1440], y[:1440], 40):
                    loss = F.mse_loss(predict(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss.item())
                with torch.no_grad():
                    probe.log("val", loss=F.mse_loss(predict(x[1500:]), y[1500:]).item(), epoch=epoch)
                if not mended:
                    return net
        return net

    train(30)
    with torch.no_grad():
        return explained(predict(x[1500:]), y[1500:])


@faulty("parameters-not-updated", "underfitting", "slow-convergence", "loss-not-decreasing", below=0.75)
def encoder_listed_twice_in_the_optimizer(run_dir: Path, *, mended: bool = False) -> float:
    """Adam(list(enc.parameters()) + list(enc.parameters())), copied and not changed: no decoder (GitHub issues)."""
    torch.manual_seed(1014)
    t = torch.linspace(0, 1, 48)
    n = 1600
    beat = torch.exp(-(((t[None] - 0.3 - 0.4 * torch.rand(n, 1)) / (0.04 + 0.06 * torch.rand(n, 1))) ** 2))
    drift = torch.randn(n, 1) * 0.5 * torch.cos(6.3 * t[None])
    x = (2 * beat + drift + 0.1 * torch.randn(n, 48))[:, None]
    x = x - x.mean()
    enc = nn.Sequential(
        nn.Conv1d(1, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv1d(8, 16, 5, stride=2, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(192, 6),
    )  # fmt: skip
    dec = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 48))
    second = dec if mended else enc
    opt = optim.Adam(list(enc.parameters()) + list(second.parameters()), lr=2e-3)
    criterion = nn.MSELoss()
    with probes.watch(nn.Sequential(enc, dec), opt, run_dir) as probe:
        for epoch in range(40):
            for xb, _ in batches(x[:1280], x[:1280], 32):
                loss = criterion(dec(enc(xb)), xb[:, 0])
                opt.zero_grad(set_to_none=True)
                loss.backward()
                opt.step()
            probe.log("train", loss=loss, epoch=epoch)
            with torch.no_grad():
                probe.log("test", loss=criterion(dec(enc(x[1280:])), x[1280:, 0]), epoch=epoch)
    with torch.no_grad():
        return explained(dec(enc(x[1280:])), x[1280:])


@faulty("underfitting", "slow-convergence", "training-too-short", below=0.8)
def words_of_a_single_number(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Embedding(vocabulary, 1), "as a word is one thing": twelve topics on a line (Stack Overflow)."""
    torch.manual_seed(1015)
    favours = torch.distributions.Dirichlet(torch.full((400,), 0.15)).sample((12,)) * 0.6 + 0.4 / 400
    y = torch.randint(12, (2400,))
    docs = torch.multinomial(favours[y], 25, replacement=True)
    width = 24 if mended else 1

    class TextNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(400, width)
            self.hidden = nn.Linear(width, 32)
            self.out = nn.Linear(32, 12)

        def forward(self, words: Tensor) -> Tensor:
            return self.out(F.relu(self.hidden(self.embedding(words).mean(1))))

    model = TextNet()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(12):
            for xb, yb in batches(docs[:2000], y[:2000], 32):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                out = model(docs[2000:])
                seen = accuracy(model(docs[:2000]), y[:2000])
            probe.log("epoch", acc=seen, val_acc=accuracy(out, y[2000:]),
                      val_loss=F.cross_entropy(out, y[2000:]).item(), epoch=epoch)  # fmt: skip
    with torch.no_grad():
        return accuracy(model(docs[2000:]), y[2000:])


@faulty("no-generalization", "overfitting", "loss-not-decreasing", "underfitting", "constant-predictions",
        "slow-convergence", below=0.6)  # fmt: skip
def images_repeated_labels_tiled(run_dir: Path, *, mended: bool = False) -> float:
    """np.repeat of the images, np.tile of the labels before augmentation: they no longer fit (Stack Overflow)."""
    torch.manual_seed(1016)
    images, digits = _meters(1200, 10, 5, noise=0.2)
    xt, yt = _meters(400, 10, 6, noise=0.2)
    x = torch.tensor(np.repeat(images.numpy(), 3, axis=0))
    x = x + 0.2 * torch.randn_like(x)
    y = torch.tensor(np.repeat(digits.numpy(), 3) if mended else np.tile(digits.numpy(), 3))
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(216, 48),
        nn.ReLU(), nn.Dropout(0.3), nn.Linear(48, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(10):
            net.train()
            for xb, yb in batches(x, y, 40):
                opt.zero_grad()
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=100 * accuracy(out, yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "loss-diverging", "unexpected-initial-loss", "weights-growing", "exploding-gradients",
        "constant-predictions", "saturated-activations", "loss-spikes", below=0.6)  # fmt: skip
def masks_of_zero_and_255(run_dir: Path, *, mended: bool = False) -> float:
    """A small U-Net, PNG masks of 0 and 255 into BCEWithLogitsLoss: negative losses (Pytorch-UNet, issue 78)."""
    torch.manual_seed(1017)
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    centre, radius = 4 + 12 * torch.rand(500, 2), 2 + 3 * torch.rand(500)
    far = ((rows - centre[:, :1, None]) ** 2 + (columns - centre[:, 1:, None]) ** 2).sqrt()
    inside = far < radius[:, None, None]
    images = (torch.sigmoid(2 * (radius[:, None, None] - far)) + 0.3 * torch.randn(500, 20, 20))[:, None]
    masks = (inside.to(torch.uint8) * 255)[:, None].float()
    if mended:
        masks = masks / 255

    class SmallUNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inc = nn.Conv2d(1, 8, 3, padding=1)
            self.down = nn.Conv2d(8, 16, 3, padding=1)
            self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
            self.outc = nn.Conv2d(16, 1, 3, padding=1)

        def forward(self, v: Tensor) -> Tensor:
            first = F.relu(self.inc(v))
            second = F.relu(self.down(F.max_pool2d(first, 2)))
            return self.outc(torch.cat([first, F.relu(self.up(second))], 1))

    net = SmallUNet()
    optimizer = optim.RMSprop(net.parameters(), lr=1e-3, momentum=0.5)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(net, optimizer, run_dir) as probe:
        for epoch in range(10):
            epoch_loss = 0.0
            for imgs, true_masks in batches(images[:400], masks[:400], 10):
                loss = criterion(net(imgs), true_masks)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
                probe.log("train", loss_batch=loss.item())
            probe.log("train", loss=epoch_loss / 40, epoch=epoch)
    with torch.no_grad():
        found, truth = net(images[400:])[:, 0] > 0, inside[400:]
    return float((found & truth).sum() / (found | truth).sum())


@faulty("unnormalized-inputs", "slow-convergence", "underfitting", "constant-predictions", "loss-not-decreasing",
        "collapsed-activations", below=0.7)  # fmt: skip
def one_typing_error_before_min_max(run_dir: Path, *, mended: bool = False) -> float:
    """MinMaxScaler on columns with one 9999999 each: all other values are nearly 0 (Stack Exchange)."""
    torch.manual_seed(1018)
    rng = np.random.default_rng(1018)
    rooms, area = rng.integers(1, 7, 1600), rng.gamma(6, 15, 1600)
    age, distance = rng.uniform(0, 90, 1600), rng.gamma(2, 3, 1600)
    floor, crime = rng.integers(0, 12, 1600), rng.lognormal(0, 0.6, 1600)
    table = np.stack([rooms, area, age, distance, floor, crime], axis=1).astype(np.float64)
    rent = 8 * area**0.9 + 60 * rooms - 2.5 * age + 15 * floor - 30 * np.sqrt(distance) - 40 * np.log(crime)
    rent = rent + rng.normal(0, 50, 1600)
    y = torch.tensor((rent - rent.mean()) / rent.std(), dtype=torch.float32)
    table[rng.permutation(1200)[:6], np.arange(6)] = 9_999_999
    if mended:
        table = np.minimum(table, np.quantile(table, 0.995, axis=0))
    low, high = table[:1200].min(axis=0), table[:1200].max(axis=0)
    x = torch.tensor((table - low) / (high - low), dtype=torch.float32)
    model = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(40):
            losses = []
            for xb, yb in batches(x[:1200], y[:1200], 40):
                loss = F.mse_loss(model(xb)[:, 0], yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            with torch.no_grad():
                val = model(x[1200:])[:, 0]
            probe.log("train", loss=float(np.mean(losses)), epoch=epoch)
            probe.log("val", loss=F.mse_loss(val, y[1200:]), r2=explained(val, y[1200:]))
    with torch.no_grad():
        return explained(model(x[1200:]), y[1200:])


@faulty("nonfinite-values", below=0.75)
def last_batch_of_one_standardised(run_dir: Path, *, mended: bool = False) -> float:
    """x.std(0) within each batch, and 961 = 30 * 32 + 1 examples: the std of a single row is NaN (PyTorch issues)."""
    torch.manual_seed(1019)
    raw, labels = make_classification(1261, 16, n_informative=8, n_classes=3, class_sep=1.5, random_state=19)
    x = torch.tensor(raw * np.linspace(1, 40, 16) + 5, dtype=torch.float32)
    y = torch.tensor(labels)
    mean, std = x[:961].mean(0), x[:961].std(0)
    loader = DataLoader(TensorDataset(x[:961], y[:961]), batch_size=32, shuffle=True)
    net = nn.Sequential(nn.Linear(16, 48), nn.Tanh(), nn.Linear(48, 24), nn.Tanh(), nn.Linear(24, 3))
    opt = optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for epoch in range(25):
            for xb, yb in loader:
                xb = (xb - mean) / std if mended else (xb - xb.mean(0)) / xb.std(0)
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                probe.log("val", acc=accuracy(net((x[961:] - mean) / std), y[961:]), epoch=epoch)
    with torch.no_grad():
        return accuracy(net((x[961:] - mean) / std), y[961:])
