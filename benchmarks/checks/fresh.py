"""Programs as somebody writes them who knows nothing of the checks: each once healthy and once with one classic bug.

They were written in one sitting, before any of them was checked. What was said at first sight is kept in
`FIRST_SIGHT`; the table in docs/checks/results.md has both figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.checks import parts

Arguments = dict[str, Any]


class Program(NamedTuple):
    """`make(False)` is the healthy program, `make(True)` the one with the bug, which one of `right` must notice."""

    make: Callable[[bool], Arguments]
    bug: str
    right: tuple[str, ...]


PROGRAMS: dict[str, Program] = {}


def program(name: str, bug: str, *right: str) -> Callable[[Callable[[bool], Arguments]], None]:
    def register(function: Callable[[bool], Arguments]) -> None:
        PROGRAMS[name] = Program(function, bug, right)

    return register


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@program("u-net segmentation, borders ignored", "ignore_index forgotten: labels of 255", "label-sanity")
def _(bug: bool) -> Arguments:
    def double(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            *(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)),
            *(nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)),
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enc1, self.enc2, self.enc3 = double(3, 8), double(8, 16), double(16, 32)
            self.up2, self.up1 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
            self.dec2, self.dec1 = double(32, 16), double(16, 8)
            self.out = nn.Conv2d(8, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            a = self.enc1(x)
            b = self.enc2(F.max_pool2d(a, 2))
            c = self.enc3(F.max_pool2d(b, 2))
            b = self.dec2(torch.cat([self.up2(c), b], 1))
            return self.out(self.dec1(torch.cat([self.up1(b), a], 1)))

    g = generator(0)
    row, column = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    images, masks = [], []
    for _ in range(96):
        centre, radius = 4 + 8 * torch.rand(2, generator=g), 2 + 3 * torch.rand(1, generator=g)
        distance = ((row - centre[0]) ** 2 + (column - centre[1]) ** 2).sqrt()
        kind = int(torch.randint(1, 4, (1,), generator=g))
        mask = torch.where(distance < radius, kind, 0)
        image = 0.2 * torch.rand(3, 16, 16, generator=g)
        image[kind - 1] += 0.7 * (mask > 0)
        masks.append(torch.where((distance - radius).abs() < 0.4, 255, mask))
        images.append((image - 0.3) / 0.3)
    model = UNet()
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss() if bug else nn.CrossEntropyLoss(ignore_index=255),
        "data": DataLoader(TensorDataset(torch.stack(images), torch.stack(masks)), batch_size=8, shuffle=True),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3),
    }


@program("siamese net, contrastive loss", "embeddings normalised over the batch", "batch-independence")
def _(bug: bool) -> Arguments:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU()),
                *(nn.Flatten(), nn.Linear(256, 16)),
            )

        def embed(self, x: Tensor) -> Tensor:
            return F.normalize(self.body(x), dim=0 if bug else 1)

        def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
            return self.embed(left), self.embed(right)

    def contrastive(outputs: tuple[Tensor, Tensor], same: Tensor, margin: float = 1.0) -> Tensor:
        distance = F.pairwise_distance(*outputs)
        return (same * distance**2 + (1 - same) * F.relu(margin - distance) ** 2).mean()

    class Pairs(Dataset[Any]):
        def __init__(self) -> None:
            self.x, self.y = parts.digit_images()
            self.other = torch.randint(0, len(self.x), (len(self.x),), generator=generator(1))

        def __len__(self) -> int:
            return 400

        def __getitem__(self, i: int) -> Any:
            if i % 2:
                candidates = (self.y == self.y[i]).nonzero()[:, 0]
                j = int(candidates[int(self.other[i]) % len(candidates)])
            else:
                j = int(self.other[i])
            return (self.x[i], self.x[j]), (self.y[i] == self.y[j]).float()

    model = Siamese()
    return {
        "model": model,
        "loss_fn": contrastive,
        "data": DataLoader(Pairs(), batch_size=32, shuffle=True),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
    }


@program("vae, the loss is a tuple", "the log-variance head is never called", "gradients-reach-every-parameter")
def _(bug: bool) -> Arguments:
    class Vae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc_mu, self.fc_logvar = nn.Linear(64, 48), nn.Linear(48, 6), nn.Linear(48, 6)
            self.fc3, self.fc4 = nn.Linear(6, 48), nn.Linear(48, 64)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = F.relu(self.fc1(x.flatten(1)))
            mu, logvar = self.fc_mu(h), (self.fc_mu if bug else self.fc_logvar)(h)
            z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    def loss(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        reconstruction, mu, logvar = outputs
        bce = F.binary_cross_entropy(reconstruction, x.flatten(1), reduction="sum") / len(x)
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
        return bce + kld, bce, kld

    x, y = parts.digit_images()
    x = (x - x.min()) / (x.max() - x.min())
    model = Vae()
    return {
        "model": model,
        "loss_fn": loss,
        "data": DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True),
        "unpack": lambda batch: (batch[0], batch[0]),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
    }


@program("graph classification, dense adjacency", "the adjacency is not used", "input-dependence")
def _(bug: bool) -> Arguments:
    class Layer(nn.Module):
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            self.own, self.near = nn.Linear(before, after), nn.Linear(before, after, bias=False)

        def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
            near = x if bug else adjacency @ x / adjacency.sum(-1, keepdim=True).clamp(min=1)
            return F.relu(self.own(x) + self.near(near))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = Layer(4, 32), Layer(32, 32)
            self.head = nn.Linear(32, 2)

        def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
            return self.head(self.two(self.one(x, adjacency), adjacency).mean(1))

    g = generator(2)
    batches = []
    for _ in range(10):
        y = torch.randint(0, 2, (24,), generator=g)
        x = torch.randn(24, 9, 4, generator=g)
        likely = torch.where(y[:, None, None] == 1, 0.7, 0.2)
        adjacency = (torch.rand(24, 9, 9, generator=g) < likely).float().triu(1)
        adjacency = adjacency + adjacency.transpose(1, 2)
        x[..., 0] = adjacency.sum(-1) / 4 - 1
        batches.append(((x, adjacency), y))
    model = Net()
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3),
    }


@program("speech toy, ctc", "pooled in time until the frames are fewer than the letters", "finite-forward-backward")
def _(bug: bool) -> Arguments:
    class Acoustic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(12, 32, 5, padding=2, stride=8 if bug else 1)
            self.rnn = nn.GRU(32, 32, batch_first=True, bidirectional=True)
            self.fc = nn.Linear(64, 7)

        def forward(self, frames: Tensor) -> Tensor:
            h = F.relu(self.conv(frames.transpose(1, 2))).transpose(1, 2)
            return self.fc(self.rnn(h)[0]).log_softmax(-1)

    ctc = nn.CTCLoss(blank=0)

    def loss(log_probs: Tensor, targets: Tensor) -> Tensor:
        n, time, _ = log_probs.shape
        lengths = (targets > 0).sum(1)
        return ctc(log_probs.transpose(0, 1), targets, torch.full((n,), time), lengths)

    g = generator(3)
    sounds = torch.randn(7, 12, generator=g)
    batches = []
    for _ in range(8):
        text = torch.randint(1, 7, (16, 6), generator=g)
        lengths = torch.randint(4, 7, (16,), generator=g)
        text[torch.arange(6) >= lengths[:, None]] = 0
        frames = sounds[text.repeat_interleave(4, 1)] + 0.2 * torch.randn(16, 24, 12, generator=g)
        batches.append((frames, text))
    model = Acoustic()
    return {
        "model": model,
        "loss_fn": loss,
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3),
    }


@program("two tasks, dict of losses", "the second head was added after the optimizer", "optimizer-covers-parameters")
def _(bug: bool) -> Arguments:
    class MultiTask(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
            self.digit = nn.Linear(32, 10)
            self.ink = nn.Linear(32, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.trunk(x)
            return {"digit": self.digit(h), "ink": self.ink(h).squeeze(1)}

    def loss(outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        digit = F.cross_entropy(outputs["digit"], targets["digit"])
        ink = F.mse_loss(outputs["ink"], targets["ink"])
        return {"digit": digit, "ink": ink, "total": digit + 0.5 * ink}

    x, y = parts.digits()
    ink = x.mean(1)
    ink = (ink - ink.mean()) / ink.std()

    class Data(Dataset[Any]):
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, i: int) -> Any:
            return x[i], {"digit": y[i], "ink": ink[i]}

    model = MultiTask()
    given = [*model.trunk.parameters(), *model.digit.parameters()] if bug else model.parameters()
    return {
        "model": model,
        "loss_fn": loss,
        "data": DataLoader(Data(), batch_size=64, shuffle=True),
        "optimizer": torch.optim.SGD(given, lr=0.05, momentum=0.9),
    }


@program("diffusion toy", "the noise is [N, 8, 8], the prediction [N, 1, 8, 8]", "loss-output-pairing")
def _(bug: bool) -> Arguments:
    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 32))
            self.first = nn.Conv2d(1, 32, 3, padding=1)
            self.middle = nn.Sequential(nn.GroupNorm(4, 32), nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1))
            self.last = nn.Sequential(nn.GroupNorm(4, 32), nn.SiLU(), nn.Conv2d(32, 1, 3, padding=1))

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            frequencies = torch.exp(-math.log(1000.0) * torch.arange(8) / 8)
            angles = t[:, None].float() * frequencies
            h = self.first(x) + self.time(torch.cat([angles.sin(), angles.cos()], 1))[:, :, None, None]
            return self.last(h + self.middle(h))

    x, _ = parts.digit_images()
    keep = torch.cumprod(1 - torch.linspace(1e-4, 0.05, 100), 0)

    def batches() -> Any:
        g = generator(4)
        for i in range(0, 1024, 64):
            clean = x[i : i + 64]
            t = torch.randint(0, 100, (len(clean),), generator=g)
            noise = torch.randn(clean.shape, generator=g)
            a = keep[t][:, None, None, None]
            yield (a.sqrt() * clean + (1 - a).sqrt() * noise, t), noise[:, 0] if bug else noise

    model = Denoiser()
    return {
        "model": model,
        "loss_fn": nn.MSELoss(),
        "data": batches(),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3),
    }


@program("fine-tuning a trained backbone", "the head was replaced after the optimizer", "optimizer-covers-parameters")
def _(bug: bool) -> Arguments:
    x, y = parts.digit_images()
    backbone = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )
    old = torch.optim.Adam(backbone.parameters(), lr=3e-3)
    for _ in range(60):
        pick = torch.randint(0, len(x), (64,))
        old.zero_grad()
        F.cross_entropy(backbone(x[pick]), y[pick]).backward()
        old.step()
    for p in backbone.parameters():
        p.requires_grad = False
    if bug:
        backbone[-1].requires_grad_(True)
        optimizer = torch.optim.Adam([p for p in backbone.parameters() if p.requires_grad], lr=1e-3)
    backbone[-1] = nn.Linear(32, 2)
    if not bug:
        optimizer = torch.optim.Adam(backbone[-1].parameters(), lr=1e-3)
    return {
        "model": backbone,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": DataLoader(TensorDataset(x, y % 2), batch_size=32, shuffle=True),
        "optimizer": optimizer,
    }


@program("table with categories", "a category that the embedding has no row for", "finite-forward-backward")
def _(bug: bool) -> Arguments:
    sizes = [7, 4, 12]

    class Tabular(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.ModuleList(nn.Embedding(size, min(8, size // 2 + 1)) for size in sizes)
            width = sum(e.embedding_dim for e in self.embeddings) + 5
            self.norm = nn.BatchNorm1d(5)
            self.net = nn.Sequential(
                *(nn.Linear(width, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(0.2)),
                *(nn.Linear(64, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Dropout(0.1), nn.Linear(32, 1)),
            )

        def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
            embedded = [e(categories[:, i]) for i, e in enumerate(self.embeddings)]
            return self.net(torch.cat([*embedded, self.norm(numbers)], 1))

    g = generator(5)
    categories = torch.stack([torch.randint(0, s, (600,), generator=g) for s in sizes], 1)
    numbers = torch.randn(600, 5, generator=g) * torch.tensor([1.0, 30.0, 0.2, 5.0, 1000.0]) + 3
    effect = torch.randn(7, generator=g)[categories[:, 0]] + numbers[:, 1] / 30
    price = (effect + 0.3 * torch.randn(600, generator=g))[:, None]
    if bug:
        categories[::5, 1] = 4
    model = Tabular()
    batches = [((categories[i : i + 50], numbers[i : i + 50]), price[i : i + 50]) for i in range(0, 600, 50)]
    return {
        "model": model,
        "loss_fn": nn.MSELoss(),
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-5),
    }


@program("batches of two, group norm", "learning rate of 3 instead of 0.01", "learning-rate-range", "parameters-change")
def _(bug: bool) -> Arguments:
    x, y = parts.digit_images()
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": DataLoader(TensorDataset(x, y), batch_size=2, shuffle=True),
        "optimizer": torch.optim.SGD(model.parameters(), lr=3.0 if bug else 0.01, momentum=0.9),
    }


@program("twelve residual blocks without norm", "every weight drawn with a standard deviation of 1", "initialization")
def _(bug: bool) -> Arguments:
    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)
            if bug:
                nn.init.normal_(self.fc1.weight)
                nn.init.normal_(self.fc2.weight)
            else:
                nn.init.kaiming_normal_(self.fc1.weight)
                nn.init.normal_(self.fc2.weight, std=0.01)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.fc2(F.relu(self.fc1(x)))

    model = nn.Sequential(nn.Linear(13, 32), *(Block(32) for _ in range(12)), nn.Linear(32, 3))
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": parts.loader(*parts.table("wine"), 16),
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-4),
    }


@program("language model, tied weights, padding", "batch_first forgotten in the encoder", "batch-independence")
def _(bug: bool) -> Arguments:
    class LanguageModel(nn.Module):
        def __init__(self, vocabulary: int = 30, width: int = 48) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
            self.position = nn.Embedding(64, width)
            nn.init.normal_(self.embedding.weight, std=0.02)
            nn.init.normal_(self.position.weight, std=0.02)
            layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=not bug)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.out = nn.Linear(width, vocabulary, bias=False)
            self.out.weight = self.embedding.weight

        def forward(self, tokens: Tensor) -> Tensor:
            n, time = tokens.shape
            x = self.embedding(tokens) * math.sqrt(48) + self.position(torch.arange(time))
            size = n if bug else time
            mask = torch.triu(torch.full((size, size), float("-inf")), 1)
            return self.out(self.encoder(x, mask=mask))

    g = generator(6)
    tokens = torch.randint(1, 30, (256, 1), generator=g)
    steps = torch.randint(1, 4, (256, 15), generator=g)
    tokens = torch.cat([tokens, 1 + (tokens + steps.cumsum(1)) % 29], 1)
    tokens[torch.arange(16) >= torch.randint(6, 17, (256,), generator=g)[:, None]] = 0

    def loss(scores: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(scores.reshape(-1, 30), targets.reshape(-1), ignore_index=0)

    model = LanguageModel()
    return {
        "model": model,
        "loss_fn": loss,
        "data": DataLoader(TensorDataset(tokens[:, :-1], tokens[:, 1:]), batch_size=32, shuffle=True),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.98), weight_decay=0.01),
    }


@program("mixed precision, autocast", "the weights themselves in bfloat16", "parameters-change")
def _(bug: bool) -> Arguments:
    x, y = parts.digits()
    model = nn.Sequential(
        nn.Linear(64, 128), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    if bug:
        model.to(torch.bfloat16)

    def forward(net: nn.Module, inputs: Tensor) -> Tensor:
        if bug:
            return net(inputs.to(torch.bfloat16)).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net(inputs).float()

    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": DataLoader(TensorDataset(x, y), batch_size=128, shuffle=True),
        "optimizer": torch.optim.SGD(model.parameters(), lr=2e-3 if bug else 0.05, momentum=0.9),
        "forward": forward,
    }


@program("triplets", "a distance with a square root at zero", "finite-forward-backward")
def _(bug: bool) -> Arguments:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

        def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return self.net(anchor), self.net(positive), self.net(negative)

    def triplet(outputs: tuple[Tensor, Tensor, Tensor], _: Any) -> Tensor:
        anchor, positive, negative = outputs
        if not bug:
            return F.triplet_margin_loss(anchor, positive, negative, margin=1.0)
        near = ((anchor - positive) ** 2).sum(1).sqrt()
        far = ((anchor - negative) ** 2).sum(1).sqrt()
        return F.relu(near - far + 1.0).mean()

    x, y = parts.digits()
    g = generator(7)
    batches = []
    for _ in range(8):
        first = torch.randint(0, len(x), (32,), generator=g)
        positive = torch.stack([self_or_other(y, int(i), g, bug) for i in first])
        negative = torch.stack(
            [(y != y[i]).nonzero()[int(torch.randint(0, 1000, (1,), generator=g)), 0] for i in first]
        )
        batches.append(((x[first], x[positive], x[negative]), y[first]))
    model = Encoder()
    return {
        "model": model,
        "loss_fn": triplet,
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
    }


def self_or_other(labels: Tensor, index: int, g: torch.Generator, itself: bool) -> Tensor:
    """Another example of the same class; now and then the very same where `itself`."""
    same = (labels == labels[index]).nonzero()[:, 0]
    if itself and index % 4 == 0:
        return torch.tensor(index)
    return same[int(torch.randint(0, len(same), (1,), generator=g))]


@program("sound tags, one-dimensional convolutions", "the loss is summed over batch and tags", "loss-output-pairing")
def _(bug: bool) -> Arguments:
    class Tags(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                *(nn.Conv1d(1, 16, 9, 2, bias=False), nn.BatchNorm1d(16), nn.LeakyReLU(0.1)),
                *(nn.Conv1d(16, 32, 5, 2, bias=False), nn.BatchNorm1d(32), nn.LeakyReLU(0.1)),
            )
            self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(32, 5))

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.features(x).amax(-1))

    g = generator(8)
    tags = (torch.rand(320, 5, generator=g) < 0.3).float()
    time = torch.arange(128) / 128
    tones = torch.stack([torch.sin(2 * math.pi * f * time) for f in (3, 7, 13, 22, 31)])
    sound = tags @ tones + 0.3 * torch.randn(320, 128, generator=g)
    model = Tags()
    return {
        "model": model,
        "loss_fn": nn.BCEWithLogitsLoss(reduction="sum" if bug else "mean"),
        "data": DataLoader(TensorDataset(sound[:, None], tags), batch_size=16, shuffle=True),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
    }


@program("q-learning from a buffer", "the loss is made of greedy actions, not of values", "finite-forward-backward")
def _(bug: bool) -> Arguments:
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))

    def loss(values: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        actions, returns = targets
        chosen = values.argmax(1).float() if bug else values.gather(1, actions[:, None]).squeeze(1)
        return F.smooth_l1_loss(chosen, returns)

    g = generator(9)
    batches = []
    for _ in range(12):
        state = torch.randn(64, 4, generator=g) * torch.tensor([1.0, 0.5, 0.1, 0.5])
        action = torch.randint(0, 2, (64,), generator=g)
        value = 10 * torch.sigmoid(-20 * state[:, 2].abs() + (2 * action - 1) * state[:, 3]) + state[:, 0]
        batches.append((state, (action, value)))
    return {
        "model": model,
        "loss_fn": loss,
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-4),
    }


@program("forecaster, time first", "the last step of the batch instead of time", "batch-independence")
def _(bug: bool) -> Arguments:
    class Forecast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 32)
            self.out = nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Tensor:  # [time, batch, 2]
            states, _ = self.lstm(x.transpose(0, 1) if bug else x)
            return self.out(states[-1] if not bug else states.transpose(0, 1)[-1].repeat(2, 1)[: x.shape[1]])

    g = generator(10)
    batches = []
    for _ in range(10):
        phase, rate = 6 * torch.rand(32, generator=g), 0.2 + 0.4 * torch.rand(32, generator=g)
        t = torch.arange(21)[:, None]
        wave = torch.sin(phase + rate * t) + 0.05 * torch.randn(21, 32, generator=g)
        x = torch.stack([wave[:-1], rate.expand(20, -1) * 4 - 1.6], -1)
        batches.append((x, wave[-1][:, None]))
    model = Forecast()
    return {
        "model": model,
        "loss_fn": nn.MSELoss(),
        "data": batches,
        "optimizer": torch.optim.RMSprop(model.parameters(), lr=1e-3),
    }


@program("a model that returns its own loss", "every label masked out", "finite-forward-backward")
def _(bug: bool) -> Arguments:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.Embedding(60, 32)
            self.norm = nn.LayerNorm(32)
            self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
            self.classifier = nn.Linear(32, 4)

        def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
            x = self.norm(self.embeddings(input_ids))
            x = x + self.attention(x, x, x, key_padding_mask=attention_mask == 0)[0]
            logits = self.classifier(x + self.mlp(x))
            result = {"logits": logits}
            if labels is not None:
                result["loss"] = F.cross_entropy(logits.view(-1, 4), labels.view(-1))
            return result

    g = generator(11)
    batches = []
    for _ in range(10):
        ids = torch.randint(1, 60, (16, 14), generator=g)
        mask = (torch.arange(14) < torch.randint(5, 15, (16,), generator=g)[:, None]).long()
        labels = torch.where((mask == 0) | torch.tensor(bug), -100, ids % 4)
        batches.append({"input_ids": ids * mask, "attention_mask": mask, "labels": labels})
    model = Classifier()
    return {
        "model": model,
        "loss_fn": lambda outputs, labels: outputs["loss"],
        "data": batches,
        "unpack": lambda batch: (batch, batch["labels"]),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3),
    }


@program("mixup, soft labels", "the two shares of the labels add up to 2", "label-sanity")
def _(bug: bool) -> Arguments:
    x, y = parts.digit_images()

    def mixed(batch: list[Any]) -> tuple[Tensor, Tensor]:
        images = torch.stack([b[0] for b in batch])
        labels = F.one_hot(torch.stack([b[1] for b in batch]), 10).float()
        share = float(torch.distributions.Beta(0.4, 0.4).sample())
        other = torch.randperm(len(batch))
        blend = labels + labels[other] if bug else share * labels + (1 - share) * labels[other]
        return share * images + (1 - share) * images[other], blend

    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout2d(0.1), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10)),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": DataLoader(TensorDataset(x, y), batch_size=128, shuffle=True, collate_fn=mixed),
        "optimizer": optimizer,
    }


@program(
    "two augmented views, nt-xent", "the features are detached before the projection", "gradients-reach-every-parameter"
)
def _(bug: bool) -> Arguments:
    class SimClr(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
                *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
                *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            )
            self.projector = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16))

        def forward(self, views: Tensor) -> Tensor:
            h = self.encoder(views)
            return F.normalize(self.projector(h.detach() if bug else h), dim=1)

    def nt_xent(z: Tensor, _: Any) -> Tensor:
        n = len(z) // 2
        similarity = z @ z.t() / 0.5
        similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool), float("-inf"))
        positives = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
        return F.cross_entropy(similarity, positives)

    x, y = parts.digit_images()

    def views(batch: list[Any]) -> tuple[Tensor, Tensor]:
        images = torch.stack([b[0] for b in batch])
        pairs = [images.roll(int(torch.randint(-1, 2, ())), 3) + 0.1 * torch.randn(images.shape) for _ in range(2)]
        return torch.cat(pairs), torch.stack([b[1] for b in batch])

    model = SimClr()
    return {
        "model": model,
        "loss_fn": nt_xent,
        "data": DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, drop_last=True, collate_fn=views),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6),
    }
