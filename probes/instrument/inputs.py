"""The batch as the net sees it: mean, deviation and range of each channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from probes.instrument import capture
from probes.instrument.modules import is_measurable
from probes.instrument.sampling import example_slices

MAX_CHANNELS = 64
"""Inputs with more channels (or features) than this are described as one."""

INPUT_LIMIT = 65_536
"""Elements of a batch that are looked at."""


@dataclass(frozen=True)
class InputSample:
    """Statistics of one input batch.

    Attributes:
        forward: the pass it was fed to.
        shape: of the whole batch.
        dtype: e.g. "float32", "int64".
        values: float32 [channels, 4] (mean, std, min, max), or None for integers (tokens have no scale).
    """

    forward: capture.Pass
    shape: tuple[int, ...]
    dtype: str
    values: Tensor | None


def sample_input(batch: Tensor, forward: capture.Pass) -> InputSample:
    """Measures the batch given to a forward pass."""
    shape, dtype = tuple(batch.shape), str(batch.dtype).removeprefix("torch.")
    if not is_measurable(batch):
        return InputSample(forward, shape, dtype, None)
    batch, axis = capture.as_batch(batch, None)
    sample = batch[example_slices(batch.shape, axis, INPUT_LIMIT)].to(torch.float32)
    if sample.shape[axis] <= MAX_CHANNELS:
        rows = sample.movedim(axis, 0).reshape(sample.shape[axis], -1)
    else:
        rows = sample.reshape(1, -1)
    mean = rows.mean(1, keepdim=True)
    deviation = torch.linalg.vector_norm(rows - mean, dim=1, keepdim=True) / rows.shape[1] ** 0.5
    columns = [mean, deviation, rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)]
    return InputSample(forward, shape, dtype, torch.cat(columns, 1))
