"""Real run directories and real writer processes for the tests of the run log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from probes.runlog import FilterSnapshot, HistogramFrame, HistogramTable, LayerFrame, RunWriter

# Records the steps START..STOP: after every flush it prints the last step that is on disk.
WRITER = """
import sys, time
import numpy as np
from probes.runlog import RunWriter, LayerFrame, HistogramFrame, HistogramTable, FilterSnapshot
run_dir, pause = sys.argv[1], float(sys.argv[2])
writer = RunWriter(run_dir, {"name": "subject"}, flush_interval=0.02)
step = writer.start_step
while True:
    step += 1
    now = time.time()
    writer.scalars(step, now, {"train/loss": step * 0.5, "optimizer/lr": 0.1})
    if step % 10 == 0:
        writer.scalars(step, now, {"val/loss": step * 2.0})
        values = {"grad_norm": ("parameter", np.array([step, 2.0 * step], np.float32))}
        writer.put(LayerFrame(step, now, {"parameter": ["a", "b"]}, values))
        counts = np.full((2, 4), step, np.uint32)
        outside, population = np.zeros((2, 5), np.uint32), np.full(2, 4 * step, np.uint64)
        table = HistogramTable(["a", "b"], counts, outside, population)
        writer.put(HistogramFrame(step, now, np.arange(5.0), {"weight": table}))
    if step % 50 == 0:
        writer.put(FilterSnapshot(step, now, "a", np.full((2, 1, 2, 2), step, np.float32)))
    if step % 100 == 0:
        writer.flush()
        print(step, flush=True)
    if pause:
        time.sleep(pause)
"""


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program (a string) with arguments; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", program, *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def spawn_writer(spawn: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.Popen[str]]:
    """Start a process that records steps until it is killed."""

    def run(run_dir: Path, pause: float = 0.0) -> subprocess.Popen[str]:
        return spawn(WRITER, run_dir, pause)

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], object]:
    """Poll a condition until it holds; fails after a generous deadline."""

    def wait(condition: Callable[[], object], seconds: float = 30.0) -> object:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, "did not happen in time"
            time.sleep(0.01)
        return value

    return wait


def layer_frame(step: int, **values: list[float]) -> LayerFrame:
    """A frame over the parameter axis with as many layers as the values have."""
    names = [f"p{i}" for i in range(max(map(len, values.values())))]
    arrays = {kind: ("parameter", np.asarray(value, np.float32)) for kind, value in values.items()}
    return LayerFrame(step, float(step), {"parameter": names}, arrays)


def histogram_frame(step: int, layers: int = 2, bins: int = 4) -> HistogramFrame:
    """A frame of weight histograms whose every number is derived from the step."""
    counts = (np.arange(layers * bins, dtype=np.uint32) + step).reshape(layers, bins)
    outside = np.full((layers, 5), step, np.uint32)
    population = np.full(layers, 10 * step, np.uint64)
    table = HistogramTable([f"p{i}" for i in range(layers)], counts, outside, population)
    return HistogramFrame(step, float(step), np.arange(bins + 1.0), {"weight": table})


def record_steps(writer: RunWriter, first: int, last: int) -> None:
    """Record a bit of everything for the steps first..last."""
    for step in range(first, last + 1):
        writer.scalars(step, float(step), {"train/loss": step / 2})
        if step % 5 == 0:
            writer.scalars(step, float(step), {"val/loss": float(step)})
            writer.put(layer_frame(step, grad_norm=[step, 2 * step]))
            writer.put(histogram_frame(step))
            writer.put(FilterSnapshot(step, float(step), "p0", np.full((2, 3), step, np.float32)))


@pytest.fixture
def record() -> Callable[[RunWriter, int, int], None]:
    return record_steps


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """A finished run of 40 steps."""
    writer = RunWriter(tmp_path / "run", {"name": "finished"}, flush_interval=60)
    for first in range(1, 41, 10):
        record_steps(writer, first, first + 9)
        assert writer.flush()
    writer.close()
    return tmp_path / "run"


@pytest.fixture
def frames() -> dict[str, Callable[..., object]]:
    return {"layers": layer_frame, "histograms": histogram_frame}
