"""Ill trainings on which no threshold was tuned: name -> (slugs any of which is right, maker) (see `zoo`)."""

from __future__ import annotations

import torch
from models import Attention, Letters, Recurrent, autoencoder, cnn, initialised, mlp, resnet
from odd_but_healthy import exclusive, made, plane, wave
from torch import nn
from torch.optim import Adagrad, Adam, RMSprop
from torch.optim.lr_scheduler import LambdaLR
from zoo import CANCER, DIABETES, PICTURE, TEXT, _maker, adam, big, few, frozen, poisoned, sgd

ODD_ILL: dict = {}
TOO_HIGH = "learning-rate-too-high exploding-gradients loss-diverging dead-units nonfinite-values loss-not-decreasing"


def odd(name, slugs, model, optimizer, schedule=None, **options):
    ODD_ILL[name] = (frozenset(slugs.split()), _maker(model, optimizer, schedule, options))


class RootOfSquares(nn.Module):
    """A distance whose gradient at zero is infinite."""

    def forward(self, a, b):
        return ((a - b) ** 2).sum(1).sqrt().mean()


class Standardised(nn.Module):
    """Divides by the spread of each example: zero for a blank picture."""

    def __init__(self):
        super().__init__()
        self.body = mlp(1)

    def forward(self, x):
        x = x.flatten(1)
        return self.body((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True))


class Careless(nn.Module):
    """Binary cross-entropy written by hand."""

    def forward(self, scores, targets):
        p = scores.softmax(1)[:, 1]
        return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


def blank_later(at):
    count = [0]

    def transform(x, y):
        count[0] += 1
        return (torch.zeros_like(x), y) if count[0] == at else (x, y)

    return lambda: transform


def deep_cnn(act, depth=8):
    layers = [nn.Conv2d(1, 8, 3, padding=1), act()]
    for _ in range(depth):
        layers += [nn.Conv2d(8, 8, 3, padding=1), act()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


noisy_plane = plane[:, :1] + torch.randn(1800, 1, generator=torch.Generator().manual_seed(3))

odd("cnn-sigmoid-deep", "vanishing-gradients", lambda: deep_cnn(nn.Sigmoid), sgd(0.05), steps=150)
odd("cnn-tanh-small", "vanishing-gradients poor-initialization", lambda: initialised(deep_cnn(nn.Tanh),
    big(0.02)), sgd(0.05),
    steps=150)  # fmt: skip
odd("tanh-30", "vanishing-gradients", lambda: mlp(30, 32, "tanh"), sgd(0.1), steps=200)
odd(
    "sigmoid-7-nesterov",
    "vanishing-gradients",
    lambda: mlp(7, 64, "sigmoid"),
    sgd(0.05, momentum=0.9, nesterov=True),
    steps=200,
)
odd(
    "sigmoid-15-adagrad",
    "vanishing-gradients",
    lambda: mlp(15, 32, "sigmoid"),
    lambda p: Adagrad(p, lr=0.01),
    steps=250,
)
odd("sigmoid-xor", "vanishing-gradients loss-not-decreasing", lambda: mlp(6, 16, "sigmoid", inputs=2,
    outputs=2), sgd(0.1), steps=300,
    **made(plane, exclusive))  # fmt: skip
odd("gru-sgd-50", TOO_HIGH, lambda: Recurrent("GRU"), sgd(50.0), steps=150)
odd("resnet-adam-0.5", TOO_HIGH, lambda: resnet(4), adam(0.5), steps=150)
odd("cnn-bn-sgd-100", TOO_HIGH, lambda: cnn(True), sgd(100.0), steps=150)
odd("momentum-0.99-hot", TOO_HIGH, lambda: mlp(2), sgd(1.0, momentum=0.99), steps=150)
odd("rmsprop-1", TOO_HIGH, lambda: mlp(2), lambda p: RMSprop(p, lr=1.0), steps=150)
odd("letters-sgd-100", TOO_HIGH, Letters, sgd(100.0), steps=150, batch=32, **TEXT)
odd("autoencoder-adam-0.5", TOO_HIGH, autoencoder, adam(0.5), steps=200, **PICTURE)
odd(
    "wave-sgd-1",
    TOO_HIGH,
    lambda: mlp(2, 64, inputs=1, outputs=1),
    sgd(3.0),
    loss_fn=nn.MSELoss(),
    steps=150,
    **made(*wave()),
)
odd(
    "linear-sgd-2", TOO_HIGH, lambda: mlp(0, inputs=10, outputs=1), sgd(2.0), loss_fn=nn.MSELoss(), batch=32, **DIABETES
)
odd("diabetes-raw-targets", TOO_HIGH, lambda: mlp(1, 32, inputs=10, outputs=1), sgd(0.1), loss_fn=nn.MSELoss(),
    batch=32,
    transform=lambda: lambda a, b: (a, 150 + 77 * b), **DIABETES)  # fmt: skip
odd(
    "late-blow-adam",
    TOO_HIGH,
    lambda: mlp(2),
    adam(1e-3),
    lambda o: LambdaLR(o, lambda s: 1.0 if s < 200 else 2000.0),
    steps=300,
)
odd("huge-init-mlp", TOO_HIGH + " poor-initialization", lambda: mlp(4, init=big(2.0)), sgd(0.01))
odd("huge-init-regression", TOO_HIGH + " poor-initialization", lambda: mlp(3, 64, inputs=10, outputs=1,
    init=big(1.0)), sgd(0.01),
    loss_fn=nn.MSELoss(), batch=32, **DIABETES)  # fmt: skip
odd("root-of-squares", "nonfinite-values", lambda: initialised(mlp(1, outputs=64), nn.init.zeros_), sgd(0.1),
    steps=60,
    transform=lambda: lambda a, b: (a, torch.zeros_like(b)), **PICTURE | {"loss_fn": RootOfSquares()})  # fmt: skip
odd("zero-spread", "nonfinite-values", Standardised, adam(), steps=80, transform=blank_later(50))
odd("careless-entropy", "nonfinite-values " + TOO_HIGH, lambda: mlp(2, 64, inputs=30, outputs=2), sgd(5.0),
    loss_fn=Careless(), batch=32,
    steps=200, **CANCER)  # fmt: skip
odd("nan-attention", "nonfinite-values", Attention, adam(), steps=60, transform=lambda: poisoned(31))
odd("nan-last-step", "nonfinite-values", mlp, adam(), steps=60, transform=lambda: poisoned(59))
odd(
    "overfit-attention",
    "overfitting",
    lambda: Attention(64),
    adam(3e-3),
    data=few(80),
    label_noise=0.3,
    steps=300,
    batch=40,
    every=5,
)
odd("overfit-cancer", "overfitting", lambda: mlp(3, 128, inputs=30, outputs=2), adam(3e-3), batch=32,
    steps=500, label_noise=0.3,
    every=5, **CANCER)  # fmt: skip
odd("overfit-wave", "overfitting", lambda: mlp(3, 128, inputs=2, outputs=1), adam(5e-3), loss_fn=nn.MSELoss(),
    steps=800, every=8,
    batch=30, **made(plane, noisy_plane, 60))  # fmt: skip
odd("overfit-resnet", "overfitting", lambda: resnet(4), adam(1e-3), data=few(150), label_noise=0.4, steps=300,
    every=5)  # fmt: skip
odd("cnn-dead", "dead-units", lambda: biased_cnn(), sgd(0.1), steps=150)
odd(
    "all-frozen-but-bias",
    "parameters-not-updated missing-gradients loss-not-decreasing",
    lambda: frozen(mlp(2), 5),
    sgd(0.1),
    steps=150,
)
odd("zero-init-cnn", "symmetric-initialization loss-not-decreasing missing-gradients",
    lambda: initialised(cnn(), nn.init.zeros_), sgd(),
    steps=150)  # fmt: skip
odd(
    "ones-init",
    "symmetric-initialization",
    lambda: initialised(mlp(3, act="tanh"), nn.init.ones_),
    adam(1e-3),
    steps=150,
)
odd("wrong-sign-cnn", "loss-diverging", cnn, lambda p: Adam(p, lr=1e-3, maximize=True), steps=150)
odd(
    "gradients-pile-up",
    TOO_HIGH + " gradients-not-cleared",
    lambda: mlp(3),
    sgd(0.5, momentum=0.9),
    accumulate=True,
    steps=200,
)
odd(
    "noise-labels",
    "loss-not-decreasing",
    cnn,
    sgd(0.05),
    steps=200,
    transform=lambda: lambda a, b: (a, b[torch.randperm(len(b))]),
)


def biased_cnn():
    model = cnn()
    nn.init.constant_(model[3].bias, -30.0)
    return model
