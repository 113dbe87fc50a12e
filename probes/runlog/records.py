"""What flows from the instruments to the run log: plain values and NumPy arrays, no torch.

An *axis* is the list of names a per-layer value runs over. Three are in use: ``parameter`` (tensors the optimizer
updates), ``module`` (modules whose output is watched, in forward order) and ``input`` (channels of the batch as the
net sees it). Each *kind* of value ("grad_norm", "activation_std", ...) belongs to exactly one axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class LayerFrame:
    """Per-layer statistics measured at one step.

    Attributes:
        step: optimizer steps done when the frame was taken (the step it describes).
        time: Unix time, seconds.
        axes: axis name -> names along it, e.g. ``{"parameter": ["fc1.weight", "fc1.bias"]}``.
        values: kind -> (axis name, float array [L]). NaN and Inf are measurements and are kept.
        measured: kind -> bool array [L]; False where nothing was measured. A kind left out is measured throughout.
    """

    step: int
    time: float
    axes: Mapping[str, Sequence[str]]
    values: Mapping[str, tuple[str, FloatArray]]
    measured: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class HistogramTable:
    """Histograms of one kind for every layer at one step.

    Attributes:
        layers: names, [L].
        counts: uint32 [L, B]; elements counted in each bin (a sample of the tensor, see ``population``).
        outside: uint32 [L, 5]; exact zeros (and subnormals), below the first edge, above the last edge, NaN, Inf.
            Zeros are counted here only; the middle bin of ``counts`` holds what is too small for the other bins.
        population: uint64 [L]; elements the tensor had. Counts add up to less when the tensor was sampled.
    """

    layers: Sequence[str]
    counts: npt.NDArray[np.uint32]
    outside: npt.NDArray[np.uint32]
    population: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class HistogramFrame:
    """Histograms taken at one step: kind ("weight", "gradient", ...) -> table. All share ``edges`` float64 [B+1]."""

    step: int
    time: float
    edges: npt.NDArray[np.float64]
    tables: Mapping[str, HistogramTable]


@dataclass(frozen=True)
class FilterSnapshot:
    """First-layer weights at one step: float32 [out, in, h, w] (conv) or [out, in] (dense)."""

    step: int
    time: float
    layer: str
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Event:
    """Something that happened to the run: ``kind`` is a slug ("resumed", "frames-thinned", "probe-error", ...)."""

    step: int
    time: float
    kind: str
    message: str
    data: Mapping[str, object] = field(default_factory=dict)


Record = LayerFrame | HistogramFrame | FilterSnapshot | Event
