"""The read-only view of a run that rules judge: plain arrays, cut at a step, each read at most once.

Rules never touch files. A view comes from a `Run` (`RunView.of_run`) or from arrays (`RunView.of_arrays`),
and one `diagnose` call shares one view, so that a series needed by ten rules is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from probes.diagnosis.manifest import (
    ModuleInfo,
    OptimizerInfo,
    ParameterInfo,
    read_modules,
    read_optimizers,
    read_parameters,
)
from probes.errors import UnknownNameError

if TYPE_CHECKING:
    from probes.runlog import Run

Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class NotJudged(Exception):
    """A rule cannot judge this run; the message says what is missing."""


@dataclass(frozen=True)
class Curve:
    """A series: steps int64 [T], strictly increasing, and values float64 [T], with NaN and Inf as they were
    logged.
    """

    steps: Steps
    values: Floats

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def finite(self) -> Curve:
        """The points with a finite value."""
        kept = np.isfinite(self.values)
        return self if bool(kept.all()) else Curve(self.steps[kept], self.values[kept])

    def until(self, step: int) -> Curve:
        """The points up to and including ``step``."""
        end = int(np.searchsorted(self.steps, step, side="right"))
        return Curve(self.steps[:end], self.values[:end])

    def since(self, step: int) -> Curve:
        """The points from ``step`` on."""
        start = int(np.searchsorted(self.steps, step))
        return Curve(self.steps[start:], self.values[start:])


@dataclass(frozen=True)
class FilterWeights:
    """The first layer's weights at one step: float32 [out, in, h, w] of a convolution, [out, in] of a dense layer."""

    step: int
    layer: str
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class HistogramTable:
    """Histograms of one layer: steps int64 [T], edges float64 [B + 1], counts [T, B]; zeros are counted apart, [T]."""

    steps: Steps
    edges: Floats
    counts: Floats
    zeros: Floats


@dataclass(frozen=True)
class LayerTable:
    """A layer series: names [L] in forward order, steps int64 [T], values float64 [T, L], measured bool [T,
    L].
    """

    layers: tuple[str, ...]
    steps: Steps
    values: Floats
    measured: Mask

    def __len__(self) -> int:
        return len(self.steps)

    def until(self, step: int) -> LayerTable:
        """The frames up to and including ``step``."""
        end = int(np.searchsorted(self.steps, step, side="right"))
        return LayerTable(self.layers, self.steps[:end], self.values[:end], self.measured[:end])

    def pick(self, names: Sequence[str]) -> LayerTable:
        """The columns of ``names``, in that order; names that the table lacks are left out."""
        where = {name: column for column, name in enumerate(self.layers)}
        kept = [name for name in names if name in where]
        columns = [where[name] for name in kept]
        return LayerTable(tuple(kept), self.steps, self.values[:, columns], self.measured[:, columns])

    def column(self, name: str) -> Curve | None:
        """What was measured of one layer and is finite; None where the table lacks the layer."""
        if name not in self.layers:
            return None
        at = self.layers.index(name)
        kept = self.measured[:, at] & np.isfinite(self.values[:, at])
        return Curve(self.steps[kept], self.values[kept, at])

    def one_row_a_step(self) -> LayerTable:
        """The table with frames of the same step made one: what a later frame measured takes precedence.

        A run that is resumed at a step looks at its weights there once more.
        """
        again = np.flatnonzero(np.diff(self.steps) == 0) + 1
        if not len(again):
            return self
        values, measured = self.values.copy(), self.measured.copy()
        for row in again:
            values[row] = np.where(measured[row], values[row], values[row - 1])
            measured[row] |= measured[row - 1]
        kept = np.concatenate((np.diff(self.steps) != 0, [True]))
        return LayerTable(self.layers, self.steps[kept], values[kept], measured[kept])

    def at(self, steps: Steps) -> LayerTable:
        """The frames at ``steps`` (those the table has)."""
        rows = np.flatnonzero(np.isin(self.steps, steps))
        return LayerTable(self.layers, self.steps[rows], self.values[rows], self.measured[rows])


class RunView:
    """One run as the rules see it.

    Attributes:
        name: name of the run.
        status: "running", "finished", "crashed" or "stalled".
        last_step: the last step taken into account.
        series_names: names of the scalar series.
        manifest: the manifest (`run.json`), as plain data.
        events: (step, kind, message) of each event.
    """

    def __init__(
        self,
        *,
        name: str,
        status: str,
        last_step: int,
        series_names: Sequence[str],
        read_series: Callable[[str], Curve | None],
        read_layers: Callable[[str], LayerTable | None],
        manifest: Mapping[str, Any],
        events: Sequence[tuple[int, str, str]] = (),
        read_filters: Callable[[int], tuple[FilterWeights, FilterWeights] | None] = lambda step: None,
        read_histograms: Callable[[str, str], HistogramTable | None] = lambda kind, layer: None,
    ) -> None:
        self.name = name
        self.status = status
        self.last_step = last_step
        self.series_names = tuple(series_names)
        self.manifest = manifest
        self.events = tuple(event for event in events if event[0] <= last_step)
        self._read_series = read_series
        self._read_layers = read_layers
        self._read_filters = read_filters
        self._read_histograms = read_histograms
        self._series: dict[str, Curve | None] = {}
        self._layers: dict[str, LayerTable | None] = {}

    @classmethod
    def of_run(cls, run: Run, at_step: int | None = None) -> RunView:
        """A view of what ``run`` holds now, cut after ``at_step`` when given."""
        end = run.last_step if run.last_step is not None else 0
        replayed = at_step is not None and at_step < end
        names = tuple(run.series_names)

        def read_series(name: str) -> Curve | None:
            if name not in names:
                return None
            series = run.series(name)
            return Curve(np.asarray(series.steps), np.asarray(series.values, dtype=np.float64))

        def read_layers(kind: str) -> LayerTable | None:
            if kind not in run.layer_kinds:
                return None
            table = run.layer_series(kind)
            values = np.asarray(table.values, dtype=np.float64)
            measured = np.asarray(table.measured, dtype=bool)
            return LayerTable(tuple(table.layers), np.asarray(table.steps), values, measured).one_row_a_step()

        def read_histograms(kind: str, layer: str) -> HistogramTable | None:
            try:
                found = run.histograms(kind, layer)
            except UnknownNameError:
                return None
            counts, outside = np.asarray(found.counts, np.float64), np.asarray(found.outside, np.float64)
            return HistogramTable(np.asarray(found.steps), np.asarray(found.edges), counts, outside[:, 0])

        def read_filters(step: int) -> tuple[FilterWeights, FilterWeights] | None:
            try:
                steps = run.filters().steps
            except UnknownNameError:
                return None
            kept = steps[steps <= step]
            ends = [run.filters(int(at)) for at in (kept[0], kept[-1])] if len(kept) else []
            shots = [FilterWeights(int(f.step), str(f.layer), np.asarray(f.weights)) for f in ends]
            return (shots[0], shots[1]) if shots else None

        return cls(
            name=str(run.name),
            status="running" if replayed else str(run.status),
            last_step=at_step if replayed and at_step is not None else end,
            series_names=names,
            read_series=read_series,
            read_layers=read_layers,
            manifest=dict(run.manifest),
            events=[(int(event.step), str(event.kind), str(event.message)) for event in run.events],
            read_filters=read_filters,
            read_histograms=read_histograms,
        )

    @classmethod
    def of_arrays(
        cls,
        series: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
        layers: Mapping[str, tuple[Sequence[str], npt.ArrayLike, npt.ArrayLike]] | None = None,
        *,
        manifest: Mapping[str, Any] | None = None,
        status: str = "finished",
        name: str = "arrays",
        at_step: int | None = None,
        events: Sequence[tuple[int, str, str]] = (),
        filters: Sequence[tuple[int, npt.ArrayLike]] = (),
        histograms: Mapping[tuple[str, str], HistogramTable] | None = None,
    ) -> RunView:
        """A view of plain arrays.

        Args:
            series: name -> (steps [T], values [T]).
            layers: kind -> (names [L], steps [T], values [T, L]); NaN is a measurement.
            filters: (step, weights of the first layer) of each snapshot, ascending.
            histograms: (kind, layer) -> histograms.
        """
        curves = {
            key: Curve(np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64))
            for key, (steps, values) in (series or {}).items()
        }
        tables = {}
        for kind, (names, steps, values) in (layers or {}).items():
            array = np.asarray(values, dtype=np.float64).reshape(-1, len(names))
            measured = np.ones(array.shape, dtype=bool)
            tables[kind] = LayerTable(tuple(names), np.asarray(steps, dtype=np.int64), array, measured)
        ends = [
            int(s[-1]) for s in (*(c.steps for c in curves.values()), *(t.steps for t in tables.values())) if len(s)
        ]
        last = max(ends, default=0)
        snapshots = [FilterWeights(step, "", np.asarray(weights, dtype=np.float32)) for step, weights in filters]

        def read_filters(step: int) -> tuple[FilterWeights, FilterWeights] | None:
            kept = [shot for shot in snapshots if shot.step <= step]
            return (kept[0], kept[-1]) if kept else None

        return cls(
            name=name,
            status=status,
            last_step=last if at_step is None else min(at_step, last),
            series_names=tuple(curves),
            read_series=curves.get,
            read_layers=tables.get,
            manifest=manifest or {},
            events=events,
            read_filters=read_filters,
            read_histograms=lambda kind, layer: (histograms or {}).get((kind, layer)),
        )

    def series(self, name: str) -> Curve | None:
        """The series ``name`` up to `last_step`, or None when the run has none (or not a point of it yet)."""
        if name not in self._series:
            curve = self._read_series(name)
            curve = curve.until(self.last_step) if curve is not None else None
            self._series[name] = curve if curve is not None and len(curve) else None
        return self._series[name]

    def histograms(self, kind: str, layer: str) -> HistogramTable | None:
        """The histograms of one layer up to `last_step`; None when there is none. Read anew at every call."""
        table = self._read_histograms(kind, layer)
        if table is None:
            return None
        end = int(np.searchsorted(table.steps, self.last_step, side="right"))
        return HistogramTable(table.steps[:end], table.edges, table.counts[:end], table.zeros[:end]) if end else None

    def layers(self, kind: str) -> LayerTable | None:
        """The layer series ``kind`` up to `last_step`, or None when there is no frame of it."""
        if kind not in self._layers:
            table = self._read_layers(kind)
            table = table.until(self.last_step) if table is not None else None
            self._layers[kind] = table if table is not None and len(table) and table.layers else None
        return self._layers[kind]

    def layer(self, kind: str, name: str) -> Curve | None:
        """The finite values of one layer of the layer series ``kind``; None when there is none of that layer."""
        table = self.layers(kind)
        curve = table.column(name) if table is not None else None
        return curve if curve is not None and len(curve) else None

    def filters(self) -> tuple[FilterWeights, FilterWeights] | None:
        """The first and the last snapshot of the first layer's weights up to `last_step`; None when there is none."""
        return self._read_filters(self.last_step)

    def need_layers(self, kind: str, frames: int = 1) -> LayerTable:
        """Like `layers`; raises `NotJudged` when there are fewer than ``frames``."""
        table = self.layers(kind)
        if table is None:
            raise NotJudged(f"no {kind} was recorded")
        if len(table) < frames:
            raise NotJudged(f"{len(table)} frames of {kind}, needs {frames}")
        return table

    @cached_property
    def parameters(self) -> tuple[ParameterInfo, ...]:
        """The model's parameters in forward order."""
        return read_parameters(self.manifest)

    @cached_property
    def modules(self) -> tuple[ModuleInfo, ...]:
        """The model's modules in forward order."""
        return read_modules(self.manifest)

    @cached_property
    def optimizers(self) -> tuple[OptimizerInfo, ...]:
        """Every parameter group of every optimizer."""
        return read_optimizers(self.manifest)

    @cached_property
    def start_step(self) -> int:
        """The step after which the first watched session began: 0 unless it continued an unwatched training."""
        sessions = self.manifest.get("sessions")
        first = sessions[0] if isinstance(sessions, (list, tuple)) and sessions else None
        step = first.get("start_step") if isinstance(first, Mapping) else None
        return step if isinstance(step, int) else 0

    @property
    def adaptive(self) -> bool:
        """Whether any optimizer scales its updates by the gradient's own size (Adam and its kin)."""
        return any(group.adaptive for group in self.optimizers)

    @property
    def plain(self) -> bool:
        """Whether every optimizer is plain gradient descent, whose steps shrink with the gradient, and one is known."""
        return bool(self.optimizers) and all(group.plain for group in self.optimizers)

    def group_rates(self, index: int, steps: Steps) -> Floats | None:
        """The learning rate of parameter group ``index`` in force at each of ``steps``, [T]; None when unknown."""
        names = ["optimizer/lr"] if index == 0 else []  # it keeps this name when groups are added later
        curve = next((c for name in [f"optimizer/lr/{index}", *names] if (c := self.series(name)) is not None), None)
        if curve is not None:
            places = np.searchsorted(curve.steps, steps, side="right") - 1
            return np.asarray(curve.values[np.maximum(places, 0)])
        rate = self.optimizers[index].lr if index < len(self.optimizers) else None
        return None if rate is None else np.full(len(steps), rate)

    @property
    def warming_up(self) -> bool:
        """Whether the learning rate is still being raised at the end of what is judged."""
        now, before = self.learning_rate(self.last_step), self.learning_rate(int(0.9 * self.last_step))
        return now is not None and before is not None and now > before

    def learning_rate(self, step: int) -> float | None:
        """The (largest) learning rate in force at ``step``, from the log or else from the manifest."""
        names = [n for n in self.series_names if n == "optimizer/lr" or n.startswith("optimizer/lr/")]
        rates = []
        for name in names:
            curve = self.series(name)
            if curve is not None:
                index = int(np.searchsorted(curve.steps, step, side="right")) - 1
                rates.append(float(curve.values[max(index, 0)]))
        rates = rates or [group.lr for group in self.optimizers if group.lr is not None]
        finite = [rate for rate in rates if np.isfinite(rate)]
        return max(finite, default=None)
