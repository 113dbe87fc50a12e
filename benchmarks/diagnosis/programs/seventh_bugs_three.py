"""Faulty programs of the seventh set: targets, axes, losses, outputs, padding, and what validation is given."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("unexpected-initial-loss", "underfitting", "slow-convergence", "learning-rate-too-low", "training-too-short",
        "loss-output-mismatch", below=0.9)  # fmt: skip
def directions_in_degrees(run_dir: Path, *, mended: bool = False) -> float:
    """Where the wind comes from, 0 to 360 degrees, by squared error: 359 and 1 are neighbours (Stack Overflow)."""
    torch.manual_seed(7301)
    n = 2000
    angle = 2 * math.pi * torch.rand(n)
    masts = torch.tensor([0.1, 1.3, 2.2, 3.9, 5.0])
    x = torch.tanh(1.5 * torch.cos(angle[:, None] - masts)) * (0.6 + torch.rand(n, 1)) + 0.05 * torch.randn(n, 5)
    degrees = angle * 180 / math.pi
    y = torch.stack([angle.cos(), angle.sin()], 1) if mended else degrees[:, None]
    net = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, y.shape[1]))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(30):
            running = 0.0
            for xb, yb in batches(x[:1500], y[:1500], 32):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                running += loss.item()
            with torch.no_grad():
                val = criterion(net(x[1500:]), y[1500:])
            probe.log("epoch", train_loss=running / 46, val_loss=val, epoch=epoch)
    with torch.no_grad():
        out = net(x[1500:])
    told = torch.atan2(out[:, 1], out[:, 0]) * 180 / math.pi if mended else out[:, 0]
    off = (told - degrees[1500:] + 180) % 360 - 180
    return float((off.abs() < 15).float().mean())


@faulty("unexpected-initial-loss", "slow-convergence", "learning-rate-too-low", "underfitting", "training-too-short",
        "exploding-gradients", "weights-growing", below=0.7)  # fmt: skip
def pascals_beside_degrees(run_dir: Path, *, mended: bool = False) -> float:
    """Two targets of one net, hundreds of pascals and a few degrees, one MSELoss over both, nothing scaled (forums)."""
    torch.manual_seed(7302)
    x = torch.randn(1600, 8)
    wide = torch.tanh(x @ torch.randn(8, 12) / 2)
    y = wide @ torch.randn(12, 2) / 2.5 + 0.1 * torch.randn(1600, 2)
    y = y / y.std(0) * torch.tensor([900.0, 3.0])
    spread = y[:1200].std(0) if mended else torch.ones(2)
    net = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x[:1200], y[:1200], 32):
                loss = F.mse_loss(net(xb), yb / spread)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[1200:]), y[1200:] / spread))
    with torch.no_grad():
        out = net(x[1200:]) * spread
    return sum(max(0.0, explained(out[:, k], y[1200:, k])) for k in range(2)) / 2


@faulty("no-generalization", "overfitting", "validation-anomaly", below=0.8)
def columns_of_a_mat_file_reshaped(run_dir: Path, *, mended: bool = False) -> float:
    """loadmat gives [64, N], and reshape(N, 64) is not its transpose: a row mixes many images (Stack Overflow)."""
    torch.manual_seed(7303)
    x, y, xt, yt = digits()
    stored, stored_test = x.T.contiguous(), xt.T.contiguous()
    x = stored.T if mended else stored.reshape(-1, 64)
    xt = stored_test.T if mended else stored_test.reshape(-1, 64)
    net = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(25):
            total = right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 42
                right += accuracy(out, yb) / 42
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=total, acc=right)
            probe.log("test", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("unnormalized-inputs", "underfitting", "slow-convergence", "loss-not-decreasing", "learning-rate-too-low",
        "training-too-short", "constant-predictions", below=0.7)  # fmt: skip
def rows_standardised_for_columns(run_dir: Path, *, mended: bool = False) -> float:
    """x.mean(axis=1) where axis=0 was meant: a client is scaled by the own income, and looks like any other."""
    torch.manual_seed(7304)
    facts = torch.randn(900, 6)
    y = ((facts[:, 1] - facts[:, 2] + facts[:, 3] * facts[:, 4] + 0.3 * torch.randn(900)) > 0.3).long() + (
        (facts[:, 1] + facts[:, 2]) > 1.2
    ).long()
    unit = torch.tensor([12_000.0, 14.0, 2.5, 0.2, 1.1, 40.0])
    x = facts * unit + unit * torch.tensor(
        [4.0, 3.0, 2.5, 3.0, 4.0, 3.0]
    )  # income, age, years here, share, cars, calls
    x, y, xt, yt = x[:700], y[:700], x[700:], y[700:]
    if mended:
        xt = (xt - x.mean(0)) / x.std(0)
        x = (x - x.mean(0)) / x.std(0)
    else:
        x, xt = ((v - v.mean(1, keepdim=True)) / v.std(1, keepdim=True) for v in (x, xt))
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
    opt = optim.SGD(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(80):
            for xb, yb in batches(x, y, 16):
                opt.zero_grad()
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            if epoch % 4 == 3:
                with torch.no_grad():
                    out = net(xt)
                    probe.log("val", loss=F.cross_entropy(out, yt), accuracy=100 * accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("constant-predictions", "underfitting", "loss-not-decreasing", "slow-convergence", "class-imbalance",
        "collapsed-activations", "loss-output-mismatch", below=0.12)  # fmt: skip
def spare_parts_by_absolute_error(run_dir: Path, *, mended: bool = False) -> float:
    """L1Loss on demands of which most are zero: the median is zero, so nothing is ever ordered (Stack Overflow)."""
    torch.manual_seed(7305)
    x = torch.randn(4000, 6)
    ordered = torch.rand(4000) < 0.45 * torch.sigmoid(5 * x[:, 0] + 3 * x[:, 1])
    y = ordered * (1 + torch.poisson(3 * torch.exp(0.4 * x[:, 2])))
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softplus())
    opt = optim.AdamW(net.parameters(), lr=1e-3)

    def criterion(out: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(out, target, log_input=False) if mended else F.l1_loss(out, target)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            for xb, yb in batches(x[:3000], y[:3000], 50):
                loss = criterion(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(net(x[3000:]).squeeze(1), y[3000:]))
    with torch.no_grad():
        return explained(net(x[3000:]), y[3000:])


@faulty("loss-output-mismatch", "constant-predictions", "underfitting", "loss-not-decreasing", "slow-convergence",
        "unexpected-initial-loss", "class-imbalance", below=0.8)  # fmt: skip
def logsigmoid_before_bce_with_logits(run_dir: Path, *, mended: bool = False) -> float:
    """F.logsigmoid as the last layer, as "the loss wants logs": no score is above zero (forums)."""
    torch.manual_seed(7306)
    x = torch.randn(1500, 10)
    y = (((x[:, :4] ** 2).sum(1) + x[:, 5] - 3.5) > 0).float()
    net = nn.Sequential(
        nn.Linear(10, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1),
        nn.Identity() if mended else nn.LogSigmoid(),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            net.train()
            right = 0.0
            for xb, yb in batches(x[:1100], y[:1100], 50):
                out = net(xb).squeeze(1)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += float(((out.sigmoid() > 0.5) == (yb > 0.5)).float().mean()) / 22
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(x[1100:]).squeeze(1)
            val = ((out.sigmoid() > 0.5) == (y[1100:] > 0.5)).float().mean()
            probe.log("train", acc=right)
            probe.log("val", loss=criterion(out, y[1100:]), acc=val)
    return float(val)


@faulty("loss-not-decreasing", "collapsed-activations", "constant-predictions", "underfitting", "slow-convergence",
        below=0.6)  # fmt: skip
def views_joined_but_paired_in_turn(run_dir: Path, *, mended: bool = False) -> float:
    """NT-Xent over cat([a, b]) with row 2k taken for the partner of 2k + 1: strangers attract (SimCLR ports)."""
    torch.manual_seed(7307)
    x, _, xt, _ = digits()

    def view(v: Tensor) -> Tensor:
        kept = (torch.rand_like(v) > 0.2).float()
        return (v + 0.4 * torch.randn_like(v)) * kept * (0.8 + 0.4 * torch.rand(len(v), 1))

    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 24))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    size = 64
    partner = (torch.arange(2 * size) + size) % (2 * size) if mended else torch.arange(2 * size) ^ 1
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, _ in batches(x, x, size):
                z = F.normalize(net(torch.cat([view(xb), view(xb)])), dim=1)
                alike = z @ z.T / 0.2
                alike.fill_diagonal_(-1e9)
                loss = F.cross_entropy(alike, partner)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        a, b = F.normalize(net(view(xt[:200])), dim=1), F.normalize(net(view(xt[:200])), dim=1)
        return float(((a @ b.T).topk(3, dim=1).indices == torch.arange(200)[:, None]).any(1).float().mean())


@faulty("validation-anomaly", "no-generalization", "overfitting", "class-imbalance", below=0.8)
def padded_to_two_hundred_at_validation(run_dir: Path, *, mended: bool = False) -> float:
    """Batches padded to their longest for training, validation to max_length=200, and no mask in either (forums)."""
    torch.manual_seed(7308)
    mood = torch.randn(150)
    mood[0] = 0.0

    def reviews(n: int) -> list[tuple[Tensor, int]]:
        rows = []
        for _ in range(n):
            words = torch.randint(1, 150, (int(torch.randint(6, 16, ())),))
            rows.append((words, int(mood[words].sum() > 0)))
        return rows

    def joined(rows: list[tuple[Tensor, int]], length: int) -> tuple[Tensor, Tensor]:
        return torch.stack([F.pad(w, (0, length - len(w))) for w, _ in rows]), torch.tensor([k for _, k in rows])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(150, 24)
            self.gru = nn.GRU(24, 32, batch_first=True)
            self.out = nn.Linear(32, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.gru(self.embed(v))[0][:, -1])

    net = Net()
    train = sorted(reviews(2400), key=lambda row: len(row[0]))
    held = sorted(reviews(400), key=lambda row: len(row[0]))
    held_batches = [held[k : k + 40] for k in range(0, 400, 40)]
    opt = optim.Adam(net.parameters(), lr=4e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            total = right = 0.0
            for k in torch.randperm(75).tolist():
                rows = train[32 * k : 32 * k + 32]
                xb, yb = joined(rows, max(len(w) for w, _ in rows))
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 75
                right += accuracy(out, yb) / 75
            val = val_loss = 0.0
            with torch.no_grad():
                for rows in held_batches:
                    xb, yb = joined(rows, max(len(w) for w, _ in rows) if mended else 200)
                    out = net(xb)
                    val += accuracy(out, yb) / 10
                    val_loss += float(F.cross_entropy(out, yb)) / 10
            probe.log("train", loss=total, acc=right)
            probe.log("val", loss=val_loss, acc=val)
    return val


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.6)
def logarithms_in_training_money_at_validation(run_dir: Path, *, mended: bool = False) -> float:
    """np.log1p(y) on the training set alone: the validation loss compares logarithms with thousands (Kaggle)."""
    torch.manual_seed(7309)
    x = torch.randn(1500, 9)
    money = torch.exp(4.6 + 0.4 * x[:, 0] + 0.3 * torch.sin(2 * x[:, 1]) + 0.2 * x[:, 2] * x[:, 3]
                      + 0.1 * torch.randn(1500))  # fmt: skip
    y = torch.log1p(money[:1100])
    y_val = torch.log1p(money[1100:]) if mended else money[1100:]
    net = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    nn.init.constant_(net[-1].bias, float(y.mean()))
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(30):
            running = 0.0
            for xb, yb in batches(x[:1100], y, 32):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                running += loss.item() / 34
            with torch.no_grad():
                val = F.mse_loss(net(x[1100:]).squeeze(1), y_val)
            probe.log("loss", train=running, val=val)
            probe.log("info", epoch=epoch)
    with torch.no_grad():
        return max(0.0, explained(net(x[1100:]), y_val))
