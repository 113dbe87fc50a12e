"""What is recorded is read back: against a naive twin that keeps everything in lists."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.runlog import (
    Event,
    FilterSnapshot,
    HistogramFrame,
    HistogramTable,
    LayerFrame,
    Record,
    Run,
    RunWriter,
    open_run,
    stream_writer,
)

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
NAMES = st.sampled_from(["train/loss", "train/accuracy", "val/loss", "step", "time", "a b/ü,\"'\n"])

SCALARS = st.tuples(st.just("scalars"), st.integers(0, 2), st.dictionaries(NAMES, NUMBERS, max_size=4))
LAYERS = st.tuples(
    st.just("layers"),
    st.integers(0, 2),
    st.sampled_from([("a", "b", "c"), ("a", "c"), ("a", "b", "x", "c")]),
    st.sets(st.sampled_from(["grad_norm", "weight_norm", "update_ratio"]), min_size=1),
    st.lists(st.tuples(st.booleans(), st.floats(width=32)), min_size=12, max_size=12),
)
HISTOGRAMS = st.tuples(
    st.just("histograms"),
    st.integers(0, 2),
    st.sampled_from([("a", "b"), ("b",), ("a", "b", "c")]),
    st.sets(st.sampled_from(["weight", "gradient"]), min_size=1),
    st.integers(0, 1000),
)
FILTERS = st.tuples(st.just("filters"), st.integers(0, 2), st.sampled_from([(2, 3), (2, 1, 2, 2)]))
FLUSH = st.tuples(st.just("flush"), st.just(0))
RESUME = st.tuples(st.just("resume"), st.integers(0, 6))
OPERATIONS = st.lists(st.one_of(SCALARS, SCALARS, LAYERS, HISTOGRAMS, FILTERS, FLUSH, RESUME), max_size=40)


class Twin:
    """Everything recorded, in lists of (session, step, value); superseding by a plain filter."""

    def __init__(self) -> None:
        self.starts = [0]
        self.scalars: dict[str, list[tuple[int, int, float]]] = {}
        self.layers: dict[str, list[tuple[int, int, dict[str, float | None]]]] = {}
        self.histograms: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        self.filters: list[tuple[int, int, tuple[int, ...]]] = []

    def standing(self, rows: list) -> list:
        kept = [row for row in rows if all(row[1] <= start for start in self.starts[row[0] + 1 :])]
        return sorted(kept, key=lambda row: row[1])


def record(writer: RunWriter, twin: Twin, step: int, operation: tuple) -> None:
    session = len(twin.starts) - 1
    match operation:
        case ("scalars", _, values):
            writer.scalars(step, float(step), values)
            for name, value in values.items():
                twin.scalars.setdefault(name, []).append((session, step, value))
        case ("layers", _, names, kinds, cells):
            values, measured = {}, {}
            for i, kind in enumerate(sorted(kinds)):
                mine = cells[4 * i : 4 * i + len(names)]
                values[kind] = ("parameter", np.array([value for _, value in mine], np.float32))
                measured[kind] = np.array([known for known, _ in mine])
                row = {name: value if known else None for name, (known, value) in zip(names, mine, strict=True)}
                twin.layers.setdefault(kind, []).append((session, step, row))
            writer.put(LayerFrame(step, float(step), {"parameter": names}, values, measured))
        case ("histograms", _, names, kinds, seed):
            tables = {}
            for kind in sorted(kinds):
                counts = np.stack([np.arange(3, dtype=np.uint32) + seed + ord(name) for name in names])
                outside = np.stack([np.arange(5, dtype=np.uint32) * ord(name) for name in names])
                population = np.array([seed + ord(name) for name in names], np.uint64)
                tables[kind] = HistogramTable(names, counts, outside, population)
                for name in names:
                    twin.histograms.setdefault((kind, name), []).append((session, step, seed))
            writer.put(HistogramFrame(step, float(step), np.array([0.0, 0.1, 1 / 3, 1e30]), tables))
        case ("filters", _, shape):
            writer.put(FilterSnapshot(step, float(step), "a", np.full(shape, step, np.float32)))
            twin.filters.append((session, step, shape))


def assert_same(run: Run, twin: Twin) -> None:
    assert set(run.series_names) == set(twin.scalars)
    for name, rows in twin.scalars.items():
        rows = twin.standing(rows)
        series = run.series(name)
        assert series.steps.tolist() == [step for _, step, _ in rows]
        np.testing.assert_array_equal(series.values, [value for _, _, value in rows])
        np.testing.assert_array_equal(series.times, series.steps)
    assert set(run.layer_kinds) == set(twin.layers)
    for kind, rows in twin.layers.items():
        rows = twin.standing(rows)
        found = run.layer_series(kind)
        assert found.steps.tolist() == [step for _, step, _ in rows]
        for i, (_, _, row) in enumerate(rows):
            for j, layer in enumerate(found.layers):
                expected = row.get(layer)
                assert found.measured[i, j] == (expected is not None)
                np.testing.assert_array_equal(found.values[i, j], math.nan if expected is None else expected)
    for (kind, layer), rows in twin.histograms.items():
        rows = twin.standing(rows)
        found = run.histograms(kind, layer)
        assert found.steps.tolist() == [step for _, step, _ in rows]
        assert found.edges.tolist() == ([0.0, 0.1, 1 / 3, 1e30])
        for i, (_, step, seed) in enumerate(rows):
            counts = [seed + ord(layer) + b for b in range(3)]
            assert found.counts[i].tolist() == counts
            assert found.outside[i].tolist() == [b * ord(layer) for b in range(5)]
            assert found.population[i] == seed + ord(layer)
            if steps_once(rows, step):
                frame = run.histograms_at(kind, step)
                if frame.step == step and layer in frame.layers:
                    assert frame.counts[frame.layers.index(layer)].tolist() == counts
    snapshots = twin.standing(twin.filters)
    if snapshots:
        assert run.filters().steps.tolist() == [step for _, step, _ in snapshots]
        assert run.filters().weights.shape == snapshots[-1][2]
        for _, step, _ in snapshots:
            assert run.filters(step).step == step
            assert (run.filters(step).weights == step).all()


def steps_once(rows: list, step: int) -> bool:
    return sum(row[1] == step for row in rows) == 1


@settings(max_examples=60, deadline=None)
@given(
    operations=OPERATIONS,
    segment_bytes=st.sampled_from([1, 3000, 1 << 20]),
    merge=st.sampled_from([2, 3, 256]),
)
def test_everything_recorded_is_read_back(operations: list, segment_bytes: int, merge: int) -> None:
    """In any order of calls, flushes and resumes, a following reader and a fresh one see the twin's data."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        patch.setattr(stream_writer, "_COMPACT_AFTER", merge)
        patch.setattr(stream_writer, "_COMPACT_AT_END", merge)
        patch.setattr(stream_writer, "_COMPACTED_SEGMENT", 8000)
        path, twin, step = Path(directory) / "run", Twin(), 0
        writer = RunWriter(path, {}, flush_interval=60, segment_bytes=segment_bytes)
        follower = open_run(path)
        for operation in operations:
            if operation[0] == "flush":
                assert writer.flush()
                follower.refresh()
                assert_same(follower, twin)
            elif operation[0] == "resume":
                writer.close("crashed", "for a test")
                step = max(0, step - operation[1])
                writer = RunWriter(path, {}, start_step=step, flush_interval=60, segment_bytes=segment_bytes)
                twin.starts.append(step)
            else:
                step += operation[1]
                record(writer, twin, step, operation)
        writer.close()
        follower.refresh()
        fresh = open_run(path)
        for run in (follower, fresh):
            assert_same(run, twin)
            assert run.problems == []
            assert run.status == "finished"
            assert [event.data["start_step"] for event in run.events] == twin.starts[1:]


def test_values_that_are_no_plain_floats(tmp_path: Path) -> None:
    """NumPy scalars, integers and booleans are numbers; what is none is left out, and the log says so."""
    writer = RunWriter(tmp_path / "run", {})
    values = {
        "f32": np.float32(0.5),
        "i64": np.int64(3),
        "huge": 2**70,
        "bool": True,
        "text": "0,5",
        "none": None,
    }
    writer.scalars(1, 1.0, values)  # type: ignore[arg-type]
    writer.scalars(2, 2.0, {"text": 7.0})
    writer.close()
    run = open_run(tmp_path / "run")
    read = {name: run.series(name).values.tolist() for name in run.series_names}
    assert read == {"f32": [0.5], "i64": [3.0], "huge": [2.0**70], "bool": [1.0], "text": [7.0], "none": []}
    assert [event.kind for event in run.events] == ["probe-error"]
    assert "'text'" in run.events[0].message


def test_events_with_any_data(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", {})
    data = {"path": Path("x"), "array": np.arange(3), "nan": float("nan"), "deep": {"a": [1, "ü"]}}
    writer.put(Event(3, 4.0, "note", "größer\n", data))
    writer.close()
    (event,) = open_run(tmp_path / "run").events
    assert (event.step, event.time, event.kind, event.message) == (3, 4.0, "note", "größer\n")
    assert event.data == {"path": "x", "array": [0, 1, 2], "nan": None, "deep": {"a": [1, "ü"]}}


def test_a_malformed_frame_costs_only_itself(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", {})
    good = LayerFrame(1, 1.0, {"parameter": ["a"]}, {"grad_norm": ("parameter", np.ones(1))})
    bad = LayerFrame(2, 2.0, {"parameter": ["a"]}, {"grad_norm": ("parameter", np.ones(7))})
    late = LayerFrame(3, 3.0, {"parameter": ["a"]}, {"grad_norm": ("parameter", np.ones(1))})
    for frame in (good, bad, late):
        writer.put(frame)
    writer.put("not a record")  # type: ignore[arg-type]
    writer.close()
    run = open_run(tmp_path / "run")
    assert run.layer_series("grad_norm").steps.tolist() == [1, 3]
    assert [event.kind for event in run.events] == ["probe-error", "probe-error"]


@pytest.mark.parametrize("asks", [0, 3])
def test_what_deferred_functions_bring_home_while_closing_is_kept(tmp_path: Path, asks: int) -> None:
    """A run shorter than a flush: its last results arrive when the training has closed it already."""
    writer = RunWriter(tmp_path / "run", {}, flush_interval=60.0)
    left = asks

    def late() -> list[Record] | None:
        nonlocal left
        if left:
            left -= 1
            return None
        writer.scalars(7, 70.0, {"train/loss": 0.5})
        writer.update_manifest(data={"classes": 3})
        writer.put(Event(7, 70.0, "late", "arrived last"))
        return []

    writer.defer(late)
    writer.close()
    writer.scalars(8, 80.0, {"train/loss": 9.0})  # too late: nobody writes any more
    run = open_run(tmp_path / "run")
    assert run.status == "finished"
    assert (run.series("train/loss").steps.tolist(), run.series("train/loss").values.tolist()) == ([7], [0.5])
    assert run.manifest["data"] == {"classes": 3}
    assert [event.kind for event in run.events] == ["late"]


def test_deferred_records(tmp_path: Path) -> None:
    """A deferred function is asked until it is ready, may log scalars itself, and its failure is an event."""
    answers = iter([None, None, [LayerFrame(5, 5.0, {"module": ["m"]}, {"x": ("module", np.ones(1))})]])
    writer = RunWriter(tmp_path / "run", {})

    def ready():  # type: ignore[no-untyped-def]
        found = next(answers)
        if found:
            writer.scalars(5, 5.0, {"train/loss": 0.25})
        return found

    writer.scalars(6, 6.0, {"train/loss": 0.5})
    writer.defer(ready)
    for _ in range(3):
        writer.defer(lambda: [][1])
    assert writer.flush()
    run = open_run(tmp_path / "run")
    assert run.layer_series("x").steps.tolist() == [5]
    assert run.series("train/loss").steps.tolist() == [5, 6]
    assert run.series("train/loss").values.tolist() == [0.25, 0.5]
    assert [event.kind for event in run.events] == ["probe-error"]
    assert "IndexError" in run.events[0].message
    writer.close()
