"""Faulty programs of the fifth fresh set: loops, optimizers made wrongly, and schedules called wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, split, wine
from benchmarks.diagnosis.programs.program import faulty


@faulty("parameters-not-updated", "missing-gradients", "loss-not-decreasing", "stalled-run",
        "gradients-not-cleared", "exploding-gradients", below=0.9)  # fmt: skip
def optimizer_of_the_first_model(run_dir: Path, *, mended: bool = False) -> float:
    """The optimizer of the notebook's second model was given model_0.parameters() (mrdbourke/pytorch-deep-learning
    issue 399, "loss remains the same")."""
    torch.manual_seed(42)
    x = torch.arange(0, 1, 0.02)[:, None]
    y = 0.7 * x + 0.3
    x, y, xt, yt = x[:40], y[:40], x[40:], y[40:]

    class LinearRegressionModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear_layer = nn.Linear(in_features=1, out_features=1)

        def forward(self, v: Tensor) -> Tensor:
            return self.linear_layer(v)

    model_0 = LinearRegressionModel()
    torch.manual_seed(42)
    model_1 = LinearRegressionModel()
    loss_fn = nn.L1Loss()
    optimizer = optim.SGD(params=(model_1 if mended else model_0).parameters(), lr=0.01)
    with probes.watch(model_1, run_dir=run_dir) as probe:
        for epoch in range(1000):
            model_1.train()
            loss = loss_fn(model_1(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch % 10 == 0:
                with torch.inference_mode():
                    probe.log("test", loss=loss_fn(model_1(xt), yt))
                probe.log("train", loss=loss)
    with torch.no_grad():
        return 1 - float((model_1(xt) - yt).abs().mean()) / 0.2


@faulty("missing-gradients", "parameters-not-updated", "loss-not-decreasing", "stalled-run", "loss-output-mismatch",
        below=0.85)  # fmt: skip
def requires_grad_set_on_the_loss(run_dir: Path, *, mended: bool = False) -> float:
    """The loss is taken of torch.max(out, 1)[1]; backward complains, so loss.requires_grad = True (Stack Overflow,
    "element 0 of tensors does not require grad")."""
    torch.manual_seed(901)
    x, y, xt, yt = wine()
    net = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
    opt = optim.Adam(net.parameters(), lr=0.005)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 19):
                opt.zero_grad()
                out = net(xb)
                if mended:
                    loss = F.cross_entropy(out, yb)
                else:
                    _, predicted = torch.max(out, 1)
                    loss = F.mse_loss(predicted.float(), yb.float())
                    loss.requires_grad = True
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.8)
def tested_one_by_one_without_eval(run_dir: Path, *, mended: bool = False) -> float:
    """Test images are put through one at a time, model.eval() forgotten: every BatchNorm sees a single image (PyTorch
    forums, "good in training, random in testing with batch size 1")."""
    torch.manual_seed(902)

    def skies(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(6, (n,))
        clouds = F.avg_pool2d(torch.randn(n, 1, 16, 16), 3, 1)
        clear = torch.randn(n, 1, 14, 14) / 3
        light = (y % 3 - 1)[:, None, None, None] * 1.2
        return torch.where((y < 3)[:, None, None, None], clouds, clear) + light, y

    x, y = skies(1344)
    xt, yt = skies(200)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 6),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    score = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            net.train()
            correct, total = 0, 0.0
            for xb, yb in batches(x, y, 64):
                opt.zero_grad()
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                loss.backward()
                opt.step()
                total += loss.item()
                correct += int((out.argmax(1) == yb).sum())
            probe.log("train", loss=total / 21, acc=100 * correct / 1344)
            if mended:
                net.eval()
            with torch.no_grad():
                score = sum(int(net(xt[i : i + 1]).argmax()) == int(yt[i]) for i in range(200)) / 200
            probe.log("test", acc=100 * score)
    return score


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        "stalled-run", "parameters-not-updated", below=0.85)  # fmt: skip
def rate_multiplied_again_every_epoch(run_dir: Path, *, mended: bool = False) -> float:
    """adjust_learning_rate of the ImageNet example as many copy it: group["lr"] *= 0.1 ** (epoch // 3), where the
    initial rate was to be multiplied: each epoch divides by ten, then by a hundred, then by a thousand."""
    torch.manual_seed(903)
    t = torch.linspace(0, 1, 40)

    def tones(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(6, (n,))
        wave = torch.sin(6.28 * ((2 + 1.5 * y[:, None]) * t + torch.rand(n, 1)))
        return (wave + 0.9 * torch.randn(n, 40))[:, None], y

    x, y = tones(1200)
    xt, yt = tones(400)
    net = nn.Sequential(
        nn.Conv1d(1, 16, 7, padding=3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(16, 32, 5, padding=2), nn.ReLU(),
        nn.AdaptiveMaxPool1d(4), nn.Flatten(), nn.Linear(128, 6),
    )  # fmt: skip
    initial = 0.003
    opt = optim.SGD(net.parameters(), lr=initial, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(30):
            for group in opt.param_groups:
                if mended:
                    group["lr"] = initial * 0.1 ** (epoch // 24)
                else:
                    group["lr"] *= 0.1 ** (epoch // 3)
            for xb, yb in batches(x, y, 64):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("learning-rate-too-low", "slow-convergence", "training-too-short", "underfitting", "loss-not-decreasing",
        "stalled-run", below=0.8)  # fmt: skip
def lambda_that_returns_the_rate(run_dir: Path, *, mended: bool = False) -> float:
    """LambdaLR multiplies the initial rate by what the function returns; the function returns the rate itself, so Adam
    runs at a millionth (PyTorch forums, "LambdaLR: learning rate is not what I set")."""
    torch.manual_seed(904)
    v = torch.rand(1500, 6) * 4 - 2
    target = torch.sin(v[:, 0] * 2) + v[:, 1] * v[:, 2] + 0.5 * v[:, 3].abs() + 0.1 * torch.randn(1500)
    target = (target - target.mean()) / target.std()
    net = nn.Sequential(nn.Linear(6, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    base = 2e-3

    def lr_lambda(epoch: int) -> float:
        factor = max(0.1, 1 - epoch / 60)
        return factor if mended else base * factor

    opt = optim.Adam(net.parameters(), lr=base)
    scheduler = optim.lr_scheduler.LambdaLR(opt, lr_lambda)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(60):
            total = 0.0
            for xb, yb in batches(v[:1200], target[:1200], 48):
                loss = F.mse_loss(net(xb).squeeze(-1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            scheduler.step()
            probe.log("epoch", train_mse=total / 25, n=epoch)
    with torch.no_grad():
        return explained(net(v[1200:]), target[1200:])


@faulty("parameters-not-updated", "underfitting", "slow-convergence", "training-too-short", below=0.85)
def optimizer_overwritten_module_by_module(run_dir: Path, *, mended: bool = False) -> float:
    """for m in net.children(): optimizer = Adam(m.parameters()): when the loop ends only the last layer has one
    (Stack Overflow, different rates for different layers)."""
    torch.manual_seed(905)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 6, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 10),
    )  # fmt: skip
    if mended:
        optimizer = optim.Adam([{"params": m.parameters()} for m in net if list(m.parameters())], lr=4e-3)
    else:
        for m in net.children():
            if list(m.parameters()):
                optimizer = optim.Adam(m.parameters(), lr=4e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, optimizer, run_dir, loss_fn=criterion) as probe:
        for epoch in range(20):
            for xb, yb in batches(x, y, 32):
                net.zero_grad()
                loss = probe.loss_fn(net(xb), yb)
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", acc=accuracy(net(xt), yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("gradients-not-cleared", "loss-diverging", "exploding-gradients", "oscillating-loss", "loss-spikes",
        "nonfinite-values", "learning-rate-too-high", "loss-not-decreasing", "weights-growing", "noisy-loss",
        "slow-convergence", "underfitting", below=0.92)  # fmt: skip
def closure_that_does_not_clear(run_dir: Path, *, mended: bool = False) -> float:
    """LBFGS with a closure that calls backward and returns the loss, without zero_grad: the gradients of all earlier
    evaluations are in the next (PyTorch forums, "LBFGS loss increases")."""
    torch.manual_seed(906)
    raw = load_breast_cancer()
    x, y, xt, yt = split((raw.data - raw.data.mean(0)) / raw.data.std(0), raw.target.astype(float))
    net = nn.Sequential(nn.Linear(30, 8), nn.Tanh(), nn.Linear(8, 1))
    opt = optim.LBFGS(net.parameters(), lr=0.2, max_iter=5)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):

            def closure() -> float:
                if mended:
                    opt.zero_grad()
                loss = F.binary_cross_entropy_with_logits(net(x).squeeze(1), y)
                loss = loss + 5e-3 * sum((p**2).sum() for p in net.parameters())
                loss.backward()
                return loss  # type: ignore[return-value]

            probe.log("train", loss=opt.step(closure))
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0).float() == yt).float().mean())


class _Descent(optim.Optimizer):
    """Somebody's first optimizer of their own."""

    def __init__(self, params: Any, lr: float, in_place: bool) -> None:
        super().__init__(params, {"lr": lr})
        self.in_place = in_place

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if self.in_place:
                    p -= group["lr"] * p.grad
                else:
                    p = p - group["lr"] * p.grad  # the mistake


@faulty("parameters-not-updated", "loss-not-decreasing", "stalled-run", below=0.85)
def own_descent_that_rebinds(run_dir: Path, *, mended: bool = False) -> float:
    """p = p - lr * p.grad in an optimizer of one's own: the name is bound anew, the weights stay (Stack Overflow,
    "manually update weights in PyTorch")."""
    torch.manual_seed(907)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    opt = _Descent(net.parameters(), 0.1, mended)
    with probes.watch(net, opt, run_dir) as probe:
        step = 0
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                step += 1
                if step % 10 == 0:
                    probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("overfitting", "no-generalization", below=0.85)
def next_of_a_fresh_iterator(run_dir: Path, *, mended: bool = False) -> float:
    """batch = next(iter(loader)) inside the loop, with shuffle=False: the first batch, 600 times (PyTorch forums)."""
    torch.manual_seed(908)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    dataset = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=mended)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for step in range(600):
            inputs, labels = next(iter(loader))
            loss = probe.loss_fn(net(inputs), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 25 == 24:
                with torch.no_grad():
                    out = net(xt)
                    probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)
