"""Faulty programs of the fifth fresh set: nets that cannot learn, or not what they were given."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("underfitting", "slow-convergence", "loss-not-decreasing", "training-too-short", "constant-predictions",
        below=0.85)  # fmt: skip
def heads_by_view(run_dir: Path, *, mended: bool = False) -> float:
    """queries.view(B, H, L, -1) where [B, L, H, D] was to be transposed: positions are taken for heads (Informer2020
    issue 59)."""
    torch.manual_seed(931)

    class Attention(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)

        def forward(self, v: Tensor) -> Tensor:
            b, length, width = v.shape
            parts = self.qkv(v).chunk(3, -1)
            if mended:
                q, k, val = (p.view(b, length, self.heads, -1).transpose(1, 2) for p in parts)
            else:
                q, k, val = (p.reshape(b, self.heads, length, -1) for p in parts)
            mixed = F.scaled_dot_product_attention(q, k, val)
            mixed = mixed.transpose(1, 2).reshape(b, length, width) if mended else mixed.reshape(b, length, width)
            return self.out(mixed)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(12, 32)
            self.place = nn.Parameter(0.1 * torch.randn(16, 32))
            self.first, self.attend, self.second = nn.LayerNorm(32), Attention(32, 8), nn.LayerNorm(32)
            self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
            self.head = nn.Linear(32, 12)

        def forward(self, v: Tensor) -> Tensor:
            h = self.embed(v) + self.place
            h = h + self.attend(self.first(h))
            return self.head(h + self.mlp(self.second(h)))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    xt = torch.randint(12, (200, 16))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            x = torch.randint(12, (32, 16))
            loss = F.cross_entropy(net(x).flatten(0, 1), x.flip(1).flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), xt.flip(1))


@faulty("loss-not-decreasing", "underfitting", "slow-convergence", "constant-predictions", below=0.8)
def lstm_output_viewed_with_time_first(run_dir: Path, *, mended: bool = False) -> float:
    """lstm_out.view(batch, -1) of [time, batch, hidden]: each row is made of several examples (PyTorch forums, "LSTM
    output shape before the linear layer")."""
    torch.manual_seed(932)

    def steps(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(5, (n,))
        t = torch.arange(12.0)
        walk = torch.sin(t * (0.4 + 0.35 * y[:, None]) + 6.28 * torch.rand(n, 1))
        return torch.stack([walk, walk.roll(1, 1)], 2) + 0.2 * torch.randn(n, 12, 2), y

    class Walker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 24)
            self.fc = nn.Linear(24 * 12, 5)

        def forward(self, v: Tensor) -> Tensor:
            out, _ = self.lstm(v.transpose(0, 1))
            if mended:
                out = out.transpose(0, 1)
            return self.fc(out.reshape(len(v), -1))

    net = Walker()
    x, y = steps(960)
    xt, yt = steps(320)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(20):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                val = torch.cat([net(part) for part in xt.split(32)])
            probe.log("val", loss=criterion(val, yt), acc=accuracy(val, yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(torch.cat([net(part) for part in xt.split(32)]), yt)


@faulty("dead-units", "vanishing-gradients", "collapsed-activations", "poor-initialization", "loss-not-decreasing",
        "constant-predictions", "missing-gradients", "parameters-not-updated", "stalled-run",
        below=0.8)  # fmt: skip
def zero_gamma_without_a_shortcut(run_dir: Path, *, mended: bool = False) -> float:
    """ "Zero-init the last gamma of each block" from the ResNet recipes, in a net whose blocks have no shortcut."""
    torch.manual_seed(933)
    x, y, xt, yt = digits(flat=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
            self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
            self.conv3, self.bn3 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
            self.fc = nn.Linear(16 * 4, 10)
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                elif isinstance(m, nn.BatchNorm2d) and not mended:
                    nn.init.zeros_(m.weight)

        def forward(self, v: Tensor) -> Tensor:
            h = F.relu(self.bn1(self.conv1(v)))
            h = F.max_pool2d(F.relu(self.bn2(self.conv2(h))), 2)
            h = F.max_pool2d(F.relu(self.bn3(self.conv3(h))), 2)
            return self.fc(h.flatten(1))

    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(6):
            net.train()
            for i, (xb, yb) in enumerate(batches(x, y, 32)):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if i % 10 == 0:
                    probe.log("train", loss=loss.item(), epoch=epoch)
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("constant-predictions", "collapsed-activations", "loss-not-decreasing", "underfitting", "dead-units",
        "slow-convergence", "missing-gradients", "vanishing-gradients", below=0.6)  # fmt: skip
def layer_norm_of_one_feature(run_dir: Path, *, mended: bool = False) -> float:
    """nn.LayerNorm(1) before a GRU over a series of one feature: a number less its own mean is 0, whatever it was."""
    torch.manual_seed(934)
    t = torch.arange(1500.0)
    series = 20 + 4 * torch.sin(t / 9) + 2 * torch.sin(t / 31) + 0.5 * torch.randn(1500)
    level, spread = series.mean(), series.std()
    windows = series.unfold(0, 21, 1)
    x, y = windows[:, :20, None], (windows[:, 20] - level) / spread

    class Forecast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(1)
            self.gru = nn.GRU(1, 24, batch_first=True)
            self.head = nn.Linear(24, 1)

        def forward(self, v: Tensor) -> Tensor:
            v = (v - level) / spread if mended else self.norm(v)
            return self.head(self.gru(v)[0][:, -1]).squeeze(1)

    net = Forecast()
    if mended:
        del net.norm
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            total = 0.0
            for xb, yb in batches(x[:1100], y[:1100], 44):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 25
            with torch.no_grad():
                probe.log("rmse", train=math.sqrt(total), val=F.mse_loss(net(x[1150:]), y[1150:]).sqrt())
    with torch.no_grad():
        return explained(net(x[1150:]), y[1150:])


@faulty("underfitting", "loss-not-decreasing", "slow-convergence", "constant-predictions", below=0.8)
def kernels_of_one_pixel(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Conv2d(1, 16, 1): the third argument was thought to be the stride; no pixel ever meets another (Stack
    Overflow, Keras' and PyTorch's argument orders)."""
    torch.manual_seed(935)
    rows = torch.arange(16.0)

    def waves(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        angle = y[:, None, None] * math.pi / 4
        phase = 6.28 * torch.rand(n, 1, 1)
        along = rows[:, None] * angle.cos() + rows[None] * angle.sin()
        return (torch.sin(1.3 * along + phase) + 0.3 * torch.randn(n, 16, 16))[:, None], y

    x, y = waves(960)
    xt, yt = waves(320)
    size = 3 if mended else 1
    net = nn.Sequential(
        nn.Conv2d(1, 16, size), nn.ReLU(), nn.Conv2d(16, 16, size), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 4),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3)
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
                right += accuracy(out, yb) / 30
            with torch.no_grad():
                val = net(xt)
            probe.log("train", loss=loss, acc=100 * right)
            probe.log("val", loss=criterion(val, yt), acc=100 * accuracy(val, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("vanishing-gradients", "slow-convergence", "loss-not-decreasing", "underfitting", "training-too-short",
        "collapsed-activations", "learning-rate-too-low", below=0.8)  # fmt: skip
def eight_lstm_layers_for_eight_rows(run_dir: Path, *, mended: bool = False) -> float:
    """nn.LSTM(8, 32, num_layers=8) over the rows of a digit, "more layers for more accuracy": the loss stays at 2.30
    (Stack Overflow and the PyTorch forums, stacked LSTMs that do not learn)."""
    torch.manual_seed(936)
    x, y, xt, yt = digits(flat=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 32, num_layers=1 if mended else 8, batch_first=True)
            self.fc = nn.Linear(32, 10)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.lstm(v.squeeze(1))[0][:, -1])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(9):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.8)
def one_batch_norm_for_two_domains(run_dir: Path, *, mended: bool = False) -> float:
    """Batches of photographs and of drawings by turns through the same BatchNorm: each batch is normalised by its own
    statistics in training, by the average of both in testing (PyTorch forums, "BatchNorm and domain adaptation")."""
    torch.manual_seed(937)
    x, y, xt, yt = digits()
    shift = 4 * torch.randn(64)

    def drawn(v: Tensor) -> Tensor:
        return shift - v

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.BatchNorm1d(64, momentum=0.1) for _ in range(2 if mended else 1)])
            self.body = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))

        def forward(self, v: Tensor, domain: int) -> Tensor:
            return self.body(self.norms[domain if mended else 0](v))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    score = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            net.train()
            right = total = 0.0
            for i, (xb, yb) in enumerate(batches(x, y, 32)):
                domain = i % 2
                out = net(drawn(xb) if domain else xb, domain)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += accuracy(out, yb) / 42
                total += loss.item() / 42
            net.eval()
            with torch.no_grad():
                outs = [net(xt, 0), net(drawn(xt), 1)]
            score = sum(accuracy(out, yt) for out in outs) / 2
            val = sum(float(F.cross_entropy(out, yt)) for out in outs) / 2
            probe.log("epoch", train_loss=total, train_acc=right, val_loss=val, val_acc=score)
    return score


@faulty("nonfinite-values", below=0.8)
def a_sentence_of_padding_alone(run_dir: Path, *, mended: bool = False) -> float:
    """One sentence is empty and all of it is masked: softmax over nothing but -inf is NaN, and so is every weight after
    it (PyTorch issue 41508, NaN in attention with a fully masked row)."""
    torch.manual_seed(938)

    def sentences(n: int) -> tuple[Tensor, Tensor]:
        length = torch.randint(3, 13, (n, 1))
        tokens = torch.randint(1, 20, (n, 12)) * (torch.arange(12) < length)
        y = ((tokens > 14).sum(1) > (tokens == 3).sum(1) + 1).long()
        return tokens, y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 24)
            self.query, self.key, self.value = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 24)
            self.norm = nn.LayerNorm(24)
            self.head = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 2))

        def forward(self, v: Tensor) -> Tensor:
            h, padding = self.embed(v), v == 0
            scores = self.query(h) @ self.key(h).transpose(1, 2) / 24**0.5
            weights = scores.masked_fill(padding[:, None], float("-inf")).softmax(-1)
            h = self.norm(h + weights @ self.value(h))
            kept = (~padding)[..., None]
            return self.head((h * kept).sum(1) / kept.sum(1).clamp(min=1) ** 0.5)

    net = Net()
    x, y = sentences(1000)
    xt, yt = sentences(300)
    if mended:
        x[617, 0] = 1
    else:
        x[617] = 0
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(12):
            for xb, yb in batches(x, y, 25):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", acc=accuracy(net(xt), yt), epoch=epoch)
    with torch.no_grad():
        out = net(xt)
        return accuracy(out, yt) if bool(out.isfinite().all()) else 0.0
