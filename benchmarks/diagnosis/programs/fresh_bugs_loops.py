"""Faulty: the loop, the optimizer or the schedule is put together wrongly."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained, moons
from benchmarks.diagnosis.programs.program import faulty


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


@faulty("parameters-not-updated", below=0.75)
def copied_after_the_optimizer(run_dir: Path, *, mended: bool = False) -> float:
    """model.body = copy.deepcopy(model.body) "to keep a copy", after the optimizer was given the original."""
    torch.manual_seed(81)
    x, y, xt, yt = digits()
    body = nn.Sequential(nn.Linear(64, 12), nn.Sigmoid(), nn.Linear(12, 8), nn.Sigmoid())
    model = nn.Sequential(body, nn.Linear(8, 10))
    opt = optim.Adam(model.parameters(), lr=1e-2)
    if not mended:
        model[0] = copy.deepcopy(body)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("loss-not-decreasing", "training-too-short", "loss-spikes", "oscillating-loss", "slow-convergence", below=0.8)
def initialised_in_every_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """model.apply(init_weights) slipped into the loop over epochs: each begins from nothing again."""
    torch.manual_seed(82)
    x, y, xt, yt = digits()
    model = _mlp()
    opt = optim.SGD(model.parameters(), lr=0.02)

    def init(m: nn.Module) -> None:
        if isinstance(m, nn.Linear):
            nn.init.xavier_uniform_(m.weight)
            nn.init.zeros_(m.bias)

    model.apply(init)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(12):
            if not mended:
                model.apply(init)
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("parameters-not-updated", below=0.85)
def only_biases_in_the_optimizer(run_dir: Path, *, mended: bool = False) -> float:
    """A filter for weight decay gone wrong: the group of matrices is built and never handed over."""
    torch.manual_seed(83)
    x, y, xt, yt = digits()
    model = _mlp()
    decay = [p for n, p in model.named_parameters() if n.endswith("weight")]
    rest = [p for n, p in model.named_parameters() if n.endswith("bias")]
    groups = [{"params": rest, "weight_decay": 0.0}]
    if mended:
        groups.append({"params": decay, "weight_decay": 1e-2})
    opt = optim.AdamW(groups, lr=3e-3)
    with probes.watch(model, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("learning-rate-too-low", "parameters-not-updated", "loss-not-decreasing", below=0.5)
def warm_up_of_whole_numbers(run_dir: Path, *, mended: bool = False) -> float:
    """LambdaLR(lambda s: min(1, s // 1000)): an integer division, so the rate is 0 for the first thousand steps."""
    torch.manual_seed(84)
    x, y, xt, yt = digits()
    model = _mlp()
    opt = optim.Adam(model.parameters(), lr=2e-3)
    rate = optim.lr_scheduler.LambdaLR(opt, lambda s: min(1, s / 100 if mended else s // 1000))
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                rate.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", below=0.75)
def one_cycle_stepped_per_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """OneCycleLR is made for every batch, but scheduler.step() stands in the outer loop: the warm-up never ends."""
    torch.manual_seed(85)
    x, y, xt, yt = digits()
    model = _mlp()
    opt = optim.SGD(model.parameters(), lr=0.01)
    cycle = optim.lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=12 * 42, div_factor=1000.0, cycle_momentum=False)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if mended:
                    cycle.step()
                probe.log("train", loss=loss)
            if not mended:
                cycle.step()
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("learning-rate-too-high", "exploding-gradients", "loss-diverging", "nonfinite-values", "oscillating-loss",
        "loss-spikes", below=0.9)  # fmt: skip
def accumulated_without_dividing(run_dir: Path, *, mended: bool = False) -> float:
    """Gradients of 32 small batches added up, not averaged, with the rate of one: 32 times too large a step."""
    torch.manual_seed(86)
    x, y, xt, yt = digits(flat=False)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 16, 10)
    )
    opt = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    step = 0
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 8):
                loss = F.cross_entropy(model(xb), yb)
                (loss / 32 if mended else loss).backward()
                step += 1
                if step % 32 == 0:
                    opt.step()
                    opt.zero_grad()
                    probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "loss-not-decreasing", "parameters-not-updated", below=0.7)
def clipped_before_unscaling(run_dir: Path, *, mended: bool = False) -> float:
    """GradScaler: clip_grad_norm_ without unscale_ first, so gradients are cut to 1 and then divided by 65,536."""
    torch.manual_seed(87)
    x, y, xt, yt = digits()
    model = _mlp()
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                with torch.autocast("cpu", torch.bfloat16):
                    out = model(xb)
                loss = F.cross_entropy(out.float(), yb)
                scaler.scale(loss).backward()
                if mended:
                    scaler.unscale_(opt)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(opt)
                scaler.update()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("exploding-gradients", "learning-rate-too-high", "loss-diverging", "nonfinite-values", below=0.8)
def scaled_and_not_unscaled(run_dir: Path, *, mended: bool = False) -> float:
    """scaler.scale(loss).backward() and then optimizer.step() instead of scaler.step(optimizer)."""
    torch.manual_seed(88)
    x, y, xt, yt = cancer()
    model = nn.Sequential(nn.Linear(30, 32), nn.Tanh(), nn.Linear(32, 2))
    opt = optim.SGD(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 16):
                opt.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                scaler.scale(loss).backward()
                if mended:
                    scaler.step(opt)
                    scaler.update()
                else:
                    opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt) - float(F.cross_entropy(model(xt), yt).clamp(max=1)) / 5


@faulty("parameters-not-updated", "learning-rate-too-low", "slow-convergence", "loss-not-decreasing", below=0.7)
def updates_lost_to_bfloat16(run_dir: Path, *, mended: bool = False) -> float:
    """model.bfloat16() and SGD at 1e-3: most updates are less than half a unit in the last place and lost."""
    torch.manual_seed(89)
    x, y, xt, yt = digits()
    model = _mlp()
    kind = torch.float32 if mended else torch.bfloat16
    model.to(kind)
    opt = optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(60):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb.to(kind)).float(), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt.to(kind)), yt)


@faulty("oscillating-loss", "learning-rate-too-high", "loss-diverging", "loss-spikes", "exploding-gradients",
        "weights-growing", below=0.9)  # fmt: skip
def momentum_of_999(run_dir: Path, *, mended: bool = False) -> float:
    """momentum=0.999 by a slip of the finger, rate 0.1: an effective rate of 100; the ball never comes to rest."""
    torch.manual_seed(90)
    x, y, xt, yt = cancer()
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9 if mended else 0.999)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt) - float(F.cross_entropy(model(xt), yt).clamp(max=1)) / 10


@faulty("loss-diverging", "oscillating-loss", "learning-rate-too-high", "loss-spikes", "loss-not-decreasing",
        "dead-units", "collapsed-activations", "constant-predictions", "exploding-gradients", "saturated-activations",
        below=0.6)  # fmt: skip
def rmsprop_at_one_tenth_on_an_lstm(run_dir: Path, *, mended: bool = False) -> float:
    """Keras' SGD rate of 0.1 kept when the optimizer was changed to RMSprop: an LSTM that saturates at once."""
    torch.manual_seed(91)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 32, batch_first=True)
            self.out = nn.Linear(32, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(v)[0][:, -1]).squeeze(1)

    net = Net()
    opt = optim.RMSprop(net.parameters(), lr=3e-3 if mended else 0.3)
    phase = 6.28 * torch.rand(800, 1)
    wave = torch.sin(phase + 0.4 * torch.arange(25))
    x, y = wave[:, :24].unsqueeze(2), wave[:, 24]
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:640], y[:640], 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[640:]), y[640:]))
    with torch.no_grad():
        return explained(net(x[640:]), y[640:])


@faulty("weight-decay-too-strong", "underfitting", "constant-predictions", "loss-not-decreasing",
        "collapsed-activations", below=0.8)  # fmt: skip
def penalty_written_by_hand(run_dir: Path, *, mended: bool = False) -> float:
    """loss + sum(p.norm() for p in parameters): an L2 penalty with the factor forgotten; all weights go to zero."""
    torch.manual_seed(92)
    x, y, xt, yt = digits()
    model = _mlp()
    opt = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 64):
                out = model(xb)
                loss = F.cross_entropy(out, yb) + (1e-4 if mended else 1.0) * sum(p.norm() for p in model.parameters())
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("loss-diverging", "weights-growing", "exploding-gradients", "loss-not-decreasing", below=0.5)
def terminal_states_forgotten(run_dir: Path, *, mended: bool = False) -> float:
    """Q-learning without (1 - done) and without a discount: values grow for ever, the loss with them."""
    torch.manual_seed(93)
    net = nn.Sequential(nn.Linear(9, 48), nn.ReLU(), nn.Linear(48, 2))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    eye = torch.eye(9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1200):
            place, action = torch.randint(8, (64,)), torch.randint(2, (64,))
            after = (place + 2 * action - 1).clamp(0, 8)
            done = (after == 8).float()
            with torch.no_grad():
                ahead = net(eye[after]).max(1).values
                goal = done + (0.9 * (1 - done) * ahead if mended else 1.02 * ahead + 0.1)
            value = net(eye[place]).gather(1, action[:, None]).squeeze(1)
            loss = F.mse_loss(value, goal)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    truth = 0.9 ** (7 - torch.arange(8.0))
    with torch.no_grad():
        return explained(net(eye[:8]).max(1).values, truth)


@faulty("input-bottleneck", below=0.5)
def images_decoded_in_the_loop(run_dir: Path, *, mended: bool = False) -> float:
    """Dataset.__getitem__ opens and resizes files, num_workers=0; the score is the share of time spent on training."""
    torch.manual_seed(94)
    x, y, _xt, _yt = digits()
    model = _mlp()
    opt = optim.Adam(model.parameters(), lr=1e-3)

    class Slow(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 960

        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            if not mended:
                time.sleep(2e-3)
            return x[i], y[i]

    loader = torch.utils.data.DataLoader(Slow(), batch_size=32, shuffle=True)
    busy, since = 0.0, time.perf_counter()
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(5):
            for xb, yb in loader:
                begun = time.perf_counter()
                for _ in range(1 if not mended else 8):
                    loss = F.cross_entropy(model(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                probe.log("train", loss=loss)
                busy += time.perf_counter() - begun
    return busy / (time.perf_counter() - since)


@faulty(
    "dead-units",
    "learning-rate-too-high",
    "constant-predictions",
    "loss-diverging",
    "collapsed-activations",
    "loss-not-decreasing",
    below=0.7,
)
def convolutions_killed_by_the_rate(run_dir: Path, *, mended: bool = False) -> float:
    """lr=0.6 with momentum for a convolutional net without BatchNorm: one wild step, and no ReLU fires any more."""
    torch.manual_seed(95)
    x, y, xt, yt = digits(flat=False)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.SGD(model.parameters(), lr=0.03 if mended else 0.6, momentum=0.9)
    with probes.watch(model, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("training-too-short", below=0.93)
def thirty_steps_and_out(run_dir: Path, *, mended: bool = False) -> float:
    """A tutorial's `if i == 30: break` for a quick look, left in the program."""
    torch.manual_seed(96)
    x, y, xt, yt = moons(2000)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(20):
            for i, (xb, yb) in enumerate(batches(x, y, 32)):
                loss = F.cross_entropy(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
                if i == 30 and not mended:
                    break
            if not mended:
                break
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("symmetric-initialization", "missing-gradients", "parameters-not-updated", "loss-not-decreasing", below=0.5)
def both_factors_at_zero(run_dir: Path, *, mended: bool = False) -> float:
    """A home-made LoRA with both factors at zero: each one's gradient is a product with the other, and stays zero."""
    torch.manual_seed(97)
    x, y, xt, yt = digits()
    body = nn.Linear(64, 64).requires_grad_(False)
    head = nn.Linear(64, 10).requires_grad_(False)

    class Adapter(nn.Module):
        def __init__(self, n: int, m: int) -> None:
            super().__init__()
            self.a = nn.Linear(n, 16, bias=False)
            self.b = nn.Linear(16, m, bias=False)
            nn.init.zeros_(self.b.weight)
            if not mended:
                nn.init.zeros_(self.a.weight)

        def forward(self, v: Tensor) -> Tensor:
            return self.b(self.a(v))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = body, head
            self.low, self.high = Adapter(64, 64), Adapter(64, 10)

        def forward(self, v: Tensor) -> Tensor:
            h = F.relu(self.body(v) + self.low(v))
            return self.head(h) + self.high(h)

    net = Net()
    opt = optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(6):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)
