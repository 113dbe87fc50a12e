"""Programs whose loop or graph is put together wrongly: what is learned does not reach the weights, or not rightly."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, moons, spirals, wine
from benchmarks.diagnosis.programs.program import faulty


def _net(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@faulty("gradients-not-cleared", below=0.9)
def forgot_zero_grad(run_dir: Path) -> float:
    """optimizer.zero_grad() is missing: the third of Karpathy's list of common mistakes."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(model(xb), yb)
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("gradients-not-cleared", below=0.45)
def forgot_zero_grad_adam(run_dir: Path) -> float:
    """The same with Adam in a regression."""
    torch.manual_seed(0)
    x = torch.randn(1200, 6)
    y = torch.sin(2 * x[:, 0]) * x[:, 1] + x[:, 2]
    model = _net(6, 48, 48, 1)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1000], y[:1000], 50):
                loss = F.mse_loss(model(xb).squeeze(1), yb)
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(model(x[1000:]), y[1000:])


@faulty("missing-gradients", "parameters-not-updated", "loss-not-decreasing", below=0.5)
def zero_grad_before_step(run_dir: Path) -> float:
    """backward, zero_grad, step: the optimizer always sees nothing."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(6):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                optimizer.zero_grad()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("missing-gradients", "parameters-not-updated", "loss-not-decreasing", below=0.5)
def forgot_backward(run_dir: Path) -> float:
    """loss.backward() is missing: every step finds gradients that are None."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 64, 10)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(6):
            for xb, yb in batches(x, y, 32):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("parameters-not-updated", "loss-not-decreasing", below=0.5)
def forgot_step(run_dir: Path) -> float:
    """optimizer.step() is missing: gradients are there, and nothing comes of them."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(6):
            for xb, yb in batches(x, y, 32):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("parameters-not-updated", below=0.8)
def layer_replaced_after_the_optimizer(run_dir: Path) -> float:
    """Fine-tuning with a new last layer made after the optimizer: the optimizer goes on moving the old one."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 64, 32, 5)
    for p in model[:-1].parameters():
        p.requires_grad = False
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    model[-1] = nn.Linear(32, 10)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("parameters-not-updated", "missing-gradients", "underfitting", below=0.9)
def layers_in_a_python_list(run_dir: Path) -> float:
    """Layers kept in a list instead of an nn.ModuleList: parameters() does not know them (PyTorch forum)."""
    torch.manual_seed(0)
    x, y, xt, yt = spirals()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [nn.Linear(2, 4), nn.Linear(4, 4)]
            self.out = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.out(x)

    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("missing-gradients", below=0.93)
def detached_encoder(run_dir: Path) -> float:
    """A .detach() left between encoder and head after debugging."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 6), nn.Tanh())
            self.head = nn.Linear(6, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x).detach())

    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("missing-gradients", "parameters-not-updated", below=0.9)
def encoder_under_no_grad(run_dir: Path) -> float:
    """The recurrent part is run under torch.no_grad() "to save memory"."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn = nn.Embedding(10, 8), nn.GRU(8, 12, batch_first=True)
            self.out = nn.Linear(12, 10)

        def forward(self, tokens: Tensor) -> Tensor:
            with torch.no_grad():
                hidden = self.rnn(self.embed(tokens))[1][0]
            return self.out(hidden)

    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(400):
            tokens = torch.randint(10, (32, 8))
            loss = probe.loss_fn(model(tokens), tokens.sum(1) % 10)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        tokens = torch.randint(10, (500, 8))
        return accuracy(model(tokens), tokens.sum(1) % 10)


@faulty("missing-gradients", "parameters-not-updated", "loss-not-decreasing", below=0.8)
def tensor_made_anew(run_dir: Path) -> float:
    """The output goes through NumPy and comes back with requires_grad=True: backward runs, and ends there."""
    torch.manual_seed(0)
    x, y, xt, yt = wine()
    model = _net(13, 32, 3)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 16):
                out = torch.tensor(model(xb).detach().numpy(), requires_grad=True)
                loss = F.cross_entropy(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("parameters-not-updated", "missing-gradients", "underfitting", "loss-not-decreasing", below=0.9)
def body_frozen_at_random(run_dir: Path) -> float:
    """The code that freezes a pretrained body, run on a body that never was trained, with one unit a class left."""
    torch.manual_seed(0)
    x, y, xt, yt = spirals()
    model = _net(2, 8, 8, 3)
    for p in model[:-1].parameters():
        p.requires_grad = False
    optimizer = optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-2)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 32):
                out = model(xb)
                loss = probe.loss_fn(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("underfitting", "loss-not-decreasing", below=0.9)
def no_activation(run_dir: Path) -> float:
    """NeuraLint's missing non-linearity: linear layers after linear layers on data no line divides."""
    torch.manual_seed(0)
    x, y, xt, yt = spirals()
    model = nn.Sequential(nn.Linear(2, 100), nn.Linear(100, 100), nn.Linear(100, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 32):
                out = model(xb)
                loss = criterion(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("underfitting", "loss-not-decreasing", below=0.5)
def xor_without_hidden_activation(run_dir: Path) -> float:
    """DeepLocalize, the XOR question: no activation between the layers, mean squared error, output stuck at 0.5."""
    torch.manual_seed(0)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(1000):
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(model(x), y)


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.85)
def validation_without_preprocessing(run_dir: Path) -> float:
    """Training images are standardised, validation images come as they are in 0..16 (and so will those in use)."""
    torch.manual_seed(0)
    x, y, *_ = digits(flat=False)
    _x, _y, xt, yt = digits(flat=False, standard=False)
    xt = 255 / 16 * xt
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                out = model(xb)
                loss = criterion(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            model.eval()
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), yt), accuracy=accuracy(model(xt), yt))
            model.train()
    with torch.no_grad():
        return accuracy(model.eval()(xt), yt)


@faulty("no-generalization", "overfitting", "validation-anomaly", below=0.9)
def batch_statistics_of_sorted_evaluation(run_dir: Path) -> float:
    """Never model.eval(): BatchNorm takes the statistics of evaluation batches that hold one class each."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    order = yt.argsort()
    xt, yt = xt[order], yt[order]
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 64):
                out = model(xb)
                loss = F.cross_entropy(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            with torch.no_grad():
                out = torch.cat([model(part) for part in xt.split(16)])
            probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("validation-anomaly", below=0.85)
def evaluated_with_dropout_on(run_dir: Path) -> float:
    """model.eval() is missing: heavy dropout stays on, and validation looks far worse than the model is."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = nn.Sequential(
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Dropout(0.8),
        nn.Linear(256, 64),
        nn.ReLU(),
        nn.Dropout(0.8),
        nn.Linear(64, 10),
    )
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                out = model(xb)
                loss = criterion(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            with torch.no_grad():
                out = model(xt)
                probe.log("val", loss=criterion(out, yt), accuracy=accuracy(out, yt))
    return accuracy(out, yt)


@faulty("nonfinite-values", below=0.9)
def half_precision_adam(run_dir: Path) -> float:
    """model.half() and Adam with its epsilon of 1e-8, which is 0 in float16: NaN after a step or two (many issues)."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _net(64, 64, 10).half()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(2):
            for xb, yb in batches(torch.relu(x), y, 32):
                loss = F.cross_entropy(model(xb.half()).float(), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        out = model(xt.half()).float()
    return accuracy(out, yt) if bool(torch.isfinite(out).all()) else 0.0


@faulty("vanishing-gradients", "slow-convergence", "collapsed-activations", "loss-not-decreasing", below=0.9)
def softmax_in_the_hidden_layers(run_dir: Path) -> float:
    """GitHub, DeepFD's corpus: softmax taken for a hidden activation."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.Softmax(dim=1), nn.Linear(64, 64), nn.Softmax(dim=1), nn.Linear(64, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("constant-predictions", "unnormalized-inputs", "collapsed-activations", "loss-not-decreasing", below=0.7)
def integer_division_of_the_images(run_dir: Path) -> float:
    """images // 255 on integer images: all zero but the few brightest pixels, of which there are none here."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False, standard=False)
    x, xt = (x.long() * 15 // 255).float(), (xt.long() * 15 // 255).float()
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("no-generalization", "overfitting", "loss-not-decreasing", "underfitting", below=0.7)
def labels_shuffled_apart(run_dir: Path) -> float:
    """numpy.random.shuffle on images and on labels, each by itself: pairs are torn apart (Stack Overflow)."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    y = y[torch.randperm(len(y))]
    model = _net(64, 32, 10)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                out = model(xb)
                loss = criterion(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("no-generalization", "overfitting", "loss-not-decreasing", "underfitting", below=0.8)
def labels_shuffled_in_the_loader(run_dir: Path) -> float:
    """Inputs and targets come from two loaders that shuffle each for itself: new pairs in every epoch."""
    torch.manual_seed(0)
    x, y, xt, yt = moons(1200)
    model = _net(2, 32, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=32, shuffle=True)
    targets = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(y), batch_size=32, shuffle=True)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(20):
            for (xb,), (yb,) in zip(inputs, targets, strict=True):
                loss = probe.loss_fn(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)
