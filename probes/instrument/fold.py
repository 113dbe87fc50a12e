"""Turns what a frame measured into records. Runs on the writer's thread: NumPy only, no torch, no model."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from probes import buckets
from probes.runlog.records import HistogramFrame, HistogramTable, LayerFrame, Record

Array = npt.NDArray[Any]

DEAD_WINDOW = 1_000
"""A unit is dead when none of at least this many recent examples made it fire, or none of all seen so far."""

DEAD_EVIDENCE = 256
"""With fewer examples seen than this, whether a unit is dead is not said."""

ZERO, NAN, INF = (buckets.OUTSIDE.index(name) for name in ("zero", "nan", "inf"))

STD = 1  # column of the statistics

_AXIS_OF = {
    "weight": "parameter",
    "gradient": "parameter",
    "update": "parameter",
    "activation": "module",
    "activation_gradient": "module",
}
_PREFIX_OF = {
    "weight": "weight",
    "gradient": "grad",
    "activation": "activation",
    "activation_gradient": "activation_grad",
}


@dataclass(frozen=True)
class GroupArrays:
    """Samples: their keys (kind, number) [k], elements [k], ``stats`` [k, 4] (mean, std, min, max), ``table`` [k,
    CODES].
    """

    keys: Sequence[tuple[str, int]]
    lengths: Sequence[int]
    stats: Array
    table: Array


@dataclass(frozen=True)
class ModuleNumbers:
    """What is measured for a module beside the statistics of its output. None: not measured.

    Attributes:
        saturated: share of the outputs near the ends of the activation's range.
        across: norm of the sampled outputs' deviations from their mean over the examples.
        alive: bool [units], whether any example made the unit fire.
        observations: how many examples that was.
    """

    saturated: float | None = None
    across: float | None = None
    alive: npt.NDArray[np.bool_] | None = None
    observations: int = 0


@dataclass(frozen=True)
class FrameArrays:
    """A frame on the host.

    Attributes:
        axes: "parameter", "module" and "input" names.
        groups: statistics of all samples. Those of kind "input" are numbered through the channels of the first
            batch, then through those of the second, and so on.
        norms: kind -> (numbers along the parameter axis, exact L2 norms).
        populations: (kind, number) -> elements the whole tensor has.
        modules: number along the module axis -> its numbers.
    """

    step: int
    time: float
    axes: Mapping[str, Sequence[str]]
    groups: Sequence[GroupArrays]
    norms: Mapping[str, tuple[Sequence[int], Array]]
    populations: Mapping[tuple[str, int], int]
    modules: Mapping[int, ModuleNumbers] = field(default_factory=dict)


class DeadUnits:
    """Follows over the frames which units of each module have fired among the recent examples."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[npt.NDArray[np.bool_], int]]] = {}

    def update(self, module: str, alive: npt.NDArray[np.bool_], observations: int) -> float | None:
        """Takes in what one frame saw; returns the fraction of dead units, or None while the evidence is
        thin.
        """
        window = self._seen.setdefault(module, deque())
        if window and window[0][0].shape != alive.shape:
            window.clear()
        window.append((alive, observations))
        total = sum(count for _, count in window)
        while total - window[0][1] >= DEAD_WINDOW:
            total -= window.popleft()[1]
        if total < DEAD_EVIDENCE:
            return None
        fired = np.logical_or.reduce([mask for mask, _ in window])
        return float(1.0 - fired.mean())


class _Columns:
    """Per-layer values in the making: everything is "not measured" until it is set."""

    def __init__(self, axes: Mapping[str, Sequence[str]]) -> None:
        self._axes = axes
        self.values: dict[str, tuple[str, Array]] = {}
        self.measured: dict[str, npt.NDArray[np.bool_]] = {}

    def set(self, kind: str, axis: str, numbers: Any, values: Any) -> None:
        length = len(self._axes[axis])
        if kind not in self.values:
            self.values[kind] = (axis, np.full(length, np.nan, dtype=np.float64))
            self.measured[kind] = np.zeros(length, dtype=np.bool_)
        self.values[kind][1][numbers] = values
        self.measured[kind][numbers] = True


@dataclass(frozen=True)
class _Rows:
    """All samples of a frame, or those of one kind: everything runs along the same axis [k].

    Attributes:
        numbers: along the kind's axis.
        lengths: elements of the samples.
        populations: elements of the whole tensors.
        stats: float64 [k, 4], see `GroupArrays`.
        counts: bins [k, BINS].
        outside: [k, 5], see `probes.buckets.OUTSIDE`.
        places: rows of the table of codes that they are.
    """

    numbers: Array
    lengths: Array
    populations: Array
    stats: Array
    counts: Array
    outside: Array
    places: Array

    def of(self, rows: Sequence[int]) -> _Rows:
        return _Rows(*(column[rows] for column in vars(self).values()))


def _gather(frame: FrameArrays, table: Array) -> dict[str, _Rows]:
    """The samples of each kind. Folding all at once costs a fraction of folding group by group."""
    keys = [key for group in frame.groups for key in group.keys]
    counts, outside = buckets.fold(table)
    everything = _Rows(
        np.array([number for _, number in keys], dtype=np.int64),
        np.array([length for g in frame.groups for length in g.lengths], dtype=np.float64),
        np.array([frame.populations[key] for key in keys], dtype=np.float64),
        np.concatenate([group.stats for group in frame.groups]).astype(np.float64),
        counts,
        outside,
        np.arange(len(keys)),
    )
    rows_of: dict[str, list[int]] = {}
    for row, (kind, _) in enumerate(keys):
        rows_of.setdefault(kind, []).append(row)
    return {kind: everything.of(rows) for kind, rows in rows_of.items()}


def fold_frame(frame: FrameArrays, dead: DeadUnits) -> list[Record]:
    """The layer frame and the histogram frame of what was measured."""
    columns = _Columns(frame.axes)
    kinds: dict[str, _Rows] = {}
    if frame.groups:
        table = np.concatenate([group.table for group in frame.groups])
        kinds = _gather(frame, table)
    inputs = kinds.pop("input", None)
    for kind, rows in kinds.items():
        _mend_norms(frame, kind, rows, table)
        _set_statistics(columns, frame, kind, rows)
    if "activation" in kinds:
        _set_variation(columns, frame, kinds["activation"])
    for kind, (numbers, lengths) in frame.norms.items():
        columns.set(f"{_PREFIX_OF.get(kind, kind)}_norm", "parameter", list(numbers), lengths)
    _set_update_ratio(columns, frame)
    _set_modules(columns, frame, dead)
    if inputs is not None:
        for name, values in _merged(inputs, len(frame.axes["input"])).items():
            columns.set(f"input_{name}", "input", slice(None), values)
    records: list[Record] = [LayerFrame(frame.step, frame.time, frame.axes, columns.values, columns.measured)]
    if kinds:
        tables = {kind: _table(len(frame.axes[_AXIS_OF[kind]]), frame, kind, rows) for kind, rows in kinds.items()}
        records.append(HistogramFrame(frame.step, frame.time, buckets.EDGES, tables))
    return records


def _merged(rows: _Rows, channels: int) -> dict[str, Array]:
    """Statistics of each channel over all batches (they are of one size), as if they were one."""
    stats = rows.stats[np.argsort(rows.numbers)].reshape(-1, channels, 4)
    mean, std, low, high = np.moveaxis(stats, 2, 0)
    center = mean.mean(0)
    variance = (std**2 + (mean - center) ** 2).mean(0)
    return {"mean": center, "std": np.sqrt(variance), "min": low.min(0), "max": high.max(0)}


def _mend_norms(frame: FrameArrays, kind: str, rows: _Rows, table: Array) -> None:
    """Replaces norms that float32 could not hold, of values below 1e-19 or above 1e19, by estimates."""
    if kind not in frame.norms:
        return
    known, lengths = frame.norms[kind]
    suspect = (lengths == 0) | (lengths == np.inf)
    if not suspect.any():
        return
    places = {number: place for place, number in enumerate(known) if suspect[place]}
    broken = rows.outside[:, NAN] + rows.outside[:, INF] > 0
    for row in np.flatnonzero(~broken):
        place = places.get(int(rows.numbers[row]))
        if place is None:
            continue
        size = float(buckets.rms(table[rows.places[row]])) * rows.populations[row] ** 0.5
        # A zero tensor has norm zero. An infinite norm of moderate values comes from an element outside the sample.
        if lengths[place] == 0 or size > 1e15:
            lengths[place] = size


def _set_statistics(columns: _Columns, frame: FrameArrays, kind: str, rows: _Rows) -> None:
    if kind == "update":
        return
    axis, prefix, numbers = _AXIS_OF[kind], _PREFIX_OF[kind], rows.numbers
    mean, std, low, high = rows.stats.T
    zero = rows.outside[:, ZERO] / rows.lengths
    columns.set(f"{prefix}_std", axis, numbers, std)
    if kind == "activation_gradient":
        columns.set("activation_grad_norm", axis, numbers, np.sqrt(rows.populations * (mean**2 + std**2)))
        columns.set("activation_grad_zero_fraction", axis, numbers, zero)
        return
    columns.set(f"{prefix}_mean", axis, numbers, mean)
    columns.set("zero_fraction" if kind == "activation" else f"{prefix}_zero_fraction", axis, numbers, zero)
    largest = np.maximum(np.abs(low), np.abs(high))
    if kind == "weight":
        columns.set("weight_min", axis, numbers, low)
        columns.set("weight_max", axis, numbers, high)
    else:
        columns.set(f"{prefix}_max_abs", axis, numbers, largest)
    found = (rows.outside[:, NAN] + rows.outside[:, INF]).astype(np.float64)
    nonfinite = np.rint(found * rows.populations / rows.lengths)
    if kind in frame.norms and not np.isfinite(frame.norms[kind][1]).all():
        exact = dict(zip(*frame.norms[kind], strict=True))
        whole = np.array([exact.get(int(n), 0.0) for n in numbers], dtype=np.float64)
        # The exact norm notices what the sample missed. An infinite norm of moderate values can only come
        # from an infinite element; of huge ones (squares overflow above 1.8e19) it says nothing.
        missed = np.isnan(whole) | (np.isinf(whole) & (largest < 1e15))
        nonfinite = np.where((nonfinite == 0) & missed, 1.0, nonfinite)
    columns.set(f"{prefix}_nonfinite", axis, numbers, nonfinite)


def _set_variation(columns: _Columns, frame: FrameArrays, rows: _Rows) -> None:
    """Deviation across the batch / overall deviation: 0 when every example gives the same output, at most 1.

    An output that does not vary at all has 0.
    """
    across = {number: module.across for number, module in frame.modules.items() if module.across is not None}
    known = [row for row, number in enumerate(rows.numbers.tolist()) if number in across]
    if known:
        chosen = rows.of(known)
        overall = chosen.stats[:, STD] * np.sqrt(chosen.lengths)
        deviation = np.array([across[number] for number in chosen.numbers.tolist()])
        with np.errstate(divide="ignore", invalid="ignore"):
            variation = np.where(overall == 0, 0.0, deviation / overall)
        columns.set("batch_variation", "module", chosen.numbers, variation)


def _set_update_ratio(columns: _Columns, frame: FrameArrays) -> None:
    """‖Δw‖ / ‖w‖ with w after the step (Karpathy's CS231n notes); 0 / 0, a zero tensor left alone, is 0."""
    if "update" not in frame.norms or "weight" not in frame.norms:
        return
    weights = dict(zip(frame.norms["weight"][0], frame.norms["weight"][1], strict=True))
    numbers, lengths = frame.norms["update"]
    chosen = [i for i, n in enumerate(numbers) if n in weights]
    change = np.asarray(lengths, dtype=np.float64)[chosen]
    weight = np.array([weights[numbers[i]] for i in chosen], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((change == 0) & (weight == 0), 0.0, change / weight)
    columns.set("update_ratio", "parameter", [numbers[i] for i in chosen], ratio)


def _set_modules(columns: _Columns, frame: FrameArrays, dead: DeadUnits) -> None:
    saturated = {n: m.saturated for n, m in frame.modules.items() if m.saturated is not None}
    fractions: dict[int, float] = {}
    for number, module in frame.modules.items():
        if module.alive is not None:
            fraction = dead.update(frame.axes["module"][number], module.alive, module.observations)
            if fraction is not None:
                fractions[number] = fraction
    for kind, values in (("saturated_fraction", saturated), ("dead_fraction", fractions)):
        if values:
            columns.set(kind, "module", list(values), list(values.values()))


def _table(length: int, frame: FrameArrays, kind: str, rows: _Rows) -> HistogramTable:
    counts = np.zeros((length, buckets.BINS), dtype=np.uint32)
    outside = np.zeros((length, len(buckets.OUTSIDE)), dtype=np.uint32)
    population = np.zeros(length, dtype=np.uint64)
    counts[rows.numbers], outside[rows.numbers], population[rows.numbers] = rows.counts, rows.outside, rows.populations
    return HistogramTable(frame.axes[_AXIS_OF[kind]], counts, outside, population)
