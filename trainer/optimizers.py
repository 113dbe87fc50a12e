"""Optimizers by the field's names, with the defaults that usually work for them.

``weight_decay`` is the L2 penalty (coupled, PyTorch's meaning) everywhere except in AdamW, where it is
decoupled.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from trainer.registry import Registry
from trainer.typed import Decay, NonNegative, OpenFraction, Positive

OPTIMIZERS = Registry("optimizer")

Parameters = Iterable[nn.Parameter]


@OPTIMIZERS.register("sgd")
def sgd(parameters: Parameters, *, lr: Positive = 0.1, weight_decay: NonNegative = 0.0) -> Optimizer:
    """Stochastic gradient descent."""
    return torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.register("momentum")
def momentum(
    parameters: Parameters, *, lr: Positive = 0.01, momentum: Decay = 0.9, weight_decay: NonNegative = 0.0
) -> Optimizer:
    """SGD with (heavy ball) momentum."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


@OPTIMIZERS.register("nesterov")
def nesterov(
    parameters: Parameters, *, lr: Positive = 0.01, momentum: OpenFraction = 0.9, weight_decay: NonNegative = 0.0
) -> Optimizer:
    """SGD with Nesterov momentum."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True)


@OPTIMIZERS.register("adagrad")
def adagrad(parameters: Parameters, *, lr: Positive = 0.01, weight_decay: NonNegative = 0.0) -> Optimizer:
    """Adagrad (Duchi et al. 2011)."""
    return torch.optim.Adagrad(parameters, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.register("adadelta")
def adadelta(
    parameters: Parameters, *, lr: Positive = 1.0, rho: Decay = 0.9, weight_decay: NonNegative = 0.0
) -> Optimizer:
    """Adadelta (Zeiler 2012)."""
    return torch.optim.Adadelta(parameters, lr=lr, rho=rho, weight_decay=weight_decay)


@OPTIMIZERS.register("rmsprop")
def rmsprop(
    parameters: Parameters,
    *,
    lr: Positive = 0.001,
    alpha: Decay = 0.99,
    momentum: Decay = 0.0,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """RMSprop (Tieleman and Hinton 2012)."""
    return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, momentum=momentum, weight_decay=weight_decay)


@OPTIMIZERS.register("adam")
def adam(
    parameters: Parameters,
    *,
    lr: Positive = 0.001,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """Adam (Kingma and Ba 2015)."""
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)


@OPTIMIZERS.register("adamw")
def adamw(
    parameters: Parameters,
    *,
    lr: Positive = 0.001,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    weight_decay: NonNegative = 0.01,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(parameters, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)
