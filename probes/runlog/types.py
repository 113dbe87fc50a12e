"""What a run hands out: plain NumPy arrays with the names that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One scalar over the run.

    Attributes:
        name: e.g. "train/loss".
        steps: int64 [T], not decreasing; a step occurs twice when the series was logged twice at it.
        values: float64 [T]; NaN and Inf were logged as such. Steps without a value are not in the series.
        times: float64 [T], Unix time in seconds.
    """

    name: str
    steps: IntArray
    values: DoubleArray
    times: DoubleArray

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class LayerSeries:
    """One statistic of every layer over the run.

    Attributes:
        kind: e.g. "grad_norm".
        axis: "parameter", "module" or "input".
        layers: names [L], in forward order.
        steps: int64 [T].
        values: float64 [T, L]; NaN where nothing was measured, and where NaN was measured (see ``measured``).
        measured: bool [T, L].
        times: float64 [T], Unix time in seconds.
    """

    kind: str
    axis: str
    layers: list[str]
    steps: IntArray
    values: DoubleArray
    measured: npt.NDArray[np.bool_]
    times: DoubleArray


@dataclass(frozen=True)
class Histograms:
    """Histograms of one layer over the run.

    Attributes:
        kind: "weight", "gradient", "update", "activation" or "activation_gradient".
        layer: its name.
        steps: int64 [T].
        edges: float64 [B + 1].
        counts: uint32 [T, B]; elements in [edges[b], edges[b + 1]).
        outside: uint32 [T, 5]; exact zeros, below the first edge, above the last, NaN, Inf.
        population: uint64 [T]; elements the tensor had (the counts may be of a sample).
        times: float64 [T], Unix time in seconds.
    """

    kind: str
    layer: str
    steps: IntArray
    edges: DoubleArray
    counts: npt.NDArray[np.uint32]
    outside: npt.NDArray[np.uint32]
    population: npt.NDArray[np.uint64]
    times: DoubleArray


@dataclass(frozen=True)
class LayerHistograms:
    """Histograms of all layers at one step.

    Attributes:
        kind: as in `Histograms`.
        layers: names [L], in forward order.
        step: of the frame.
        edges: float64 [B + 1].
        counts: uint32 [L, B].
        outside: uint32 [L, 5], as in `Histograms`.
        population: uint64 [L].
        steps: int64 [S], all frames there are.
        time: Unix time in seconds.
    """

    kind: str
    layers: list[str]
    step: int
    edges: DoubleArray
    counts: npt.NDArray[np.uint32]
    outside: npt.NDArray[np.uint32]
    population: npt.NDArray[np.uint64]
    steps: IntArray
    time: float


@dataclass(frozen=True)
class Filters:
    """First-layer weights at one step.

    Attributes:
        step: of the snapshot.
        layer: name of the parameter.
        weights: float32 [out, in, h, w] (convolution) or [out, in] (dense).
        steps: int64 [S], all snapshots there are.
        time: Unix time in seconds.
    """

    step: int
    layer: str
    weights: npt.NDArray[np.float32]
    steps: IntArray
    time: float


@dataclass(frozen=True)
class RunEvent:
    """Something that happened to the run, see `records.Event`."""

    step: int
    time: float
    kind: str
    message: str
    data: dict[str, Any]
