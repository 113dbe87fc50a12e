"""Small nets of every common kind, for 8x8 grey digits (and for plain vectors)."""

from __future__ import annotations

import torch
from torch import nn

ACTS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "leaky": nn.LeakyReLU,
}


def mlp(depth=2, width=64, act="relu", norm=None, inputs=64, outputs=10, init=None, dropout=0.0):
    """A plain net with ``depth`` hidden layers; ``init`` is applied to every weight matrix."""
    layers = [nn.Flatten()]
    for i in range(depth):
        linear = nn.Linear(inputs if i == 0 else width, width)
        layers.append(linear)
        if norm:
            layers.append({"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[norm](width))
        layers.append(ACTS[act]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    model = nn.Sequential(*layers, nn.Linear(width if depth else inputs, outputs))
    return initialised(model, init)


def initialised(model, init):
    """Apply ``init(weight)`` to every weight with two or more axes; biases become zero."""
    if init is not None:
        for parameter in model.parameters():
            with torch.no_grad():
                init(parameter) if parameter.dim() > 1 else parameter.zero_()
    return model


def cnn(norm=False, act="relu", channels=8):
    def block(i, o):
        return [
            nn.Conv2d(i, o, 3, padding=1),
            *([nn.BatchNorm2d(o)] if norm else []),
            ACTS[act](),
            nn.MaxPool2d(2),
        ]

    return nn.Sequential(
        *block(1, channels), *block(channels, 2 * channels), nn.Flatten(), nn.Linear(8 * channels, 32), ACTS[act](),
        nn.Linear(32, 10),
    )  # fmt: skip


class Residual(nn.Module):
    """x + body(x); ``zero`` starts the block as the identity."""

    def __init__(self, width, norm="layer", zero=False):
        super().__init__()
        scale = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, None: lambda _: nn.Identity()}[norm]
        self.norm, self.up, self.act, self.down = (
            scale(width),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
        )
        if zero:
            nn.init.zeros_(self.down.weight)

    def forward(self, x):
        return x + self.down(self.act(self.up(self.norm(x))))


def resnet(blocks=6, width=48, norm="layer", zero=False):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, width),
        *(Residual(width, norm, zero) for _ in range(blocks)),
        nn.Linear(width, 10),
    )


class Recurrent(nn.Module):
    """Reads the image row by row."""

    def __init__(self, kind="LSTM", width=32, scale=None):
        super().__init__()
        self.cell = getattr(nn, kind)(8, width, batch_first=True)
        self.head = nn.Linear(width, 10)
        if scale:
            with torch.no_grad():
                self.cell.weight_hh_l0.mul_(scale)

    def forward(self, x):
        return self.head(self.cell(x.flatten(1, 2))[0][:, -1])


class Attention(nn.Module):
    """A small Transformer encoder over the rows of the image."""

    def __init__(self, width=32, depth=2, norm_first=True):
        super().__init__()
        self.embed, self.place = nn.Linear(8, width), nn.Parameter(torch.randn(1, 8, width) * 0.02)
        block = nn.TransformerEncoderLayer(width, 4, 64, 0.1, batch_first=True, norm_first=norm_first)
        self.body, self.head = (
            nn.TransformerEncoder(block, depth, enable_nested_tensor=False),
            nn.Linear(width, 10),
        )

    def forward(self, x):
        return self.head(self.body(self.embed(x.flatten(1, 2)) + self.place).mean(1))


class Letters(nn.Module):
    """Next-character model: embedding, GRU, head."""

    def __init__(self, letters=40, width=32):
        super().__init__()
        self.embed, self.cell = nn.Embedding(letters, 16), nn.GRU(16, width, batch_first=True)
        self.head = nn.Linear(width, letters)

    def forward(self, x):
        return self.head(self.cell(self.embed(x))[0]).transpose(1, 2)


def autoencoder():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 8),
        nn.Linear(8, 32),
        nn.ReLU(),
        nn.Linear(32, 64),
    )
