"""Faulty programs of the fourth fresh set: learning rates, schedules, lengths of training."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage import data as photographs
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, diabetes, digits, explained
from benchmarks.diagnosis.programs.program import faulty


def _conv() -> nn.Sequential:
    """The small net of every tutorial on 8x8 images."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def ground_patches(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Patches of 16x16 pixels, standardised, from photographs of bricks, grass and gravel, and which of them it is."""
    rng = torch.Generator().manual_seed(seed)
    pictures = [torch.tensor(p() / 255.0).float() for p in (photographs.brick, photographs.grass, photographs.gravel)]
    y = torch.randint(3, (n,), generator=rng)
    at = torch.randint(512 - 16, (n, 2), generator=rng).tolist()
    x = torch.stack([pictures[k][r : r + 16, c : c + 16] for k, (r, c) in zip(y.tolist(), at, strict=True)])
    return (x.unsqueeze(1) - 0.47) / 0.14, y


@faulty("learning-rate-too-high", "dead-units", "loss-not-decreasing", "constant-predictions", "oscillating-loss",
        "collapsed-activations", "noisy-loss", "exploding-gradients", "loss-spikes", "weights-growing",
        "vanishing-gradients", below=0.8)  # fmt: skip
def convolutions_by_adam_at_a_tenth(run_dir: Path, *, mended: bool = False) -> float:
    """Adam(lr=0.1), the rate of an SGD example: the loss stays at 2.30 (Stack Overflow, "stuck at 10% accuracy")."""
    torch.manual_seed(801)
    x, y, xt, yt = digits(flat=False)
    net = _conv()
    opt = optim.Adam(net.parameters(), lr=1e-3 if mended else 0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(10):
            right = 0.0
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                loss.backward()
                opt.step()
                right += float((out.argmax(1) == yb).sum())
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                probe.log("epoch", number=epoch, train_acc=right / 1344, val_acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        "parameters-not-updated", "stalled-run", below=0.7)  # fmt: skip
def grounds_at_a_millionth(run_dir: Path, *, mended: bool = False) -> float:
    """lr=1e-6 "to be safe": a net for patches of photographs moves, but nowhere in fifteen epochs (forums)."""
    torch.manual_seed(802)
    x, y = ground_patches(1200)
    xt, yt = ground_patches(300, seed=1)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(24 * 16, 3),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3 if mended else 1e-6)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            net.train()
            for xb, yb in batches(x, y, 64):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("nonfinite-values", "exploding-gradients", "loss-diverging", "learning-rate-too-high", "unnormalized-inputs",
        "unexpected-initial-loss", "loss-spikes", below=0.3)  # fmt: skip
def linear_regression_says_nan(run_dir: Path, *, mended: bool = False) -> float:
    """Linear regression by SGD on flats as they are listed (square metres, year, rooms): NaN at the tenth step."""
    torch.manual_seed(803)
    n = 800
    raw = torch.stack([30 + 120 * torch.rand(n), 1900 + 120 * torch.rand(n), torch.randint(1, 7, (n,)).float()], 1)
    price = 2.1 * raw[:, :1] + 0.4 * (raw[:, 1:2] - 1900) + 15 * raw[:, 2:] + 20 * torch.randn(n, 1)
    x = (raw - raw.mean(0)) / raw.std(0) if mended else raw
    net = nn.Linear(3, 1)
    opt = optim.SGD(net.parameters(), lr=0.01)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, config={"lr": 0.01, "epochs": 500}) as probe:
        for _ in range(500):
            loss = criterion(net(x[:600]), price[:600])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss.item())
    with torch.no_grad():
        return explained(net(x[600:]), price[600:])


@faulty("learning-rate-too-high", "loss-not-decreasing", "oscillating-loss", "noisy-loss", "dead-units",
        "loss-diverging", "exploding-gradients", "collapsed-activations", "loss-spikes", "constant-predictions",
        "weights-growing", "nonfinite-values", "vanishing-gradients", below=0.8)  # fmt: skip
def momentum_added_and_the_rate_kept(run_dir: Path, *, mended: bool = False) -> float:
    """SGD(lr=0.5) worked; momentum=0.9 was added, which multiplies it by ten, and the rate was kept."""
    torch.manual_seed(804)
    x, y, xt, yt = digits()
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    net = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    opt = optim.SGD(net.parameters(), lr=0.02 if mended else 0.5, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            total = 0.0
            for xb, yb in loader:
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() * len(xb)
            with torch.no_grad():
                out = net(xt)
            probe.log("epoch", loss=total / len(x), val_loss=F.cross_entropy(out, yt), val_accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("exploding-gradients", "nonfinite-values", "loss-spikes", "loss-diverging", "learning-rate-too-high",
        "noisy-loss", "loss-not-decreasing", "oscillating-loss", "dead-units", "weights-growing",
        "unexpected-initial-loss", "poor-initialization", "constant-predictions", "collapsed-activations",
        "underfitting", below=0.8)  # fmt: skip
def relu_recurrence_over_eighty_steps(run_dir: Path, *, mended: bool = False) -> float:
    """A recurrence with ReLU over eighty steps, its weights by torch.randn(32, 32) * 0.3, and nothing is clipped."""
    torch.manual_seed(805)

    def walks(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 80, 1)
        return x, (x.mean(1) * 9).tanh()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(1, 32, nonlinearity="relu", batch_first=True)
            if mended:
                nn.init.orthogonal_(self.rnn.weight_hh_l0)
            else:
                nn.init.normal_(self.rnn.weight_hh_l0, std=0.3)
            self.fc = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.rnn(v)[0][:, -1])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            x, y = walks(32)
            loss = F.mse_loss(net(x), y)
            opt.zero_grad()
            loss.backward()
            if mended:
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            if step % 5 == 0:
                probe.log("train", mse=loss)
    x, y = walks(400)
    with torch.no_grad():
        return explained(net(x), y)


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "loss-not-decreasing", "parameters-not-updated",
        "stalled-run", "training-too-short", below=0.8)  # fmt: skip
def divided_by_ten_every_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """StepLR(opt, step_size=1): the example's step_size=30 was thought to be in batches. Nothing moves after three."""
    torch.manual_seed(806)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.StepLR(opt, step_size=30 if mended else 1, gamma=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(25):
            net.train()
            for xb, yb in batches(x, y, 128):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            scheduler.step()
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=100 * accuracy(out, yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("training-too-short", "slow-convergence", "learning-rate-too-low", "underfitting", below=0.85)
def two_epochs_of_a_tutorial(run_dir: Path, *, mended: bool = False) -> float:
    """The two epochs of a tutorial on 50,000 images, kept for 1,347: 42 steps, and the loss was falling."""
    torch.manual_seed(807)
    x, y, xt, yt = digits(flat=False)
    net = _conv()
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25 if mended else 2):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("test", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-high", "loss-not-decreasing", "constant-predictions", "collapsed-activations", "noisy-loss",
        "oscillating-loss", "loss-spikes", "dead-units", "exploding-gradients", "weights-growing",
        "vanishing-gradients", "underfitting", below=0.74)  # fmt: skip
def attention_at_three_hundredths(run_dir: Path, *, mended: bool = False) -> float:
    """A transformer that classifies sentences, with an LSTM's Adam(lr=0.03): it says the same of every sentence."""
    torch.manual_seed(808)
    mood = torch.randn(200)
    words = torch.randint(200, (1600, 16))
    y = (mood[words].sum(1) > 0).long()

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(200, 32)
            self.place = nn.Parameter(0.02 * torch.randn(16, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.head = nn.Linear(32, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(v) + self.place).mean(1))

    net = Classifier()
    opt = optim.Adam(net.parameters(), lr=1e-3 if mended else 0.03)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            net.train()
            for xb, yb in batches(words[:1280], y[:1280], 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(words[1280:])
                probe.log("val", loss=F.cross_entropy(out, y[1280:]), accuracy=accuracy(out, y[1280:]))
    with torch.no_grad():
        return accuracy(net(words[1280:]), y[1280:])


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        below=0.8)  # fmt: skip
def adadelta_as_keras_had_it(run_dir: Path, *, mended: bool = False) -> float:
    """Adadelta(lr=0.001), the default of TensorFlow 2, where the paper and the old example meant 1.0."""
    torch.manual_seed(809)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(96, 48), nn.ReLU(), nn.Dropout(0.5), nn.Linear(48, 10),
    )  # fmt: skip
    opt = optim.Adadelta(net.parameters(), lr=1.0 if mended else 0.001)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(12):
            net.train()
            losses, right = [], 0.0
            for xb, yb in batches(x, y, 64):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
                right += float((out.argmax(1) == yb).sum())
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=sum(losses) / len(losses), accuracy=right / len(losses) / 64, epoch=epoch)
            probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        "parameters-not-updated", "constant-predictions", below=0.7)  # fmt: skip
def forecast_by_sgd_at_a_ten_thousandth(run_dir: Path, *, mended: bool = False) -> float:
    """A GRU forecasts two waves with SGD(lr=1e-4): the forecast is a flat line after forty epochs (forums)."""
    torch.manual_seed(810)
    t = torch.arange(1500.0)
    wave = torch.sin(t / 5) + 0.5 * torch.sin(t / 13) + 0.1 * torch.randn(1500)
    windows = wave.unfold(0, 21, 1)
    x, y = windows[:, :20, None], windows[:, 20:]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(1, 24, batch_first=True)
            self.fc = nn.Linear(24, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.gru(v)[0][:, -1])

    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.1 if mended else 1e-4, momentum=0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            losses = []
            for xb, yb in batches(x[:1100], y[:1100], 50):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.detach())
            with torch.no_grad():
                probe.log("loss", train=torch.stack(losses).mean(), valid=F.mse_loss(net(x[1200:]), y[1200:]))
    with torch.no_grad():
        return explained(net(x[1200:]), y[1200:])


@faulty("oscillating-loss", "unnormalized-inputs", "learning-rate-too-high", "unexpected-initial-loss", "loss-spikes",
        "noisy-loss", "loss-not-decreasing", "exploding-gradients", "saturated-activations", "loss-diverging",
        "poor-initialization", below=0.8)  # fmt: skip
def logistic_regression_zigzags(run_dir: Path, *, mended: bool = False) -> float:
    """Full-batch logistic regression on tumours as measured (up to 4,254): the loss jumps by thousands."""
    torch.manual_seed(811)
    x, y, xt, yt = cancer(standard=mended)
    y, yt = y.float()[:, None], yt.float()[:, None]
    net = nn.Linear(30, 1)
    opt = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for step in range(400):
            out = net(x)
            loss = probe.loss_fn(out, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss.item(), acc=((out > 0) == (y > 0)).float().mean())
            if step % 20 == 0:
                with torch.no_grad():
                    probe.log("val", acc=((net(xt) > 0) == (yt > 0)).float().mean())
    with torch.no_grad():
        out = net(xt)
        return float(1 - F.binary_cross_entropy_with_logits(out, yt) / math.log(2))


@faulty("learning-rate-too-low", "slow-convergence", "underfitting", "loss-not-decreasing", "parameters-not-updated",
        "training-too-short", "stalled-run", below=0.25)  # fmt: skip
def plateau_asked_after_every_batch(run_dir: Path, *, mended: bool = False) -> float:
    """ReduceLROnPlateau(patience=3).step(loss) within the loop over batches: the noise of batches is a plateau."""
    torch.manual_seed(812)
    x, y, xt, yt = diabetes()
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.01)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(opt, patience=3, factor=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60):
            total = 0.0
            for xb, yb in batches(x, y, 16):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 20
                if not mended:
                    scheduler.step(loss)
            with torch.no_grad():
                val = F.mse_loss(net(xt).squeeze(1), yt)
            if mended:
                scheduler.step(val)
            probe.log("epoch", train_loss=total, val_loss=val, lr=opt.param_groups[0]["lr"])
    with torch.no_grad():
        return explained(net(xt), yt)
