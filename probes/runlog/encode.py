"""Records -> Arrow columns, one encoder per stream: the run directory's open format.

An encoder remembers what its stream held so far, so that a series that is missing for a while does not begin
a new segment: `Table.schema` changes only when something new appears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from probes.runlog.arrow import fixed_lists, primitive, strings
from probes.runlog.manifest import encode_json
from probes.runlog.records import Event, FilterSnapshot, HistogramFrame, LayerFrame

OUTSIDE = ("zero", "below", "above", "nan", "inf")
META_KEY = b"babysit"

_STEP = pa.field("step", pa.int64(), nullable=False)
_TIME = pa.field("time", pa.float64(), nullable=False)

# Far more than people look at; a name that changes with every step would otherwise make ever wider segments.
MAX_SERIES = 5_000

ScalarEntry = tuple[int, float, Mapping[str, float]]
ScalarRow = tuple[int, float, dict[str, float]]


@dataclass(frozen=True)
class Table:
    """Rows of one stream: the columns, and what a reader must know about them."""

    fields: tuple[pa.Field, ...]
    about: dict[str, Any]
    arrays: tuple[pa.Array, ...]
    rows: int

    def schema(self, header: Mapping[str, Any]) -> pa.Schema:
        """The schema of a segment of such tables, with ``header`` and ``about`` as JSON in its metadata."""
        return pa.schema(self.fields).with_metadata({META_KEY: encode_json({**header, **self.about})})


def merge_rows(entries: Iterable[ScalarEntry]) -> list[ScalarRow]:
    """One row per step, in order of appearance; a series given twice at a step begins another row of it."""
    rows: list[ScalarRow] = []
    latest: dict[int, dict[str, float]] = {}
    for step, time, values in entries:
        row = latest.get(step)
        if row is None or not row.keys().isdisjoint(values):
            latest[step] = row = dict(values)
            rows.append((step, time, row))
        else:
            row.update(values)
    return rows


def _times(steps: Sequence[int], times: Sequence[float]) -> tuple[pa.Array, pa.Array]:
    return primitive(np.array(steps, np.int64)), primitive(np.array(times, np.float64))


def _as_float(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


class ScalarsEncoder:
    """Rows of scalars: ``step``, ``time``, one nullable float64 column per series seen so far."""

    def __init__(self) -> None:
        self.series: dict[str, None] = {}
        self.rejected: dict[str, str] = {}

    def encode(self, rows: Sequence[ScalarRow]) -> list[Table]:
        """All ``rows`` as one table."""
        if not rows:
            return []
        for _, _, values in rows:
            if not values.keys() <= self.series.keys():
                self._admit(values)
        if not self.series:
            return []
        columns = self._columns([values for _, _, values in rows])
        fields = (_STEP, _TIME, *(pa.field(name, pa.float64()) for name in self.series))
        step_time = _times([row[0] for row in rows], [row[1] for row in rows])
        return [Table(fields, {}, (*step_time, *columns), len(rows))]

    def _admit(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.series:
                continue
            if len(self.series) < MAX_SERIES:
                self.series[name] = None
            else:
                self.rejected[name] = f"more than {MAX_SERIES} series"

    def _columns(self, rows: list[dict[str, float]]) -> list[pa.Array]:
        names = list(self.series)
        pick = itemgetter(*names) if len(names) > 1 else lambda values: (values[names[0]],)
        cells: list[tuple[float | None, ...]] = []
        incomplete: list[int] = []
        for values in rows:
            try:
                cells.append(pick(values))
            except KeyError:
                incomplete.append(len(cells))
                cells.append(tuple(map(values.get, names)))
        try:
            table = np.array(cells, np.float64)  # None becomes NaN, which `known` tells from a logged one
        except (TypeError, ValueError, OverflowError):
            return [
                self._odd_column(name, column) for name, column in zip(names, zip(*cells, strict=True), strict=True)
            ]
        known = None
        if incomplete:
            known = np.ones(table.shape, bool)
            known[incomplete] = [[cell is not None for cell in cells[row]] for row in incomplete]
        return [
            primitive(table[:, column], None if known is None else known[:, column]) for column in range(len(names))
        ]

    def _odd_column(self, name: str, values: Sequence[object]) -> pa.Array:
        """A column that holds something else than numbers here and there."""
        found = [None if value is None else _as_float(value) for value in values]
        for value, number in zip(values, found, strict=True):
            if value is not None and number is None:
                self.rejected[name] = f"not a number: {value!r:.80}"
        return primitive(np.array(found, np.float64), np.array([number is not None for number in found]))


class LayersEncoder:
    """Frames of per-layer statistics: per kind a nullable fixed_size_list<float32>[L]."""

    def __init__(self) -> None:
        self.axes: dict[str, list[str]] = {}
        self.kinds: dict[str, str] = {}

    def encode(self, frames: Sequence[LayerFrame]) -> list[Table]:
        """One table per stretch of frames with the same axes."""
        tables: list[Table] = []
        stretch: list[LayerFrame] = []
        for frame in frames:
            axes = {axis: list(names) for axis, names in frame.axes.items()}
            kinds = {kind: axis for kind, (axis, _) in frame.values.items()}
            if any(self.axes.get(axis) != names for axis, names in axes.items()) or any(
                self.kinds.get(kind, axis) != axis for kind, axis in kinds.items()
            ):
                tables += self._table(stretch)
                stretch = []
                self.axes = {**self.axes, **axes}
                self.kinds = {kind: axis for kind, axis in self.kinds.items() if axis not in axes}
            self.kinds.update(kinds)
            stretch.append(frame)
        return tables + self._table(stretch)

    def _table(self, frames: Sequence[LayerFrame]) -> list[Table]:
        if not frames:
            return []
        fields, arrays = [_STEP, _TIME], [*_times([f.step for f in frames], [f.time for f in frames])]
        for kind, axis in self.kinds.items():
            length = len(self.axes[axis])
            blank = np.zeros(length, np.float32)
            held = [frame.values.get(kind) for frame in frames]
            values = np.array(
                [blank if item is None else _shaped(item[1], length, kind) for item in held], dtype=np.float32
            )
            measured = np.ones((len(frames), length), bool)
            for row, frame in enumerate(frames):
                mask = frame.measured.get(kind)
                if mask is not None:
                    measured[row] = mask
            arrays.append(fixed_lists(values, measured, np.array([item is not None for item in held])))
            fields.append(pa.field(kind, pa.list_(pa.float32(), length)))
        about = {"axes": self.axes, "kinds": self.kinds}
        return [Table(tuple(fields), _copy(about), tuple(arrays), len(frames))]


class HistogramsEncoder:
    """Frames of histograms: per kind ``<kind>``, ``<kind>.outside`` and ``<kind>.population``."""

    def __init__(self) -> None:
        self.edges: list[float] = []
        self.kinds: dict[str, list[str]] = {}

    def encode(self, frames: Sequence[HistogramFrame]) -> list[Table]:
        """One table per stretch of frames with the same edges and layers."""
        tables: list[Table] = []
        stretch: list[HistogramFrame] = []
        for frame in frames:
            edges = [float(edge) for edge in frame.edges]
            kinds = {kind: list(table.layers) for kind, table in frame.tables.items()}
            if edges != self.edges or any(self.kinds.get(kind, names) != names for kind, names in kinds.items()):
                tables += self._table(stretch)
                stretch = []
                self.edges, self.kinds = edges, {**self.kinds, **kinds} if edges == self.edges else kinds
            self.kinds.update(kinds)
            stretch.append(frame)
        return tables + self._table(stretch)

    def _table(self, frames: Sequence[HistogramFrame]) -> list[Table]:
        if not frames:
            return []
        bins = len(self.edges) - 1
        fields, arrays = [_STEP, _TIME], [*_times([f.step for f in frames], [f.time for f in frames])]
        for kind, layers in self.kinds.items():
            held = [frame.tables.get(kind) for frame in frames]
            present = np.array([table is not None for table in held])
            for name, part, per_layer, dtype in _histogram_parts(kind, bins):
                length = len(layers) * per_layer
                values: npt.NDArray[Any] = np.zeros((len(frames), length), dtype)
                for row, table in enumerate(held):
                    if table is not None:
                        values[row] = _shaped(getattr(table, part), length, name)
                arrays.append(fixed_lists(values, None, present))
                fields.append(pa.field(name, pa.list_(pa.from_numpy_dtype(dtype), length)))
        about = {"edges": self.edges, "kinds": self.kinds, "outside": OUTSIDE}
        return [Table(tuple(fields), _copy(about), tuple(arrays), len(frames))]


def _histogram_parts(kind: str, bins: int) -> tuple[tuple[str, str, int, type], ...]:
    return (
        (kind, "counts", bins, np.uint32),
        (f"{kind}.outside", "outside", len(OUTSIDE), np.uint32),
        (f"{kind}.population", "population", 1, np.uint64),
    )


class FiltersEncoder:
    """Snapshots of the first layer: ``weights`` fixed_size_list<float32>[prod(shape)]."""

    def encode(self, snapshots: Sequence[FilterSnapshot]) -> list[Table]:
        """One table per snapshot: they are few and large."""
        tables = []
        for snapshot in snapshots:
            weights = np.ascontiguousarray(snapshot.weights, dtype=np.float32)
            fields = (_STEP, _TIME, pa.field("weights", pa.list_(pa.float32(), weights.size), nullable=False))
            column = fixed_lists(weights.reshape(1, -1))
            about = {"layer": snapshot.layer, "shape": list(weights.shape)}
            tables.append(Table(fields, about, (*_times([snapshot.step], [snapshot.time]), column), 1))
        return tables


class EventsEncoder:
    """Events: ``kind``, ``message`` and ``data`` (JSON) as text."""

    def encode(self, events: Sequence[Event]) -> list[Table]:
        """All ``events`` as one table."""
        if not events:
            return []
        texts = [
            [event.kind for event in events],
            [event.message for event in events],
            [encode_json(dict(event.data)).decode() for event in events],
        ]
        fields = (
            _STEP,
            _TIME,
            *(pa.field(n, pa.string(), nullable=False) for n in ("kind", "message", "data")),
        )
        arrays = (
            *_times([event.step for event in events], [event.time for event in events]),
            *(strings(text) for text in texts),
        )
        return [Table(fields, {}, arrays, len(events))]


def _shaped(values: npt.ArrayLike, length: int, what: str) -> npt.NDArray[Any]:
    flat = np.asarray(values).reshape(-1)
    if flat.size != length:
        raise ValueError(f"{what}: {flat.size} values where {length} were expected")
    return flat


def _copy(about: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in about.items()}
