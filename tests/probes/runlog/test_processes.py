"""One writer per directory and rank; forked children; runs nobody closed; several ranks."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from probes.errors import RunDirectoryError, RunInUseError
from probes.runlog import RunWriter, open_run


def test_two_writers_in_one_process(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", {})
    with pytest.raises(RunInUseError, match=r"run: another live writer .* give each training its own"):
        RunWriter(tmp_path / "run", {})
    writer.scalars(1, 1.0, {"train/loss": 1.0})
    writer.close()
    assert open_run(tmp_path / "run").status == "finished"
    RunWriter(tmp_path / "run", {}).close()


def test_two_writers_in_two_processes(tmp_path: Path, spawn_writer: Callable) -> None:
    """The second one is refused while the first lives, and let in once it is dead."""
    first = spawn_writer(tmp_path / "run", 0.001)
    first.stdout.readline()
    with pytest.raises(RunInUseError):
        RunWriter(tmp_path / "run", {})
    assert open_run(tmp_path / "run").status == "running"
    first.kill()
    first.wait()
    RunWriter(tmp_path / "run", {}).close()
    assert [session["status"] for session in open_run(tmp_path / "run").manifest["sessions"]] == [
        "crashed",
        "finished",
    ]


def test_readers_do_not_keep_a_writer_out(tmp_path: Path, record: Callable) -> None:
    """Looking whether the lock is free must not look like a writer to the next one."""
    RunWriter(tmp_path / "run", {}).close("crashed")
    stop = threading.Event()
    manifest = tmp_path / "run" / "run.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"crashed"', b'"running"'))

    def look() -> None:
        run = open_run(tmp_path / "run")
        while not stop.is_set():
            run.refresh()
            assert run.status in ("running", "crashed", "finished")

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            RunWriter(tmp_path / "run", {}).close()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


FORKING = """
import os, sys
from probes.runlog import RunWriter
writer = RunWriter(sys.argv[1], {}, flush_interval=0.01)
for step in range(200):
    writer.scalars(step, float(step), {"train/loss": float(step)})
    if step % 20 == 0:
        child = os.fork()
        if child == 0:
            for _ in range(100):
                writer.scalars(10_000, 0.0, {"from/child": 1.0})
            writer.defer(lambda: [])
            writer.update_manifest(child=True)
            assert not writer.flush(1.0)
            writer.close("crashed", "the child")
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_forked_children_are_inert(tmp_path: Path, spawn: Callable) -> None:
    """A child (a DataLoader worker) neither writes nor closes nor hangs at exit, whatever it calls."""
    out, err = spawn(FORKING, tmp_path / "run").communicate(timeout=60)
    assert out == "done\n", err
    run = open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.series_names == ["train/loss"]
    assert run.series("train/loss").values.tolist() == [float(step) for step in range(200)]
    assert "child" not in run.manifest


ORPHAN = """
import os, sys, time
from probes.runlog import RunWriter
writer = RunWriter(sys.argv[1], {})
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(600)
os.kill(os.getpid(), 9)
"""


def test_an_orphaned_worker_does_not_keep_the_run_alive(tmp_path: Path, spawn: Callable, eventually: Callable) -> None:
    """The lock dies with the writer although a forked child has inherited its descriptor."""
    process = spawn(ORPHAN, tmp_path / "run")
    orphan = int(process.stdout.readline())
    try:
        process.wait(30)
        assert open_run(tmp_path / "run").status == "crashed"
        RunWriter(tmp_path / "run", {}).close()
    finally:
        os.kill(orphan, signal.SIGKILL)


@pytest.mark.parametrize(
    ("ending", "status", "reason"),
    [
        ("", "finished", None),
        ("sys.exit(3)", "finished", None),
        ("raise ValueError('no more data')", "crashed", "ValueError: no more data"),
        (
            "writer.close('crashed', 'SIGTERM'); writer.scalars(6, 6.0, {'train/loss': 0.0})",
            "crashed",
            "SIGTERM",
        ),
    ],
)
def test_a_run_nobody_closed(tmp_path: Path, spawn: Callable, ending: str, status: str, reason: str | None) -> None:
    """What was recorded is written at exit, and how the program ended is recorded."""
    program = f"""
import sys
from probes.runlog import RunWriter
writer = RunWriter(sys.argv[1], {{}}, flush_interval=600)
for step in range(5):
    writer.scalars(step, float(step), {{"train/loss": 1.0}})
{ending}
"""
    spawn(program, tmp_path / "run").communicate(timeout=60)
    run = open_run(tmp_path / "run")
    assert (run.status, run.manifest["reason"]) == (status, reason)
    assert len(run.series("train/loss")) == 5


def test_ranks_write_their_own_files(tmp_path: Path, record: Callable, frames: dict) -> None:
    """Rank 0 owns the manifest; the others come before or after it, and are read by number."""
    second = RunWriter(tmp_path / "run", {"name": "of rank 1"}, rank=1)
    with pytest.raises(RunDirectoryError, match="not a run directory"):
        open_run(tmp_path / "run")
    first = RunWriter(tmp_path / "run", {"name": "of rank 0"}, rank=0)
    with pytest.raises(RunInUseError):
        RunWriter(tmp_path / "run", {}, rank=1)
    first.scalars(1, 1.0, {"train/loss": 0.0})
    for step in (1, 2):
        second.scalars(step, 1.0, {"train/loss": 10.0 * step})
        second.put(frames["layers"](step, grad_norm=[step]))
    second.close()
    first.close()
    run = open_run(tmp_path / "run")
    assert run.name == "of rank 0"
    assert run.ranks == [0, 1]
    assert run.series("train/loss").values.tolist() == [0.0]
    assert run.series("train/loss", rank=1).values.tolist() == [10.0, 20.0]
    assert run.layer_kinds == []
    assert run.layer_series("grad_norm", rank=1).values.tolist() == [[1.0], [2.0]]


def test_the_hot_path_survives_any_storm(tmp_path: Path) -> None:
    """Four threads logging at once, faster than allowed in the queue: everything is recorded or counted."""
    writer = RunWriter(tmp_path / "run", {}, flush_interval=0.05)

    def log(name: str) -> None:
        for step in range(30_000):
            writer.scalars(step, 0.0, {name: float(step)})

    threads = [threading.Thread(target=log, args=(f"train/{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dropped = writer.dropped["scalars"]
    writer.close()
    run = open_run(tmp_path / "run")
    read = [run.series(name) for name in run.series_names]
    assert sum(map(len, read)) + dropped == 120_000
    assert all((series.values == series.steps).all() for series in read)
    # Told again whenever more were dropped, each time with how many it is by then.
    assert {event.kind for event in run.events} <= {"scalars-thinned"}
    counts = [event.data["scalars"] for event in run.events]
    assert counts == sorted(set(counts))
    assert dropped == (counts[-1] if counts else 0)


def test_frames_that_come_faster_than_the_disk_are_thinned(
    tmp_path: Path, frames: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the thread held up (a hanging disk) memory stays bounded; the log counts missing frames."""
    release = threading.Event()
    writer = RunWriter(tmp_path / "run", {})
    writer.defer(lambda: release.wait(60) and [])
    writer._wake()
    while writer._deferred:
        time.sleep(0.001)
    frame = frames["histograms"](1, layers=50, bins=200_000)
    for _ in range(10):
        writer.put(frame)
    for step in range(100):
        writer.scalars(step, 0.0, {"train/loss": 1.0})
    assert 0 < writer.dropped["frames"] < 10
    release.set()
    writer.close()
    run = open_run(tmp_path / "run")
    assert len(run.series("train/loss")) == 100
    assert len(run.histograms("weight", "p0").steps) == 10 - writer.dropped["frames"]
    (event,) = run.events
    assert (event.kind, event.data) == ("frames-thinned", {"frames": writer.dropped["frames"]})
