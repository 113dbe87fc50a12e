"""Programs whose output layer, loss and targets do not belong together, as they are asked about again and again.

Sources: the questions and repositories that DeepLocalize (Wardat et al. 2021), DeepDiagnosis (2022), UMLAUT (Schoop et
al. 2021), NeuraLint (Nikanjam et al. 2021) and DeepFD (Cao et al. 2022) collected, written anew for PyTorch, and
questions on the PyTorch forum.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, diabetes, digits, explained, iris, moons
from benchmarks.diagnosis.programs.program import faulty


@faulty("loss-output-mismatch", below=0.9)
def softmax_before_cross_entropy(run_dir: Path) -> float:
    """The model ends in nn.Softmax, the loss is CrossEntropyLoss: it cannot fall under ln(1 + 9/e) = 1.46."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
        nn.Softmax(dim=1),
    )  # fmt: skip
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("loss-output-mismatch", "loss-not-decreasing", "constant-predictions", "no-generalization", below=0.9)
def softmax_over_the_batch(run_dir: Path) -> float:
    """F.log_softmax(x, dim=0): the probabilities of a class add up to one over the batch, not over the classes."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=0)

    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=F.nll_loss) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 64):
                loss = probe.loss_fn(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = model(xt[:64])
                probe.log("val", loss=F.nll_loss(out, yt[:64]), accuracy=accuracy(out, yt[:64]))
    with torch.no_grad():
        return accuracy(torch.cat([model(row[None]) for row in xt]), yt)


@faulty("loss-output-mismatch", below=0.9)
def sigmoid_before_bce_with_logits(run_dir: Path) -> float:
    """nn.Sigmoid and then BCEWithLogitsLoss: the loss stops near 0.5, and no output is ever below 0.5."""
    torch.manual_seed(0)
    x, y, xt, yt = moons(1500, 0.1)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y.float(), 32):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt).squeeze(1), yt.float()))
    with torch.no_grad():
        return float(((torch.sigmoid(model(xt).squeeze(1)) > 0.5) == (yt > 0)).float().mean())


@faulty("loss-output-mismatch", "constant-predictions", "missing-gradients", "loss-not-decreasing", below=0.8)
def softmax_of_one_unit(run_dir: Path) -> float:
    """Stack Overflow, many times: softmax over a single output is 1 for everything (here with MSELoss)."""
    torch.manual_seed(0)
    x, y, xt, yt = cancer()
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(dim=1))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y.float(), 32):
                loss = F.mse_loss(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(((model(xt).squeeze(1) > 0.5) == (yt > 0)).float().mean())


@faulty("loss-output-mismatch", "dead-units", "constant-predictions", "missing-gradients", below=0.55)
def relu_on_the_regression_output(run_dir: Path) -> float:
    """A ReLU after the last layer while half of the standardised targets are negative."""
    torch.manual_seed(0)
    x = torch.randn(1500, 4)
    y = torch.sin(x[:, 0]) + x[:, 1] - 0.5 * x[:, 2] * x[:, 3] - 1.0
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1), nn.ReLU())
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, yb in batches(x[:1200], y[:1200], 32):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(x[1200:]).squeeze(1), y[1200:]))
    with torch.no_grad():
        return explained(model(x[1200:]), y[1200:])


@faulty("loss-output-mismatch", "dead-units", "constant-predictions", "missing-gradients", below=0.93)
def relu_before_cross_entropy(run_dir: Path) -> float:
    """The activation of the hidden layers is left on the logits: classes whose logit dies are lost for good."""
    torch.manual_seed(1)
    x, y, xt, yt = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.ReLU())
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.5)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("loss-output-mismatch", "saturated-activations", "constant-predictions", below=0.3)
def tanh_output_for_large_targets(run_dir: Path) -> float:
    """Targets between 25 and 346, output between -1 and 1: it saturates at 1 and stays there."""
    torch.manual_seed(0)
    x, y, xt, yt = diabetes(standard=False)
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1), nn.Tanh())
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(model(xt), yt)


@faulty("loss-output-mismatch", "loss-diverging", "constant-predictions", "no-generalization", below=0.8)
def labels_one_and_two(run_dir: Path) -> float:
    """Stack Overflow: labels 1 and 2 instead of 0 and 1 with a binary cross-entropy, whose value turns negative."""
    torch.manual_seed(0)
    x, y, xt, yt = cancer()
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y.float() + 1, 32):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float((((torch.sigmoid(model(xt).squeeze(1)) > 0.5).long() + 1) == yt + 1).float().mean())


@faulty("loss-output-mismatch", "constant-predictions", "underfitting", "loss-not-decreasing", below=0.5)
def broadcast_targets(run_dir: Path) -> float:
    """(N, 1) against (N,) in a squared error: every output is compared with every target, so it learns their mean."""
    torch.manual_seed(0)
    x = torch.randn(1000, 3)
    y = x @ torch.tensor([2.0, -1.0, 0.5]) + 0.1 * torch.randn(1000)
    model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.MSELoss()
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            for xb, yb in batches(x[:800], y[:800], 32):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(x[800:]), y[800:]))
    with torch.no_grad():
        return explained(model(x[800:]), y[800:])


@faulty("loss-output-mismatch", "underfitting", "slow-convergence", below=0.9)
def squared_error_on_class_numbers(run_dir: Path) -> float:
    """DeepLocalize, Stack Overflow 31627380: one linear output regressed on the class number, then rounded."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y.float(), 32):
                loss = criterion(model(xb).squeeze(1), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                right = (model(xt).squeeze(1).round() == yt).float().mean()
                probe.log("val", loss=criterion(model(xt).squeeze(1), yt.float()), accuracy=right)
    with torch.no_grad():
        return float((model(xt).squeeze(1).round() == yt).float().mean())


@faulty("loss-output-mismatch", "slow-convergence", "learning-rate-too-low", "vanishing-gradients", below=0.9)
def squared_error_with_softmax(run_dir: Path) -> float:
    """AutoTrainer's and UMLAUT's favourite: softmax and mean squared error on one-hot targets, SGD 0.01."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), nn.Softmax(dim=-1))
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(15):
            for xb, yb in batches(x, F.one_hot(y, 10).float(), 32):
                out = model(xb)
                loss = criterion(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb.argmax(1)))
            with torch.no_grad():
                probe.log("val", accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("loss-output-mismatch", "no-generalization", "underfitting", "loss-not-decreasing", below=0.5)
def logits_viewed_not_transposed(run_dir: Path) -> float:
    """PyTorch forum: logits [batch, time, classes] brought to [batch, classes, time] by view instead of transpose."""
    torch.manual_seed(0)

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn = nn.Embedding(12, 16), nn.GRU(16, 32, batch_first=True)
            self.out = nn.Linear(32, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.rnn(self.embed(tokens))[0])

    model = Tagger()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(300):
            tokens = torch.randint(12, (32, 10))
            tags = (tokens + tokens.roll(1, 1)) % 4
            logits = model(tokens)
            loss = criterion(logits.view(32, 4, 10), tags)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        tokens = torch.randint(12, (200, 10))
        return float((model(tokens).argmax(-1) == (tokens + tokens.roll(1, 1)) % 4).float().mean())


@faulty("loss-diverging", "exploding-gradients", "learning-rate-too-high", "loss-output-mismatch", below=0.9)
def loss_with_the_wrong_sign(run_dir: Path) -> float:
    """Log-likelihood instead of its negative: the loss goes to minus infinity, and the network unlearns."""
    torch.manual_seed(0)
    x, y, xt, yt = iris()
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(300):
            loss = model(x)[torch.arange(len(y)), y].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt)


@faulty("nonfinite-values", below=0.9)
def logarithm_of_zero(run_dir: Path) -> float:
    """A home-made cross-entropy, torch.log of a softmax without epsilon: -inf * 0 is NaN as soon as it is sure."""
    torch.manual_seed(0)
    x, y, xt, yt = moons(1500, 0.02)
    x, xt = 20 * x, 20 * xt
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2), nn.Softmax(dim=1))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(30):
            for xb, yb in batches(x, y, 32):
                loss = -(F.one_hot(yb, 2) * torch.log(model(xb))).sum(1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(model(xt), yt) if bool(torch.isfinite(model(xt)).all()) else 0.0


@faulty("nonfinite-values", below=0.9)
def root_of_zero_distance(run_dir: Path) -> float:
    """A Euclidean distance by torch.sqrt: its gradient at distance 0 is infinite, and NaN after the chain rule."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, optimizer, run_dir) as probe:
        for _ in range(300):
            a, b = torch.randint(len(x), (2, 32))
            same = (y[a] == y[b]).float()
            distance = torch.sqrt(((net(x[a]) - net(x[b])) ** 2).sum(1))  # a pair of an example with itself comes
            loss = (same * distance + (1 - same) * F.relu(1 - distance)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        nearest = torch.nan_to_num(torch.cdist(net(xt), net(x)), nan=1e9).argmin(1)
    return float((y[nearest] == yt).float().mean()) if bool(torch.isfinite(net[0].weight).all()) else 0.0
