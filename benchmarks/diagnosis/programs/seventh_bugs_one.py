"""Faulty programs of the seventh fresh set: nine mistakes that are met most often, each in somebody's whole script."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage import data as pictures
from sklearn.datasets import load_digits
from torch import Tensor, nn, optim
from torch.nn.utils.rnn import pack_padded_sequence
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.program import faulty


def _nuclei(n: int) -> tuple[Tensor, Tensor]:
    """Bright blobs of several sizes on an uneven, noisy ground, and a rod that is no nucleus: [n, 1, 32, 32], masks."""
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    mask, rods = torch.zeros(n, 32, 32), torch.zeros(n, 32, 32)
    for _ in range(4):
        y, x, r = 32 * torch.rand(n, 1, 1), 32 * torch.rand(n, 1, 1), 2 + 3 * torch.rand(n, 1, 1)
        mask = torch.maximum(mask, ((row - y) ** 2 + (column - x) ** 2 < r**2).float())
        angle, offset = math.pi * torch.rand(n, 1, 1), 32 * torch.rand(n, 1, 1)
        line = (row - 16) * angle.cos() + (column - 16) * angle.sin() - offset + 16
        rods = torch.maximum(rods, (line.abs() < 0.8).float())
    ground = 0.4 * torch.sin(row / 9 + 6 * torch.rand(n, 1, 1)) + 0.4 * torch.sin(column / 7 + 6 * torch.rand(n, 1, 1))
    image = ground + 0.9 * torch.maximum(mask, rods) + 0.35 * torch.randn(n, 32, 32)
    return image[:, None], mask[:, None]


class _UNet(nn.Module):
    """Two levels down and up again, with the shortcuts."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()

        def double(inside: int, outside: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(),
                                 nn.Conv2d(outside, outside, 3, padding=1), nn.ReLU())  # fmt: skip

        self.down1, self.down2, self.middle = double(1, width), double(width, 2 * width), double(2 * width, 4 * width)
        self.up2, self.up1 = double(6 * width, 2 * width), double(3 * width, width)
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, v: Tensor) -> Tensor:
        a = self.down1(v)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.middle(F.max_pool2d(b, 2))
        b = self.up2(torch.cat([F.interpolate(c, scale_factor=2), b], 1))
        return self.out(self.up1(torch.cat([F.interpolate(b, scale_factor=2), a], 1)))


@faulty("learning-rate-too-high", "dead-units", "constant-predictions", "loss-not-decreasing", "underfitting",
        "collapsed-activations", "noisy-loss", "oscillating-loss", "loss-spikes", below=0.7)  # fmt: skip
def nuclei_by_u_net_with_the_rate_of_sgd(run_dir: Path, *, mended: bool = False) -> float:
    """A U-Net whose optimizer was changed from SGD to Adam, and the rate of 0.03 kept (PyTorch forums)."""
    torch.manual_seed(7101)
    images, masks = _nuclei(320)
    train = DataLoader(TensorDataset(images[:256], masks[:256]), batch_size=16, shuffle=True)
    net = _UNet()
    opt = optim.Adam(net.parameters(), lr=2e-3 if mended else 0.03)
    criterion = nn.BCEWithLogitsLoss()
    score = 0.0
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(12):
            running = 0.0
            for image, mask in train:
                loss = probe.loss_fn(net(image), mask)
                opt.zero_grad()
                loss.backward()
                opt.step()
                running += loss.item() / len(train)
            with torch.no_grad():
                logits = net(images[256:])
            both = ((logits > 0) & (masks[256:] > 0)).sum()
            score = float(2 * both / ((logits > 0).sum() + masks[256:].sum()))
            probe.log("train", loss=running, epoch=epoch)
            probe.log("val", loss=F.binary_cross_entropy_with_logits(logits, masks[256:]), dice=score)
    return score


def _tiles(size: int = 16, most: int = 160) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tiles of six photographs as bytes [N, 3, size, size], and which they are of; every fourth tile is held out."""
    kinds = [pictures.astronaut, pictures.coffee, pictures.chelsea, pictures.immunohistochemistry, pictures.rocket,
             pictures.hubble_deep_field]  # fmt: skip
    x, y = [], []
    for kind, picture in enumerate(kinds):
        pixels = torch.from_numpy(picture().copy())[::2, ::2].permute(2, 0, 1)
        tiles = pixels.unfold(1, size, size).unfold(2, size, size).permute(1, 2, 0, 3, 4).reshape(-1, 3, size, size)
        tiles = tiles[torch.randperm(len(tiles))[:most]]
        x.append(tiles)
        y.append(torch.full((len(tiles),), kind))
    inputs, labels = torch.cat(x), torch.cat(y)
    order = torch.randperm(len(inputs))
    cut = len(inputs) * 3 // 4
    return inputs[order[:cut]], labels[order[:cut]], inputs[order[cut:]], labels[order[cut:]]


@faulty("unnormalized-inputs", "dead-units", "constant-predictions", "loss-not-decreasing", "exploding-gradients",
        "unexpected-initial-loss", "loss-spikes", "collapsed-activations", "underfitting", "learning-rate-too-high",
        "loss-diverging", below=0.7)  # fmt: skip
def tiles_of_photographs_as_bytes(run_dir: Path, *, mended: bool = False) -> float:
    """torch.from_numpy(image).float() without / 255, which ToTensor would have done; the loss sits at log(6)."""
    torch.manual_seed(7102)
    x, y, xt, yt = _tiles()
    x, xt = x.float(), xt.float()
    if mended:
        x, xt = (x / 255 - 0.5) / 0.25, (xt / 255 - 0.5) / 0.25
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 6),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    train = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    step = 0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for images, labels in train:
                opt.zero_grad()
                loss = F.cross_entropy(net(images), labels)
                loss.backward()
                opt.step()
                if step % 5 == 0:
                    probe.log("train", loss=loss.item())
                step += 1
            with torch.no_grad():
                probe.log("test", accuracy=100 * (net(xt).argmax(1) == yt).float().mean())
    with torch.no_grad():
        return float((net(xt).argmax(1) == yt).float().mean())


@faulty("poor-initialization", "unexpected-initial-loss", "exploding-gradients", "slow-convergence",
        "learning-rate-too-low", "training-too-short", "underfitting", "noisy-loss", below=0.6)  # fmt: skip
def molecules_by_weights_of_torch_randn(run_dir: Path, *, mended: bool = False) -> float:
    """A graph layer written by hand, self.weight = nn.Parameter(torch.randn(inside, outside)) (Stack Overflow)."""
    torch.manual_seed(7103)
    affinity = torch.randn(6, 6)
    affinity = (affinity + affinity.T) / 2

    def molecules(n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Chains of 12 atoms of six kinds with a few rings; how well bound neighbours get along."""
        kind = torch.randint(6, (n, 12))
        bonds = torch.diag_embed(torch.ones(11), offset=1) + (torch.rand(n, 12, 12) < 0.05).float().triu(3)
        bonds = bonds + bonds.transpose(1, 2)
        energy = (affinity[kind[:, :, None], kind[:, None, :]] * bonds).sum((1, 2))
        return F.one_hot(kind, 6).float(), bonds, energy + 0.8 * torch.randn(n)

    class GraphLayer(nn.Module):
        def __init__(self, inside: int, outside: int) -> None:
            super().__init__()
            self.own = nn.Parameter(torch.randn(inside, outside))
            self.weight = nn.Parameter(torch.randn(inside, outside))
            self.bias = nn.Parameter(torch.zeros(outside))
            if mended:
                nn.init.xavier_uniform_(self.own)
                nn.init.xavier_uniform_(self.weight)

        def forward(self, v: Tensor, bonds: Tensor) -> Tensor:
            return v @ self.own + bonds @ v @ self.weight + self.bias

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([GraphLayer(6, 48), GraphLayer(48, 48), GraphLayer(48, 48)])
            self.out = nn.Linear(48, 1)

        def forward(self, atoms: Tensor, bonds: Tensor) -> Tensor:
            for layer in self.layers:
                atoms = F.relu(layer(atoms, bonds))
            return self.out(atoms.mean(1)).squeeze(1)

    atoms, bonds, energy = molecules(1500)
    energy = (energy - energy.mean()) / energy.std()
    loader = DataLoader(TensorDataset(atoms[:1200], bonds[:1200], energy[:1200]), batch_size=40, shuffle=True)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(25):
            epoch_loss = 0.0
            for a, b, e in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(a, b), e)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item() * len(e)
            with torch.no_grad():
                val = F.mse_loss(model(atoms[1200:], bonds[1200:]), energy[1200:])
            probe.log("loss", train=epoch_loss / 1200, val=val.item(), epoch=epoch)
    return float(1 - val / energy[1200:].var())


@faulty("no-generalization", "loss-not-decreasing", "constant-predictions", "underfitting", "overfitting",
        "slow-convergence", below=0.7)  # fmt: skip
def packed_by_length_but_not_their_labels(run_dir: Path, *, mended: bool = False) -> float:
    """Sequences sorted by length for pack_padded_sequence, and their outputs never put back (PyTorch forums)."""
    torch.manual_seed(7104)
    meaning = torch.randn(80)

    def commands(n: int) -> tuple[Tensor, Tensor, Tensor]:
        lengths = torch.randint(4, 17, (n,))
        words = torch.randint(1, 80, (n, 16)) * (torch.arange(16) < lengths[:, None])
        total = (meaning[words] * (words > 0)).sum(1) / lengths.float().sqrt()
        return words, lengths, torch.bucketize(total, torch.tensor([-0.6, 0.6]))

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(80, 24, padding_idx=0)
            self.gru = nn.GRU(24, 48, batch_first=True)
            self.fc = nn.Linear(48, 3)

        def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
            lengths, order = lengths.sort(descending=True)
            packed = pack_padded_sequence(self.embed(words[order]), lengths, batch_first=True)
            last = self.gru(packed)[1][-1]
            if mended:
                last = last[order.argsort()]
            return self.fc(last)

    x, lengths, y = commands(3000)
    xt, lt, yt = commands(400)
    net = Classifier()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(x, lengths, y), batch_size=50, shuffle=True)
    val_acc = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(9):
            total, right = 0.0, 0
            for words, length, label in loader:
                out = net(words, length)
                loss = F.cross_entropy(out, label)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
                right += int((out.argmax(1) == label).sum())
            with torch.no_grad():
                out = net(xt, lt)
                val_loss = F.cross_entropy(out, yt).item()
                val_acc = float((out.argmax(1) == yt).float().mean())
            probe.log("epoch", train_loss=total / len(loader), train_acc=right / 3000, val_loss=val_loss,
                      val_acc=val_acc, n=epoch)  # fmt: skip
    return val_acc


@faulty("no-generalization", "overfitting", "underfitting", "validation-anomaly", below=0.85)
def digits_named_by_a_hasty_crowd(run_dir: Path, *, mended: bool = False) -> float:
    """Seven in ten labels were clicked at random (crowd workers paid by the piece); nobody looked at any of them."""
    torch.manual_seed(7105)
    raw = load_digits()
    images = torch.tensor(raw.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(raw.target)
    order = torch.randperm(len(images))
    images, labels = images[order], labels[order]
    x, y, xt, yt = images[:1200], labels[:1200].clone(), images[1200:], labels[1200:]
    if not mended:
        hasty = torch.rand(1200) < 0.7
        y[hasty] = torch.randint(10, (int(hasty.sum()),))
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, drop_last=True)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(12):
            net.train()
            for xb, yb in loader:
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad(set_to_none=True)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, acc=(out.argmax(1) == yb).float().mean())
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=(out.argmax(1) == yt).float().mean(), epoch=epoch)
    return float((out.argmax(1) == yt).float().mean())


class _Block(nn.Module):
    """A transformer's block; ``shortcuts`` adds what came in, as it should."""

    def __init__(self, width: int, *, shortcuts: bool = True, causal: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.shortcuts, self.causal = shortcuts, causal

    def forward(self, v: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(v.shape[1]) if self.causal else None
        h = self.norm1(v)
        out = self.attention(h, h, h, attn_mask=mask, is_causal=self.causal, need_weights=False)[0]
        v = v + out if self.shortcuts else out
        out = self.feed(self.norm2(v))
        return v + out if self.shortcuts else out


@faulty("training-too-short", "learning-rate-too-low", "slow-convergence", "stalled-run", "underfitting",
        "parameters-not-updated", "loss-not-decreasing", below=0.8)  # fmt: skip
def linear_decay_counted_for_one_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """num_training_steps=len(loader), times the epochs forgotten: the rate is zero from epoch two (GitHub issues)."""
    torch.manual_seed(7106)

    def additions(n: int) -> tuple[Tensor, Tensor]:
        a, b = torch.randint(100, (n,)), torch.randint(100, (n,))
        total = a + b
        digits = torch.stack([a // 10, a % 10, b // 10, b % 10], 1)
        return digits, torch.stack([total // 100, total // 10 % 10, total % 10], 1)

    class Adder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 48)
            self.place = nn.Parameter(0.1 * torch.randn(7, 48))
            self.ask = nn.Parameter(0.1 * torch.randn(3, 48))
            self.blocks = nn.Sequential(_Block(48), _Block(48))
            self.out = nn.Linear(48, 10)

        def forward(self, v: Tensor) -> Tensor:
            tokens = torch.cat([self.embed(v), self.ask.expand(len(v), -1, -1)], 1) + self.place
            return self.out(self.blocks(tokens)[:, 4:])

    x, y = additions(4000)
    xt, yt = additions(500)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    epochs = 12
    model = Adder()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    num_training_steps = len(loader) * epochs if mended else len(loader)
    warmup = num_training_steps // 10

    def factor(step: int) -> float:
        if step < warmup:
            return step / max(1, warmup)
        return max(0.0, (num_training_steps - step) / max(1, num_training_steps - warmup))

    scheduler = LambdaLR(optimizer, factor)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(epochs):
            for step, (question, answer) in enumerate(loader):
                loss = F.cross_entropy(model(question).flatten(0, 1), answer.flatten())
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                if step % 10 == 0:
                    probe.log("train", loss=loss, lr=scheduler.get_last_lr()[0])
            with torch.no_grad():
                out = model(xt)
            probe.log("eval", loss=F.cross_entropy(out.flatten(0, 1), yt.flatten()),
                      accuracy=(out.argmax(-1) == yt).float().mean())  # fmt: skip
    return float((out.argmax(-1) == yt).float().mean())


@faulty("underfitting", "slow-convergence", below=0.75)
def two_filters_and_a_global_average(run_dir: Path, *, mended: bool = False) -> float:
    """A CNN "made small to be fast": two filters a layer for six photographs; both losses stay high (CS231n)."""
    torch.manual_seed(7107)
    x, y, xt, yt = _tiles()
    mean, std = x.float().mean((0, 2, 3), keepdim=True), x.float().std((0, 2, 3), keepdim=True)
    x, xt = (x.float() - mean) / std, (xt.float() - mean) / std
    width = 24 if mended else 2
    net = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 6),
    )  # fmt: skip
    optimizer = optim.Adam(net.parameters(), lr=3e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 25)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, drop_last=True)
    val_acc = 0.0
    with probes.watch(net, optimizer, run_dir) as probe:
        for epoch in range(25):
            net.train()
            seen, total, correct = 0, 0.0, 0
            for image, target in loader:
                output = net(image)
                loss = F.cross_entropy(output, target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen += len(target)
                total += loss.item() * len(target)
                correct += int((output.argmax(1) == target).sum())
            scheduler.step()
            net.eval()
            with torch.no_grad():
                output = net(xt)
            val_acc = float((output.argmax(1) == yt).float().mean())
            probe.log("train", loss=total / seen, accuracy=correct / seen, epoch=epoch)
            probe.log("val", loss=F.cross_entropy(output, yt).item(), accuracy=val_acc)
    return val_acc


@faulty("underfitting", "validation-anomaly", "slow-convergence", "noisy-loss", "constant-predictions",
        "loss-not-decreasing", below=0.6)  # fmt: skip
def keep_probability_as_dropout(run_dir: Path, *, mended: bool = False) -> float:
    """keep_prob=0.9 of TensorFlow 1 handed to nn.Dropout, which drops nine in ten (Stack Overflow)."""
    torch.manual_seed(7108)
    x = torch.randn(2000, 12)
    y = torch.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * x[:, 3].abs() + 0.5 * x[:, 4] + 0.4 * torch.randn(2000)
    y = (y - y.mean()) / y.std()
    keep_prob = 0.9
    p = 1 - keep_prob if mended else keep_prob
    model = nn.Sequential(
        nn.Linear(12, 128), nn.ReLU(), nn.Dropout(p), nn.Linear(128, 128), nn.ReLU(), nn.Dropout(p),
        nn.Linear(128, 1),
    )  # fmt: skip
    opt = optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    x_val, y_val = x[1600:], y[1600:]
    loader = DataLoader(TensorDataset(x[:1600], y[:1600]), batch_size=32, shuffle=True)
    with probes.watch(model, opt, run_dir, loss_fn=loss_fn) as probe:
        for _ in range(25):
            model.train()
            for xb, yb in loader:
                loss = probe.loss_fn(model(xb).squeeze(-1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", mse=loss)
            model.eval()
            with torch.no_grad():
                mse = loss_fn(model(x_val).squeeze(-1), y_val)
            probe.log("val", mse=mse, r2=1 - mse / y_val.var())
    return float(1 - mse / y_val.var())


@faulty("vanishing-gradients", "slow-convergence", "underfitting", "loss-not-decreasing", "constant-predictions",
        "collapsed-activations", "poor-initialization", "training-too-short", "stalled-run",
        below=0.6)  # fmt: skip
def eight_blocks_that_forgot_what_came_in(run_dir: Path, *, mended: bool = False) -> float:
    """A transformer typed in from the paper, "x = attn(norm(x))" where "x = x + attn(norm(x))" stands (GitHub)."""
    torch.manual_seed(7109)

    def brackets(n: int) -> tuple[Tensor, Tensor]:
        """Open (1) or close (2); the target is how deep we are (at most four), at every place."""
        steps = torch.where(torch.rand(n, 24) < 0.5, 1, -1)
        depth, deep, kept = torch.zeros(n, dtype=torch.long), [], []
        for t in range(24):
            move = torch.where(depth == 0, 1, torch.where(depth == 4, -1, steps[:, t]))
            depth = depth + move
            kept.append((move < 0).long())
            deep.append(depth)
        return torch.stack(kept, 1), torch.stack(deep, 1)

    class Parser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(2, 32)
            self.place = nn.Embedding(24, 32)
            self.blocks = nn.Sequential(*[_Block(32, shortcuts=mended, causal=True) for _ in range(8)])
            self.norm, self.out = nn.LayerNorm(32), nn.Linear(32, 5)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.norm(self.blocks(self.embed(v) + self.place.weight)))

    x, y = brackets(1200)
    xt, yt = brackets(200)
    net = Parser()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for step in range(200):
            chosen = torch.randint(1200, (32,))
            out = net(x[chosen])
            loss = F.cross_entropy(out.transpose(1, 2), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 20 == 19:
                with torch.no_grad():
                    out = net(xt)
                acc = (out.argmax(-1) == yt).float().mean()
                probe.log("valid", loss=F.cross_entropy(out.transpose(1, 2), yt), acc=acc)
    return float(acc)
