"""Healthy trainings of the fourth fresh set: classifiers of pictures and tables, as people write them."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, iris, spirals, wine
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.94)
def keras_digits_in_torch(run_dir: Path) -> float:
    """Keras's mnist_mlp ported: two dense layers, dropout 0.2, RMSprop, accuracy and loss per epoch, both sets."""
    torch.manual_seed(861)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 10),
    )  # fmt: skip
    opt = optim.RMSprop(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(20):
            net.train()
            total = right = 0.0
            for xb, yb in batches(x, y, 64):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 21
                right += accuracy(out, yb) / 21
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("epoch", epoch=epoch, loss=total, accuracy=right, val_loss=F.cross_entropy(out, yt),
                      val_accuracy=accuracy(out, yt))  # fmt: skip
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.95)
def small_vgg_with_batch_norm(run_dir: Path) -> float:
    """Convolution, batch norm, ReLU, twice, pool; SGD with momentum and weight decay, StepLR, thirty epochs."""
    torch.manual_seed(862)
    x, y, xt, yt = digits(flat=False)
    train = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True),
        nn.Conv2d(12, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.StepLR(opt, step_size=10, gamma=0.2)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(30):
            net.train()
            for xb, yb in train:
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            scheduler.step()
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.93)
def shifted_and_noisy_digits(run_dir: Path) -> float:
    """Strong augmentation: training is harder than validation throughout, and its loss stays above (fastai forum)."""
    torch.manual_seed(863)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10),
    )  # fmt: skip
    epochs = 25
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(opt, epochs)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(epochs):
            net.train()
            for xb, yb in batches(x, y, 64):
                moved = torch.roll(xb, tuple(torch.randint(-1, 2, (2,)).tolist()), (2, 3)) + 0.6 * torch.randn_like(xb)
                loss = F.cross_entropy(net(moved), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            scheduler.step()
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


def shapes(n: int) -> tuple[Tensor, Tensor]:
    """Noisy 16x16 pictures of a disc, a square, a cross and a ring, anywhere, and which it is."""
    grid = torch.arange(16.0)
    y = torch.randint(4, (n,))
    at, r = 5 + 6 * torch.rand(n, 2), 3 + 1.5 * torch.rand(n, 1, 1)
    dy, dx = grid[None, :, None] - at[:, :1, None], grid[None, None] - at[:, 1:, None]
    d = (dy**2 + dx**2).sqrt()
    square = (dy.abs() < 0.85 * r) & (dx.abs() < 0.85 * r)
    cross = ((dy.abs() < 1) | (dx.abs() < 1)) & (dy.abs() < r) & (dx.abs() < r)
    kinds = torch.stack([d < r, square, cross, (d < r) & (d > r - 1.6)], 1).float()
    return (kinds[torch.arange(n), y] + 0.25 * torch.randn(n, 16, 16))[:, None], y


@healthy(at_least=0.85)
def four_shapes_with_half_dropped(run_dir: Path) -> float:
    """The CNN of every course, dropout 0.5 before the head, Adam at its default, accuracy in per cent per batch."""
    torch.manual_seed(864)
    x, y = shapes(1500)
    xt, yt = shapes(400)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 64), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(64, 4),
    )  # fmt: skip
    opt = optim.Adam(net.parameters())
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            net.train()
            for xb, yb in batches(x, y, 50):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item(), acc=100 * accuracy(out, yb))
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("test", loss=F.cross_entropy(out, yt), acc=100 * accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.72)
def passengers_of_the_titanic(run_dir: Path) -> float:
    """Kaggle's first competition, made up: chance decides much, 80% is all there is; small net, dropout, 891 rows."""
    torch.manual_seed(865)
    n = 1300
    sex, rank, age = torch.randint(2, (n,)), torch.randint(1, 4, (n,)), (30 + 14 * torch.randn(n)).clamp(1, 80)
    fare = (4 - rank) * 15 * torch.exp(0.6 * torch.randn(n))
    score = 2.6 * sex - 1.1 * (rank - 2) - 0.03 * (age - 30) + 0.004 * fare - 0.9
    y = (torch.rand(n) < score.sigmoid()).float()
    x = torch.stack([sex.float(), rank.float(), age, fare.log1p()], 1)
    x = (x - x[:891].mean(0)) / x[:891].std(0)
    net = nn.Sequential(
        nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)
    )
    opt = optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(40):
            net.train()
            for xb, yb in batches(x[:891], y[:891], 32):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(x[891:]).squeeze(1)
            probe.log("val", loss=criterion(out, y[891:]), accuracy=((out > 0) == (y[891:] > 0)).float().mean())
    with torch.no_grad():
        return float(((net(x[891:]).squeeze(1) > 0) == (y[891:] > 0)).float().mean())


@healthy(at_least=0.93)
def logistic_regression_of_a_thousand_epochs(run_dir: Path) -> float:
    """Andrew Ng's logistic regression: the whole table at each step, weights from zero, cost every ten steps."""
    torch.manual_seed(866)
    x, y, xt, yt = cancer()
    net = nn.Linear(30, 1)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    opt = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1000):
            cost = F.binary_cross_entropy_with_logits(net(x).squeeze(1), y.float())
            opt.zero_grad()
            cost.backward()
            opt.step()
            if step % 10 == 0:
                probe.log("train", cost=cost)
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


@healthy(at_least=0.9)
def lenet_as_lecun_had_it(run_dir: Path) -> float:
    """LeNet with tanh, average pooling and SGD at 0.05: saturating units that learn all the same (LeCun 1998)."""
    torch.manual_seed(867)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 3), nn.Tanh(), nn.Flatten(),
        nn.Linear(64, 60), nn.Tanh(), nn.Linear(60, 42), nn.Tanh(), nn.Linear(42, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05)
    with probes.watch(net, opt, run_dir, every=25) as probe:
        for epoch in range(30):
            total = 0.0
            for xb, yb in batches(x, y, 16):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 84
            with torch.no_grad():
                probe.log("epoch", train_loss=total, test_error=1 - accuracy(net(xt), yt), epoch=epoch)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def forty_steps_on_principal_components(run_dir: Path) -> float:
    """A softmax classifier on twenty principal components: Adam at 0.1, all rows at once, done after forty steps."""
    torch.manual_seed(868)
    raw = digits()
    pca = PCA(20, whiten=True, random_state=0).fit(raw.x.numpy())
    x, xt = (torch.tensor(pca.transform(part.numpy())).float() for part in (raw.x, raw.x_test))
    net = nn.Linear(20, 10)
    opt = optim.Adam(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(40):
            loss = probe.loss_fn(net(x), raw.y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), raw.y_test)


@healthy(at_least=0.9)
def iris_for_two_hundred_epochs(run_dir: Path) -> float:
    """The first net of many people: iris, 4-16-3, Adam at 0.01, the whole of it at once, 38 flowers to test on."""
    torch.manual_seed(869)
    x, y, xt, yt = iris()
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(200):
            out = net(x)
            loss = F.cross_entropy(out, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if epoch % 10 == 0:
                with torch.no_grad():
                    test = net(xt)
                probe.log("train", loss=loss, accuracy=accuracy(out, y))
                probe.log("test", loss=F.cross_entropy(test, yt), accuracy=accuracy(test, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def support_vectors_of_cs231n(run_dir: Path) -> float:
    """CS231n, assignment 1: a linear classifier, multi-class hinge loss, regularisation in the loss, 1,500 batches."""
    torch.manual_seed(870)
    x, y, xt, yt = digits()
    net = nn.Linear(64, 10)
    nn.init.normal_(net.weight, std=1e-4)
    opt = optim.SGD(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir, config={"learning_rate": 5e-3, "reg": 1e-3}) as probe:
        for it in range(1500):
            chosen = torch.randint(len(x), (200,))
            s, target = net(x[chosen]), y[chosen, None]
            margins = (s - s.gather(1, target) + 1).clamp(min=0)
            loss = margins.sum(1).mean() - 1 + 1e-3 * (net.weight**2).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if it % 100 == 0:
                with torch.no_grad():
                    probe.log("val", accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def two_layer_net_of_cs231n(run_dir: Path) -> float:
    """CS231n's two-layer net: small weights, SGD, rate times 0.95 an epoch, train and val accuracy an epoch."""
    torch.manual_seed(871)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight, std=0.05)
        nn.init.zeros_(layer.bias)
    opt = optim.SGD(net.parameters(), lr=0.1, weight_decay=1e-3)
    decay = optim.lr_scheduler.ExponentialLR(opt, 0.95)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 50):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("loss", train=loss)
            decay.step()
            with torch.no_grad():
                probe.log("accuracy", train=accuracy(net(x), y), val=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.75)
def which_way_is_up(run_dir: Path) -> float:
    """Rotation as a pretext (Gidaris 2018): by how many quarters was a digit turned? Of a 0 or an 8 nobody can tell."""
    torch.manual_seed(872)
    x, _, xt, _ = digits(flat=False)

    def turned(v: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (len(v),))
        return torch.stack([image.rot90(k, (1, 2)) for image, k in zip(v, y.tolist(), strict=True)]), y

    xt, yt = turned(xt)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 4),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir, every=20) as probe:
        for step in range(900):
            xb, yb = turned(x[torch.randint(len(x), (64,))])
            out = net(xb)
            loss = F.cross_entropy(out, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, acc=accuracy(out, yb))
            if step % 100 == 99:
                with torch.no_grad():
                    probe.log("val", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def stopped_early_and_put_back(run_dir: Path) -> float:
    """Early stopping by patience on spirals, the best weights put back; the last epochs are no better."""
    torch.manual_seed(873)
    x, y, xt, yt = spirals(900)
    net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    best, kept, waited = math.inf, copy.deepcopy(net.state_dict()), 0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(200):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                val = F.cross_entropy(net(xt), yt).item()
            probe.log("val", loss=val)
            if val < best:
                best, kept, waited = val, copy.deepcopy(net.state_dict()), 0
            else:
                waited += 1
                if waited == 10:
                    break
    net.load_state_dict(kept)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def wine_and_nothing_but_a_printed_loss(run_dir: Path) -> float:
    """Thirteen features, 133 bottles, SGD; the loss is printed every fifty epochs, and that is all there is to read."""
    torch.manual_seed(874)
    x, y, xt, yt = wine()
    net = nn.Sequential(nn.Linear(13, 20), nn.Sigmoid(), nn.Linear(20, 3))
    opt = optim.SGD(net.parameters(), lr=0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(1001):
            loss = F.cross_entropy(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if epoch % 50 == 0:
                probe.log("train", loss=loss.item())
    with torch.no_grad():
        return accuracy(net(xt), yt)
