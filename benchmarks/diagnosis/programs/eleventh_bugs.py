"""Faulty programs of the eleventh fresh set: the mistakes that are asked about every week, in ordinary nets."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("learning-rate-too-high", "dead-units", "loss-not-decreasing", "constant-predictions", "loss-spikes",
        "exploding-gradients", "oscillating-loss", "weights-growing", "vanishing-gradients", "collapsed-activations",
        "missing-gradients", "loss-diverging", "nonfinite-values", "stalled-run", "noisy-loss",
        below=0.7)  # fmt: skip
def weather_tags_by_momentum_at_a_whole(run_dir: Path, *, mended: bool = False) -> float:
    """SGD(lr=1.0, momentum=0.9) for a small CNN with five tags a picture: "my loss is stuck at 0.6" (forums)."""
    torch.manual_seed(1101)
    stencils = torch.randn(5, 3, 5, 5)

    def pictures(n: int) -> tuple[Tensor, Tensor]:
        tags = (torch.rand(n, 5) < 0.35).float()
        img = 0.7 * torch.randn(n, 3, 16, 16)
        for k in range(5):
            for i in range(n):
                if tags[i, k]:
                    r, c = torch.randint(12, (2,)).tolist()
                    img[i, :, r : r + 5, c : c + 5] += 1.2 * stencils[k]
        return img, tags

    x, y = pictures(1000)
    xt, yt = pictures(300)
    net = nn.Sequential(
        nn.Conv2d(3, 24, 5), nn.ReLU(), nn.Conv2d(24, 32, 3, stride=2), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05 if mended else 1.0, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss()

    def macro_f1() -> float:
        with torch.no_grad():
            told = (net(xt) > 0).float()
        hit = (told * yt).sum(0)
        return float((2 * hit / (told.sum(0) + yt.sum(0)).clamp(min=1)).mean())

    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(16):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            probe.log("val", f1=macro_f1(), epoch=epoch)
    return macro_f1()


@faulty("learning-rate-too-low", "slow-convergence", "loss-not-decreasing", "training-too-short", "underfitting",
        "constant-predictions", below=0.8)  # fmt: skip
def questions_at_the_best_rate_for_adam_hands_down(run_dir: Path, *, mended: bool = False) -> float:
    """Kim's text CNN by SGD at 3e-4, the rate of Karpathy's joke about Adam: the loss is 1.79 for ever."""
    torch.manual_seed(1102)
    keys = torch.randint(20, 400, (6, 12))

    def questions(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(6, (n,))
        words = torch.randint(20, 400, (n, 14))
        for _ in range(3):
            words[torch.arange(n), torch.randint(14, (n,))] = keys[y, torch.randint(12, (n,))]
        return words, y

    class TextCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(400, 48)
            self.convs = nn.ModuleList(nn.Conv1d(48, 32, k) for k in (2, 3, 4))
            self.dropout = nn.Dropout(0.3)
            self.fc = nn.Linear(96, 6)

        def forward(self, v: Tensor) -> Tensor:
            e = self.embedding(v).transpose(1, 2)
            return self.fc(self.dropout(torch.cat([F.relu(c(e)).amax(2) for c in self.convs], 1)))

    net = TextCNN()
    x, y = questions(2000)
    xt, yt = questions(400)
    opt: optim.Optimizer = optim.SGD(net.parameters(), lr=3e-4)
    if mended:
        opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, config={"model": "textcnn"}) as probe:
        for _ in range(12):
            net.train()
            right = total = 0.0
            for xb, yb in batches(x, y, 50):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += accuracy(out, yb) / 40
                total += loss.item() / 40
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("epoch", train_loss=total, train_acc=right, val_loss=F.cross_entropy(out, yt),
                      val_acc=accuracy(out, yt))  # fmt: skip
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "constant-predictions", "loss-not-decreasing", "underfitting", below=0.5)
def q_values_gathered_and_not_squeezed(run_dir: Path, *, mended: bool = False) -> float:
    """DQN: q.gather(1, a) is [B, 1], the target [B], smooth_l1_loss takes [B, B] (the commonest DQN question)."""
    torch.manual_seed(1103)

    def act(s: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        v = 0.9 * s[:, 1] + 0.15 * (a - 1) + 0.01 * torch.randn(len(s))
        p = (s[:, 0] + v).clamp(-2, 2)
        return torch.stack([p, v], 1), 1 - p.abs()

    def starts(n: int) -> Tensor:
        return torch.stack([torch.rand(n) * 4 - 2, torch.rand(n) - 0.5], 1)

    s = starts(6000)
    a = torch.randint(3, (6000,))
    s2, r = act(s, a)

    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))

    policy, target = net(), net()
    target.load_state_dict(policy.state_dict())
    opt = optim.AdamW(policy.parameters(), lr=2e-3, amsgrad=True)

    def reward_per_step(greedy: bool) -> float:
        state, got = starts(300), 0.0
        for _ in range(40):
            with torch.no_grad():
                a = policy(state).argmax(1) if greedy else torch.randint(3, (300,))
            state, reward = act(state, a)
            got += float(reward.mean()) / 40
        return got

    with probes.watch(policy, opt, run_dir) as probe:
        for step in range(1800):
            i = torch.randint(6000, (64,))
            q = policy(s[i]).gather(1, a[i][:, None])
            with torch.no_grad():
                expected = r[i] + 0.9 * target(s2[i]).amax(1)
            loss = F.smooth_l1_loss(q, expected[:, None] if mended else expected)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(policy.parameters(), 100)
            opt.step()
            if step % 50 == 49:
                target.load_state_dict(policy.state_dict())
            if step % 5 == 0:
                probe.log("train", loss=loss, q=q.mean())
            if step % 300 == 299:
                probe.log("eval", reward=reward_per_step(True))
    return reward_per_step(True)


@faulty("loss-output-mismatch", "slow-convergence", "underfitting", "constant-predictions", "class-imbalance",
        "loss-not-decreasing", "vanishing-gradients", "training-too-short", "learning-rate-too-low",
        "saturated-activations", below=0.55)  # fmt: skip
def fields_and_lakes_through_a_softmax_2d(run_dir: Path, *, mended: bool = False) -> float:
    """nn.Softmax2d ends the segmentation net, CrossEntropyLoss takes its output: the rare classes stay black."""
    torch.manual_seed(1104)
    rows = torch.arange(24.0)

    def tiles(n: int) -> tuple[Tensor, Tensor]:
        label = torch.zeros(n, 24, 24, dtype=torch.long)
        for kind in (1, 2):
            centre = torch.rand(n, 2, 1, 1) * 24
            d = (rows[None, :, None] - centre[:, 0]) ** 2 + (rows[None, None] - centre[:, 1]) ** 2
            label[d < (3 + 2 * torch.rand(n, 1, 1)) ** 2] = kind
        shade = torch.tensor([[0.0, 0.9, -0.2], [0.0, 0.3, -0.9], [0.0, 0.4, 1.0]])
        image = shade[:, label].transpose(0, 1) + 0.6 * torch.randn(n, 3, 24, 24)
        return image, label

    x, y = tiles(320)
    xt, yt = tiles(80)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1), nn.Identity() if mended else nn.Softmax2d(),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def mean_iou() -> float:
        with torch.no_grad():
            told = net(xt).argmax(1)
        both = [((told == k) & (yt == k)).sum() / ((told == k) | (yt == k)).sum() for k in (1, 2)]
        return float(sum(both) / 2)

    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 16):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=criterion(out, yt), pixel_acc=(out.argmax(1) == yt).float().mean(), miou=mean_iou())
    return mean_iou()


@faulty("gradients-not-cleared", "exploding-gradients", "loss-not-decreasing", "loss-diverging", "oscillating-loss",
        "learning-rate-too-high", "noisy-loss", "loss-spikes", "weights-growing", "nonfinite-values",
        "saturated-activations", below=0.6)  # fmt: skip
def zero_grad_named_but_not_called(run_dir: Path, *, mended: bool = False) -> float:
    """`optimizer.zero_grad` without its parentheses, in an LSTM that forecasts a load: it runs, and goes wild."""
    torch.manual_seed(1105)
    t = torch.arange(1500.0)
    load = torch.sin(2 * math.pi * t / 24) * (1 + 0.3 * torch.sin(2 * math.pi * t / 168)) + 0.2 * torch.randn(1500)
    windows = ((load - load.mean()) / load.std()).unfold(0, 25, 1)
    x, y = windows[:, :24, None], windows[:, 24]

    class Forecaster(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 24, batch_first=True)
            self.out = nn.Linear(24, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(v)[0][:, -1]).squeeze(-1)

    model = Forecaster()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(14):
            for xb, yb in batches(x[:1150], y[:1150], 32):
                if mended:
                    optimizer.zero_grad()
                else:
                    optimizer.zero_grad  # noqa: B018
                loss = F.mse_loss(model(xb), yb)
                loss.backward()
                optimizer.step()
                probe.log("train", mse=loss)
            with torch.no_grad():
                probe.log("val", mse=F.mse_loss(model(x[1200:]), y[1200:]), epoch=epoch)
    with torch.no_grad():
        return explained(model(x[1200:]), y[1200:])


@faulty("validation-anomaly", "underfitting", "loss-not-decreasing", "noisy-loss", "constant-predictions",
        "no-generalization", "oscillating-loss", "slow-convergence", below=0.75)  # fmt: skip
def breast_density_with_a_batch_of_one(run_dir: Path, *, mended: bool = False) -> float:
    """batch_size=1 "because of memory", and BatchNorm2d: each picture is rid of the contrast it is graded by."""
    torch.manual_seed(1106)
    grid = torch.arange(14.0)

    def films(n: int) -> tuple[Tensor, Tensor]:
        grade = torch.randint(4, (n,))
        film = torch.zeros(n, 14, 14)
        for _ in range(5):
            c = torch.rand(n, 2, 1, 1) * 14
            film += torch.exp(-((grid[None, :, None] - c[:, 0]) ** 2 + (grid[None, None] - c[:, 1]) ** 2) / 6)
        strength = 0.4 + 0.4 * grade + 0.08 * torch.randn(n)
        return (strength[:, None, None] * (film + 0.1 * torch.randn(n, 14, 14)))[:, None] - 0.5, grade

    x, y = films(500)
    xt, yt = films(300)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3), nn.BatchNorm2d(16),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3)
    size = 10 if mended else 1
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(24 if mended else 4):
            net.train()
            for i, (xb, yb) in enumerate(batches(x, y, size)):
                opt.zero_grad()
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                opt.step()
                if i % 10 == 0:
                    probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=100 * accuracy(out, yt), epoch=epoch)
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", "no-generalization", "underfitting", "loss-not-decreasing", below=0.5)
def rows_with_gaps_dropped_but_not_their_targets(run_dir: Path, *, mended: bool = False) -> float:
    """X = X.dropna(); y = y[:len(X)]: from the first gap on every row has the target of another (Stack Overflow)."""
    torch.manual_seed(1107)
    raw = torch.randn(1600, 9)
    mix = torch.randn(9, 3)
    y = (raw @ mix[:, 0]) / 2 + torch.sin(raw @ mix[:, 1] / 2) + 0.5 * (raw[:, 0] * raw[:, 1]) + 0.4 * torch.randn(1600)
    y = (y - y.mean()) / y.std()
    raw[torch.rand(1600, 9) < 0.02] = torch.nan
    whole = ~raw.isnan().any(1)
    x = raw[whole]
    y = y[whole] if mended else y[: len(x)]
    order = torch.randperm(len(x))
    train, val = order[:1000], order[1000:]
    net = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(25):
            total = 0.0
            for xb, yb in batches(x[train], y[train], 25):
                loss = probe.loss_fn(net(xb), yb[:, None])
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 40
            with torch.no_grad():
                val_loss = criterion(net(x[val]), y[val, None])
            probe.log("loss", train=total, val=val_loss)
    with torch.no_grad():
        return explained(net(x[val]), y[val])


@faulty("unexpected-initial-loss", "slow-convergence", "learning-rate-too-low", "training-too-short", "underfitting",
        "constant-predictions", "loss-output-mismatch", "exploding-gradients", below=0.6)  # fmt: skip
def yields_in_kilograms_beside_shares(run_dir: Path, *, mended: bool = False) -> float:
    """Three outputs: 6,000 kg, 12 per cent of protein, a share of 0.2; one MSE of them as they are (forums)."""
    torch.manual_seed(1108)
    x = torch.randn(1300, 10)
    h = torch.tanh(x @ torch.randn(10, 12) / 3) @ torch.randn(12, 3) / 2 + 0.25 * torch.randn(1300, 3)
    y = torch.tensor([6000.0, 12.0, 0.2]) + torch.tensor([1100.0, 1.5, 0.05]) * h
    if mended:
        y = (y - y[:1000].mean(0)) / y[:1000].std(0)
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.Adam(net.parameters(), lr=1e-3)

    def r2() -> float:
        with torch.no_grad():
            out = net(x[1000:])
        return sum(max(-1.0, explained(out[:, k], y[1000:, k])) for k in range(3)) / 3

    with probes.watch(net, opt, run_dir, every=20) as probe:
        for epoch in range(30):
            for xb, yb in batches(x[:1000], y[:1000], 32):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            if epoch % 5 == 4:
                with torch.no_grad():
                    probe.log("val", loss=F.mse_loss(net(x[1000:]), y[1000:]), r2=r2())
    return r2()


@faulty("underfitting", "loss-not-decreasing", "constant-predictions", "slow-convergence", below=0.7)
def self_relu_that_forward_never_calls(run_dir: Path, *, mended: bool = False) -> float:
    """self.relu is made in __init__ and forgotten in forward: how strong a hum is, no linear net can hear."""
    torch.manual_seed(1109)

    def hum(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        t = torch.arange(96.0)
        phase, pitch = 2 * math.pi * torch.rand(n, 1), 0.25 + 0.3 * torch.rand(n, 1)
        wave = (0.3 + 0.5 * y[:, None]) * torch.sin(pitch * t + phase)
        return (wave + 0.25 * torch.randn(n, 96))[:, None], y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv1d(1, 16, 9, stride=2)
            self.conv2 = nn.Conv1d(16, 24, 5, stride=2)
            self.relu = nn.ReLU()
            self.fc1 = nn.Linear(24, 24)
            self.fc2 = nn.Linear(24, 4)

        def forward(self, v: Tensor) -> Tensor:
            if mended:
                v = self.relu(self.conv2(self.relu(self.conv1(v)))).mean(2)
                return self.fc2(self.relu(self.fc1(v)))
            v = self.conv2(self.conv1(v)).mean(2)
            return self.fc2(self.fc1(v))

    net = Net()
    x, y = hum(1000)
    xt, yt = hum(300)
    opt = optim.RMSprop(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            right = 0.0
            for xb, yb in batches(x, y, 25):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                right += accuracy(out, yb) / 40
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("acc", train=right, val=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("constant-predictions", "collapsed-activations", "vanishing-gradients", "missing-gradients", "underfitting",
        "loss-not-decreasing", "parameters-not-updated", "stalled-run", "slow-convergence", below=0.6)  # fmt: skip
def latent_by_sample_instead_of_rsample(run_dir: Path, *, mended: bool = False) -> float:
    """Normal(mu, std).sample() in a VAE: no gradient of the reconstruction comes to the encoder (PyTorch forums)."""
    torch.manual_seed(1110)
    x, _, xt, _ = digits(standard=False)
    x, xt = x / 16, xt / 16

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 12))
            self.decoder = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mu, log_var = self.encoder(v).chunk(2, 1)
            q = distributions.Normal(mu, (log_var / 2).exp())
            return self.decoder(q.rsample() if mended else q.sample()), mu, log_var

    net = VAE()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(35):
            sums = torch.zeros(2)
            for xb, _ in batches(x, x, 64):
                out, mu, log_var = net(xb)
                bce = F.binary_cross_entropy_with_logits(out, xb, reduction="sum") / len(xb)
                kld = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1).mean()
                loss = bce + kld
                opt.zero_grad()
                loss.backward()
                opt.step()
                sums += torch.stack([bce, kld]).detach() / 21
            probe.log("train", elbo_loss=sums.sum(), bce=sums[0], kld=sums[1], epoch=epoch)
    with torch.no_grad():
        return explained(net.decoder(net.encoder(xt)[:, :6]).sigmoid(), xt)


@faulty("validation-anomaly", "no-generalization", "overfitting", "underfitting", below=0.4)
def films_not_seen_count_as_zero_stars(run_dir: Path, *, mended: bool = False) -> float:
    """AutoRec with nn.MSELoss over the whole row: two in three stars are zeros nobody gave (Stack Overflow)."""
    torch.manual_seed(1111)
    users, items = 2000, 60
    taste = torch.randn(users, 2) @ torch.randn(2, items) * 0.7 + 0.4 * torch.randn(items)
    stars = (3.4 + taste + 0.4 * torch.randn(users, items)).round().clamp(1, 5)
    toss = torch.rand(users, items)
    seen, held = toss < 0.35, toss > 0.95
    x = stars * seen

    class AutoRec(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(nn.Dropout(0.5), nn.Linear(items, 32), nn.SELU())
            self.decode = nn.Linear(32, items)

        def forward(self, v: Tensor) -> Tensor:
            return 3.4 + self.decode(self.encode(torch.where(v > 0, v - 3.4, 0)))

    net = AutoRec()
    opt = optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(16):
            net.train()
            for xb, seen_b in batches(x, seen, 50):
                out = net(xb)
                loss = F.mse_loss(out[seen_b], xb[seen_b]) if mended else F.mse_loss(out, xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x)[held], stars[held]), epoch=epoch)
    with torch.no_grad():
        return explained(net(x)[held], stars[held])


@faulty("underfitting", "loss-not-decreasing", "noisy-loss", "slow-convergence", "constant-predictions",
        "validation-anomaly", below=0.75)  # fmt: skip
def tomatoes_under_a_hue_jitter(run_dir: Path, *, mended: bool = False) -> float:
    """ColorJitter(hue=0.5), and the label is how red the tomato is: no colour is left to learn from (forums)."""
    torch.manual_seed(1112)
    grid = torch.arange(12.0) - 5.5
    hues = torch.arange(4)[:, None] * 2 * math.pi / 9 - torch.arange(3) * 2 * math.pi / 3
    colours = 0.45 + 0.35 * hues.cos()  # from red to green

    def tomatoes(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        at = 2 * torch.randn(n, 2, 1, 1)
        d = ((grid[None, :, None] - at[:, 0]) ** 2 + (grid[None, None] - at[:, 1]) ** 2).sqrt()
        inside = torch.sigmoid(3 + torch.rand(n, 1, 1) - d)[:, None]
        back = 0.3 + 0.4 * torch.rand(n, 1, 1, 1)
        skin = colours[y][:, :, None, None] * (0.7 + 0.4 * torch.rand(n, 1, 1, 1))
        return inside * skin + (1 - inside) * back + 0.06 * torch.randn(n, 3, 12, 12), y

    def jitter(v: Tensor, hue: float) -> Tensor:
        angle = 2 * math.pi * hue * (2 * torch.rand(len(v)) - 1)
        around = torch.stack([(1 + 2 * (angle + k * 2 * math.pi / 3).cos()) / 3 for k in range(3)], 1)
        turn = torch.stack([around.roll(k, 1) for k in range(3)], 1)
        return torch.einsum("nij,njhw->nihw", turn, v)

    x, y = tomatoes(900)
    xt, yt = tomatoes(300)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 4),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1.5e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(14):
            total = right = 0.0
            for xb, yb in batches(x, y, 30):
                out = net((jitter(xb, 0.04 if mended else 0.5) - 0.4) / 0.25)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 30
                right += accuracy(out, yb) / 30
            with torch.no_grad():
                out = net((xt - 0.4) / 0.25)
            probe.log("train", loss=total, accuracy=right)
            probe.log("val", loss=criterion(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net((xt - 0.4) / 0.25), yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.8)
def padded_before_in_training_and_behind_later(run_dir: Path, *, mended: bool = False) -> float:
    """Reviews padded "pre" for training, as Keras does, "post" at validation; the last state of an LSTM is read."""
    torch.manual_seed(1113)
    mood = torch.zeros(120)
    mood[10:40], mood[40:70] = 1, -1

    def reviews(n: int, before: bool) -> tuple[Tensor, Tensor]:
        x = torch.zeros(n, 48, dtype=torch.long)
        y = torch.randint(2, (n,))
        for i in range(n):
            length = int(torch.randint(5, 16, (1,)))
            words = torch.randint(70, 120, (length,))
            told = torch.randperm(length)[: 3 + length // 4]
            wanted = torch.where(torch.rand(len(told)) < 0.85, int(y[i]), 1 - int(y[i]))
            words[told] = torch.where(wanted == 1, 10, 40) + torch.randint(30, (len(told),))
            y[i] = int(mood[words].sum() > 0)
            if before:
                x[i, 48 - length :] = words
            else:
                x[i, :length] = words
        return x, y

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(120, 16)
            self.lstm = nn.LSTM(16, 24, batch_first=True)
            self.fc = nn.Linear(24, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(self.lstm(self.embed(v))[1][0][-1])

    net = Reader()
    x, y = reviews(2000, True)
    xt, yt = reviews(300, mended)
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(6):
            total = right = 0.0
            for xb, yb in batches(x, y, 40):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                opt.step()
                total += loss.item() / 50
                right += accuracy(out, yb) / 50
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=total, acc=right, epoch=epoch)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "loss-not-decreasing", "training-too-short", "underfitting",
        "parameters-not-updated", "stalled-run", "vanishing-gradients", below=0.8)  # fmt: skip
def poly_rate_of_twelve_epochs_stepped_by_the_batch(run_dir: Path, *, mended: bool = False) -> float:
    """PolynomialLR(total_iters=epochs) and scheduler.step() in the inner loop: the rate is 0 before epoch 1 is over."""
    torch.manual_seed(1114)

    def sentences(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(1, 30, (n, 10))
        y = torch.randint(2, (n,))
        where = torch.stack([torch.randperm(10)[:2].sort().values for _ in range(n)])
        first, second = torch.where(y == 1, 30, 31), torch.where(y == 1, 31, 30)
        words[torch.arange(n), where[:, 0]] = first
        words[torch.arange(n), where[:, 1]] = second
        return words, y

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(32, 32)
            self.position = nn.Parameter(torch.randn(10, 32) * 0.3)
            layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(32, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(v) + self.position).mean(1))

    epochs = 12
    net = Encoder()
    x, y = sentences(1000)
    xt, yt = sentences(300)
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.PolynomialLR(opt, total_iters=epochs, power=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(epochs):
            for i, (xb, yb) in enumerate(batches(x, y, 40)):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if not mended:
                    scheduler.step()
                if i % 5 == 0:
                    probe.log("train", loss=loss.item())
            if mended:
                scheduler.step()
            with torch.no_grad():
                out = net(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("weight-decay-too-strong", "constant-predictions", "underfitting", "loss-not-decreasing",
        "vanishing-gradients", "collapsed-activations", "stalled-run", below=0.7)  # fmt: skip
def decay_of_a_vision_transformer_given_to_sgd(run_dir: Path, *, mended: bool = False) -> float:
    """weight_decay=0.3 of ViT's AdamW written into SGD(lr=0.05): every logit is nought, ln 6 it stays (GitHub)."""
    torch.manual_seed(1115)
    centres = torch.randn(6, 2, 20)

    def songs(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(6, (n,))
        return centres[y, torch.randint(2, (n,))] + 0.8 * torch.randn(n, 20), y

    x, y = songs(1500)
    xt, yt = songs(400)
    net = nn.Sequential(
        nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 6)
    )
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3 if mended else 0.3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(15):
            for xb, yb in batches(x, y, 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("test", accuracy=100 * accuracy(net(xt), yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", "no-generalization", below=0.75)
def u_net_of_three_annotated_slides(run_dir: Path, *, mended: bool = False) -> float:
    """Three slides are annotated, and a U-Net trained on them for 150 epochs: dice of 1.0, and of a half beyond."""
    torch.manual_seed(1116)
    grid = torch.arange(24.0)

    def slides(n: int) -> tuple[Tensor, Tensor]:
        mask = torch.zeros(n, 24, 24)
        img = 0.5 * torch.randn(n, 1, 1) + 0.3 * torch.randn(n, 24, 24)
        tint = 0.8 + 0.6 * torch.rand(n, 1, 1)
        for k in range(6):
            c = torch.rand(n, 2, 1, 1) * 24
            d = ((grid[None, :, None] - c[:, 0]) ** 2 + (grid[None, None] - c[:, 1]) ** 2).sqrt()
            if k < 3:
                disc = d < 2.5 + 1.5 * torch.rand(n, 1, 1)
                img, mask = img + tint * disc, torch.maximum(mask, disc.float())
            else:
                img = img + tint * ((d - 3.5).abs() < 0.8)
        return img[:, None], mask[:, None]

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())
            self.middle = nn.Sequential(
                nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
                nn.Upsample(scale_factor=2),
            )  # fmt: skip
            self.up = nn.Sequential(nn.Conv2d(48, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1))

        def forward(self, v: Tensor) -> Tensor:
            skip = self.down(v)
            return self.up(torch.cat([skip, self.middle(skip)], 1))

    def dice(out: Tensor, mask: Tensor) -> float:
        told = (out > 0).float()
        return float(2 * (told * mask).sum() / (told.sum() + mask.sum()).clamp(min=1))

    net = UNet()
    x, y = slides(240 if mended else 3)
    xt, yt = slides(60)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.BCEWithLogitsLoss()
    epochs, size = (12, 8) if mended else (150, 3)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(epochs):
            for xb, yb in batches(x, y, size):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, dice=dice(out, yb))
            if mended or epoch % 5 == 4:
                with torch.no_grad():
                    out = net(xt)
                probe.log("val", loss=criterion(out, yt), dice=dice(out, yt))
    with torch.no_grad():
        return dice(net(xt), yt)
