"""Disks that are full, read-only or gone: the training never notices, what was written stays readable."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from probes.errors import RunDirectoryError
from probes.runlog import RunWriter, open_run, pump

LIMITED = """
import resource, sys, time, warnings
import numpy as np
from probes.runlog import RunWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
writer = RunWriter(sys.argv[1], {}, flush_interval=60)
for step in range(5000):
    writer.scalars(step, float(step), {"train/loss": float(step), "train/accuracy": 0.5})
    if step % 100 == 0:
        writer.flush()
writer.close()
print("trained")
"""


def test_a_file_size_limit_only_begins_new_segments(tmp_path: Path, spawn: Callable) -> None:
    """RLIMIT_FSIZE makes every append beyond it fail: nothing is lost, nothing is doubled."""
    process = spawn(LIMITED, tmp_path / "run")
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("trained\n", 0), err
    assert err.count("\n") <= 2, err
    run = open_run(tmp_path / "run")
    np.testing.assert_array_equal(run.series("train/loss").values, np.arange(5000.0))
    assert all(path.stat().st_size <= 20_000 for path in (tmp_path / "run").iterdir())
    assert run.problems == []


SIZE = 256 << 10


class MountedDisk:
    """A file system of 256 kB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refusal = "Read-only file system"
        self._mount("-t", "tmpfs", "-o", f"size={SIZE}", "babysit-test")

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(self.path)], check=True, capture_output=True)

    def make_read_only(self) -> None:
        self._mount("-o", "remount,ro")

    def make_writable(self) -> None:
        self._mount("-o", "remount,rw")

    def remove(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


class PretendedDisk:
    """For a tester who may not mount: a directory where writing fails as on a full disk."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.refusal = "Permission denied"
        write = os.write

        def limited(fd: int, content: bytes) -> int:
            used = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            room = SIZE - used if stat.S_ISREG(os.fstat(fd).st_mode) else len(content)
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(fd, content[:room])

        patch.setattr(os, "write", limited)

    def make_read_only(self) -> None:
        for directory in (self.path / "run", self.path):
            directory.chmod(0o555)

    def make_writable(self) -> None:
        for directory in (self.path, self.path / "run"):
            directory.chmod(0o755)

    def remove(self) -> None:
        """Nothing is to be undone."""


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MountedDisk | PretendedDisk]:
    (tmp_path / "disk").mkdir()
    try:
        disk: MountedDisk | PretendedDisk = MountedDisk(tmp_path / "disk")
    except (subprocess.CalledProcessError, FileNotFoundError):
        disk = PretendedDisk(tmp_path / "disk", monkeypatch)
    yield disk
    disk.remove()


@pytest.fixture
def small_disk(disk: MountedDisk | PretendedDisk) -> Path:
    return disk.path


def fill(ballast: Path) -> None:
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(fd)


def test_a_full_disk_that_clears(
    small_disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is full nothing raises, one line is logged, rows wait; with room they are written."""
    monkeypatch.setattr(pump, "_RETRY_SECONDS", 0.0)
    writer = RunWriter(small_disk / "run", {}, flush_interval=60)
    ballast = small_disk / "ballast"
    last = 0

    def train(steps: int) -> None:
        nonlocal last
        for _ in range(steps):
            writer.scalars(last, float(last), {"train/loss": float(last)})
            last += 1

    train(1000)
    assert writer.flush()
    fill(ballast)
    with caplog.at_level(logging.WARNING, "babysit"):
        for _ in range(20):
            train(100)
            writer.flush()
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    run = open_run(small_disk / "run")
    before = run.series("train/loss").values
    np.testing.assert_array_equal(before, np.arange(len(before)))
    assert 1000 <= len(before) < last
    ballast.unlink()
    assert writer.flush()
    run.refresh()
    np.testing.assert_array_equal(run.series("train/loss").values, np.arange(last))
    writer.close()
    run.refresh()
    assert (run.status, run.problems) == ("finished", [])


def test_a_disk_that_stays_full_ends_quietly(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded: what waits for the disk is thinned and counted."""
    monkeypatch.setitem(pump._BACKLOG, "scalars", 100_000)
    monkeypatch.setattr(pump, "_RETRY_SECONDS", 0.0)
    writer = RunWriter(small_disk / "run", {}, flush_interval=60)
    for start in range(0, 100_000, 2_000):
        for step in range(start, start + 2_000):
            writer.scalars(step, float(step), {"train/loss": 1.0})
        writer.flush()
    held = writer._pump._streams["scalars"]
    assert held.backlog_bytes <= 200_000
    assert held.dropped > 50_000
    writer.close()
    run = open_run(small_disk / "run")
    steps = run.series("train/loss").steps
    np.testing.assert_array_equal(steps, np.arange(len(steps)))
    assert len(steps) > 5_000
    assert run.status in ("finished", "crashed")


def test_a_directory_deleted_in_mid_run(tmp_path: Path, record: Callable, caplog: pytest.LogCaptureFixture) -> None:
    """Said once; recording stops, nothing is created again, closing is quiet."""
    writer = RunWriter(tmp_path / "run", {}, flush_interval=60)
    record(writer, 1, 10)
    assert writer.flush()
    run = open_run(tmp_path / "run")
    run.series("train/loss")
    shutil.rmtree(tmp_path / "run")
    with caplog.at_level(logging.WARNING, "babysit"):
        record(writer, 11, 20)
        assert not writer.flush()
        record(writer, 21, 30)
        assert not writer.flush()
        assert writer._pump.backlog_bytes == 0  # nothing is kept for a disk that will not come back
        writer.close()
    assert len(caplog.records) == 1
    assert "gone" in caplog.text
    assert not (tmp_path / "run").exists()
    assert not run.refresh()
    assert len(run.series("train/loss")) == 10
    assert any("cannot be read any more" in problem for problem in run.problems)
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        run.series("val/loss")


def test_a_disk_that_becomes_read_only(
    disk: MountedDisk | PretendedDisk,
    record: Callable,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_disk = disk.path
    monkeypatch.setattr(pump, "_RETRY_SECONDS", 0.0)
    writer = RunWriter(small_disk / "run", {}, flush_interval=60, segment_bytes=1)
    record(writer, 1, 10)
    assert writer.flush()
    for stream in writer._pump._streams.values():
        stream.close()  # an open file would keep the file system from changing
    writer._lock.release()
    disk.make_read_only()
    with caplog.at_level(logging.WARNING, "babysit"):
        record(writer, 11, 20)
        assert not writer.flush()
        assert not writer.flush()
    assert len(caplog.records) == 1
    assert disk.refusal in caplog.text
    with pytest.raises(RunDirectoryError, match="cannot be written here"):
        RunWriter(small_disk / "other", {})
    assert open_run(small_disk / "run").last_step == 10
    disk.make_writable()
    writer.close()
    assert open_run(small_disk / "run").last_step == 20


def test_an_unwritable_directory(tmp_path: Path, spawn: Callable) -> None:
    """Permissions, as seen by a user who is not root."""
    (tmp_path / "locked").mkdir(mode=0o555)
    os.chmod(tmp_path, 0o755)
    program = """
import os, sys
from probes.errors import BabysitError
from probes.runlog import RunWriter
import probes.runlog.writer
if os.getuid() == 0:
    os.setuid(65534)
try:
    RunWriter(sys.argv[1], {})
except BabysitError as error:
    print(error)
"""
    out, err = spawn(program, tmp_path / "locked" / "run").communicate(timeout=60)
    assert "cannot be written here: Permission denied" in out, err
