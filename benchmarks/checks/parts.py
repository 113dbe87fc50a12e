"""Data and small models that the set-ups are made of. Everything is seeded; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Data = tuple[Tensor, Tensor]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loader(x: Any, y: Tensor, batch_size: int = 64) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True, generator=generator())


@cache
def digits() -> Data:
    """Handwritten digits, standardised, float32 [1797, 64], and their classes."""
    bunch = load_digits()
    x = torch.tensor(bunch.data, dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.tensor(bunch.target)


def digit_images() -> Data:
    x, y = digits()
    return x.reshape(-1, 1, 8, 8), y


@cache
def table(name: str) -> Data:
    """wine, breast_cancer or diabetes: features standardised one by one; classes, or standardised targets [N, 1]."""
    bunch = {"wine": load_wine, "breast_cancer": load_breast_cancer, "diabetes": load_diabetes}[name]()
    x = torch.tensor(bunch.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    order = torch.randperm(len(x), generator=generator())
    if name == "diabetes":
        t = torch.tensor(bunch.target, dtype=torch.float32).reshape(-1, 1)
        return x[order], ((t - t.mean()) / t.std())[order]
    return x[order], torch.tensor(bunch.target)[order]


@cache
def vectors(classes: int = 4, n: int = 512, features: int = 16) -> Data:
    """Gaussian blobs."""
    y = torch.arange(n) % classes
    centres = 2 * torch.randn(classes, features, generator=generator(1))
    x = centres[y] + torch.randn(n, features, generator=generator(2))
    return (x - x.mean(0)) / x.std(0), y


@cache
def waves(n: int = 256, time: int = 16) -> Data:
    """Sine waves of three frequencies with random phase: float32 [n, time, 1] and the frequency's number."""
    y = torch.arange(n) % 3
    phase = 6.3 * torch.rand(n, 1, generator=generator(3))
    t = torch.arange(time).float()
    x = 1.4 * torch.sin((0.3 + 0.5 * y[:, None]) * t + phase) + 0.1 * torch.randn(n, time, generator=generator(4))
    return x[..., None], y


@cache
def sentences(n: int = 192, time: int = 12, vocabulary: int = 20) -> Tensor:
    """Token ids int64 [n, time]: each token is the one before plus 1 or 2 (0 is padding)."""
    steps = torch.randint(1, 3, (n, time), generator=generator(5))
    first = torch.randint(0, vocabulary - 1, (n, 1), generator=generator(6))
    return (first + steps.cumsum(1)) % (vocabulary - 1) + 1


def mlp(features: int, out: int, hidden: int = 32, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, hidden), activation(), nn.Linear(hidden, hidden), activation(), nn.Linear(hidden, out)
    )


def cnn(out: int = 10, norm: bool = False, channels: int = 8) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1, bias=not norm)]
    layers += [nn.BatchNorm2d(channels)] if norm else []
    layers += [nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * channels, out))


class Residual(nn.Module):
    """x + f(x), the last normalisation's gain at zero (a usual initialisation of ResNets)."""

    def __init__(self, channels: int, zero_gain: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        if zero_gain:
            nn.init.zeros_(self.body[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class Recurrent(nn.Module):
    """A recurrent layer and a linear head on its last state, or on every state."""

    def __init__(self, kind: type[nn.RNNBase], features: int, out: int, every: bool = False, **options: Any) -> None:
        super().__init__()
        self.rnn = kind(features, 24, batch_first=True, **options)
        self.head = nn.Linear(24 * (2 if options.get("bidirectional") else 1), out)
        self.every = every

    def forward(self, x: Tensor) -> Tensor:
        states = self.rnn(x)[0]
        if self.rnn.bidirectional:
            return self.head(states.mean(1))
        return self.head(states if self.every else states[:, -1])


class Tagger(nn.Module):
    """Embedding, recurrent layer, scores for each token [N, T, C]."""

    def __init__(self, vocabulary: int = 20, padding: int | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 16, padding_idx=padding)
        self.rnn = nn.GRU(16, 32, batch_first=True)
        self.head = nn.Linear(32, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(tokens))[0])


class Transformer(nn.Module):
    """A causal transformer: tokens [N, T] to scores [N, T, C]."""

    def __init__(self, vocabulary: int = 20, width: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(0.02 * torch.randn(64, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        time = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(time)
        x = self.embedding(tokens) + self.position[:time]
        return self.head(self.norm(self.blocks(x, mask=mask, is_causal=True)))


class Pooled(nn.Module):
    """Masked mean of embeddings, given as keywords: ids int64 [N, T], mask bool [N, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        weight = mask.float().unsqueeze(-1)
        return self.head((self.embedding(ids) * weight).sum(1) / weight.sum(1).clamp_min(1))


class Both(nn.Module):
    """An image and a vector, as two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(4 * 36 + 4, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        return self.head(torch.cat([self.image(image), vector], 1))


class Variational(nn.Module):
    """A variational autoencoder that samples in train mode only; returns (reconstruction, mean, log variance)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16))
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return self.decoder(mean + noise * (0.5 * log_variance).exp()), mean, log_variance
