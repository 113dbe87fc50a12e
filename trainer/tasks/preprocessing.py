"""Preprocessing as named steps, fitted on training inputs and applied alike to training and validation
inputs.

Every step is affine, ``(x - offset) * scale``; which statistics it uses is its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.errors import unknown_name


@dataclass(frozen=True)
class FittedStep:
    """``(x - offset) * scale``; both broadcast against inputs [N, ...]."""

    name: str
    offset: Tensor
    scale: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        return (inputs - self.offset) * self.scale


_ZERO, _ONE = torch.zeros(()), torch.ones(())


def _over_channel(inputs: Tensor) -> tuple[int, ...]:
    """The dimensions a per-channel statistic averages over: all but dimension 1 (images [N, C, H, W], tables
    [N, D])."""
    return tuple(d for d in range(inputs.ndim) if d != 1)


def _inverse(scale: Tensor) -> Tensor:
    """1/scale, and 1 where the scale is 0: a feature that never varies is left alone."""
    return torch.where(scale > 0, 1 / scale.clamp_min(torch.finfo(scale.dtype).tiny), 1.0)


def _subtract_mean(inputs: Tensor) -> tuple[Tensor, Tensor]:
    return inputs.mean(0, keepdim=True), _ONE


def _subtract_channel_mean(inputs: Tensor) -> tuple[Tensor, Tensor]:
    return inputs.mean(_over_channel(inputs), keepdim=True), _ONE


def _standardize(inputs: Tensor) -> tuple[Tensor, Tensor]:
    dims = _over_channel(inputs)
    mean = inputs.mean(dims, keepdim=True)
    return mean, _inverse(inputs.std(dims, keepdim=True, correction=0))


def _scale_to_unit(inputs: Tensor) -> tuple[Tensor, Tensor]:
    return _ZERO, _inverse(inputs.abs().max())


def _scale_to_symmetric(inputs: Tensor) -> tuple[Tensor, Tensor]:
    low, high = inputs.min(), inputs.max()
    return (low + high) / 2, 2 * _inverse(high - low)


STEPS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "subtract-mean": _subtract_mean,  # the mean image (or row), as AlexNet does
    "subtract-channel-mean": _subtract_channel_mean,  # one mean per channel, as VGG does
    "standardize": _standardize,  # per channel: mean 0, standard deviation 1
    "scale-to-unit": _scale_to_unit,  # divided by the largest magnitude
    "scale-to-symmetric": _scale_to_symmetric,  # smallest value to -1, largest to 1: the range of tanh
}


def fit_steps(names: Sequence[str], inputs: Tensor) -> tuple[FittedStep, ...]:
    """Fits each step on ``inputs`` as the steps before it leave them. Raises `UnknownNameError` for an
    unknown one."""
    steps = []
    for name in names:
        if name not in STEPS:
            raise unknown_name("preprocessing step", name, STEPS)
        step = FittedStep(name, *STEPS[name](inputs))
        inputs = step(inputs)
        steps.append(step)
    return tuple(steps)
