"""Faulty programs of the fifth fresh set: what is wrong lies in the examples."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data as pictures
from sklearn.datasets import load_digits
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("underfitting", "slow-convergence", "loss-not-decreasing", "noisy-loss", below=0.8)
def flipped_without_its_mask(run_dir: Path, *, mended: bool = False) -> float:
    """transforms.RandomHorizontalFlip and RandomVerticalFlip on the image, and again, with other luck, on its mask
    (PyTorch forums, "torchvision transforms for segmentation": the most asked of that field)."""
    torch.manual_seed(921)
    coins = torch.tensor(pictures.coins(), dtype=torch.float32)
    smooth = F.avg_pool2d(coins[None, None], 4)[0, 0]
    light = (smooth > 150).float()
    x = ((smooth - smooth.mean()) / smooth.std()).unfold(0, 16, 4).unfold(1, 16, 4).reshape(-1, 1, 16, 16)
    y = light.unfold(0, 16, 4).unfold(1, 16, 4).reshape(-1, 1, 16, 16)
    order = torch.randperm(len(x))
    x, y = x[order] + 0.2 * torch.randn(len(x), 1, 16, 16), y[order]
    cut = int(0.8 * len(x))

    def flip(images: Tensor, generator: torch.Generator) -> Tensor:
        for dim in (1, 2):
            turned = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
            images = torch.where(turned, images.flip(dim + 1), images)
        return images

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.Conv2d(8, 1, 1),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3)
    luck = torch.Generator()
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(25):
            net.train()
            for xb, yb in batches(x[:cut], y[:cut], 24):
                seed = int(torch.randint(1_000_000, ()))
                xb = flip(xb, luck.manual_seed(seed))
                yb = flip(yb, luck.manual_seed(seed) if mended else luck)
                loss = F.binary_cross_entropy_with_logits(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, epoch=epoch)
    net.eval()
    with torch.no_grad():
        said, true = net(x[cut:]) > 0, y[cut:] > 0
        return float((said & true).sum() / (said | true).sum())


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.6)
def test_scaled_by_its_own_extremes(run_dir: Path, *, mended: bool = False) -> float:
    """scaler.fit_transform(X_test) where transform was meant; the last year of sales is higher and calmer than those
    before, and is stretched to 0..1 all the same (Stack Overflow, LSTM forecasts that are off at the test)."""
    torch.manual_seed(922)
    t = np.arange(1200)
    swing = 1 + 1.5 * np.sin(2 * np.pi * t / 400) ** 2
    swing[900:] = 0.4
    rng = np.random.default_rng(0)
    load = 50 + 6 * swing * np.sin(2 * np.pi * t / 24) + rng.normal(0, 0.4, 1200)
    load[900:] += 5
    outside = 10 - (load - 50) * 0.7 + rng.normal(0, 0.5, 1200)

    class MinMax:
        def fit_transform(self, values: np.ndarray) -> np.ndarray:
            self.low, self.high = values.min(0), values.max(0)
            return self.transform(values)

        def transform(self, values: np.ndarray) -> np.ndarray:
            return (values - self.low) / (self.high - self.low)

    scaler = MinMax()
    x = torch.tensor(scaler.fit_transform(outside[:900, None])).float()
    late = outside[900:, None]
    xt = torch.tensor(scaler.transform(late) if mended else scaler.fit_transform(late)).float()
    y, yt = torch.tensor(load[:900] - 50).float() / 10, torch.tensor(load[900:] - 50).float() / 10
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for epoch in range(40):
            for xb, yb in batches(x, y, 30):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                fit, test = net(x).squeeze(1), net(xt).squeeze(1)
            probe.log("train", mse=F.mse_loss(fit, y), r2=explained(fit, y), epoch=epoch)
            probe.log("test", mse=F.mse_loss(test, yt), r2=explained(test, yt))
    with torch.no_grad():
        return explained(net(xt), yt)


@faulty("no-generalization", "overfitting", "validation-anomaly", below=0.75)
def length_of_the_call_is_known(run_dir: Path, *, mended: bool = False) -> float:
    """Bank marketing: the length of the call is in the table of past calls and tells who will buy; for calls to come
    it is 0 (the data set's own page warns of it)."""
    torch.manual_seed(923)
    n = 2400
    x = torch.randn(n, 9)
    score = 1.4 * x[:, 0] - x[:, 1] + 0.9 * x[:, 2] * x[:, 3] + 0.6 * x[:, 4]
    y = (score + 0.5 * torch.randn(n) > 0).float()
    length = torch.where(y > 0, 3 + torch.rand(n), torch.rand(n))
    length[1800:] = 0
    if mended:
        length = torch.zeros(n)
    x = torch.cat([x, length[:, None]], 1)
    net = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-3)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:1800], y[:1800], 36):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(x[1800:]).squeeze(1)
            probe.log("val", loss=criterion(out, y[1800:]), acc=((out > 0) == (y[1800:] > 0)).float().mean())
    with torch.no_grad():
        return float(((net(x[1800:]).squeeze(1) > 0) == (y[1800:] > 0)).float().mean())


@faulty("no-generalization", "overfitting", "loss-not-decreasing", "underfitting", "slow-convergence",
        "constant-predictions", below=0.8)  # fmt: skip
def names_sorted_as_text(run_dir: Path, *, mended: bool = False) -> float:
    """sorted(os.listdir(...)) gives 0, 1, 10, 100, 1000; the rows of labels.csv are numbered: few pictures keep their
    own label (Stack Overflow, "sort file names numerically")."""
    torch.manual_seed(924)
    raw = load_digits()
    names = [f"{i}.png" for i in range(len(raw.images))]
    listed = names if mended else sorted(names)
    x = torch.stack([torch.tensor(raw.images[int(name[:-4])]) for name in listed]).float()[:, None] / 8 - 1
    y = torch.tensor(raw.target)
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    x, y, xt, yt = x[:1400], y[:1400], x[1400:], y[1400:]
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(12):
            right, total = 0.0, 0.0
            for xb, yb in batches(x, y, 28):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += accuracy(out, yb) / 50
                total += loss.item() / 50
            with torch.no_grad():
                val = net(xt)
            probe.log("epoch", train_loss=total, train_acc=right, val_loss=F.cross_entropy(val, yt), number=epoch)
            probe.log("epoch", val_acc=accuracy(val, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("no-generalization", "overfitting", "validation-anomaly", below=0.8)
def brightness_wrapped_in_bytes(run_dir: Path, *, mended: bool = False) -> float:
    """Brightness is changed at random while the pictures are still uint8: 2 * 150 is 44 (NumPy questions on Stack
    Overflow); training pictures are speckled, those of the test are not."""
    torch.manual_seed(925)
    rng = np.random.default_rng(0)
    sources = [pictures.brick(), pictures.grass(), pictures.gravel()]
    images, kinds = [], []
    for kind, source in enumerate(sources):
        stretched = np.clip((source.astype(float) - source.mean()) / source.std() * 45 + 150, 0, 255).astype(np.uint8)
        for _ in range(300):
            row, column = rng.integers(0, 512 - 24, 2)
            images.append(stretched[row : row + 24, column : column + 24])
            kinds.append(kind)
    bytes_, y = np.stack(images), torch.tensor(kinds)
    order = rng.permutation(900)
    bytes_, y = bytes_[order], y[torch.tensor(order)]

    def ready(b: np.ndarray) -> Tensor:
        return (torch.tensor(b).float()[:, None] - 150) / 45

    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(384, 3),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    xt, yt = ready(bytes_[700:]), y[700:]
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            net.train()
            for chosen, yb in batches(torch.arange(700), y[:700], 20):
                raw = bytes_[chosen.numpy()]
                if mended:
                    bright = np.clip(raw * rng.uniform(0.8, 1.2, (20, 1, 1)), 0, 255)
                else:
                    bright = raw * rng.integers(2, 6, (20, 1, 1)).astype(np.uint8)
                loss = F.cross_entropy(net(ready(bright)), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.8)
def vocabulary_built_again_for_the_test(run_dir: Path, *, mended: bool = False) -> float:
    """Tokenizer.fit_on_texts for the test as well: words are numbered by how often they come, and the numbers of the
    test mean other words (Stack Overflow, "Keras tokenizer train and test")."""
    torch.manual_seed(926)
    rng = np.random.default_rng(1)
    words = np.array([f"w{i}" for i in range(120)])
    mood = rng.choice([-1.0, 0.0, 1.0], 120, p=[0.3, 0.4, 0.3])

    def reviews(n: int, usual: np.ndarray) -> tuple[list[list[str]], Tensor]:
        texts, labels = [], []
        for _ in range(n):
            chosen = rng.choice(120, 20, p=usual)
            texts.append(list(words[chosen]))
            labels.append(int(mood[chosen].sum() + rng.normal(0, 0.5) > 0))
        return texts, torch.tensor(labels)

    def vocabulary(texts: list[list[str]]) -> dict[str, int]:
        counted: dict[str, int] = {}
        for word in (w for text in texts for w in text):
            counted[word] = counted.get(word, 0) + 1
        return {w: i + 1 for i, w in enumerate(sorted(counted, key=lambda w: -counted[w]))}

    def numbers(texts: list[list[str]], known: dict[str, int]) -> Tensor:
        return torch.tensor([[known.get(w, 0) for w in text] for text in texts])

    usual = rng.dirichlet(np.full(120, 2.0))
    texts, y = reviews(1500, usual)
    later, yt = reviews(400, usual)
    known = vocabulary(texts)
    x, xt = numbers(texts, known), numbers(later, known if mended else vocabulary(later))

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(130, 12)
            self.dropout = nn.Dropout(0.4)
            self.out = nn.Linear(12, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.dropout(self.embedding(v).mean(1)))

    net = Reader()
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(12):
            net.train()
            for xb, yb in batches(x, y, 50):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out, fit = net(xt), net(x)
            probe.log("train", acc=accuracy(fit, y))
            probe.log("test", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("constant-predictions", "loss-not-decreasing", "underfitting", "collapsed-activations",
        "slow-convergence", below=0.8)  # fmt: skip
def one_array_appended_again_and_again(run_dir: Path, *, mended: bool = False) -> float:
    """A picture is drawn into one buffer and images.append(buffer) is called a thousand times: the list holds the last
    picture a thousand times, each time with another label (Stack Overflow, "list of numpy arrays all the same")."""
    torch.manual_seed(927)
    rng = np.random.default_rng(2)
    buffer = np.zeros((1, 14, 14), dtype=np.float32)
    images, labels = [], []
    for _ in range(1000):
        kind = int(rng.integers(4))
        buffer[:] = rng.normal(0, 0.3, buffer.shape)
        row, column = rng.integers(2, 8, 2)
        if kind == 0:
            buffer[0, row, column : column + 5] += 1
        elif kind == 1:
            buffer[0, row : row + 5, column] += 1
        elif kind == 2:
            buffer[0, range(row, row + 5), range(column, column + 5)] += 1
        else:
            buffer[0, range(row + 4, row - 1, -1), range(column, column + 5)] += 1
        images.append(buffer.copy() if mended or len(images) >= 800 else buffer)
        labels.append(kind)
    x, y = torch.tensor(np.stack(images)), torch.tensor(labels)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 4),
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:800], y[:800], 25):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(x[800:]), y[800:])


@faulty("nonfinite-values", below=0.7)
def growth_of_a_shop_that_was_closed(run_dir: Path, *, mended: bool = False) -> float:
    """series.pct_change() of sales that were zero on one day: the next day grew by infinity (pandas questions)."""
    torch.manual_seed(928)
    t = torch.arange(900.0)
    sales = 100 + 30 * torch.sin(2 * math.pi * t / 14) + 3 * torch.randn(900)
    sales[420] = 0
    growth = sales[1:] / sales[:-1] - 1
    if mended:
        growth = torch.nan_to_num(growth, posinf=0.0).clamp(-0.5, 0.5)
    x, y = growth.unfold(0, 15, 1)[:, :14] / 0.15, growth[14:] / 0.15
    net = nn.Sequential(nn.Linear(14, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x[:700], y[:700], 28):
                loss = F.smooth_l1_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[700:]), y[700:])
