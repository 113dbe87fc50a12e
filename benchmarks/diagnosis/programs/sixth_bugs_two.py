"""Faulty programs of the sixth set: losses that do not fit what the net says, and outputs that do not fit the task."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained, text
from benchmarks.diagnosis.programs.program import faulty


@faulty("loss-output-mismatch", "slow-convergence", "underfitting", "loss-not-decreasing", "saturated-activations",
        "vanishing-gradients", below=0.85)  # fmt: skip
def sigmoid_twice_for_tumours(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Sigmoid() last, BCEWithLogitsLoss, and round(sigmoid(out)) again: everything is malign (Stack Overflow)."""
    torch.manual_seed(1621)
    x, y, xt, yt = cancer()
    layers = [nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1)]
    model = nn.Sequential(*layers) if mended else nn.Sequential(*layers, nn.Sigmoid())
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)

    def balanced(logits: Tensor, labels: Tensor) -> float:
        said = torch.round(torch.sigmoid(logits)).flatten()
        return float(((said[labels == 1] == 1).float().mean() + (said[labels == 0] == 0).float().mean()) / 2)

    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 16):
                y_logits = model(xb)
                loss = loss_fn(y_logits, yb[:, None].float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.inference_mode():
                train, test = model(x), model(xt)
                probe.log("train", loss=loss_fn(train, y[:, None].float()), acc=100 * balanced(train, y))
                probe.log("test", loss=loss_fn(test, yt[:, None].float()), acc=100 * balanced(test, yt))
    return balanced(test, yt)


@faulty("loss-output-mismatch", "underfitting", "slow-convergence", "unexpected-initial-loss", "training-too-short",
        below=0.8)  # fmt: skip
def class_numbers_by_regression(run_dir: Path, *, mended: bool = False) -> float:
    """Ten classes, one output, MSELoss against the class's number, rounded to be judged (course forums)."""
    torch.manual_seed(1622)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 10 if mended else 1),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)

    def right(out: Tensor, labels: Tensor) -> float:
        return accuracy(out, labels) if mended else float((out.squeeze(1).round() == labels).float().mean())

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb) if mended else F.mse_loss(out.squeeze(1), yb.float())
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, acc=right(out, yb))
            with torch.no_grad():
                probe.log("val", acc=right(net(xt), yt))
    with torch.no_grad():
        return right(net(xt), yt)


@faulty("loss-output-mismatch", "constant-predictions", "underfitting", "loss-not-decreasing",
        "collapsed-activations", below=0.6)  # fmt: skip
def median_of_n_by_one_against_n(run_dir: Path, *, mended: bool = False) -> float:
    """A pinball loss of one's own on pred [N, 1] and target [N]: an N by N table of errors (PyTorch forum)."""
    torch.manual_seed(1623)
    x = torch.rand(1600, 4) * 2 - 1
    y = torch.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * x[:, 3] + 0.3 * torch.randn(1600).abs()
    net = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    opt = optim.AdamW(net.parameters(), lr=2e-3)

    def pinball(prediction: Tensor, target: Tensor, q: float = 0.5) -> Tensor:
        error = target - prediction
        return torch.maximum(q * error, (q - 1) * error).mean()

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x[:1200], y[:1200], 40):
                pred = net(xb)
                loss = pinball(pred.squeeze(1) if mended else pred, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("loss", pinball=loss)
    with torch.no_grad():
        return explained(net(x[1200:]), y[1200:])


@faulty("loss-output-mismatch", "underfitting", "slow-convergence", below=0.75)
def relu_after_the_last_layer(run_dir: Path, *, mended: bool = False) -> float:
    """A loop adds a ReLU behind every layer, the last too; the targets are standardised, half of them negative."""
    torch.manual_seed(1624)
    x = torch.randn(1500, 6)
    y = x[:, 0] * x[:, 1] + 0.8 * x[:, 2] - x[:, 3].abs() + 0.2 * torch.randn(1500)
    y = (y - y.mean()) / y.std()
    sizes = [6, 48, 48, 1]
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    net = nn.Sequential(*layers[:-1]) if mended else nn.Sequential(*layers)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x[:1100], y[:1100, None], 44):
                loss = criterion(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[1100:]), y[1100:])


class _Decoder(nn.Module):
    """A small decoder of letters."""

    def __init__(self, letters: int, causal: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, 32)
        self.place = nn.Embedding(24, 32)
        layer = nn.TransformerEncoderLayer(32, 2, 64, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, letters)
        self.causal = causal

    def forward(self, v: Tensor) -> Tensor:
        h = self.embed(v) + self.place(torch.arange(v.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(v.shape[1]) if self.causal else None
        return self.head(self.blocks(h, mask=mask))


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.3)
def next_letter_in_full_view(run_dir: Path, *, mended: bool = False) -> float:
    """A language model without a causal mask: the loss goes to nothing, the texts it writes are noise (nanoGPT)."""
    torch.manual_seed(1625)
    letters = text().lower()
    known = sorted(set(letters))
    data = torch.tensor([known.index(c) for c in letters])
    held = data[15000:].unfold(0, 25, 9)
    net = _Decoder(len(known), mended)
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(450):
            piece = torch.stack([data[s : s + 25] for s in torch.randint(15000 - 25, (24,))])
            loss = F.cross_entropy(net(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 45 == 44:
                net.eval()
                with torch.no_grad():
                    last = net(held[:, :13])[:, -1]  # as it is when a text is written
                net.train()
                probe.log("sampled", loss=F.cross_entropy(last, held[:, 13]), acc=accuracy(last, held[:, 13]))
    return accuracy(last, held[:, 13])


@faulty("nonfinite-values", "exploding-gradients", below=0.5)
def angles_by_arccos(run_dir: Path, *, mended: bool = False) -> float:
    """torch.acos of the cosine of two unit vectors as loss: its slope is infinite where they agree (GitHub issues)."""
    torch.manual_seed(1626)
    x = torch.randn(1500, 5)
    way = torch.tensor([[1.0, 0.5, 0, 0, 0.2], [0, 1.0, -0.7, 0, 0], [0, 0, 0.3, 1.2, 0]])
    y = F.normalize(torch.tanh(x @ way.T) + 0.02 * torch.randn(1500, 3), dim=1)
    net = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(40):
            for xb, yb in batches(x[:1200], y[:1200], 24):
                cosine = (F.normalize(net(xb), dim=1) * yb).sum(1)
                if mended:
                    cosine = cosine.clamp(-1 + 1e-6, 1 - 1e-6)
                loss = torch.acos(cosine).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", geodesic=loss)
            if epoch % 5 == 4:
                with torch.no_grad():
                    between = (F.normalize(net(x[1200:]), dim=1) * y[1200:]).sum(1).clamp(-1, 1).acos()
                    probe.log("val", degrees=between.mean().rad2deg())
    score = float(1 - between.mean() / (math.pi / 4))
    return score if math.isfinite(score) else 0.0


@faulty("loss-output-mismatch", "slow-convergence", "underfitting", "vanishing-gradients", "training-too-short",
        "learning-rate-too-low", "loss-not-decreasing", "constant-predictions", below=0.75)  # fmt: skip
def softmax_over_thirty_intents(run_dir: Path, *, mended: bool = False) -> float:
    """return F.softmax(self.fc(h), dim=1) in an intent classifier trained with CrossEntropyLoss (Stack Overflow)."""
    torch.manual_seed(1627)
    about = torch.randint(300, (30, 6))

    def requests(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(30, (n,))
        words = torch.randint(300, (n, 9))
        for place in (1, 3, 4, 7):
            words[:, place] = about[y, torch.randint(6, (n,))]
        return words, y

    class Intent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(300, 32)
            self.lstm = nn.LSTM(32, 48, batch_first=True, bidirectional=True)
            self.fc = nn.Linear(96, 30)

        def forward(self, v: Tensor) -> Tensor:
            h = self.lstm(self.embed(v))[0].mean(1)
            return self.fc(h) if mended else F.softmax(self.fc(h), dim=1)

    x, y = requests(4000)
    xt, yt = requests(500)
    model = Intent()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            hits = 0
            for xb, yb in batches(x, y, 50):
                optimizer.zero_grad()
                scores = model(xb)
                loss = probe.loss_fn(scores, yb)
                loss.backward()
                optimizer.step()
                hits += int((scores.argmax(1) == yb).sum())
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                scores = model(xt)
            probe.log("epoch", train_acc=hits / 4000, val_acc=accuracy(scores, yt), val_loss=criterion(scores, yt))
    return accuracy(scores, yt)


@faulty("constant-predictions", "class-imbalance", "learning-rate-too-low", "slow-convergence", "underfitting",
        "loss-not-decreasing", "training-too-short", "collapsed-activations", below=0.7)  # fmt: skip
def key_points_as_black_heat_maps(run_dir: Path, *, mended: bool = False) -> float:
    """MSE on heat maps of a single small bump: a black map is nearly right, and SGD stays there (pose estimation)."""
    torch.manual_seed(1628)
    grid = torch.arange(16.0)

    def scenes(n: int) -> tuple[Tensor, Tensor, Tensor]:
        at = torch.randint(2, 14, (n, 2))
        off = ((grid[None, :, None] - at[:, 0, None, None]) ** 2, (grid[None, None] - at[:, 1, None, None]) ** 2)
        ring = torch.exp(-(((off[0] + off[1]).sqrt() - 1.5) ** 2) / 0.5)
        return (ring + 0.3 * torch.randn(n, 16, 16))[:, None], torch.exp(-(off[0] + off[1]) / 1.0)[:, None], at

    x, y, _ = scenes(800)
    xt, _, at = scenes(200)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 1, 1)
    )
    opt = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    scale = 100.0 if mended else 1.0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 16):
                loss = scale * F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                found = net(xt).flatten(1).argmax(1)
            found = torch.stack([found // 16, found % 16], 1)
            pck = float(((found - at).abs().amax(1) <= 1).float().mean())
            probe.log("val", pck=pck)
    return pck
