"""A run in a list, judged without opening its log, says the same as the run itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from probes.errors import RunDirectoryError
from probes.runlog import RunWriter, glance, open_run

WRITER = """
import sys, time
from pathlib import Path
from probes.runlog import RunWriter
writer = RunWriter(Path(sys.argv[1]), {"name": "a run"})
writer.scalars(1, time.time(), {"train/loss": 1.0})
writer.flush(5)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("ending", ["finished", "crashed"])
def test_an_ended_run(tmp_path: Path, ending: str) -> None:
    writer = RunWriter(tmp_path / "run", {"name": "a run"})
    writer.close(ending)
    seen = glance(tmp_path / "run")
    assert (seen.name, seen.status) == ("a run", ending)
    assert seen.created == open_run(tmp_path / "run").manifest["created"]


def test_a_live_run_and_then_a_killed_one(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(run_dir)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert glance(run_dir).status == open_run(run_dir).status == "running"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert glance(run_dir).status == open_run(run_dir).status == "crashed"


def test_a_run_on_a_machine_that_fell_silent(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    RunWriter(run_dir, {"name": "a run"}).close()
    manifest = run_dir / "run.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"running"').replace('"host":"', '"host":"not-'))
    if '"not-' not in manifest.read_text():
        manifest.write_text(manifest.read_text().replace('"host": "', '"host": "not-'))
    long_ago = os.stat(run_dir / "writer.lock").st_mtime - 3600
    for path in run_dir.iterdir():
        os.utime(path, (long_ago, long_ago))
    assert glance(run_dir).status == open_run(run_dir).status == "crashed"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"run\.json"):
        glance(tmp_path)
