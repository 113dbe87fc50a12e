"""Textbook trainings on images of digits, as tutorials and papers write them."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits
from benchmarks.diagnosis.programs.program import healthy


@torch.no_grad()
def _test(model: nn.Module, x: Tensor, y: Tensor) -> float:
    model.eval()
    score = accuracy(model(x), y)
    model.train()
    return score


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, 1, padding=1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(32 * 16, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(self.dropout1(x), 1)
        return F.log_softmax(self.fc2(self.dropout2(F.relu(self.fc1(x)))), dim=1)


@healthy(at_least=0.93)
def mnist_example(run_dir: Path) -> float:
    """pytorch/examples, mnist: two convolutions, dropout, log-softmax and nll_loss, Adadelta, StepLR."""
    torch.manual_seed(1)
    x, y, xt, yt = digits(flat=False)
    model = _Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(8):
            for i, (data, target) in enumerate(batches(x, y, 32)):
                optimizer.zero_grad()
                loss = F.nll_loss(model(data), target)
                loss.backward()
                optimizer.step()
                if i % 10 == 0:
                    probe.log("train", loss=loss.item())
            with torch.no_grad():
                model.eval()
                output = model(xt)
                probe.log("test", loss=F.nll_loss(output, yt).item(), accuracy=accuracy(output, yt))
                model.train()
            scheduler.step()
    return _test(model, xt, yt)


@healthy(at_least=0.9)
def classifier_tutorial(run_dir: Path) -> float:
    """PyTorch's "Training a classifier": LeNet, batches of 4, SGD with momentum, mean loss of every 100 batches."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.004, momentum=0.9)
    probe = probes.watch(net, optimizer, run_dir, loss_fn=criterion)
    for _ in range(6):
        running = 0.0
        for i, (inputs, labels) in enumerate(batches(x, y, 4)):
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
            if i % 100 == 99:
                probe.log("train", loss=running / 100)
                running = 0.0
    probe.close()
    return _test(net, xt, yt)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + x)


def _resnet(width: int = 12, blocks: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        *[_Block(width) for _ in range(blocks)], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


@healthy(at_least=0.93)
def resnet_one_cycle(run_dir: Path) -> float:
    """A CIFAR-style residual network with BatchNorm, SGD, weight decay 5e-4 and OneCycleLR (super-convergence)."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False)
    model = _resnet()
    epochs, size = 6, 64
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=epochs * (len(x) // size))
    with probes.watch(model, optimizer, run_dir, loss_fn=F.cross_entropy) as probe:
        for _ in range(epochs):
            for xb, yb in batches(x, y, size):
                loss = probe.loss_fn(model(xb), yb)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                probe.log("train", loss=loss)
            probe.log("val", accuracy=_test(model, xt, yt))
    return _test(model, xt, yt)


def _pretrained() -> nn.Sequential:
    """A body trained on the digits 0 to 4, with a head for them."""
    x, y, *_ = digits(flat=False)
    kept = y < 5
    x, y = x[kept], y[kept]
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(128, 5),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(4):
        for xb, yb in batches(x, y, 32):
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
    return model


@healthy(at_least=0.9)
def feature_extractor_tutorial(run_dir: Path) -> float:
    """PyTorch's transfer learning tutorial, "ConvNet as fixed feature extractor": all frozen but a new head."""
    torch.manual_seed(0)
    model = _pretrained()
    for param in model.parameters():
        param.requires_grad = False
    model[-1] = nn.Linear(128, 10)
    x, y, xt, yt = digits(flat=False)
    optimizer = optim.SGD(model[-1].parameters(), lr=0.01, momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    probe = probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss())
    for _ in range(12):
        losses, right = 0.0, 0
        for xb, yb in batches(x, y, 16):
            optimizer.zero_grad()
            out = model(xb)
            loss = probe.loss_fn(out, yb)
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(xb)
            right += int((out.argmax(1) == yb).sum())
        scheduler.step()
        probe.log("train", loss=losses / len(x), acc=right / len(x))
        probe.log("val", acc=_test(model, xt, yt))
    probe.close()
    return _test(model, xt, yt)


@healthy(at_least=0.93)
def gradual_unfreezing(run_dir: Path) -> float:
    """Fine-tuning as ULMFiT does: first the head, then the body as well, with a rate ten times lower."""
    torch.manual_seed(0)
    model = _pretrained()
    model[-1] = nn.Linear(128, 10)
    body, head = model[:-1], model[-1]
    body.requires_grad_(False)
    x, y, xt, yt = digits(flat=False)
    optimizer = optim.AdamW([{"params": body.parameters(), "lr": 3e-4}, {"params": head.parameters(), "lr": 3e-3}])
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(8):
            if epoch == 3:
                body.requires_grad_(True)
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(model.eval()(xt), yt), accuracy=_test(model, xt, yt))
                model.train()
    return _test(model, xt, yt)


def _mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


@healthy(at_least=0.92)
def label_smoothing(run_dir: Path) -> float:
    """Cross-entropy with label smoothing of 0.2 (Szegedy et al. 2016): the loss cannot come near 0."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 128, 64, 10)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), yt), accuracy=accuracy(model(xt), yt))
    return _test(model, xt, yt)


@healthy(at_least=0.92)
def mixup(run_dir: Path) -> float:
    """mixup (Zhang et al. 2018), alpha 1: the training loss stays far above the validation loss, as it should."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 128, 128, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    beta = torch.distributions.Beta(1.0, 1.0)
    probe = probes.watch(model, optimizer, run_dir)
    for _ in range(20):
        for xb, yb in batches(x, y, 64):
            lam, other = float(beta.sample()), torch.randperm(len(xb))
            out = model(lam * xb + (1 - lam) * xb[other])
            loss = lam * F.cross_entropy(out, yb) + (1 - lam) * F.cross_entropy(out, yb[other])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss, accuracy=accuracy(out, yb))
        with torch.no_grad():
            out = model(xt)
            probe.log("val", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    probe.close()
    return _test(model, xt, yt)


@healthy(at_least=0.92)
def knowledge_distillation(run_dir: Path) -> float:
    """Hinton et al. 2015: a small student learns from the softened outputs of a teacher, temperature 4."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    teacher, student = _mlp(64, 256, 256, 10), _mlp(64, 24, 10)
    pre = optim.Adam(teacher.parameters(), lr=1e-3)
    for _ in range(10):
        for xb, yb in batches(x, y, 64):
            pre.zero_grad()
            F.cross_entropy(teacher(xb), yb).backward()
            pre.step()
    teacher.eval()
    optimizer = optim.Adam(student.parameters(), lr=3e-3)
    t = 4.0
    with probes.watch(student, optimizer, run_dir, config={"temperature": t}) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 64):
                with torch.no_grad():
                    soft = F.softmax(teacher(xb) / t, dim=1)
                out = student(xb)
                kd = F.kl_div(F.log_softmax(out / t, dim=1), soft, reduction="batchmean") * t * t
                loss = 0.9 * kd + 0.1 * F.cross_entropy(out, yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss, kd=kd)
            probe.log("val", accuracy=_test(student, xt, yt))
    return _test(student, xt, yt)


def _nearest(embed: nn.Module, x: Tensor, y: Tensor, xt: Tensor, yt: Tensor) -> float:
    """Share of test examples whose nearest training example has their class."""
    with torch.no_grad():
        nearest = torch.cdist(embed(xt), embed(x)).argmin(1)
    return float((y[nearest] == yt).float().mean())


@healthy(at_least=0.9)
def siamese_contrastive(run_dir: Path) -> float:
    """A siamese network with the contrastive loss of Hadsell et al. 2006; one network is called twice a step."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    net = _mlp(64, 64, 16)
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, optimizer, run_dir) as probe:
        for _ in range(400):
            a, b = torch.randint(len(x), (2, 64))
            same = (y[a] == y[b]).float()
            distance = F.pairwise_distance(net(x[a]), net(x[b]))
            loss = (same * distance**2 + (1 - same) * F.relu(2.0 - distance) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", contrastive_loss=loss)
    return _nearest(net, x, y, xt, yt)


@healthy(at_least=0.93)
def triplet_margin(run_dir: Path) -> float:
    """Metric learning with nn.TripletMarginLoss: most triplets soon have a loss of exactly 0."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    net = _mlp(64, 64, 16)
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.TripletMarginLoss(margin=0.5)
    members = [torch.nonzero(y == c).flatten() for c in range(10)]
    probe = probes.watch(net, optimizer, run_dir)
    for _ in range(500):
        anchor = torch.randint(len(x), (64,))
        other = (y[anchor] + torch.randint(1, 10, (64,))) % 10
        positive = torch.stack([m[torch.randint(len(m), ())] for m in (members[int(c)] for c in y[anchor])])
        negative = torch.stack([m[torch.randint(len(m), ())] for m in (members[int(c)] for c in other)])
        loss = criterion(net(x[anchor]), net(x[positive]), net(x[negative]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        probe.log("train", loss=loss)
    probe.close()
    return _nearest(net, x, y, xt, yt)


@healthy(at_least=0.85)
def simclr(run_dir: Path) -> float:
    """SimCLR (Chen et al. 2020): InfoNCE over two noisy views, no labels; the loss stays near its floor of ln N."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    encoder = _mlp(64, 128, 32)
    projector = _mlp(32, 32, 16)
    model = nn.Sequential(encoder, projector)
    optimizer = optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(15):
            for xb, _yb in batches(x, y, 128):
                views = torch.cat([xb + 0.5 * torch.randn_like(xb) for _ in range(2)])
                views = views * (torch.rand_like(views) > 0.2)
                z = F.normalize(model(views), dim=1)
                similarity = (z @ z.T / 0.5).fill_diagonal_(float("-inf"))
                loss = F.cross_entropy(similarity, torch.arange(256).roll(128))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    return _nearest(encoder, x, y, xt, yt)


@healthy(at_least=0.93)
def swa(run_dir: Path) -> float:
    """PyTorch's stochastic weight averaging recipe: SWALR keeps a high constant rate over the last epochs."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 64, 10)
    averaged = optim.swa_utils.AveragedModel(model)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
    late = optim.swa_utils.SWALR(optimizer, swa_lr=0.05)
    probe = probes.watch(model, optimizer, run_dir)
    for epoch in range(16):
        for xb, yb in batches(x, y, 32):
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
        if epoch >= 10:
            averaged.update_parameters(model)
            late.step()
        else:
            schedule.step()
        probe.log("val", accuracy=_test(averaged if epoch >= 10 else model, xt, yt))
    probe.close()
    return _test(averaged, xt, yt)


@healthy(at_least=0.93)
def sgdr_restarts(run_dir: Path) -> float:
    """SGDR (Loshchilov & Hutter 2017): cosine annealing with warm restarts; the loss jumps at every restart."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4 * 42, T_mult=1)
    with probes.watch(model, optimizer, run_dir, every=10) as probe:
        for _ in range(16):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                probe.log("train", loss=loss)
            probe.log("val", accuracy=_test(model, xt, yt))
    return _test(model, xt, yt)


@healthy(at_least=0.92)
def cyclic_rate(run_dir: Path) -> float:
    """Cyclical learning rates (Smith 2017), triangular between 0.001 and 0.15."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 100, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    schedule = optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.001, max_lr=0.15, step_size_up=60)
    probe = probes.watch(model, optimizer, run_dir)
    for _ in range(12):
        for xb, yb in batches(x, y, 32):
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            probe.log("train", loss=loss.item())
    probe.close()
    return _test(model, xt, yt)


@healthy(at_least=0.92)
def gradient_accumulation(run_dir: Path) -> float:
    """Eight backward passes to a step, the loss divided by eight; losses are logged at every small batch."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 128, 10)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(15):
            for i, (xb, yb) in enumerate(batches(x, y, 8)):
                loss = F.cross_entropy(model(xb), yb)
                (loss / 8).backward()
                probe.log("train", loss=loss)
                if i % 8 == 7:
                    optimizer.step()
                    optimizer.zero_grad()
    return _test(model, xt, yt)


@healthy(at_least=0.92)
def bf16_autocast(run_dir: Path) -> float:
    """Mixed precision on the CPU: forward in bfloat16 under torch.autocast, weights in float32."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 128, 64, 10)
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = probe.loss_fn(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            probe.log("val", accuracy=_test(model, xt, yt))
    return _test(model, xt, yt)


@healthy(at_least=0.88)
def batch_of_one(run_dir: Path) -> float:
    """Pure stochastic gradient descent: a step after each example, its loss logged."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 32, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(3):
            for xb, yb in batches(x, y, 1):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    return _test(model, xt, yt)


@healthy(at_least=0.88)
def nielsen_quadratic(run_dir: Path) -> float:
    """Nielsen's book, chapter 1: sigmoid units, quadratic cost, N(0, 1) weights, SGD with rate 3, batches of 10."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(standard=False)
    x, xt = x / 16, xt / 16
    net = nn.Sequential(nn.Linear(64, 30), nn.Sigmoid(), nn.Linear(30, 10), nn.Sigmoid())
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    optimizer = optim.SGD(net.parameters(), lr=3.0)
    with probes.watch(net, optimizer, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 10):
                cost = 0.5 * ((net(xb) - F.one_hot(yb, 10)) ** 2).sum(1).mean()
                optimizer.zero_grad()
                cost.backward()
                optimizer.step()
                probe.log("train", cost=cost)
            probe.log("test", accuracy=_test(net, xt, yt))
    return _test(net, xt, yt)


@healthy(at_least=0.9)
def self_normalizing_net(run_dir: Path) -> float:
    """Klambauer et al. 2017: eight SELU layers, LeCun normal weights, alpha dropout, no normalisation."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    layers: list[nn.Module] = []
    for i in range(8):
        layer = nn.Linear(64, 64)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.SELU(), *([nn.AlphaDropout(0.05)] if i % 2 else [])]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                model.eval()
                probe.log("val", loss=F.cross_entropy(model(xt), yt))
                model.train()
    return _test(model, xt, yt)


@healthy(at_least=0.85)
def vision_transformer(run_dir: Path) -> float:
    """A small ViT: 2x2 patches, learned positions, pre-norm encoder, AdamW with warm-up."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False)

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(1, 32, 2, stride=2)
            self.position = nn.Parameter(0.02 * torch.randn(1, 16, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, activation="gelu", batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 10))

        def forward(self, images: Tensor) -> Tensor:
            tokens = self.embed(images).flatten(2).transpose(1, 2) + self.position
            return self.head(self.encoder(tokens).mean(1))

    model = ViT()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    warmup = optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 50))
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(8):
            for xb, yb in batches(x, y, 64):
                loss = probe.loss_fn(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                warmup.step()
                probe.log("train", loss=loss)
            probe.log("val", accuracy=_test(model, xt, yt))
    return _test(model, xt, yt)


@healthy(at_least=0.9)
def percent_and_odd_names(run_dir: Path) -> float:
    """Accuracy in percent, names with capitals and blanks, several losses under one split."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 64, 10)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(12):
            for xb, yb in batches(x, y, 32):
                out = model(xb)
                ce = F.cross_entropy(out, yb)
                penalty = 1e-4 * sum(p.abs().sum() for p in model.parameters())
                optimizer.zero_grad()
                (ce + penalty).backward()
                optimizer.step()
                probe.log("Training", **{"CE Loss": ce, "L1": penalty, "Total loss": ce + penalty})
                probe.log("Training", epoch=epoch, **{"Acc (%)": 100 * accuracy(out, yb)})
            probe.log("Eval", top1=100 * _test(model, xt, yt), error_rate=1 - _test(model, xt, yt))
    return _test(model, xt, yt)


@healthy(at_least=0.9)
def once_per_epoch(run_dir: Path) -> float:
    """Losses logged once an epoch only, as means over the epoch."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 64, 10)
    optimizer = optim.RMSprop(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(15):
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            with torch.no_grad():
                validation = F.cross_entropy(model(xt), yt)
            probe.log("train", loss=total / (len(x) // 32))
            probe.log("val", loss=validation)
    return _test(model, xt, yt)


@healthy(at_least=0.9)
def nothing_logged(run_dir: Path) -> float:
    """Only `watch(model, optimizer)`: no metric is ever logged."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 128, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with probes.watch(model, optimizer, run_dir):
        for _ in range(10):
            for xb, yb in batches(x, y, 32):
                optimizer.zero_grad()
                F.cross_entropy(model(xb), yb).backward()
                optimizer.step()
    return _test(model, xt, yt)


@healthy(at_least=0.75)
def forty_steps(run_dir: Path) -> float:
    """A trial of 40 steps, as one makes before the real training."""
    torch.manual_seed(0)
    x, y, xt, yt = digits(flat=False)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    )
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for xb, yb in batches(x, y, 32):
            if probe.step == 40:
                break
            loss = probe.loss_fn(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return _test(model, xt, yt)


@healthy(at_least=0.92)
def plateau_schedule(run_dir: Path) -> float:
    """BatchNorm MLP with ReduceLROnPlateau and early stopping on the validation loss."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, factor=0.3)
    best, waited = float("inf"), 0
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                validation = float(F.cross_entropy(model.eval()(xt), yt))
                model.train()
            probe.log("val", loss=validation)
            schedule.step(validation)
            best, waited = (validation, 0) if validation < best else (best, waited + 1)
            if waited > 6:
                break
    return _test(model, xt, yt)


@healthy(at_least=0.85)
def adversarial_training(run_dir: Path) -> float:
    """FGSM training (Goodfellow et al. 2015): input gradients are taken inside the loop with the same model."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 128, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 64):
                inputs = xb.clone().requires_grad_(True)
                (gradient,) = torch.autograd.grad(F.cross_entropy(model(inputs), yb), inputs)
                loss = F.cross_entropy(model(xb + 0.1 * gradient.sign()), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            probe.log("val", accuracy=_test(model, xt, yt))
    return _test(model, xt, yt)


@healthy(at_least=0.9)
def federated_averaging(run_dir: Path) -> float:
    """FedAvg (McMahan et al. 2017): each round sets the weights to an average, and each client a new optimizer."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    model = _mlp(64, 64, 10)
    clients = torch.randperm(len(x)).chunk(4)
    with probes.watch(model, run_dir=run_dir) as probe:
        for _ in range(10):
            start = {k: v.clone() for k, v in model.state_dict().items()}
            mean = {k: torch.zeros_like(v) for k, v in start.items()}
            for members in clients:
                model.load_state_dict(start)
                optimizer = optim.SGD(model.parameters(), lr=0.1)
                for xb, yb in batches(x[members], y[members], 32):
                    loss = F.cross_entropy(model(xb), yb)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    probe.log("train", loss=loss)
                mean = {k: mean[k] + v / len(clients) for k, v in model.state_dict().items()}
            model.load_state_dict(mean)
            probe.log("val", accuracy=_test(model, xt, yt))
    return _test(model, xt, yt)


@healthy(at_least=0.9)
def two_heads(run_dir: Path) -> float:
    """Multi-task: the digit (cross-entropy) and how much ink it has (mean squared error), one body."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()
    ink = x.mean(1, keepdim=True)
    ink = (ink - ink.mean()) / ink.std()

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 64), nn.GELU())
            self.digit, self.ink = nn.Linear(64, 10), nn.Linear(64, 1)

        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            hidden = self.body(inputs)
            return {"digit": self.digit(hidden), "ink": self.ink(hidden)}

    model = Heads()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(12):
            for chosen in torch.randperm(len(x)).split(32):
                out = model(x[chosen])
                digit = F.cross_entropy(out["digit"], y[chosen])
                amount = F.mse_loss(out["ink"], ink[chosen])
                optimizer.zero_grad()
                (digit + 0.5 * amount).backward()
                optimizer.step()
                probe.log("train", loss=digit + 0.5 * amount, digit_loss=digit, ink_loss=amount)
    with torch.no_grad():
        return accuracy(model(xt)["digit"], yt)


@healthy(at_least=0.9)
def multi_label(run_dir: Path) -> float:
    """Five yes-or-no questions of each digit with BCEWithLogitsLoss."""
    torch.manual_seed(0)
    x, y, xt, yt = digits()

    def questions(label: Tensor) -> Tensor:
        return torch.stack([label % 2 == 0, label > 4, label % 3 == 0, label == 7, label < 2], dim=1).float()

    model = _mlp(64, 96, 5)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 32):
                loss = criterion(model(xb), questions(yb))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), questions(yt)))
    with torch.no_grad():
        return float(((model(xt) > 0) == (questions(yt) > 0)).float().mean())
