"""Running, finished, crashed or stalled: judged from outside, with an injected clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from probes.runlog import RunWriter, open_run
from probes.runlog.process import is_alive, process_started
from probes.runlog.status import Signs, judge, patience

WELL = Signs("running", True, True, True, heartbeat_age=1.0, quiet=1.0, patience=60.0)


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (WELL, "running"),
        (replace(WELL, recorded="finished", lock_held=True), "finished"),
        (replace(WELL, recorded="crashed", process_alive=True), "crashed"),
        (replace(WELL, lock_held=False), "crashed"),
        (replace(WELL, lock_held=False, process_alive=False), "crashed"),
        (replace(WELL, lock_held=None, process_alive=False), "crashed"),
        (replace(WELL, lock_held=None), "running"),
        (replace(WELL, process_alive=False), "running"),  # in another container: the lock tells
        (replace(WELL, quiet=61.0), "stalled"),
        (replace(WELL, heartbeat_age=31.0), "stalled"),
        (replace(WELL, same_host=False, lock_held=None, process_alive=None), "running"),
        (replace(WELL, same_host=False, heartbeat_age=31.0), "stalled"),
        (replace(WELL, same_host=False, heartbeat_age=601.0), "crashed"),
        (replace(WELL, same_host=False, heartbeat_age=None), "crashed"),
    ],
)
def test_judgement(signs: Signs, expected: str) -> None:
    assert judge(signs) == expected


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([], 600.0),  # not even one step: still setting up
        ([5.0], 600.0),
        (np.arange(0, 1, 0.01), 60.0),  # fast steps: a minute
        (np.arange(0, 1000, 10.0), 200.0),  # a step takes 10 s: 20 of them
        ([*range(100), 400, 401], 903.0),  # it has paused for 300 s before: 3 times that
        ([100.0, 50.0, 51.0], 60.0),  # a clock set back is no pause
    ],
)
def test_patience(times: list[float], seconds: float) -> None:
    assert patience(np.asarray(times, np.float64)) == pytest.approx(seconds)


def test_a_live_run_stalls_when_no_step_comes(tmp_path: Path) -> None:
    """The same live writer, judged by a clock that is moved on; a step brings it back."""
    now = time.time()
    with_clock = {"now": now}
    writer = RunWriter(tmp_path / "run", {}, flush_interval=60)
    for step in range(100):
        writer.scalars(step, now + 1 + step / 100, {"train/loss": 1.0})
    writer.flush()
    run = open_run(tmp_path / "run", clock=lambda: with_clock["now"])
    lock = tmp_path / "run" / "writer.lock"
    assert run.status == "running"
    with_clock["now"] = now + 61
    os.utime(lock, (now + 61, now + 61))  # the heartbeat goes on: only the training hangs
    assert run.status == "running"
    with_clock["now"] = now + 63
    os.utime(lock, (now + 63, now + 63))
    assert run.status == "stalled"
    writer.scalars(100, now + 62, {"train/loss": 1.0})
    writer.flush()
    run.refresh()
    os.utime(lock, (now + 63, now + 63))
    assert run.status == "running"
    writer.close()
    run.refresh()
    assert run.status == "finished"


def test_a_stopped_process_stalls(tmp_path: Path, spawn_writer: Callable, eventually: Callable) -> None:
    """SIGSTOP freezes the heartbeat; SIGCONT brings it back; kill -9 is seen at once."""
    late = {"by": 0.0}
    writer = spawn_writer(tmp_path / "run", 0.001)
    writer.stdout.readline()
    run = open_run(tmp_path / "run", clock=lambda: time.time() + late["by"])
    assert run.status == "running"
    os.kill(writer.pid, signal.SIGSTOP)
    os.waitpid(writer.pid, os.WUNTRACED)
    late["by"] = 45.0
    assert run.status == "stalled"
    os.kill(writer.pid, signal.SIGCONT)
    late["by"] = 0.0
    eventually(run.refresh)
    assert run.status == "running"
    os.kill(writer.pid, signal.SIGKILL)
    eventually(lambda: run.status == "crashed")  # dead, though nobody has waited for it yet


def test_a_reused_process_id_does_not_pass_for_the_writer(tmp_path: Path) -> None:
    mine = process_started(os.getpid())
    assert is_alive(os.getpid(), mine)
    assert not is_alive(os.getpid(), f"{mine}0")
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    assert not is_alive(int(gone.stdout), None)


def test_a_run_of_another_host_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", {})
    writer.scalars(1, time.time(), {"train/loss": 1.0})
    writer.close()
    manifest = orjson.loads((tmp_path / "run" / "run.json").read_bytes())
    manifest.update(status="running")
    manifest["environment"].update(host="elsewhere")
    (tmp_path / "run" / "run.json").write_bytes(orjson.dumps(manifest))
    now = time.time()
    for age, expected in ((2, "running"), (40, "stalled"), (700, "crashed")):
        os.utime(tmp_path / "run" / "writer.lock", (now - age, now - age))
        assert open_run(tmp_path / "run", clock=lambda: now).status == expected
    # A file server whose clock is 90 s behind: the heartbeat is seen to move, which outweighs the clocks.
    run = open_run(tmp_path / "run", clock=lambda: now)
    for beat in (-95, -94):
        os.utime(tmp_path / "run" / "writer.lock", (now + beat, now + beat))
        status = run.status
    assert status == "running"


def test_a_manifest_that_lies_about_running(finished_run: Path) -> None:
    """Nobody holds the lock of a "running" run: its end could not be recorded (a full disk): a crash."""
    manifest = orjson.loads((finished_run / "run.json").read_bytes())
    (finished_run / "run.json").write_bytes(orjson.dumps({**manifest, "status": "running"}))
    assert open_run(finished_run).status == "crashed"
