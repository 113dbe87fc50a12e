"""Gradients on their way back through time, by what reaches the inputs of a recurrent module."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import Floats, HistogramTable, RunView, Steps

RECURRENT = ("RNN", "LSTM", "GRU")


@dataclass(frozen=True)
class ThroughTime:
    """A recurrent module, the module that feeds it, and per frame [T] by how many decades gradients spread there."""

    module: str
    type: str
    inputs: str
    steps: Steps
    decades: Floats


def through_time(view: RunView) -> list[ThroughTime]:
    """Every recurrent module over sequences whose inputs come from another module that was measured.

    The gradient at the inputs has one vector for each moment of the sequence. Where it vanishes through time, most of
    these are smaller than the few last ones by orders of magnitude, although all weights get a gradient.
    """
    found = []
    for before, module in zip(view.modules[:-1], view.modules[1:], strict=True):
        same = len(module.output_shape) == 3 and before.output_shape[:2] == module.output_shape[:2]
        if module.type not in RECURRENT or not same or len(before.output_shape) != 3:
            continue
        table = view.histograms("activation_gradient", before.name)
        if table is not None and len(table.steps):
            found.append(ThroughTime(module.name, module.type, before.name, table.steps, spread(table)))
    return found


def spread(table: HistogramTable) -> Floats:
    """log10 of root mean square over median magnitude of the elements that are not zero, [T]; NaN where there is none.

    Exact zeros are left out: those are padding, and what is cut off. Magnitudes are the middles of the bins; what lies
    below the smallest bin counts as half its edge.
    """
    low, high = np.abs(table.edges[:-1]), np.abs(table.edges[1:])
    size = 0.5 * (low + high)
    middle = np.sign(table.edges[:-1]) != np.sign(table.edges[1:])
    size[middle] = 0.5 * np.maximum(low, high)[middle]
    order = np.argsort(size)
    counts, sizes = table.counts[:, order], size[order]
    total = counts.sum(axis=1)
    result = np.full(len(counts), np.nan)
    for row in np.flatnonzero(total > 0):
        median = sizes[int(np.searchsorted(np.cumsum(counts[row]), 0.5 * total[row]))]
        root = np.sqrt((counts[row] * sizes**2).sum() / total[row])
        result[row] = np.log10(root / median)
    return result
