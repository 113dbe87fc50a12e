"""The batch as the net sees it, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from probes.instrument import capture
from probes.instrument.modules import is_measurable
from probes.instrument.sampling import example_slices, take

MAX_CHANNELS = 64
"""Inputs with more channels (or features) than this are described as one."""

CHANNEL_LIMIT = 2_048
"""Elements of a channel that are looked at; where all are one channel, `sampling.LIMIT`."""


@dataclass(frozen=True)
class InputSample:
    """A sample of one input batch.

    Attributes:
        forward: the pass it was fed to.
        shape: of the whole batch.
        dtype: e.g. "float32", "int64".
        values: float32 [channels, n], or None for integers (tokens have no scale).
    """

    forward: capture.Pass
    shape: tuple[int, ...]
    dtype: str
    values: Tensor | None


def sample_input(batch: Tensor, forward: capture.Pass) -> InputSample:
    """Copies a part of the batch given to a forward pass."""
    shape, dtype = tuple(batch.shape), str(batch.dtype).removeprefix("torch.")
    if not is_measurable(batch):
        return InputSample(forward, shape, dtype, None)
    batch, axis = capture.as_batch(batch, None)
    channels = batch.shape[axis]
    if not 1 < channels <= MAX_CHANNELS:
        return InputSample(forward, shape, dtype, take(batch).view(1, -1))
    part = batch[example_slices(batch.shape, axis, channels * CHANNEL_LIMIT)].movedim(axis, 0)
    values = part.to(torch.float32, copy=True, memory_format=torch.contiguous_format).view(channels, -1)
    return InputSample(forward, shape, dtype, values)
