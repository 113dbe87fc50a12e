"""Rows of a stream -> what a run hands out: superseded rows left out, segments joined, steps in order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from probes.runlog.arrow import values_of
from probes.runlog.column_kinds import KEYS, Chunk, EventColumn, ListColumn, ScalarColumn, field_numbers
from probes.runlog.encode import OUTSIDE
from probes.runlog.segment_reader import SegmentInfo
from probes.runlog.stream_reader import StreamReader
from probes.runlog.types import Filters, Histograms, LayerHistograms, LayerSeries, RunEvent, Series

Mask = npt.NDArray[np.bool_] | None


def series_names(stream: StreamReader) -> list[str]:
    """Names of all series of a scalars stream, in the order they appeared."""
    return list(dict.fromkeys(name for info in stream.infos for name in info.schema.names[KEYS:]))


def series(stream: StreamReader, visible: Mask, name: str) -> Series:
    """One series."""
    at, values = stream.column(name, lambda: ScalarColumn(name)).get()
    steps, times = stream.steps[at], stream.times[at]
    if visible is not None:
        keep = visible[at]
        steps, values, times = steps[keep], values[keep], times[keep]
    order = _order(steps)
    if order is not None:
        steps, values, times = steps[order], values[order], times[order]
    return Series(name, steps, values, times)


def layer_axes(stream: StreamReader) -> dict[str, str]:
    """Kind -> axis of all statistics of a layers stream."""
    return {kind: axis for info in stream.infos for kind, axis in info.about["kinds"].items()}


def layer_series(stream: StreamReader, visible: Mask, kind: str, axis: str) -> LayerSeries:
    """One statistic of all layers that ever had it."""
    chunks = stream.column(kind, lambda: ListColumn(kind, np.float32)).get()
    chunks = [chunk for chunk in chunks if chunk[0].about["kinds"].get(kind) == axis]
    layers = in_forward_order([_axis(chunk[0], kind) for chunk in chunks])
    number = {layer: i for i, layer in enumerate(layers)}
    at = np.concatenate([chunk[1] for chunk in chunks] or [np.empty(0, np.int64)])
    values = np.full((len(at), len(layers)), np.nan)
    measured = np.zeros((len(at), len(layers)), bool)
    row = 0
    for info, rows, chunk_values, valid in chunks:
        place = np.ix_(
            np.arange(row, row + len(rows)), np.array([number[layer] for layer in _axis(info, kind)], np.intp)
        )
        values[place] = np.where(valid, chunk_values, np.nan)
        measured[place] = valid
        row += len(rows)
    keep = _chosen(stream, at, visible)
    at = at[keep]
    return LayerSeries(kind, axis, layers, stream.steps[at], values[keep], measured[keep], stream.times[at])


def _axis(info: SegmentInfo, kind: str) -> list[str]:
    names: list[str] = info.about["axes"][info.about["kinds"][kind]]
    return names


def in_forward_order(lists: Iterable[list[str]]) -> list[str]:
    """Union of several lists of layers: the latest list in its order, earlier layers where they stood."""
    union: list[str] = []
    for names in lists:
        if union == names:
            continue
        merged = list(names)
        present = set(names)
        for position, name in enumerate(union):
            if name not in present:
                before = next((n for n in reversed(union[:position]) if n in present), None)
                merged.insert(0 if before is None else merged.index(before) + 1, name)
                present.add(name)
        union = merged
    return union


def histogram_layers(stream: StreamReader) -> dict[str, list[str]]:
    """Kind -> layers of all histograms of a stream."""
    lists: dict[str, list[list[str]]] = {}
    for info in stream.infos:
        for kind, layers in info.about["kinds"].items():
            lists.setdefault(kind, []).append(layers)
    return {kind: in_forward_order(found) for kind, found in lists.items()}


def histograms(stream: StreamReader, visible: Mask, kind: str, layer: str) -> Histograms:
    """Histograms of one layer. Where the edges changed within the run, those with the latest edges."""

    def part(width: int | None) -> Any:
        def of(info: SegmentInfo) -> slice | None:
            layers = info.about["kinds"].get(kind, ())
            if layer not in layers:
                return None
            size = len(info.about["edges"]) - 1 if width is None else width
            return slice(layers.index(layer) * size, (layers.index(layer) + 1) * size)

        return of

    parts = []
    for name, width, dtype in (
        (kind, None, np.uint32),
        (f"{kind}.outside", len(OUTSIDE), np.uint32),
        (f"{kind}.population", 1, np.uint64),
    ):
        column = stream.column((layer, name), partial(ListColumn, name, dtype, part(width)))
        parts.append(column.get())
    # From the schema, which is there before the first row.
    edges = [info.about["edges"] for info in stream.infos if layer in info.about["kinds"].get(kind, ())][-1]
    kept = [[chunk for chunk in chunks if chunk[0].about["edges"] == edges] for chunks in parts]
    at = _joined(kept[0], 1, np.int64, ())
    keep = _chosen(stream, at, visible)
    rows = at[keep]
    return Histograms(
        kind,
        layer,
        stream.steps[rows],
        np.asarray(edges, np.float64),
        _joined(kept[0], 2, np.uint32, (len(edges) - 1,))[keep],
        _joined(kept[1], 2, np.uint32, (len(OUTSIDE),))[keep],
        _joined(kept[2], 2, np.uint64, (1,))[keep, 0],
        stream.times[rows],
    )


def histograms_at(stream: StreamReader, visible: Mask, kind: str, step: int | None) -> LayerHistograms | None:
    """Histograms of all layers in the frame with ``kind`` nearest to ``step`` (the last one when None)."""
    rows = np.arange(stream.rows)
    rows = rows[_chosen(stream, rows, visible)]
    steps = stream.steps[rows]
    names = (kind, f"{kind}.outside", f"{kind}.population")

    def fields(info: SegmentInfo) -> list[int]:
        return [number for name in names for number in field_numbers(info, name)]

    nearest = rows[::-1] if step is None else rows[np.argsort(np.abs(steps - step), kind="stable")]
    for row in nearest.tolist():
        found = stream.row(row, fields)
        if found is None or found[1].column(found[1].schema.names.index(kind)).null_count:
            continue
        info, batch = found
        layers = info.about["kinds"][kind]
        counts, outside, population = (
            _one_list(batch.column(batch.schema.names.index(name)), dtype).reshape(len(layers), -1)
            for name, dtype in zip(names, (np.uint32, np.uint32, np.uint64), strict=True)
        )
        edges = np.asarray(info.about["edges"], np.float64)
        when = int(stream.steps[row]), float(stream.times[row])
        return LayerHistograms(kind, list(layers), when[0], edges, counts, outside, population[:, 0], steps, when[1])
    return None


def _one_list(array: pa.FixedSizeListArray, dtype: Any) -> npt.NDArray[Any]:
    length = array.type.list_size
    return values_of(array.values.slice(array.offset * length, length), dtype)


def _joined(chunks: list[Chunk], part: int, dtype: Any, width: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.concatenate([chunk[part] for chunk in chunks] or [np.empty((0, *width), dtype)])


def filters(stream: StreamReader, visible: Mask, step: int | None) -> Filters | None:
    """The snapshot nearest to ``step`` (the earlier of two equally near), the last one when None."""
    rows = np.arange(stream.rows)[_chosen(stream, np.arange(stream.rows), visible)]
    if not len(rows):
        return None
    steps = stream.steps[rows]
    row = int(rows[-1] if step is None else rows[int(np.argmin(np.abs(steps - step)))])
    for info, at, values, _ in stream.column("weights", lambda: ListColumn("weights", np.float32)).get():
        hit = np.flatnonzero(at == row)
        if len(hit):
            weights = values[hit[0]].reshape(info.about["shape"])
            return Filters(int(stream.steps[row]), info.about["layer"], weights, steps, float(stream.times[row]))
    return None


def events(stream: StreamReader) -> list[RunEvent]:
    """All events."""
    column: EventColumn = stream.column("events", EventColumn)
    return column.events


def _chosen(stream: StreamReader, at: npt.NDArray[np.int64], visible: Mask) -> npt.NDArray[np.int64]:
    """Which of the rows ``at`` to show, in the order of their steps: indices into ``at``."""
    chosen = np.arange(len(at)) if visible is None else np.flatnonzero(visible[at])
    order = _order(stream.steps[at[chosen]])
    return chosen if order is None else chosen[order]


def _order(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """A stable order that makes ``steps`` ascend; None when they do."""
    if len(steps) < 2 or bool((steps[1:] >= steps[:-1]).all()):
        return None
    return np.argsort(steps, kind="stable")
