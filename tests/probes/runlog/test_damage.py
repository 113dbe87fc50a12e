"""Truncated, flipped, foreign: an error or a skipped part that is named; no crash, no hang, no wrong data."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from probes.errors import BabysitError
from probes.runlog import Run, RunWriter, open_run, wire
from probes.runlog.layout import SegmentName
from probes.runlog.segment_reader import SegmentReader, decode

ROUNDS = int(os.environ.get("BABYSIT_TEST_DAMAGES", "200"))


@pytest.fixture
def sound(tmp_path: Path, finished_run: Path, record: Callable) -> Path:
    """A run of two sessions, many batches and every stream."""
    writer = RunWriter(finished_run, {}, start_step=38, flush_interval=60)
    for step in range(39, 61):
        record(writer, step, step)
        writer.flush()
    writer.close()
    return finished_run


def read_all(run: Run) -> dict[tuple[str, int], list]:
    """Everything a run holds, keyed by what and step."""
    found: dict[tuple[str, int], list] = {}
    for name in run.series_names:
        series = run.series(name)
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            found.setdefault((name, step), []).append(value)
    for kind in run.layer_kinds:
        layers = run.layer_series(kind)
        for step, row in zip(layers.steps.tolist(), layers.values.tolist(), strict=True):
            found.setdefault((kind, step), []).append(row)
    for kind in run.histogram_kinds:
        for layer in run.histogram_layers(kind):
            tables = run.histograms(kind, layer)
            for step, row in zip(tables.steps.tolist(), tables.counts.tolist(), strict=True):
                found.setdefault((layer, step), []).append(row)
    try:
        for step in run.filters().steps.tolist():
            found[("filters", step)] = run.filters(step).weights.tolist()
    except BabysitError:
        pass  # the snapshots may be what was damaged
    return found


def damage(path: Path, chance: random.Random) -> None:
    """Cut, flip, overwrite, insert or double some bytes of a file."""
    content = bytearray(path.read_bytes())
    at = chance.randrange(len(content))
    match chance.randrange(6):
        case 0:
            del content[at:]
        case 1:
            content[at] ^= 1 << chance.randrange(8)
        case 2:
            content[at : at + 16] = chance.randbytes(min(16, len(content) - at))
        case 3:
            content[at:at] = chance.randbytes(chance.randrange(1, 64))
        case 4:
            content[at : at + 8] = b"\xff\xff\xff\xff" + chance.randbytes(4)
        case 5:
            del content[at : at + chance.randrange(1, 300)]
    path.write_bytes(content)


def test_any_damage_is_survived_and_named(sound: Path, tmp_path: Path) -> None:
    """Every value read from a damaged run is one that the sound run has; what is missing is accounted for.

    A damaged event segment may hide that a session was resumed: then rows that were superseded show beside
    those that supersede them, so the second session here repeats the values of the first.
    """
    truth = read_all(open_run(sound))
    chance = random.Random(5)
    segments = sorted(path.name for path in sound.glob("*.arrows"))
    damaged = tmp_path / "damaged"
    longest = 0.0
    for _ in range(ROUNDS):
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(sound, damaged)
        victim = chance.choice(segments)
        damage(damaged / victim, chance)
        same = (damaged / victim).read_bytes() == (sound / victim).read_bytes()
        started = time.perf_counter()
        run = open_run(damaged)
        found, problems = read_all(run), run.problems
        longest = max(longest, time.perf_counter() - started)
        for key, values in found.items():
            for value in values:
                assert value in truth[key], (victim, key)
        if found.keys() != truth.keys():
            assert any(victim in problem for problem in problems), (victim, same)
        assert all("\n" not in problem for problem in problems)
    assert longest < 20


def test_thousands_of_damages_to_one_segment(sound: Path, tmp_path: Path) -> None:
    """The reader of a segment alone, which is where damage is met: only rows that were written come out."""
    chance = random.Random(7)
    path = tmp_path / "scalars-r0-00000.arrows"
    source = sound / path.name
    truth = {step: (step / 2, float(step) if step % 5 == 0 else None) for step in range(1, 41)}
    for _ in range(10 * ROUNDS):
        shutil.copy(source, path)
        for _ in range(chance.randrange(1, 3)):
            if path.stat().st_size:
                damage(path, chance)
        reader = SegmentReader(tmp_path, SegmentName("scalars", 0, 0))
        batches = [decode(reader.info, message) for _, message in reader.update(chance.random() < 0.5)]
        for batch in batches:
            for row in batch.to_pylist():
                assert (row["train/loss"], row["val/loss"]) == truth[row["step"]]
        assert reader.rows == sum(batch.num_rows for batch in batches)


def test_damage_in_the_middle_costs_only_the_messages_hit(sound: Path) -> None:
    run = open_run(sound)
    run.series("train/loss")
    segment = run._streams["scalars", 0]._segments[0].reader
    ref = segment.batches[1]
    content = bytearray(segment.path.read_bytes())
    content[ref.offset + ref.size - 3] ^= 0x10
    segment.path.write_bytes(content)
    again = open_run(sound)
    assert again.series("train/loss").steps.tolist() == [*range(1, 11), *range(21, 61)]
    assert len(again.problems) == 1
    assert f"{ref.size} damaged bytes at {ref.offset} skipped" in again.problems[0]


def test_every_truncation_of_a_segment(finished_run: Path) -> None:
    """Cut at every byte: exactly the whole messages before the cut, and the rest is named."""
    path = finished_run / "scalars-r0-00000.arrows"
    whole = path.read_bytes()
    run = open_run(finished_run)
    run.series("train/loss")
    ends = [ref.offset + ref.size for ref in run._streams["scalars", 0]._segments[0].reader.batches]
    assert len(ends) > 1
    for cut in [*range(0, len(whole), 13), *ends]:
        path.write_bytes(whole[:cut])
        again = open_run(finished_run)
        steps = again.series("train/loss").steps.tolist() if again.series_names else []
        assert steps == list(range(1, 1 + 10 * sum(end <= cut for end in ends)))
        assert len(again.problems) == 1
        assert path.name in again.problems[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4096,
        b"\xff" * 4096,
        b"ARROW1\0\0" + b"x" * 100,
        b"\xff\xff\xff\xff\xf8\xff\xff\x7f" + b"\1" * 2000,
        b"\xff\xff\xff\xff\x08\0\0\0" + b"\xff" * 2000,
        os.urandom(1 << 16),
    ],
    ids=["empty", "zeros", "ones", "arrow file", "huge length", "mad flatbuffer", "random"],
)
@pytest.mark.parametrize("stream", ["scalars", "layers", "histograms", "filters", "events"])
def test_foreign_content_under_our_names(finished_run: Path, content: bytes, stream: str) -> None:
    truth = read_all(open_run(finished_run))
    (finished_run / f"{stream}-r0-00007.arrows").write_bytes(content)
    run = open_run(finished_run)
    assert read_all(run) == truth
    assert any(f"{stream}-r0-00007.arrows" in problem for problem in run.problems)


def foreign_stream(path: Path, schema: pa.Schema) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        arrays = [pa.array([1, 2, 3], field.type) for field in schema]
        stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def test_an_arrow_stream_of_somebody_else(finished_run: Path) -> None:
    truth = read_all(open_run(finished_run))
    foreign_stream(finished_run / "scalars-r0-00009.arrows", pa.schema([("step", pa.int64()), ("x", pa.float64())]))
    (finished_run / "notes.arrows").write_bytes(b"x")
    run = open_run(finished_run)
    assert read_all(run) == truth
    assert any("scalars-r0-00009.arrows" in problem for problem in run.problems)
    assert any("notes.arrows: not the name of a segment" in problem for problem in run.problems)


def test_segments_that_vanish_while_reading(sound: Path) -> None:
    run = open_run(sound)
    assert len(run.series("train/loss")) == 60
    (sound / "scalars-r0-00000.arrows").unlink()
    run.refresh()
    steps = run.series("train/loss").steps
    np.testing.assert_array_equal(steps, open_run(sound).series("train/loss").steps)
    assert 0 < len(steps) < 60


def test_a_crc_is_of_every_byte() -> None:
    """Flipping any single bit of a sealed message makes it unsound."""
    schema = pa.schema([("step", pa.int64())]).with_metadata({wire.CRC_KEY: wire.CRC_PLACEHOLDER})
    message = wire.seal(schema.serialize().to_pybytes())
    assert wire.is_sound(message)
    for at in range(len(message)):
        for bit in range(8):
            flipped = bytearray(message)
            flipped[at] ^= 1 << bit
            assert not wire.is_sound(bytes(flipped))
