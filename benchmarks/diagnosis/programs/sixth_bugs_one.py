"""Faulty programs of the sixth set: what becomes of gradients between the loss and the weights, and of modes."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage.data import astronaut, coffee
from sklearn.datasets import make_friedman1
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, split
from benchmarks.diagnosis.programs.program import faulty


@faulty("gradients-not-cleared", "exploding-gradients", "loss-not-decreasing", "loss-diverging", "oscillating-loss",
        "learning-rate-too-high", "noisy-loss", "loss-spikes", "weights-growing", "nonfinite-values",
        below=0.8)  # fmt: skip
def friedman_without_zero_grad(run_dir: Path, *, mended: bool = False) -> float:
    """A regression with momentum whose loop has a backward and a step and no zero_grad (the forum's first question)."""
    torch.manual_seed(1611)
    x, y, xt, yt = split(*make_friedman1(1600, noise=0.5, random_state=1))
    m, s = y.mean(), y.std()
    y, yt = (y - m) / s, (yt - m) / s
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    criterion = nn.MSELoss()
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(30):
            running_loss = 0.0
            for inputs, targets in batches(x, y, 32):
                if mended:
                    optimizer.zero_grad()
                loss = criterion(model(inputs).squeeze(1), targets)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
            probe.log("train", loss=running_loss / 37, epoch=epoch)
    with torch.no_grad():
        return explained(model(xt), yt)


class _TextNet(nn.Module):
    """Kim's convolutions over words, on vectors that stay as they are."""

    def __init__(self, vectors: Tensor, registered: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(vectors)
        convs = [nn.Conv1d(vectors.shape[1], 6, k) for k in (2, 3, 4)]
        self.convs = nn.ModuleList(convs) if registered else convs
        self.fc = nn.Linear(18, 4)

    def forward(self, words: Tensor) -> Tensor:
        e = self.embed(words).transpose(1, 2)
        return self.fc(torch.cat([F.relu(conv(e)).amax(2) for conv in self.convs], 1))


@faulty("parameters-not-updated", "underfitting", "slow-convergence", "missing-gradients", "loss-not-decreasing",
        below=0.8)  # fmt: skip
def kernels_of_three_sizes_in_a_list(run_dir: Path, *, mended: bool = False) -> float:
    """self.convs = [nn.Conv1d(...) for k in sizes]: not a ModuleList, so parameters() lacks them (TextCNN issues)."""
    torch.manual_seed(1612)
    vectors = torch.randn(200, 16)

    def questions(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(200, (n, 15))
        y = torch.randint(4, (n,))
        at = torch.randint(13, (n,))
        first = torch.randint(4, (n,)) + 4 * torch.tensor([0, 0, 1, 1])[y]
        second = torch.randint(4, (n,)) + 4 * torch.tensor([2, 3, 2, 3])[y]
        words = torch.where(words < 16, words + 16, words)
        words[torch.arange(n), at], words[torch.arange(n), at + 1] = first, second
        return words, y

    x, y = questions(3000)
    xt, yt = questions(600)
    net = _TextNet(vectors, mended)
    opt = optim.Adam([p for p in net.parameters() if p.requires_grad], lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 50):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("dev", loss=criterion(out, yt), acc=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("missing-gradients", "parameters-not-updated", "underfitting", "loss-not-decreasing", "slow-convergence",
        below=0.85)  # fmt: skip
def encoder_left_under_no_grad(run_dir: Path, *, mended: bool = False) -> float:
    """The GRU's forward stands in a with torch.no_grad() that was written to extract features (PyTorch forum)."""
    torch.manual_seed(1613)

    mood = torch.randn(40)

    def comments(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(40, (n, 12))
        turned = (words[:, :-1] == 0).float()  # "not"
        values = torch.cat([mood[words[:, :1]], mood[words[:, 1:]] * (1 - 2 * turned)], 1)
        return words, (values.sum(1) > 0).long()

    embed, gru, head = nn.Embedding(40, 16), nn.GRU(16, 24, batch_first=True), nn.Linear(24, 2)
    net = nn.ModuleDict({"embed": embed, "gru": gru, "head": head})

    def forward(v: Tensor) -> Tensor:
        with nullcontext() if mended else torch.no_grad():
            features = gru(embed(v))[0][:, -1]
        return head(features)

    x, y = comments(4000)
    xt, yt = comments(500)
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(7):
            for xb, yb in batches(x, y, 40):
                loss = F.cross_entropy(forward(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(forward(xt), yt)


@faulty("validation-anomaly", below=0.9)
def dropout_left_on_at_validation(run_dir: Path, *, mended: bool = False) -> float:
    """No model.eval() before the validation: a net that drops seven tenths is judged while it does (Stack Overflow)."""
    torch.manual_seed(1614)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(216, 64),
        nn.ReLU(), nn.Dropout(0.7), nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()

    def evaluate(inputs: Tensor, targets: Tensor) -> tuple[float, float]:
        if mended:
            net.eval()
        with torch.no_grad():
            out = net(inputs)
        net.train()
        return float(criterion(out, targets)), accuracy(out, targets)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(18):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = criterion(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            val_loss, val_acc = evaluate(xt, yt)
            probe.log("val", loss=val_loss, acc=val_acc)
    return val_acc


@faulty("parameters-not-updated", "underfitting", "slow-convergence", "missing-gradients", below=0.88)
def frozen_body_that_was_never_pretrained(run_dir: Path, *, mended: bool = False) -> float:
    """requires_grad = False for the backbone, as in the transfer tutorial, but pretrained=False (GitHub issues)."""
    torch.manual_seed(1615)
    pictures = [torch.tensor(p()).float().permute(2, 0, 1)[:3] / 255 for p in (astronaut, coffee)]

    def crops(n: int) -> tuple[Tensor, Tensor]:
        """Patches; a quarter each is turned by 0, 90, 180, 270 degrees of its gradient: which way it gets lighter."""
        y = torch.randint(4, (n,))
        rows = []
        for k in y.tolist():
            p = pictures[int(torch.randint(2, ()))]
            i, j = int(torch.randint(p.shape[1] - 12, ())), int(torch.randint(p.shape[2] - 12, ()))
            patch = p[:, i : i + 12, j : j + 12]
            ramp = torch.linspace(-0.1, 0.1, 12)[None, :, None].expand(1, 12, 12)
            rows.append(0.5 * patch + torch.rot90(ramp, k, (1, 2)))
        x = torch.stack(rows)
        return (x - 0.2) / 0.2, y

    body = nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.BatchNorm2d(16),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    net = nn.Sequential(body, nn.Linear(16, 4))
    if not mended:
        for p in body.parameters():
            p.requires_grad = False
    opt = optim.Adam(filter(lambda p: p.requires_grad, net.parameters()), lr=3e-3)
    x, y = crops(1200)
    xt, yt = crops(400)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            net.train()
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 37
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("loss", train=total, val=F.cross_entropy(out, yt))
            probe.log("acc", val=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("missing-gradients", "parameters-not-updated", "stalled-run", "vanishing-gradients", "loss-not-decreasing",
        "underfitting", below=0.5)  # fmt: skip
def zeroed_after_backward_and_before_step(run_dir: Path, *, mended: bool = False) -> float:
    """loss.backward(); optimizer.zero_grad(); optimizer.step(): nothing is ever learnt, nothing complains (forum)."""
    torch.manual_seed(1616)
    t = torch.arange(1500.0)
    wave = torch.sin(t / 9) + 0.5 * torch.sin(t / 31) + 0.1 * torch.randn(1500)
    windows = wave.unfold(0, 31, 1)
    net = nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 1))
    optimizer = optim.RMSprop(net.parameters(), lr=1e-3)
    with probes.watch(net, optimizer, run_dir) as probe:
        for step in range(800):
            rows = windows[torch.randint(1100, (32,))]
            loss = F.smooth_l1_loss(net(rows[:, :30]), rows[:, 30:])
            if mended:
                optimizer.zero_grad()
            loss.backward()
            if not mended:
                optimizer.zero_grad()
            optimizer.step()
            if step % 10 == 0:
                probe.log("train", loss=loss.item())
    with torch.no_grad():
        return explained(net(windows[1150:, :30]), windows[1150:, 30])


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        below=0.8)  # fmt: skip
def clipped_to_a_thousandth(run_dir: Path, *, mended: bool = False) -> float:
    """clip_grad_norm_(parameters, 1e-3) with plain SGD: every step is a ten-thousandth long (GitHub issues)."""
    torch.manual_seed(1617)

    def strokes(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(5, (n,))
        t = torch.linspace(0, 1, 20)
        turn = (y[:, None] - 2) * 2.2 * t + 6.28 * torch.rand(n, 1)
        path = torch.stack([turn.cos(), turn.sin()], 2)
        return path + 0.15 * torch.randn(n, 20, 2), y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 32, batch_first=True)
            self.fc = nn.Linear(32, 5)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.lstm(v)[1][0][0])

    net = Net()
    x, y = strokes(1200)
    xt, yt = strokes(300)
    opt = optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0 if mended else 1e-3)
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        "unexpected-initial-loss", "vanishing-gradients", below=0.85)  # fmt: skip
def loss_divided_by_all_examples(run_dir: Path, *, mended: bool = False) -> float:
    """loss = criterion(out, y) / len(dataset), a mean divided once more, with SGD at a tenth (Stack Overflow)."""
    torch.manual_seed(1618)
    angle = 2 * math.pi * torch.rand(2000)
    y = torch.randint(3, (2000,))
    radius = 1.0 + y + 0.2 * torch.randn(2000)
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], 1) / 2
    x_val, y_val, x, y = x[:500], y[:500], x[500:], y[500:]
    net = nn.Sequential(nn.Linear(2, 48), nn.LeakyReLU(0.1), nn.Linear(48, 24), nn.LeakyReLU(0.1), nn.Linear(24, 3))
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(25):
            right = 0
            for xb, yb in batches(x, y, 25):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                if not mended:
                    loss = loss / len(x)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += int((out.argmax(1) == yb).sum())
            probe.log("train", acc=right / len(x), loss=loss)
    with torch.no_grad():
        return accuracy(net(x_val), y_val)
