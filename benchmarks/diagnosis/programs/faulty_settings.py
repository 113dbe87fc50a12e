"""Programs whose rates, initial weights, data or sizes are wrong, with nothing wrong in the code."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import (
    accuracy,
    batches,
    cancer,
    diabetes,
    digits,
    explained,
    moons,
    spirals,
    split,
    wine,
)
from benchmarks.diagnosis.programs.program import faulty


def _net(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers[:-1])


def _classify(
    run_dir: Path,
    model: nn.Module,
    optimizer: optim.Optimizer,
    data: tuple[Tensor, Tensor, Tensor, Tensor],
    *,
    epochs: int,
    size: int = 32,
    shuffle: bool = True,
    schedule: optim.lr_scheduler.LRScheduler | None = None,
    clip: float | None = None,
) -> float:
    """The loop of most scripts; the score is the accuracy on test examples."""
    x, y, xt, yt = data
    criterion = nn.CrossEntropyLoss()
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(epochs):
            model.train()
            for xb, yb in batches(x, y, size, shuffle=shuffle):
                out = model(xb)
                loss = criterion(out, yb)
                optimizer.zero_grad()
                loss.backward()
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            model.eval()
            with torch.no_grad():
                out = model(xt)
                probe.log("val", loss=criterion(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        out = model(xt)
        return accuracy(out, yt) if bool(torch.isfinite(out).all()) else 0.0


def _regress(
    run_dir: Path,
    model: nn.Module,
    optimizer: optim.Optimizer,
    data: tuple[Tensor, Tensor, Tensor, Tensor],
    epochs: int,
) -> float:
    x, y, xt, yt = data
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(epochs):
            for xb, yb in batches(x, y, 32):
                loss = F.mse_loss(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(model(xt).squeeze(1), yt))
    with torch.no_grad():
        return explained(model(xt), yt)


@faulty("learning-rate-too-high", below=0.9)
def adam_with_rate_one(run_dir: Path) -> float:
    """lr=1.0 taken over from Adadelta to Adam."""
    torch.manual_seed(0)
    model = _net(64, 64, 64, 10)
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=1.0), digits(), epochs=8)


@faulty("learning-rate-too-high", "nonfinite-values", "exploding-gradients", "loss-diverging", below=0.9)
def sgd_with_rate_ten(run_dir: Path) -> float:
    """A learning rate of 10 with momentum."""
    torch.manual_seed(0)
    model = _net(64, 64, 10)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=10, momentum=0.9), digits(), epochs=6)


@faulty("learning-rate-too-high", below=0.9)
def transformer_without_warmup(run_dir: Path) -> float:
    """A post-norm transformer with Adam at 0.05 from the first step."""
    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(8, 32)
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(x.reshape(-1, 8, 8))).mean(1))

    model = Encoder()
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=0.05), digits(), epochs=5, size=64)


@faulty("learning-rate-too-high", "oscillating-loss", "noisy-loss", "loss-diverging", "loss-spikes", below=0.85)
def batch_of_one_with_heavy_momentum(run_dir: Path) -> float:
    """Batches of one example, momentum 0.99 and a rate of 0.02: an effective rate of 2."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 32, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.99)
    return _classify(run_dir, model, optimizer, (x[:500], y[:500], xt, yt), epochs=3, size=1)


@faulty("learning-rate-too-low", below=0.8)
def rate_of_one_in_ten_million(run_dir: Path) -> float:
    """SGD with a learning rate of 1e-7."""
    torch.manual_seed(0)
    model = _net(64, 64, 10)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=1e-7), digits(), epochs=8)


@faulty("learning-rate-too-low", "slow-convergence", below=0.8)
def adam_rate_for_fine_tuning(run_dir: Path) -> float:
    """A rate meant for fine-tuning BERT, 2e-6, on a network that starts from nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    return _classify(run_dir, model, optim.AdamW(model.parameters(), lr=2e-6), digits(flat=False), epochs=10)


@faulty("learning-rate-too-low", "training-too-short", "slow-convergence", below=0.85)
def schedule_stepped_per_batch(run_dir: Path) -> float:
    """StepLR(10, 0.1) meant for epochs but stepped after every batch: the rate is 0 before the first epoch ends."""
    torch.manual_seed(0)
    model = _net(64, 64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.1)
    return _classify(run_dir, model, optimizer, digits(), epochs=10, schedule=schedule)


@faulty("learning-rate-too-low", "slow-convergence", below=0.8)
def clipped_to_nothing(run_dir: Path) -> float:
    """SGD with gradients clipped to a norm of 1e-5."""
    torch.manual_seed(0)
    model = _net(64, 64, 10)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.1), digits(), epochs=8, clip=1e-5)


@faulty("weight-decay-too-strong", below=0.85)
def weight_decay_of_one(run_dir: Path) -> float:
    """SGD with a weight decay of 1.0, as of 1e-4."""
    torch.manual_seed(0)
    model = _net(64, 64, 10)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.05, weight_decay=1.0), digits(), epochs=10)


@faulty("weight-decay-too-strong", "underfitting", below=0.85)
def adam_with_l2(run_dir: Path) -> float:
    """AdamW's usual decay of 0.5 given to Adam, where it is an L2 penalty."""
    torch.manual_seed(0)
    model = _net(64, 64, 64, 10)
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=1e-3, weight_decay=0.5), digits(), epochs=12)


@faulty("underfitting", "noisy-loss", "constant-predictions", "loss-not-decreasing", below=0.8)
def dropout_of_95_percent(run_dir: Path) -> float:
    """nn.Dropout(0.95) where 0.05 was meant (the keep probability of TensorFlow 1)."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(0.95),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(0.95),
        nn.Linear(64, 10),
    )
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=1e-3), digits(), epochs=12)


@faulty("training-too-short", below=0.8)
def one_epoch(run_dir: Path) -> float:
    """A good set-up stopped after a single epoch, while the loss is falling as fast as ever."""
    torch.manual_seed(0)
    model = _net(64, 64, 64, 10)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.03), digits(), epochs=2, size=32)


@faulty("underfitting", below=0.9)
def two_hidden_units(run_dir: Path) -> float:
    """Two hidden units for three spiral arms."""
    torch.manual_seed(0)
    model = _net(2, 2, 3)
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=0.01), spirals(), epochs=60)


@faulty("unnormalized-inputs", below=0.9)
def features_as_measured(run_dir: Path) -> float:
    """Wine as measured: one feature is in the thousands, the others near 1 (Stack Overflow, UMLAUT)."""
    torch.manual_seed(0)
    model = _net(13, 32, 3)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.01), wine(standard=False), epochs=40, size=16)


@faulty("unnormalized-inputs", "saturated-activations", below=0.9)
def sigmoid_units_on_raw_features(run_dir: Path) -> float:
    """Tumour features up to 4,254 into sigmoid units: all of them saturate."""
    torch.manual_seed(0)
    model = _net(30, 16, 2, activation=nn.Sigmoid)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.1), cancer(standard=False), epochs=30)


@faulty("unnormalized-inputs", below=0.95)
def pixels_up_to_255(run_dir: Path) -> float:
    """Images of 0 to 255 into a convolutional network with SGD and momentum."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False, standard=False)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return _classify(run_dir, model, optimizer, (x * 15.9, y, xt * 15.9, yt), epochs=6)


@faulty(
    "unnormalized-inputs", "exploding-gradients", "nonfinite-values", "learning-rate-too-high", "loss-diverging",
    "unexpected-initial-loss", below=0.5,
)  # fmt: skip
def house_prices(run_dir: Path) -> float:
    """Targets of some 200,000 with a squared error and SGD: infinite after a few steps (Stack Overflow)."""
    torch.manual_seed(0)
    x, y, xt, yt = diabetes()
    model = _net(10, 32, 1)
    data = (x, 2e5 + 5e4 * y, xt, 2e5 + 5e4 * yt)
    return _regress(run_dir, model, optim.SGD(model.parameters(), lr=0.01), data, 10)


@faulty("learning-rate-too-high", "exploding-gradients", "unexpected-initial-loss", "nonfinite-values", below=0.9)
def summed_loss(run_dir: Path) -> float:
    """CrossEntropyLoss(reduction="sum") with a batch of 128 and the rate of the mean."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 64, 32, 10)
    criterion = nn.CrossEntropyLoss(reduction="sum")
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 128):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        out = model(xt)
    return accuracy(out, yt) if bool(torch.isfinite(out).all()) else 0.0


@faulty("symmetric-initialization", below=0.9)
def all_weights_zero(run_dir: Path) -> float:
    """nn.init.zeros_ for every weight."""
    torch.manual_seed(0)
    model = _net(64, 64, 10)
    for p in model.parameters():
        nn.init.zeros_(p)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.1), digits(), epochs=8)


@faulty("symmetric-initialization", "saturated-activations", "poor-initialization", below=0.9)
def all_weights_one_half(run_dir: Path) -> float:
    """nn.init.constant_(w, 0.5): all units of a layer stay alike."""
    torch.manual_seed(0)
    model = _net(64, 32, 32, 10, activation=nn.Tanh)
    for p in model.parameters():
        nn.init.constant_(p, 0.5)
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=1e-3), digits(), epochs=8)


@faulty("poor-initialization", "saturated-activations", "vanishing-gradients", "unexpected-initial-loss", below=0.9)
def standard_normal_weights(run_dir: Path) -> float:
    """torch.randn for the weights of a deep tanh network 128 wide: everything saturates."""
    torch.manual_seed(0)
    model = _net(64, 128, 128, 128, 10, activation=nn.Tanh)
    for p in model.parameters():
        nn.init.normal_(p)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.01), digits(), epochs=10)


@faulty("poor-initialization", "vanishing-gradients", "loss-not-decreasing", below=0.9)
def tiny_normal_weights(run_dir: Path) -> float:
    """CS231n's "small random numbers", 0.001 * randn, in a network of six layers."""
    torch.manual_seed(0)
    model = _net(64, 64, 64, 64, 64, 64, 10)
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1e-3)
            nn.init.zeros_(module.bias)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.1), digits(), epochs=10)


@faulty("vanishing-gradients", "loss-not-decreasing", below=0.9)
def ten_sigmoid_layers(run_dir: Path) -> float:
    """AutoTrainer's vanishing gradient case: ten sigmoid layers."""
    torch.manual_seed(0)
    model = _net(64, *[32] * 10, 10, activation=nn.Sigmoid)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.1), digits(), epochs=10)


@faulty("vanishing-gradients", "loss-not-decreasing", below=0.9)
def circles_with_deep_sigmoid(run_dir: Path) -> float:
    """DeepDiagnosis' motivating example, Stack Overflow 31880720: deep sigmoids, one binary output."""
    torch.manual_seed(0)
    x, y, xt, yt = moons(1000, 0.1)
    model = nn.Sequential(*[m for _ in range(7) for m in (nn.LazyLinear(16), nn.Sigmoid())], nn.LazyLinear(1))
    model(x[:2])
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y.float(), 25):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(((model(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


class _Recurrent(nn.Module):
    """A vanilla recurrent network that recalls the first of many symbols."""

    def __init__(self, nonlinearity: str = "tanh", width: int = 32, scale: float | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, 16)
        self.rnn = nn.RNN(16, width, batch_first=True, nonlinearity=nonlinearity)
        self.out = nn.Linear(width, 8)
        if scale is not None:
            nn.init.eye_(self.rnn.weight_hh_l0)  # as in an IRNN (Le et al. 2015)
            self.rnn.weight_hh_l0.data.mul_(scale)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.rnn(self.embed(tokens))[0][:, -1])


def _recall(
    run_dir: Path, model: nn.Module, optimizer: optim.Optimizer, *, length: int, steps: int, clip: float | None = None
) -> float:
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(steps):
            tokens = torch.randint(8, (32, length))
            loss = probe.loss_fn(model(tokens), tokens[:, 0])
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip) if clip is not None else None
            optimizer.step()
            probe.log("train", loss=loss, **({} if norm is None else {"grad_norm": norm}))
    with torch.no_grad():
        tokens = torch.randint(8, (500, length))
        out = model(tokens)
        return accuracy(out, tokens[:, 0]) if bool(torch.isfinite(out).all()) else 0.0


@faulty("vanishing-gradients", "loss-not-decreasing", below=0.5)
def rnn_forgets(run_dir: Path) -> float:
    """Bengio et al. 1994: a tanh RNN must recall a symbol over 60 steps; gradients vanish through time."""
    torch.manual_seed(0)
    model = _Recurrent()
    return _recall(run_dir, model, optim.SGD(model.parameters(), lr=0.1), length=60, steps=400)


@faulty("exploding-gradients", "nonfinite-values", "learning-rate-too-high", "loss-diverging", "loss-spikes", below=0.5)
def rnn_explodes(run_dir: Path) -> float:
    """Pascanu et al. 2013: a ReLU RNN with recurrent weights of 1.4 times the identity over 40 steps, no clipping."""
    torch.manual_seed(0)
    model = _Recurrent("relu", scale=1.4)
    return _recall(run_dir, model, optim.SGD(model.parameters(), lr=0.05), length=40, steps=300)


@faulty("exploding-gradients", "learning-rate-too-high", "unexpected-initial-loss", "poor-initialization", below=0.8)
def rnn_clipped_at_every_step(run_dir: Path) -> float:
    """The same network, clipped at 1: gradients of thousands are cut at every single step, and nothing is learned."""
    torch.manual_seed(0)
    model = _Recurrent("relu", scale=1.3)
    return _recall(run_dir, model, optim.SGD(model.parameters(), lr=0.5), length=40, steps=400, clip=1.0)


@faulty("dead-units", "learning-rate-too-high", below=0.5)
def dying_relu_regression(run_dir: Path) -> float:
    """Lu et al. 2019: a narrow, deep ReLU network for |x| whose units die, and the output is a constant."""
    torch.manual_seed(5)
    x = torch.rand(1200, 1) * 2 - 1
    model = _net(1, 2, 2, 2, 2, 2, 2, 2, 2, 1)
    data = (x[:1000], x[:1000, 0].abs(), x[1000:], x[1000:, 0].abs())
    return _regress(run_dir, model, optim.Adam(model.parameters(), lr=0.01), data, 20)


@faulty("dead-units", "poor-initialization", "missing-gradients", below=0.8)
def negative_biases(run_dir: Path) -> float:
    """Biases set to -10 where weights of +-0.1 were meant: no unit ever fires."""
    torch.manual_seed(0)
    model = _net(64, 64, 64, 10)
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.bias, -10.0)
    return _classify(run_dir, model, optim.SGD(model.parameters(), lr=0.05), digits(), epochs=8)


@faulty("nonfinite-values", below=0.9)
def missing_values_as_nan(run_dir: Path) -> float:
    """A table with a few NaN cells that nobody filled in."""
    torch.manual_seed(0)
    x, y, xt, yt = wine()
    x[7, 3] = x[31, 9] = float("nan")
    model = _net(13, 32, 3)
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=1e-3), (x, y, xt, yt), epochs=30, size=16)


@faulty("class-imbalance", "constant-predictions", below=0.7)
def one_in_a_hundred(run_dir: Path) -> float:
    """One positive in a hundred, unweighted: everything is called negative. The score is the balanced accuracy."""
    torch.manual_seed(0)
    x, y, xt, yt = moons(6000, 0.25)
    kept = (y == 0) | (torch.rand(len(y)) < 0.01)
    model = _net(2, 8, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.02)
    _classify(run_dir, model, optimizer, (x[kept], y[kept], xt[yt == 0], yt[yt == 0]), epochs=10)
    with torch.no_grad():
        right = model(xt).argmax(1) == yt
    return float((right[yt == 0].float().mean() + right[yt == 1].float().mean()) / 2)


@faulty("overfitting", below=0.4)
def more_noise_than_examples(run_dir: Path) -> float:
    """60 examples with 300 features of which 5 matter, a wide network, 150 epochs."""
    torch.manual_seed(0)
    x = torch.randn(1060, 300)
    y = x[:, :5].sum(1) + 0.5 * torch.randn(1060)
    model = _net(300, 256, 256, 1)
    return _regress(run_dir, model, optim.Adam(model.parameters(), lr=1e-3), (x[:60], y[:60], x[60:], y[60:]), 150)


@faulty("overfitting", below=0.9)
def eighty_images(run_dir: Path) -> float:
    """80 images, of which a fifth carry a wrong label, and a network that remembers each of them."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False)
    x, y = x[:80], y[:80].clone()
    y[:16] = torch.randint(10, (16,))
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=1e-3), (x, y, xt, yt), epochs=60, size=16)


@faulty("oscillating-loss", "no-generalization", "noisy-loss", "loss-spikes", "constant-predictions", below=0.85)
def sorted_by_class(run_dir: Path) -> float:
    """Data sorted by class and shuffle=False: it learns one class after the other and forgets the rest."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    order = y.argsort(stable=True)
    model = _net(64, 64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    return _classify(run_dir, model, optimizer, (x[order], y[order], xt, yt), epochs=8, shuffle=False)


@faulty("no-generalization", "overfitting", below=0.3)
def nothing_to_learn(run_dir: Path) -> float:
    """Labels that do not depend on the inputs at all, remembered one by one."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(900, 20, generator=rng).numpy(), torch.randint(5, (900,), generator=rng).numpy()
    model = _net(20, 128, 128, 5)
    return _classify(run_dir, model, optim.Adam(model.parameters(), lr=2e-3), split(x, y), epochs=30)
