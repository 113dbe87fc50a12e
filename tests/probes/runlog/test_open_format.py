"""docs/run-directory.md is true: its snippets run on a real run, and its words match the files."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from probes.runlog import RunWriter, layout, open_run, pump, status, stream_writer

DOCUMENT = (Path(__file__).parents[3] / "docs" / "run-directory.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.S | re.M)


@pytest.fixture(params=["finished", "live"])
def run_dir(request: pytest.FixtureRequest, tmp_path: Path, record: Callable) -> object:
    """A run of two segments of scalars, finished or still being written."""
    writer = RunWriter(tmp_path / "run", {"name": "open"}, flush_interval=60)
    for first in range(1, 41, 10):
        record(writer, first, first + 9)
        assert writer.flush()
    writer.scalars(41, 41.0, {"train/loss": float("nan"), "train/accuracy": 0.5})
    assert writer.flush()
    if request.param == "finished":
        writer.close()
    yield tmp_path / "run"
    writer.close()


def run_snippet(marker: str, run_dir: Path) -> dict[str, object]:
    (code,) = (snippet for snippet in SNIPPETS if marker in snippet)
    names: dict[str, object] = {"run_dir": run_dir}
    exec(compile(code, "run-directory.md", "exec"), names)
    return names


def test_babysit(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_snippet("import probes", run_dir)
    assert capsys.readouterr().out.split()[:1] == ["open"]


def test_polars(run_dir: Path) -> None:
    """polars tells null (not logged) from NaN (logged as such)."""
    loss = run_snippet("import polars", run_dir)["loss"]
    series = open_run(run_dir).series("train/loss")
    assert loss["step"].to_list() == series.steps.tolist() == list(range(1, 42))
    np.testing.assert_array_equal(loss["train/loss"].to_numpy(), series.values)
    assert np.isnan(loss["train/loss"][-1])


def test_duckdb(run_dir: Path) -> None:
    loss = run_snippet("import duckdb", run_dir)["loss"]
    series = open_run(run_dir).series("train/loss")
    assert [step for step, _ in loss] == series.steps.tolist() == list(range(1, 42))
    np.testing.assert_array_equal([value for _, value in loss], series.values)


def test_pandas(run_dir: Path) -> None:
    """pandas knows no null in a float column, so a NaN that was logged is dropped as well."""
    loss = run_snippet("import pandas", run_dir)["loss"]
    assert loss["step"].tolist() == list(range(1, 41))
    assert loss["train/loss"].tolist() == [step / 2 for step in range(1, 41)]


def test_layers_and_histograms_by_hand(run_dir: Path) -> None:
    names = run_snippet("grad_norm = np.array", run_dir)
    run = open_run(run_dir)
    norms = run.layer_series("grad_norm")
    assert names["parameters"] == norms.layers
    np.testing.assert_array_equal(names["grad_norm"], norms.values)
    for i, layer in enumerate(names["layers"]):
        tables = run.histograms("weight", layer)
        np.testing.assert_array_equal(names["counts"][:, i], tables.counts)
        np.testing.assert_array_equal(names["edges"], tables.edges)


def test_every_python_block_is_run() -> None:
    assert len(SNIPPETS) == 5
    assert DOCUMENT.count("```python") == len(SNIPPETS)


def test_checksums_are_as_described(run_dir: Path) -> None:
    """The CRC recomputed from the document's words alone, for every message of every segment."""
    checked = 0
    for path in run_dir.glob("*.arrows"):
        content, at = path.read_bytes(), 0
        with pa.OSFile(str(path)) as source:
            while at < len(content) and content[at + 4 : at + 8] != b"\0\0\0\0":
                source.seek(at)
                pa.ipc.read_message(source)
                message = content[at : source.tell()]
                (digits,) = re.findall(rb"babysit-crc32:([0-9a-f]{8})", message)
                blank = message.replace(b"babysit-crc32:" + digits, b"babysit-crc32:00000000")
                assert int(digits, 16) == zlib.crc32(blank)
                checked, at = checked + 1, source.tell()
    assert checked > 10


def test_schema_metadata_is_as_described(run_dir: Path) -> None:
    common = {"version", "stream", "rank", "session", "start_step"}
    special = {
        "scalars": set(),
        "events": set(),
        "layers": {"axes", "kinds"},
        "histograms": {"edges", "kinds", "outside"},
        "filters": {"layer", "shape"},
    }
    for path in run_dir.glob("*.arrows"):
        schema = pa.ipc.open_stream(str(path)).schema
        about = json.loads(schema.metadata[b"babysit"])
        assert about.keys() == common | special[about["stream"]]
        assert schema.names[:2] == ["step", "time"]


def test_numbers_in_the_document() -> None:
    """Limits the document names are those of the code."""
    for words, value in (
        (r"format version, (\d+)", layout.FORMAT_VERSION),
        (r"When (\d+) small\s+batches", stream_writer._COMPACT_AFTER),
        (r"segments end at (\d+) MiB", stream_writer._COMPACTED_SEGMENT >> 20),
        (r"no heartbeat for (\d+) minutes", status.HEARTBEAT_LOST / 60),
        (r"no heartbeat for (\d+) seconds", status.HEARTBEAT_LATE),
        (r"minute, (\d+) typical", status.PATIENCE_STEPS),
        (r"and (\d+) times the longest pause", status.PATIENCE_GAPS),
        (r"(\d+) minutes before it has made two", status.PATIENCE_START / 60),
        (r"up to (\d+) MiB of scalars", pump._BACKLOG["scalars"] >> 20),
    ):
        found = re.search(words, DOCUMENT)
        assert found and float(found[1]) == value, words
