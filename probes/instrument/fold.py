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

STD, ACROSS = 1, 4  # columns of the statistics

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
    """Samples: their keys (kind, number) [k], elements [k], ``stats`` [k, 5] (mean, std, min, max, and where ``varied``
    the norm of the deviations from the mean over the examples), ``table`` of codes, negative values first [k, CODES].
    """

    keys: Sequence[tuple[str, int]]
    lengths: Sequence[int]
    varied: bool
    stats: Array
    table: Array


@dataclass(frozen=True)
class ModuleNumbers:
    """What is measured for a module beside the statistics of its output. None: not measured.

    Attributes:
        saturated: share of the outputs near the ends of the activation's range.
        alive: bool [units], whether any example made the unit fire.
        observations: how many examples that was.
    """

    saturated: float | None = None
    alive: npt.NDArray[np.bool_] | None = None
    observations: int = 0

    @property
    def kinds(self) -> tuple[bool, bool]:
        """What is measured."""
        return self.saturated is not None, self.alive is not None


@dataclass(frozen=True)
class FrameArrays:
    """A frame on the host.

    Attributes:
        axes: "parameter", "module" and "input" names.
        groups: statistics of all samples. Those of kind "input" are numbered through the channels of the first
            batch, then through those of the second, and so on.
        norms: kind -> (numbers along the parameter axis, exact L2 norms).
        sizes: elements of each parameter.
        populations: (kind, number) -> elements the whole tensor has, of kinds that are not of parameters.
        apart: (kind, number) -> what the last column of ``stats`` would be, where it was measured by itself.
        modules: number along the module axis -> its numbers.
    """

    step: int
    time: float
    axes: Mapping[str, Sequence[str]]
    groups: Sequence[GroupArrays]
    norms: Mapping[str, tuple[Sequence[int], Array]]
    sizes: Sequence[int]
    populations: Mapping[tuple[str, int], int]
    apart: Mapping[tuple[str, int], float] = field(default_factory=dict)
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


def alive_units(highest: Array, lowest: Array | None, dead_below: float) -> npt.NDArray[np.bool_]:
    """Which units gave a value that is not (nearly) zero, bool [units]; ``lowest`` is None where none is negative."""
    # Written so that NaN counts as alive: a broken unit is not a dead one.
    alive = ~(highest <= dead_below)
    if lowest is not None:
        alive |= ~(lowest >= -dead_below)
    return np.asarray(alive)


class _Columns:
    """Per-layer values of several frames in the making: everything is "not measured" until it is set."""

    def __init__(self, frames: int, axes: Mapping[str, Sequence[str]]) -> None:
        self._frames, self._axes = frames, axes
        self._values: dict[str, tuple[str, Array]] = {}
        self._measured: dict[str, npt.NDArray[np.bool_]] = {}

    def set(self, kind: str, axis: str, numbers: Any, values: Array, measured: Any = True) -> None:
        """Sets ``values`` [frames, len(numbers)]; ``measured`` is broadcast to them."""
        if kind not in self._values:
            shape = (self._frames, len(self._axes[axis]))
            self._values[kind] = (axis, np.full(shape, np.nan, dtype=np.float64))
            self._measured[kind] = np.zeros(shape, dtype=np.bool_)
        self._values[kind][1][:, numbers] = values
        self._measured[kind][:, numbers] = measured

    def record(self, place: int, frame: FrameArrays) -> LayerFrame:
        """The record of one of the frames. A kind of which nothing was measured in it is left out."""
        measured = {kind: rows[place] for kind, rows in self._measured.items() if rows[place].any()}
        values = {kind: (self._values[kind][0], self._values[kind][1][place]) for kind in measured}
        return LayerFrame(frame.step, frame.time, frame.axes, values, measured)


@dataclass(frozen=True)
class _Rows:
    """The samples of one kind in several frames: k rows in each of f frames.

    Attributes:
        numbers: along the kind's axis [k].
        lengths: elements of the samples [k].
        populations: elements of the whole tensors [k].
        stats: float64 [f, k, 5], see `GroupArrays`.
        varied: whether the last column of these is measured [k].
        counts: bins [f, k, BINS].
        outside: [f, k, 5], see `probes.buckets.OUTSIDE`.
        places: of each, the group and the row in it [k].
    """

    numbers: Array
    lengths: Array
    populations: Array
    stats: Array
    varied: Array
    counts: Array
    outside: Array
    places: Sequence[tuple[int, int]]


def fold_frames(frames: Sequence[FrameArrays], dead: DeadUnits) -> list[Record]:
    """The layer frame and the histogram frame of each frame, in order.

    Frames of the same layout that follow one another are folded together: most of the time goes into calls, not into
    arithmetic.
    """
    records: list[Record] = []
    start = 0
    for end in range(1, len(frames) + 1):
        if end == len(frames) or not _alike(frames[start], frames[end]):
            records += _fold(frames[start:end], dead)
            start = end
    return records


def _alike(one: FrameArrays, other: FrameArrays) -> bool:
    return (
        one.axes == other.axes
        and [(g.keys, g.lengths, g.varied) for g in one.groups] == [(g.keys, g.lengths, g.varied) for g in other.groups]
        and {kind: numbers for kind, (numbers, _) in one.norms.items()}
        == {kind: numbers for kind, (numbers, _) in other.norms.items()}
        and one.sizes == other.sizes
        and one.populations == other.populations
        and one.apart.keys() == other.apart.keys()
        and {n: m.kinds for n, m in one.modules.items()} == {n: m.kinds for n, m in other.modules.items()}
    )


def _fold(frames: Sequence[FrameArrays], dead: DeadUnits) -> list[Record]:
    """Frames of one layout."""
    first = frames[0]
    columns = _Columns(len(frames), first.axes)
    norms = {
        kind: (np.array(numbers, dtype=np.int64), np.array([f.norms[kind][1] for f in frames], dtype=np.float64))
        for kind, (numbers, _) in first.norms.items()
    }
    kinds = _gather(frames) if first.groups else {}
    inputs = kinds.pop("input", None)
    for kind, rows in kinds.items():
        if kind in norms:
            _mend_norms(frames, *norms[kind], rows)
        _set_statistics(columns, kind, rows, norms.get(kind))
    if "activation" in kinds:
        _set_variation(columns, kinds["activation"])
    for kind, (numbers, lengths) in norms.items():
        columns.set(f"{_PREFIX_OF.get(kind, kind)}_norm", "parameter", numbers, lengths)
    _set_update_ratio(columns, norms)
    _set_modules(columns, frames, dead)
    if inputs is not None:
        for name, values in _merged(inputs, len(first.axes["input"])).items():
            columns.set(f"input_{name}", "input", slice(None), values)
    tables = {kind: _tables(first.axes[_AXIS_OF[kind]], rows) for kind, rows in kinds.items()}
    records: list[Record] = []
    for place, frame in enumerate(frames):
        records.append(columns.record(place, frame))
        if tables:
            chosen = {kind: table[place] for kind, table in tables.items()}
            records.append(HistogramFrame(frame.step, frame.time, buckets.EDGES, chosen))
    return records


def _gather(frames: Sequence[FrameArrays]) -> dict[str, _Rows]:
    """The samples of each kind."""
    groups = frames[0].groups
    keys = [key for group in groups for key in group.keys]
    lengths = np.array([length for group in groups for length in group.lengths], dtype=np.float64)
    sizes, others = frames[0].sizes, frames[0].populations
    parameters = [_AXIS_OF.get(kind) == "parameter" for kind, _ in keys]
    populations = np.array(
        [sizes[key[1]] if own else others[key] for key, own in zip(keys, parameters, strict=True)], dtype=np.float64
    )
    # Tables are large: they are folded where they lie, not put together first.
    folded = [[buckets.fold(group.table, negative_first=True) for group in frame.groups] for frame in frames]
    counts = np.stack([np.concatenate([counts for counts, _ in parts]) for parts in folded])
    outside = np.stack([np.concatenate([outside for _, outside in parts]) for parts in folded])
    stats = np.stack([np.concatenate([group.stats for group in frame.groups]) for frame in frames])
    varied = np.repeat([group.varied for group in groups], [len(group.keys) for group in groups])
    for row, key in enumerate(keys):
        if key in frames[0].apart:
            stats[:, row, ACROSS] = [frame.apart[key] for frame in frames]
            varied[row] = True
    place_of = [(group, row) for group in range(len(groups)) for row in range(len(groups[group].keys))]
    rows_of: dict[str, list[int]] = {}
    for row, (kind, _) in enumerate(keys):
        rows_of.setdefault(kind, []).append(row)
    return {
        kind: _Rows(
            np.array([keys[row][1] for row in rows], dtype=np.int64), lengths[rows], populations[rows],
            stats[:, rows].astype(np.float64), varied[rows], counts[:, rows], outside[:, rows],
            [place_of[row] for row in rows],
        )
        for kind, rows in rows_of.items()
    }  # fmt: skip


def _merged(rows: _Rows, channels: int) -> dict[str, Array]:
    """Statistics [frames, channels] over all batches of a frame (they are of one size), as if they were one."""
    order = np.argsort(rows.numbers)
    stats = rows.stats[:, order].reshape(len(rows.stats), -1, channels, rows.stats.shape[2])
    mean, std, low, high, _ = np.moveaxis(stats, 3, 0)
    center = mean.mean(1)
    variance = (std**2 + (mean - center[:, None]) ** 2).mean(1)
    return {"mean": center, "std": np.sqrt(variance), "min": low.min(1), "max": high.max(1)}


def _mend_norms(frames: Sequence[FrameArrays], numbers: Array, lengths: Array, rows: _Rows) -> None:
    """Replaces norms that float32 could not hold, of values below 1e-19 or above 1e19, by estimates."""
    suspect = (lengths == 0) | (lengths == np.inf)
    if not suspect.any():
        return
    row_of = {int(number): row for row, number in enumerate(rows.numbers)}
    broken = rows.outside[..., NAN] + rows.outside[..., INF] > 0
    for frame, place in np.argwhere(suspect):
        row = row_of.get(int(numbers[place]))
        if row is None or broken[frame, row]:
            continue
        group, place_in_group = rows.places[row]
        table = frames[frame].groups[group].table[place_in_group]
        size = float(buckets.rms(buckets.positive_first(table))) * rows.populations[row] ** 0.5
        # A zero tensor has norm zero. An infinite norm of moderate values comes from an element outside the sample.
        if lengths[frame, place] == 0 or size > 1e15:
            lengths[frame, place] = size


def _set_statistics(columns: _Columns, kind: str, rows: _Rows, norms: tuple[Array, Array] | None) -> None:
    if kind == "update":
        return
    axis, prefix, numbers = _AXIS_OF[kind], _PREFIX_OF[kind], rows.numbers
    mean, std, low, high, _ = np.moveaxis(rows.stats, 2, 0)
    zero = rows.outside[..., ZERO] / rows.lengths
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
    found = (rows.outside[..., NAN] + rows.outside[..., INF]).astype(np.float64)
    nonfinite = np.rint(found * rows.populations / rows.lengths)
    if norms is not None and not np.isfinite(norms[1]).all():
        place_of = {int(number): place for place, number in enumerate(norms[0])}
        whole = np.zeros_like(nonfinite)
        for row, number in enumerate(numbers):
            if int(number) in place_of:
                whole[:, row] = norms[1][:, place_of[int(number)]]
        # The exact norm notices what the sample missed. An infinite norm of moderate values can only come
        # from an infinite element; of huge ones (squares overflow above 1.8e19) it says nothing.
        missed = np.isnan(whole) | (np.isinf(whole) & (largest < 1e15))
        nonfinite = np.where((nonfinite == 0) & missed, 1.0, nonfinite)
    columns.set(f"{prefix}_nonfinite", axis, numbers, nonfinite)


def _set_variation(columns: _Columns, rows: _Rows) -> None:
    """Deviation across the batch / overall deviation: 0 when every example gives the same output, at most 1.

    An output that does not vary at all has 0.
    """
    if rows.varied.any():
        known = rows.stats[:, rows.varied]
        overall = known[..., STD] * np.sqrt(rows.lengths[rows.varied])
        with np.errstate(divide="ignore", invalid="ignore"):
            variation = np.where(overall == 0, 0.0, known[..., ACROSS] / overall)
        columns.set("batch_variation", "module", rows.numbers[rows.varied], variation)


def _set_update_ratio(columns: _Columns, norms: Mapping[str, tuple[Array, Array]]) -> None:
    """‖Δw‖ / ‖w‖ with w after the step (Karpathy's CS231n notes); 0 / 0, a zero tensor left alone, is 0."""
    if "update" not in norms or "weight" not in norms:
        return
    numbers, mine, others = np.intersect1d(norms["update"][0], norms["weight"][0], return_indices=True)
    change, weight = norms["update"][1][:, mine], norms["weight"][1][:, others]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((change == 0) & (weight == 0), 0.0, change / weight)
    columns.set("update_ratio", "parameter", numbers, ratio)


def _set_modules(columns: _Columns, frames: Sequence[FrameArrays], dead: DeadUnits) -> None:
    modules = frames[0].modules
    saturated = [n for n, m in modules.items() if m.saturated is not None]
    if saturated:
        shares = np.array([[f.modules[n].saturated for n in saturated] for f in frames], dtype=np.float64)
        columns.set("saturated_fraction", "module", saturated, shares)
    for number in [n for n, m in modules.items() if m.alive is not None]:
        name = frames[0].axes["module"][number]
        seen = [(f.modules[number].alive, f.modules[number].observations) for f in frames]
        found = [dead.update(name, alive, count) for alive, count in seen if alive is not None]
        fractions = np.array([[np.nan if fraction is None else fraction] for fraction in found])
        columns.set("dead_fraction", "module", [number], fractions, [[f is not None] for f in found])


def _tables(layers: Sequence[str], rows: _Rows) -> list[HistogramTable]:
    """A table for each frame."""
    frames, length = len(rows.counts), len(layers)
    counts = np.zeros((frames, length, buckets.BINS), dtype=np.uint32)
    outside = np.zeros((frames, length, len(buckets.OUTSIDE)), dtype=np.uint32)
    population = np.zeros(length, dtype=np.uint64)
    counts[:, rows.numbers], outside[:, rows.numbers] = rows.counts, rows.outside
    population[rows.numbers] = rows.populations
    return [HistogramTable(layers, counts[place], outside[place], population) for place in range(frames)]
