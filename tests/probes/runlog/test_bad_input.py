"""What cannot be meant is one clear line: what, where, what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from probes.errors import BabysitError, RunDirectoryError, UnknownNameError
from probes.runlog import RunWriter, list_runs, open_run


def write(path: Path, content: bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a run directory"),
        (b"", "damaged: not valid JSON"),
        (b'{"format": "babysit-run", "versi', "damaged: not valid JSON"),
        (b"\xff\xfe\x00", "damaged: not valid JSON"),
        (b"[1, 2]", "not a babysit manifest"),
        (b'{"name": "package"}', "not a babysit manifest"),
        (b'{"format": "babysit-run"}', "`version` is None"),
        (b'{"format": "babysit-run", "version": "1"}', "`version` is '1'"),
        (b'{"format": "babysit-run", "version": true}', "`version` is True"),
        (b'{"format": "babysit-run", "version": 99}', "format version 99"),
    ],
)
def test_directories_that_are_no_runs(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        write(tmp_path, content)
        with pytest.raises(RunDirectoryError, match=r"run\.json"):
            RunWriter(tmp_path, {})
    with pytest.raises(RunDirectoryError, match=message) as caught:
        open_run(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_are_no_directories(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirectoryError, match="no such run directory"):
        open_run(tmp_path / "missing")
    with pytest.raises(RunDirectoryError, match="not a run directory but a file"):
        open_run(tmp_path / "file")
    with pytest.raises(RunDirectoryError, match="is a file"):
        RunWriter(tmp_path / "file", {})
    with pytest.raises(RunDirectoryError, match="cannot be written here"):
        RunWriter(tmp_path / "file" / "run", {})


def test_a_foreign_directory_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunDirectoryError, match=r"not empty and not a run directory \(it holds 'thesis.tex'\)"):
        RunWriter(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_or_hidden_only_directory_is_fine(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").write_text("")
    RunWriter(tmp_path, {}).close()
    assert open_run(tmp_path).name == tmp_path.name


def test_a_manifest_of_odd_types(tmp_path: Path) -> None:
    """Right format, wrong insides: as much as makes sense, and no traceback."""
    write(
        tmp_path,
        b'{"format": "babysit-run", "version": 1, "sessions": 3, "environment": [], "model": 0}',
    )
    run = open_run(tmp_path)
    assert (run.config, run.model, run.status) == ({}, {}, "crashed")


def test_unknown_names(finished_run: Path) -> None:
    """The error names what was asked for, the run, and what there is."""
    run = open_run(finished_run)
    for ask, message in (
        (
            lambda: run.series("train/los"),
            r"run 'finished' has no series 'train/los'; did you mean 'train/loss'",
        ),
        (lambda: run.series("accuracy!"), r"no series 'accuracy!'; there are: train/loss, val/loss"),
        (lambda: run.series("train/loss", rank=3), r"no series 'train/loss'; none are recorded"),
        (lambda: run.layer_series("gradnorm"), r"no layer statistic 'gradnorm'; did you mean 'grad_norm'"),
        (lambda: run.histograms("weights", "p0"), r"no histograms 'weights'; did you mean 'weight'"),
        (lambda: run.histograms("weight", "p9"), r"no weight histograms of layer 'p9'; did you mean 'p\d'"),
        (lambda: run.histograms_at("x"), r"no histograms 'x'; there are: weight"),
        (lambda: run.histogram_layers("x"), r"no histograms 'x'"),
    ):
        with pytest.raises(UnknownNameError, match=message) as caught:
            ask()
        assert isinstance(caught.value, BabysitError)
        assert "\n" not in str(caught.value)


def test_a_run_without_anything(tmp_path: Path) -> None:
    RunWriter(tmp_path / "run", {}).close()
    run = open_run(tmp_path / "run")
    assert (run.series_names, run.layer_kinds, run.histogram_kinds, run.events) == ([], [], [], [])
    assert (run.last_step, run.last_time, run.checks(), run.findings()) == (None, None, None, None)
    with pytest.raises(UnknownNameError, match="no filters"):
        run.filters()


def test_reports(finished_run: Path) -> None:
    (finished_run / "checks.json").write_text('{"ok": true}')
    run = open_run(finished_run)
    assert run.checks() == {"ok": True}
    (finished_run / "findings.json").write_text('{"findings": [')
    with pytest.raises(RunDirectoryError, match=r"findings.json: damaged"):
        run.findings()


def test_a_manifest_damaged_while_reading(finished_run: Path) -> None:
    """The run goes on as it was known, and says so."""
    run = open_run(finished_run)
    (finished_run / "run.json").write_text("{")
    run.refresh()
    assert run.name == "finished"
    assert any("run.json: damaged" in problem for problem in run.problems)


def test_list_runs(tmp_path: Path) -> None:
    """Nested runs are found; missing directories, half-written runs and unreadable places are no trouble."""
    assert list_runs(tmp_path / "missing") == []
    for name in ("b", "a/deep/run", "a", ".hidden/run", "x/node_modules/run", "1/2/3/4/5/6/7/8/run"):
        write(tmp_path / name, b"{")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "scalars-r0-00000.arrows").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "file").write_text("")
    assert list_runs(tmp_path) == [tmp_path / "a", tmp_path / "a" / "deep" / "run", tmp_path / "b"]
    assert list_runs(tmp_path / "b") == [tmp_path / "b"]
    assert list_runs(tmp_path / "file") == []


def test_reading_needs_no_torch(finished_run: Path) -> None:
    """Importing the run log is light, and reading imports neither torch nor pandas nor the dashboard."""
    program = """
import sys
import probes.runlog
assert not {"torch", "pyarrow", "numpy"} & set(sys.modules), "importing is not light"
run = probes.runlog.open_run(sys.argv[1])
run.series("train/loss"), run.layer_series("grad_norm"), run.histograms("weight", "p0")
run.filters(), run.status
print(sorted({"torch", "pandas", "streamlit", "plotly", "polars"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program, str(finished_run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout == "[]\n"


def test_writing_forgives_wrong_use(tmp_path: Path, record: Callable) -> None:
    """After close nothing raises, whatever is called."""
    writer = RunWriter(tmp_path / "run", {})
    writer.close()
    record(writer, 1, 10)
    writer.defer(list)
    writer.update_manifest(x=1)
    assert not writer.flush()
    writer.close("crashed")
    assert open_run(tmp_path / "run").status == "finished"
    assert open_run(tmp_path / "run").series_names == []
