"""Faulty programs of the sixth set: data, labels, their order and number, and what holds a net back."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("underfitting", "slow-convergence", "training-too-short", "no-generalization", "noisy-loss", below=0.8)
def arrows_mirrored_but_not_their_labels(run_dir: Path, *, mended: bool = False) -> float:
    """RandomHorizontalFlip on arrows whose label says left or right: half of these labels are lies (Stack Overflow)."""
    torch.manual_seed(1641)
    shape = torch.zeros(9, 9)
    shape[4, 1:8] = 1
    for k in range(1, 4):
        shape[4 - k, 7 - k] = shape[4 + k, 7 - k] = 1
    four = torch.stack([torch.rot90(shape, k, (0, 1)) for k in range(4)])  # right, up, left, down

    def arrows(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        x = torch.zeros(n, 1, 13, 13)
        for i in range(n):
            a, b = torch.randint(5, (2,)).tolist()
            x[i, 0, a : a + 9, b : b + 9] = four[y[i]]
        return x + 0.4 * torch.randn(n, 1, 13, 13), y

    x, y = arrows(1500)
    xt, yt = arrows(400)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(216, 4),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(18):
            for xb, yb in batches(x, y, 30):
                flip = torch.rand(30) < 0.5
                xb = torch.where(flip[:, None, None, None], xb.flip(3), xb)
                if mended:
                    yb = torch.where(flip & (yb % 2 == 0), 2 - yb, yb)
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("no-generalization", "overfitting", "loss-not-decreasing", "underfitting", "slow-convergence", below=0.7)
def pictures_and_names_shuffled_apart(run_dir: Path, *, mended: bool = False) -> float:
    """random.shuffle(images); random.shuffle(labels): every picture has the label of another (Stack Overflow)."""
    torch.manual_seed(1642)
    x, y, xt, yt = digits()
    order = torch.randperm(len(x))
    x = x[order]
    y = y[order if mended else torch.randperm(len(y))]
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(20):
            model.train()
            losses, hits = [], 0
            for xb, yb in batches(x, y, 32):
                out = model(xb)
                loss = F.cross_entropy(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                hits += int((out.argmax(1) == yb).sum())
            model.eval()
            with torch.no_grad():
                out = model(xt)
            probe.log("train", loss=sum(losses) / len(losses), acc=hits / len(x), epoch=epoch)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("unnormalized-inputs", "dead-units", "constant-predictions", "loss-not-decreasing", "exploding-gradients",
        "unexpected-initial-loss", "learning-rate-too-high", "underfitting", "collapsed-activations", "loss-spikes",
        "vanishing-gradients", "stalled-run", below=0.75)  # fmt: skip
def loans_with_income_and_age(run_dir: Path, *, mended: bool = False) -> float:
    """Income of 50,000, age of 40, a rate of 0.03, as they are in the table, in a small net (Stack Overflow)."""
    torch.manual_seed(1643)
    n = 2400
    income = torch.exp(10.6 + 0.5 * torch.randn(n))
    age = 20 + 45 * torch.rand(n)
    debt = 0.5 * torch.rand(n)
    rate = 0.02 + 0.05 * torch.rand(n)
    jobs = torch.randint(6, (n,)).float()
    risk = 5 * (debt - 0.25) + 35 * (rate - 0.045) - 0.05 * (age - 42) - 0.8 * (income.log() - 10.6) + 0.2 * (jobs - 3)
    y = (risk + 0.3 * torch.randn(n) > 0).long()
    x = torch.stack([income, age, debt, rate, jobs], 1)
    if mended:
        x = (x - x[:1800].mean(0)) / x[:1800].std(0)
    net = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 2))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(25):
            for xb, yb in batches(x[:1800], y[:1800], 36):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(x[1800:]), y[1800:]))
    with torch.no_grad():
        return accuracy(net(x[1800:]), y[1800:])


@faulty("validation-anomaly", "no-generalization", "overfitting", "unnormalized-inputs", below=0.8)
def scaler_forgotten_for_the_test_set(run_dir: Path, *, mended: bool = False) -> float:
    """scaler.fit_transform(x_train), and x_test as it came: a loss of thousands beside one of a hundredth (courses)."""
    torch.manual_seed(1644)
    x, y, xt, yt = cancer(standard=False)
    mean, std = x.mean(0), x.std(0)
    x = (x - mean) / std
    if mended:
        xt = (xt - mean) / std
    net = nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(40):
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            if epoch % 2 == 0:
                with torch.no_grad():
                    out, seen = net(xt), net(x)
                probe.log("train", loss=F.cross_entropy(seen, y), acc=accuracy(seen, y))
                probe.log("test", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.75)
def vocabulary_built_again_for_the_test_set(run_dir: Path, *, mended: bool = False) -> float:
    """Two calls of build_vocab: words of the test set get other numbers than those of training (Stack Overflow)."""
    torch.manual_seed(1645)
    mood = torch.randn(150)

    def reviews(n: int) -> tuple[list[list[str]], Tensor]:
        words = torch.multinomial(1 / torch.arange(3.0, 153.0), n * 14, replacement=True).view(n, 14)
        return [[f"w{i}" for i in row] for row in words.tolist()], (mood[words].sum(1) > 0).long()

    def vocabulary(texts: list[list[str]]) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in texts:
            for word in row:
                found.setdefault(word, len(found) + 1)
        return found

    def numbers(texts: list[list[str]], known: dict[str, int]) -> Tensor:
        return torch.tensor([[known.get(word, 0) for word in row] for row in texts])

    train, y = reviews(1600)
    test, yt = reviews(400)
    known = vocabulary(train)
    x, xt = numbers(train, known), numbers(test, known if mended else vocabulary(test))
    embed = nn.EmbeddingBag(160, 16, mode="mean")
    net = nn.Sequential(embed, nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += accuracy(out, yb) / 50
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("train", acc=right)
            probe.log("val", loss=criterion(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("oscillating-loss", "noisy-loss", "loss-spikes", "underfitting", "loss-not-decreasing",
        "constant-predictions", below=0.6)  # fmt: skip
def houses_sorted_by_price(run_dir: Path, *, mended: bool = False) -> float:
    """A table sorted by what is to be predicted, batches in its order, shuffle=False (forum: "loss goes in waves")."""
    torch.manual_seed(1646)
    x = torch.randn(1600, 8)
    y = x[:, 0] + 0.6 * x[:, 1] * x[:, 2] + 0.5 * torch.sin(2 * x[:, 3]) + 0.2 * torch.randn(1600)
    xt, yt, x, y = x[:400], y[:400], x[400:], y[400:]
    order = y.argsort()
    x, y = x[order], y[order]
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 24, shuffle=mended):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", mse=loss)
    with torch.no_grad():
        return explained(net(xt), yt)


@faulty("training-too-short", "slow-convergence", "underfitting", "learning-rate-too-low", below=0.8)
def max_steps_of_a_dry_run(run_dir: Path, *, mended: bool = False) -> float:
    """if step >= 60: break, left in from trying out whether it runs; the loss was still falling fast (GitHub)."""
    torch.manual_seed(1647)

    def sums(n: int) -> tuple[Tensor, Tensor]:
        """Two of ten symbols are the larger; how often they occur among eight, up to four."""
        x = torch.randint(10, (n, 8))
        return x, (x >= 7).sum(1).clamp(max=4)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 16)
            self.attend = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
            self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.attend(self.embed(v)).mean(1))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    xt, yt = sums(500)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1200):
            if step >= 60 and not mended:
                break
            x, y = sums(48)
            loss = F.cross_entropy(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 20 == 19:
                with torch.no_grad():
                    probe.log("val", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "loss-not-decreasing",
        "collapsed-activations", "dead-units", "stalled-run", "vanishing-gradients", below=0.8)  # fmt: skip
def decay_of_a_tenth_inside_adam(run_dir: Path, *, mended: bool = False) -> float:
    """Adam(weight_decay=0.1) against a little overfitting: L2 in the gradient, and weights melt away (forums)."""
    torch.manual_seed(1648)
    t = torch.arange(64.0)

    def beats(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        width = torch.tensor([2.0, 4.0, 2.0, 4.0])[y, None]
        sign = torch.tensor([1.0, 1.0, -1.0, -1.0])[y, None]
        place = 20 + 24 * torch.rand(n, 1)
        wave = torch.exp(-((t - place) ** 2) / (2 * width**2)) - 0.6 * sign * torch.exp(-((t - place - 8) ** 2) / 12)
        return (wave + 0.35 * torch.randn(n, 64))[:, None], y

    x, y = beats(2000)
    xt, yt = beats(300)
    net = nn.Sequential(
        nn.Conv1d(1, 12, 7), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(12, 16, 5), nn.ReLU(), nn.Conv1d(16, 16, 5),
        nn.ReLU(), nn.AdaptiveMaxPool1d(2), nn.Flatten(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-4 if mended else 0.1)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 30):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("overfitting", "no-generalization", below=0.8)
def forty_reviews_for_a_large_embedding(run_dir: Path, *, mended: bool = False) -> float:
    """A try with 40 texts that was taken for the training: 100% of these, and half of all others (fast.ai forum)."""
    torch.manual_seed(1649)
    mood = torch.randn(100)

    def reviews(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(100, (n, 12))
        return words, (mood[words].sum(1) > 0).float()

    x, y = reviews(4000 if mended else 40)
    xt, yt = reviews(500)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(100, 64)
            self.drop = nn.Dropout(0.2)
            self.hidden = nn.Linear(64, 128)
            self.out = nn.Linear(128, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(F.relu(self.hidden(self.drop(self.embed(v).mean(1))))).squeeze(1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(6 if mended else 150):
            net.train()
            total, right, count = 0.0, 0, 0
            for xb, yb in batches(x, y, 20):
                out = net(xb)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total, count = total + loss.item(), count + 1
                right += int(((out > 0) == (yb > 0.5)).sum())
            net.eval()
            with torch.no_grad():
                out = net(xt)
            acc = float(((out > 0) == (yt > 0.5)).float().mean())
            probe.log("epoch", train_loss=total / count, train_acc=right / count / 20, valid_loss=criterion(out, yt),
                      valid_acc=acc)  # fmt: skip
    return acc


@faulty("class-imbalance", "constant-predictions", "underfitting", "loss-not-decreasing", below=0.7)
def churners_one_in_forty(run_dir: Path, *, mended: bool = False) -> float:
    """97.5% accuracy at once and for ever: nobody is ever said to leave (Stack Overflow, "always predicts 0")."""
    torch.manual_seed(1650)
    x = torch.randn(6000, 12)
    score = x[:, 0] * x[:, 1] + 0.8 * x[:, 2] - 0.6 * x[:, 3] + 0.9 * torch.randn(6000)
    y = (score > score.quantile(0.975)).float()
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(39.0) if mended else None)

    def recall_and_rest(logits: Tensor, labels: Tensor) -> float:
        said = (logits > 0).float()
        return float((said[labels == 1].mean() + 1 - said[labels == 0].mean()) / 2)

    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:4500], y[:4500], 50):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[4500:]).squeeze(1)
            probe.log("val", loss=criterion(out, y[4500:]), acc=((out > 0) == (y[4500:] > 0.5)).float().mean())
    return recall_and_rest(out, y[4500:])


@faulty("input-bottleneck", below=0.5)
def csv_opened_for_every_row(run_dir: Path, *, mended: bool = False) -> float:
    """__getitem__ reads and parses the whole file and takes one line of it: the score is the share not spent so."""
    torch.manual_seed(1651)
    table = torch.randn(400, 10)
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    path = run_dir.parent / "rows.csv"
    path.write_text("\n".join(",".join(f"{v:.5f}" for v in row) for row in table.tolist()), encoding="utf-8")

    def rows() -> list[list[float]]:
        return [[float(v) for v in line.split(",")] for line in path.read_text(encoding="utf-8").splitlines()]

    held = torch.tensor(rows()) if mended else None

    def item(i: int) -> tuple[Tensor, Tensor]:
        row = held[i] if held is not None else torch.tensor(rows()[i])
        return row, (row[:3].sum() * row[3]).tanh()

    net = nn.Sequential(nn.Linear(10, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    reading = 0.0
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        began = time.perf_counter()
        for _ in range(600 if mended else 150):
            before = time.perf_counter()
            x, y = map(torch.stack, zip(*[item(i) for i in torch.randint(400, (16,)).tolist()], strict=True))
            reading += time.perf_counter() - before
            loss = probe.loss_fn(net(x).squeeze(1), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
        took = time.perf_counter() - began
    score = 1 - reading / took
    return score if math.isfinite(score) else 0.0
