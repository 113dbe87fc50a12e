"""Healthy trainings of uncommon kinds, on which no threshold was tuned: name -> maker (see `zoo`)."""

from __future__ import annotations

import torch
from models import Attention, Recurrent, autoencoder, cnn, mlp, resnet
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim import SGD, Adadelta, Adamax, AdamW, NAdam, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR, StepLR
from zoo import DIABETES, PICTURE, _maker, adam, digits, sgd

ODD: dict = {}


def odd(name, model, optimizer, schedule=None, **options):
    ODD[name] = _maker(model, optimizer, schedule, options)


def made(inputs, targets, n=1400):
    """(data, validation) options of generated tensors."""
    return {"data": lambda: (inputs[:n], targets[:n]), "validation": lambda: (inputs[n:], targets[n:])}


def points(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1800, 2, generator=generator), generator


class Adapter(nn.Module):
    """A fixed random body with a low-rank adapter that begins at zero."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 64), nn.Linear(64, 10)
        self.body.requires_grad_(False)
        self.down, self.up = nn.Linear(64, 4, bias=False), nn.Linear(4, 64, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        x = x.flatten(1)
        return self.head(torch.relu(self.body(x) + self.up(self.down(x))))


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(64, 4), nn.ModuleList(mlp(1, 16) for _ in range(4))

    def forward(self, x):
        weights = self.gate(x.flatten(1)).softmax(1)
        return (torch.stack([e(x) for e in self.experts], 2) * weights[:, None]).sum(2)


def wave():
    x = torch.linspace(-3, 3, 1800)[torch.randperm(1800, generator=torch.Generator().manual_seed(0))][:, None]
    return x, torch.sin(3 * x) + 0.1 * torch.randn(1800, 1, generator=torch.Generator().manual_seed(1))


x, y = digits()
plane, generator = points()
circle = (plane.norm(dim=1) > 1.2).long()
exclusive = ((plane[:, 0] > 0) ^ (plane[:, 1] > 0)).long()
BITS = torch.randint(0, 2, (1800, 6), generator=generator).float()
parity = (BITS[:, :3].sum(1) % 2).long()

odd("circle", lambda: mlp(1, 16, inputs=2, outputs=2), adam(1e-2), steps=200, **made(plane, circle))
odd("xor-tanh", lambda: mlp(1, 8, "tanh", inputs=2, outputs=2), sgd(0.5), steps=300, **made(plane, exclusive))
odd(
    "xor-sigmoid",
    lambda: mlp(1, 8, "sigmoid", inputs=2, outputs=2),
    sgd(2.0, momentum=0.9),
    steps=500,
    **made(plane, exclusive),
)
odd(
    "parity-plateau",
    lambda: mlp(1, 64, "tanh", inputs=6, outputs=2),
    sgd(0.3, momentum=0.9),
    steps=500,
    **made(BITS, parity),
)
odd(
    "wave-mse",
    lambda: mlp(2, 32, "tanh", inputs=1, outputs=1),
    adam(1e-2),
    steps=400,
    loss_fn=nn.MSELoss(),
    **made(*wave()),
)
odd("large-targets", lambda: mlp(1, 32, inputs=2, outputs=1), adam(3e-2), steps=400, loss_fn=nn.MSELoss(),
    **made(plane, 50 + 20 * plane[:, :1]))  # fmt: skip
odd("huber", lambda: mlp(2, 32, inputs=2, outputs=1), adam(1e-2), steps=200, loss_fn=nn.HuberLoss(),
    **made(plane, plane.prod(1, keepdim=True)))  # fmt: skip
odd("poisson", lambda: mlp(1, 16, inputs=2, outputs=1), adam(1e-2), steps=200, loss_fn=nn.PoissonNLLLoss(),
    **made(plane, torch.poisson(plane[:, :1].exp(), generator=generator)))  # fmt: skip
odd("multi-label", lambda: mlp(1, 32, inputs=2, outputs=3), adam(1e-2), steps=200, loss_fn=nn.BCEWithLogitsLoss(),
    **made(plane, torch.stack((circle, exclusive, (plane[:, 0] > 1).long()), 1).float()))  # fmt: skip
odd(
    "imbalanced",
    lambda: mlp(1, 16, inputs=2, outputs=2),
    adam(1e-2),
    steps=200,
    **made(plane, (plane[:, 0] > 1.8).long()),
)
odd("class-weights", mlp, adam(), loss_fn=nn.CrossEntropyLoss(weight=torch.linspace(0.2, 3, 10)))
odd("hinge", mlp, sgd(0.1), loss_fn=nn.MultiMarginLoss())
odd("summed-loss-small-rate", mlp, sgd(1e-3), loss_fn=nn.CrossEntropyLoss(reduction="sum"))
odd("adapter", Adapter, adam(1e-2), steps=200)
odd("experts", Experts, adam(3e-3), steps=200)
odd(
    "denoising",
    autoencoder,
    adam(),
    steps=200,
    transform=lambda: lambda a, b: (a + 0.5 * torch.randn_like(a), b),
    **PICTURE,
)
odd(
    "selu-deep", lambda: mlp(8, 48, "elu", init=lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")), adam(1e-3)
)
odd("leaky-deep", lambda: mlp(8, 48, "leaky", init=nn.init.kaiming_normal_), sgd(0.02, momentum=0.9))
odd("gelu-layernorm", lambda: mlp(6, 48, "gelu", "layer"), lambda p: AdamW(p, lr=1e-3, weight_decay=0.3))
odd("resnet-tiny-init", lambda: resnet(12, 32, zero=True), lambda p: AdamW(p, lr=1e-3))
odd("weight-norm", lambda: nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(64, 48)), nn.ReLU(),
    nn.Linear(48, 10)), sgd(0.2))  # fmt: skip
odd("spectral-norm", lambda: nn.Sequential(nn.Flatten(), parametrizations.spectral_norm(nn.Linear(64, 48)), nn.ReLU(),
    nn.Linear(48, 10)), sgd(0.2), steps=200)  # fmt: skip
odd("warm-restarts", mlp, sgd(0.3, momentum=0.9), lambda o: CosineAnnealingWarmRestarts(o, 60), steps=300)
odd("one-cycle", cnn, sgd(0.1, momentum=0.9), lambda o: OneCycleLR(o, 0.1, total_steps=250), steps=250)
odd("cyclic", mlp, sgd(0.1), lambda o: CyclicLR(o, 0.01, 0.6, step_size_up=40), steps=300)
odd("step-decay", cnn, sgd(0.1, momentum=0.9), lambda o: StepLR(o, 80, 0.1), steps=250)
odd("adadelta", mlp, lambda p: Adadelta(p, lr=1.0), steps=200)
odd("adamax", mlp, lambda p: Adamax(p, lr=5e-3))
odd("nadam-recurrent", lambda: Recurrent("GRU"), lambda p: NAdam(p, lr=5e-3), steps=200)
odd("rmsprop-momentum", cnn, lambda p: RMSprop(p, lr=1e-3, momentum=0.9), steps=200)
odd("adam-hot", mlp, adam(0.02), steps=200)
odd("sgd-hot", lambda: mlp(2, 128, norm="batch"), sgd(1.0), steps=200)
odd("batch-one", lambda: mlp(1, 32), sgd(0.01), batch=1, steps=800, every=8)
odd("batch-four-adam", cnn, adam(1e-3), batch=4, steps=500, every=5)
odd("attention-one-layer", lambda: Attention(depth=1), sgd(0.1, momentum=0.9), steps=300)
odd("attention-deep", lambda: Attention(depth=5), lambda p: AdamW(p, lr=1e-3), steps=200)
odd(
    "diabetes-full-batch",
    lambda: mlp(0, inputs=10, outputs=1),
    sgd(0.2),
    loss_fn=nn.MSELoss(),
    batch=400,
    steps=200,
    **DIABETES,
)
odd("noisy-half-labels", mlp, adam(), label_noise=0.5, steps=120)
odd("thirty-adam", lambda: mlp(3, norm="batch"), adam(1e-2), steps=30, log_val=3)
odd("thirty-cnn-sgd", lambda: cnn(True), sgd(0.1, momentum=0.9), steps=30, log_val=3)
odd("sixty-lstm", Recurrent, adam(1e-2), steps=60, log_val=5)
odd("long-and-converged", lambda: mlp(1, 32), adam(1e-2), steps=3000, every=50, log_val=100)
odd("long-sgd-batchnorm", lambda: cnn(True), sgd(0.05, momentum=0.9), steps=1200, every=20, log_val=50)
odd(
    "label-smoothing-long",
    mlp,
    adam(),
    loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1),
    steps=800,
    every=10,
    log_val=40,
)
odd("strong-decay", mlp, lambda p: SGD(p, lr=0.1, weight_decay=5e-3, momentum=0.9), steps=400, every=4)
