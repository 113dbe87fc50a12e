"""Readers beside a live writer: another process, several threads, segments replaced under their eyes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from probes.runlog import Run, RunWriter, open_run, stream_writer


def assert_whole(run: Run, at_least: int = 0) -> int:
    """The data of conftest's writer: every step from 1 on, each with its values. Returns the last step."""
    loss = run.series("train/loss")
    last = len(loss)
    assert last >= at_least
    np.testing.assert_array_equal(loss.steps, np.arange(1, last + 1))
    np.testing.assert_array_equal(loss.values, loss.steps * 0.5)
    if "val/loss" in run.series_names:
        val = run.series("val/loss")
        np.testing.assert_array_equal(val.steps, 10 * np.arange(1, len(val) + 1))
        np.testing.assert_array_equal(val.values, 2.0 * val.steps)
    if "grad_norm" in run.layer_kinds:
        layers = run.layer_series("grad_norm")
        assert layers.layers == ["a", "b"]
        np.testing.assert_array_equal(layers.steps, 10 * np.arange(1, len(layers.steps) + 1))
        np.testing.assert_array_equal(layers.values, np.stack([layers.steps, 2 * layers.steps], axis=1))
        assert layers.measured.all()
    if run.histogram_kinds:
        tables = run.histograms("weight", "b")
        np.testing.assert_array_equal(tables.counts, np.repeat(tables.steps[:, None], 4, axis=1))
        np.testing.assert_array_equal(tables.population, 4 * tables.steps)
    return last


def test_a_reader_follows_another_process(tmp_path: Path, spawn_writer: Callable, eventually: Callable) -> None:
    writer = spawn_writer(tmp_path / "run", 0.0005)
    eventually(lambda: (tmp_path / "run" / "run.json").exists())
    run = open_run(tmp_path / "run")
    seen, version = [0], run.version
    while len(seen) < 12:
        eventually(run.refresh)
        assert run.version > version
        version = run.version
        if run.series_names:
            last = assert_whole(run, seen[-1])
            if last > seen[-1]:
                seen.append(last)
    announced = int(writer.stdout.readline())  # on disk before it was said
    run.refresh()
    assert_whole(run, announced)
    assert run.status == "running"
    assert run.problems == []


def test_refresh_without_news_says_so(finished_run: Path) -> None:
    run = open_run(finished_run)
    version = run.version
    assert not run.refresh()
    assert run.version == version


def test_reading_while_batches_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Callable) -> None:
    """A reader that is behind, on time, or has columns to fetch from a replaced file sees every row once."""
    monkeypatch.setattr(stream_writer, "_COMPACT_AFTER", 5)
    monkeypatch.setattr(stream_writer, "_COMPACTED_SEGMENT", 4000)
    writer = RunWriter(tmp_path / "run", {}, flush_interval=60)
    quick, slow = open_run(tmp_path / "run"), open_run(tmp_path / "run")
    for step in range(1, 120):
        record(writer, step, step)
        assert writer.flush()
        quick.refresh()
        assert quick.series("train/loss").steps.tolist() == list(range(1, step + 1))
        if step % 17 == 0:
            slow.refresh()
            assert slow.series("train/loss").steps.tolist() == list(range(1, step + 1))
        if step == 40:
            late = open_run(tmp_path / "run")
            late.series("train/loss")
    merged = [path for path in (tmp_path / "run").glob("scalars-*") if path.stat().st_size]
    writer.close()
    assert len(merged) > 1
    assert late.series("val/loss").steps.tolist() == list(range(5, 41, 5))  # from files replaced since
    late.refresh()
    for run in (late, quick):
        assert run.series("val/loss").steps.tolist() == list(range(5, 120, 5))
        assert run.layer_series("grad_norm").steps.tolist() == list(range(5, 120, 5))
    assert quick.problems == [] and slow.problems == []


def test_a_column_first_asked_for_after_its_segment_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Callable
) -> None:
    monkeypatch.setattr(stream_writer, "_COMPACT_AFTER", 6)
    writer = RunWriter(tmp_path / "run", {}, flush_interval=60)
    for step in range(1, 6):
        record(writer, step, step)
        assert writer.flush()
    run = open_run(tmp_path / "run")
    assert len(run.series("train/loss")) == 5
    for step in range(6, 12):
        record(writer, step, step)
        assert writer.flush()
    assert run.series("val/loss").steps.tolist() == [5]  # without refresh: as of then, from the new file
    run.refresh()
    assert run.series("val/loss").steps.tolist() == [5, 10]
    writer.close()


def test_a_slow_training_leaves_few_batches(tmp_path: Path) -> None:
    """2,000 flushes of one row each end up in a handful of batches and little more than the bare numbers."""
    writer = RunWriter(tmp_path / "run", {}, flush_interval=60)
    names = [f"train/metric-{i}" for i in range(20)]
    for step in range(2000):
        writer.scalars(step, float(step), dict.fromkeys(names, float(step)))
        assert writer.flush()
    writer.close()
    run = open_run(tmp_path / "run")
    assert run.series(names[7]).values.tolist() == [float(step) for step in range(2000)]
    stream = run._streams["scalars", 0]
    assert sum(len(segment.reader.batches) for segment in stream._segments) <= 10
    size = sum(path.stat().st_size for path in (tmp_path / "run").glob("scalars-*"))
    assert size < 1.3 * 2000 * 22 * 8


def test_ten_readers_in_threads(tmp_path: Path, spawn_writer: Callable) -> None:
    """Ten threads on one shared run and on runs of their own: nobody sees anything torn."""
    writer = spawn_writer(tmp_path / "run", 0.0005)
    writer.stdout.readline()
    shared, failures = open_run(tmp_path / "run"), []
    enough = threading.Event()

    def read(run: Run) -> None:
        try:
            last = 0
            for _ in range(15):
                run.refresh()
                last = assert_whole(run, last)
        except BaseException as error:  # noqa: BLE001  handed to the main thread
            failures.append(error)
            enough.set()

    runs = [shared if i % 2 else open_run(tmp_path / "run") for i in range(10)]
    threads = [threading.Thread(target=read, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def test_arrays_handed_out_do_not_change(tmp_path: Path, record: Callable) -> None:
    """What a caller holds stays as it was, and cannot be used to change what others get."""
    writer = RunWriter(tmp_path / "run", {}, flush_interval=60)
    record(writer, 1, 50)
    writer.flush()
    run = open_run(tmp_path / "run")
    held = run.series("train/loss")
    record(writer, 51, 500)
    writer.close()
    run.refresh()
    assert len(run.series("train/loss")) == 500
    assert held.steps.tolist() == list(range(1, 51))
    with pytest.raises(ValueError, match="read-only"):
        held.values[0] = 7.0
