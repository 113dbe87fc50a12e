"""Snapshots of the first layer's weights, the filters that people look at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from probes.instrument.modules import Watched
from probes.instrument.parameters import local
from probes.instrument.transfer import Transfer
from probes.runlog.records import FilterSnapshot

MAX_FILTERS = 256
MAX_ELEMENTS = 32_768
"""A snapshot holds the first 256 filters, and fewer when they are larger than 128 numbers each. With the schedule
below (34 snapshots in 10,000 steps, 51 in a million) the filters of a run stay below 4.5 and 7 MB.
"""


def next_snapshot(step: int) -> int:
    """The step at which filters are recorded after they were at ``step``: 0, 1, 2, 3, 4, 6, 8, 11, 15, 20, ...

    Each is about 1.3 times as late as the one before, so that filters can be seen to move at any time of a training.
    """
    return max(step + 1, -(-13 * step // 10))


def first_layer(watched: Sequence[Watched]) -> Watched | None:
    """The first module (in the order given) whose weight is a table of filters; tables of tokens are none."""
    for item in watched:
        if is_parametrized(item.module, "weight"):
            return None  # reading it computes it anew, which changes the state of spectral_norm
        weight = getattr(item.module, "weight", None)
        if isinstance(item.module, (nn.Embedding, nn.EmbeddingBag)) or not isinstance(weight, Tensor):
            continue
        if weight.dim() >= 2 and weight.is_floating_point() and weight.device.type != "meta":
            return item
    return None


class PendingFilters:
    """A snapshot whose weights are on their way to the host."""

    def __init__(self, layer: Watched, step: int, time: float) -> None:
        weight = getattr(layer.module, "weight")  # noqa: B009  mypy knows Module attributes as Tensor | Module
        self._layer, self._step, self._time = layer.name, step, time
        self._transfer = Transfer([arrange(local(weight), isinstance(layer.module, _TRANSPOSED))])

    def records(self) -> list[FilterSnapshot] | None:
        """The snapshot, or None while it has not arrived."""
        if not self._transfer.ready():
            return None
        return [FilterSnapshot(self._step, self._time, self._layer, self._transfer.arrays()[0])]


_TRANSPOSED = nn.modules.conv._ConvTransposeNd


def arrange(weight: Tensor, transposed: bool = False) -> Tensor:
    """A copy of the first filters: float32 [out, in, h, w] of a convolution in 1, 2 or 3 dimensions, else
    [out, in].

    A 1-d kernel lies in a row; the slices of a 3-d kernel lie side by side along ``in``.
    """
    if transposed:
        weight = weight.transpose(0, 1)
    size = max(1, weight[0].numel())
    chosen = weight[: max(1, min(MAX_FILTERS, MAX_ELEMENTS // size))].to(torch.float32, copy=True)
    if chosen.dim() == 3:
        chosen = chosen.unsqueeze(2)
    elif chosen.dim() == 5:
        chosen = chosen.flatten(1, 2)
    return chosen.contiguous()
