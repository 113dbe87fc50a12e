"""Faulty programs of the second fresh set: known mistakes in other surroundings, most of them with little logged."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, moons
from benchmarks.diagnosis.programs.program import faulty
from benchmarks.diagnosis.programs.second_textbook import letters_of


@faulty("loss-output-mismatch", "dead-units", "missing-gradients", "underfitting", "constant-predictions", below=0.7)
def key_points_through_a_relu(run_dir: Path, *, mended: bool = False) -> float:
    """A convolutional regressor of coordinates in -1..1 that ends, like all its layers, in a ReLU."""
    torch.manual_seed(291)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        at = 2 * torch.rand(n, 2) - 1
        grid = torch.linspace(-1, 1, 12)
        d = (grid[None, :, None] - at[:, :1, None]) ** 2 + (grid[None, None] - at[:, 1:, None]) ** 2
        return torch.exp(-8 * d).unsqueeze(1), at

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(200, 48), nn.ReLU(), nn.Linear(48, 2),
        nn.Identity() if mended else nn.ReLU(),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(500):
            x, y = scenes(32)
            loss = F.mse_loss(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x, y = scenes(500)
    with torch.no_grad():
        return explained(net(x), y)


@faulty("learning-rate-too-high", "loss-not-decreasing", "oscillating-loss", "collapsed-activations", below=0.3)
def language_model_at_three_hundredths(run_dir: Path, *, mended: bool = False) -> float:
    """A small GPT with Adam at 0.03, no warm-up: it falls to the frequencies of letters, and stays there."""
    torch.manual_seed(292)
    data, size = letters_of(30000)

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.place = nn.Embedding(size, 48), nn.Embedding(32, 48)
            layer = nn.TransformerEncoderLayer(48, 4, 128, 0.0, batch_first=True)
            self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(48, size)

        def forward(self, v: Tensor) -> Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(v.shape[1])
            h = self.token(v) + self.place(torch.arange(v.shape[1]))
            return self.out(self.blocks(h, mask=mask, is_causal=True))

    net = GPT()
    opt = optim.Adam(net.parameters(), lr=2e-3 if mended else 0.05)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(400):
            start = torch.randint(27000 - 33, (16,))
            both = torch.stack([data[s : s + 33] for s in start])
            loss = F.cross_entropy(net(both[:, :-1]).flatten(0, 1), both[:, 1:].flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    held = data[27000:29970].view(-1, 33)
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten()) / math.log(size))


@faulty("collapsed-activations", "vanishing-gradients", "loss-not-decreasing", "constant-predictions", "underfitting",
        "slow-convergence", "poor-initialization", "dead-units", below=0.7)  # fmt: skip
def sixteen_graph_layers(run_dir: Path, *, mended: bool = False) -> float:
    """Oversmoothing (Li et al. 2018): after sixteen rounds of averaging all nodes have the same features."""
    torch.manual_seed(293)
    group = torch.arange(120) % 3
    a = (torch.rand(120, 120) < torch.where(group[:, None] == group[None], 0.2, 0.03)).float()
    a = ((a + a.T) > 0).float() + torch.eye(120)
    a = a / a.sum(1, keepdim=True)
    x = torch.randn(120, 8) + 0.8 * F.one_hot(group, 8)
    depth = 2 if mended else 16

    class GCN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8 if k == 0 else 16, 16) for k in range(depth))
            self.out = nn.Linear(16, 3)

        def forward(self, v: Tensor) -> Tensor:
            for layer in self.layers:
                v = F.relu(layer(a @ v))
            return self.out(v)

    net = GCN()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    seen = torch.arange(120) < 60
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(150):
            out = net(x)
            loss = F.cross_entropy(out[seen], group[seen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                probe.log("train", loss=loss, accuracy=accuracy(out[seen], group[seen]))
                probe.log("val", accuracy=accuracy(out[~seen], group[~seen]))
    with torch.no_grad():
        return accuracy(net(x)[~seen], group[~seen])


@faulty("vanishing-gradients", "collapsed-activations", "poor-initialization", "loss-not-decreasing",
        "constant-predictions", below=0.8)  # fmt: skip
def twenty_plain_convolutions(run_dir: Path, *, mended: bool = False) -> float:
    """VGG's idea taken too far: twenty convolutions with the default start, no shortcuts, no normalisation."""
    torch.manual_seed(294)
    x, y, xt, yt = digits(flat=False)
    layers: list[nn.Module] = [nn.Conv2d(1, 12, 3, padding=1), nn.ReLU()]
    for _ in range(19):
        layers.append(nn.Conv2d(12, 12, 3, padding=1))
        if mended:
            layers.append(nn.BatchNorm2d(12))
        layers.append(nn.ReLU())
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(768, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(6):
            net.train()
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("missing-gradients", "parameters-not-updated", "learning-rate-too-low", "loss-not-decreasing", below=0.7)
def gradients_below_half_precision(run_dir: Path, *, mended: bool = False) -> float:
    """model.half() with a loss divided by 10^6 "to keep it small": gradients under 6e-8 are zero in float16."""
    torch.manual_seed(295)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 10))
    kind = torch.float32 if mended else torch.float16
    net.to(kind)
    scale = 1e6
    opt = optim.SGD(net.parameters(), lr=0.06 * scale)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb.to(kind)).float(), yb)
                opt.zero_grad()
                (loss / scale).backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt.to(kind)), yt)


@faulty("learning-rate-too-high", "loss-diverging", "nonfinite-values", "exploding-gradients", "loss-spikes",
        "dead-units", below=0.8)  # fmt: skip
def steps_up_not_down(run_dir: Path, *, mended: bool = False) -> float:
    """StepLR(step_size=4, gamma=10): 0.1 was meant, and every fourth epoch the rate is ten times larger."""
    torch.manual_seed(296)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    rate = optim.lr_scheduler.StepLR(opt, 4, 0.1 if mended else 10)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(16):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            rate.step()
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("gradients-not-cleared", "exploding-gradients", "learning-rate-too-high", "oscillating-loss", below=0.95)
def one_of_two_optimizers_cleared(run_dir: Path, *, mended: bool = False) -> float:
    """Encoder and head have an optimizer each; zero_grad() is called on the head's alone."""
    torch.manual_seed(297)
    x, y, xt, yt = digits()
    encoder, head = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh()), nn.Linear(32, 10)
    both = nn.Sequential(encoder, head)
    one, two = optim.SGD(encoder.parameters(), lr=0.05, momentum=0.9), optim.Adam(head.parameters(), lr=1e-3)
    with probes.watch(both, [one, two], run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(both(xb), yb)
                two.zero_grad()
                if mended:
                    one.zero_grad()
                loss.backward()
                one.step()
                two.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(both(xt), yt)


@faulty(
    "no-generalization",
    "validation-anomaly",
    "overfitting",
    "underfitting",
    "loss-not-decreasing",
    "slow-convergence",
    below=0.85,
)
def most_labels_drawn_by_lot(run_dir: Path, *, mended: bool = False) -> float:
    """A bug in the annotation tool: four labels in five are random."""
    torch.manual_seed(298)
    x, y, xt, yt = digits(flat=False)
    if not mended:
        y = torch.where(torch.rand(len(y)) < 0.8, torch.randint(10, y.shape), y)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("unnormalized-inputs", "saturated-activations", "loss-not-decreasing", "constant-predictions",
        "collapsed-activations", below=0.5)  # fmt: skip
def timestamps_as_features(run_dir: Path, *, mended: bool = False) -> float:
    """Seconds since 1970, 1.7e9, as a channel of a GRU's input: the gates close for good."""
    torch.manual_seed(299)
    wave = torch.randn(1200, 20, 2)
    y = wave[:, -4:, 0].sum(1)
    stamp = 1.7e9 + 60 * torch.arange(1200.0)[:, None, None] + torch.arange(20.0)[None, :, None]
    x = torch.cat([wave, (stamp - stamp.mean()) / stamp.std() if mended else stamp], 2)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 32, batch_first=True)
            self.out = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.gru(v)[0][:, -1]).squeeze(1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    order = torch.randperm(1200)
    x, y = x[order], y[order]
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1000], y[:1000], 40):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[1000:]), y[1000:])


@faulty("oscillating-loss", "learning-rate-too-high", "slow-convergence", "loss-diverging", "loss-spikes",
        "loss-not-decreasing", "weights-growing", below=0.85)  # fmt: skip
def betas_swapped(run_dir: Path, *, mended: bool = False) -> float:
    """Adam(betas=(0.999, 0.9)): a momentum of a thousand steps over a scale of ten."""
    torch.manual_seed(300)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.Adam(net.parameters(), lr=5e-3, betas=(0.9, 0.999) if mended else (0.999, 0.9))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt) - float(F.cross_entropy(net(xt), yt).clamp(max=2)) / 10


@faulty("class-imbalance", "constant-predictions", "collapsed-activations", below=0.8)
def padding_counts_as_a_class(run_dir: Path, *, mended: bool = False) -> float:
    """A tagger without ignore_index: nineteen positions in twenty are padding, and padding is all it learns to say."""
    torch.manual_seed(301)
    n, length = 800, 60
    x = torch.zeros(n, length, dtype=torch.long)
    words = torch.randint(3, 5, (n,))
    for i in range(n):
        k = int(words[i])
        x[i, :k] = torch.randint(1, 400, (k,))
    y = torch.where(x > 0, 1 + (x * 7919 % 5), 0)

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(400, 8)
            self.hidden = nn.Linear(8, 16)
            self.out = nn.Linear(16, 6)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(torch.tanh(self.hidden(self.embed(v)))).transpose(1, 2)

    net = Tagger()
    criterion = nn.CrossEntropyLoss(ignore_index=0) if mended else nn.CrossEntropyLoss()
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(30 if mended else 6):
            for xb, yb in batches(x[:700], y[:700], 20):
                out = net(xb)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=(out.argmax(1) == yb).float().mean())
    with torch.no_grad():
        real = y[:700] > 0
        return float((net(x[:700]).argmax(1) == y[:700])[real].float().mean())


@faulty("training-too-short", "slow-convergence", "learning-rate-too-low", below=0.8)
def one_step_an_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """optimizer.step() one indentation too far to the left: it runs after the loop over batches, once an epoch."""
    torch.manual_seed(302)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                if mended:
                    opt.step()
                probe.log("train", loss=loss)
            if not mended:
                opt.step()
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("dead-units", "learning-rate-too-high", "poor-initialization", "collapsed-activations", "loss-not-decreasing",
        "constant-predictions", "underfitting", below=0.9)  # fmt: skip
def narrow_relus_on_moons(run_dir: Path, *, mended: bool = False) -> float:
    """Ten layers of two ReLU units with biases at -0.3: the last layer hears nothing."""
    torch.manual_seed(303)
    x, y, xt, yt = moons(800)
    width = 24 if mended else 2
    sizes = [2] + [width] * (2 if mended else 8)
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layer = nn.Linear(a, b)
        if not mended:
            nn.init.constant_(layer.bias, -0.3)
        layers += [layer, nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(width, 2))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 30):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-diverging", "learning-rate-too-high", "exploding-gradients", "weights-growing", "oscillating-loss",
        "loss-spikes", "nonfinite-values", below=0.5)  # fmt: skip
def value_net_chases_itself(run_dir: Path, *, mended: bool = False) -> float:
    """Temporal differences with features of length 5 and a rate of 0.3, no target net: it runs away."""
    torch.manual_seed(304)
    features = torch.randn(20, 8) * 2
    features[:, 0] = 4
    net = nn.Linear(8, 1, bias=False)
    opt = optim.SGD(net.parameters(), lr=0.005 if mended else 0.06)
    truth = 0.9 ** torch.arange(19, -1, -1.0)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(3000 if mended else 1500):
            s = torch.randint(20, (8,))
            last = (s == 19).float()
            with torch.no_grad():
                goal = last + (1 - last) * 0.9 * net(features[(s + 1).clamp(max=19)]).squeeze(1)
            loss = (net(features[s]).squeeze(1) - goal).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        value = net(features).squeeze(1)
        best = features @ torch.linalg.lstsq(features, truth[:, None]).solution
        return float(1 - (value - best[:, 0]).square().mean() / truth.var())
