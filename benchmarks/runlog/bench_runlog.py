"""What the run log costs: writing, opening, following and reading a large run.

    python benchmarks/runlog/bench_runlog.py [--steps 1000000] [--frames 10000] [--keep DIR]

1,000,000 steps of 20 series and 10,000 frames of 15 statistics and one kind of histogram (193 bins) over 50
layers, flushed once a second. Reading is timed in fresh processes: nothing is warm but the disk's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LAYERS, BINS, SERIES, KINDS = 50, 193, 20, 15


def write(run_dir: Path, steps: int, frames: int) -> dict[str, float]:
    """Record the run; seconds the calls took (the training's side) and seconds in all."""
    from probes.runlog import HistogramFrame, HistogramTable, LayerFrame, RunWriter

    random = np.random.default_rng(0)
    names = [f"train/metric-{i:02d}" for i in range(SERIES)]
    layers = [f"block{i // 5}.conv{i % 5}.weight" for i in range(LAYERS)]
    edges = np.concatenate([-np.logspace(4, -8, BINS // 2 + 1), np.logspace(-8, 4, BINS // 2 + 1)])
    kinds = [f"statistic_{i}" for i in range(KINDS)]
    # Weights of a layer fill some thirty bins around their scale; the others are empty, as in real runs.
    samples = random.normal(0, 0.05, (LAYERS, 16_384))
    table = np.stack([np.histogram(row, edges)[0] for row in samples]).astype(np.uint32)
    population = np.full(LAYERS, 16_384, np.uint64)
    outside = np.zeros((LAYERS, 5), np.uint32)
    rows = [dict(zip(names, map(float, row), strict=True)) for row in random.random((1000, SERIES))]
    bare = time.perf_counter()
    for step in range(steps):  # what the loop itself costs, without writing
        now = time.time()
        values = dict(rows[step % 1000])
        before = time.perf_counter()
        time.perf_counter() - before
    bare = time.perf_counter() - bare
    writer = RunWriter(run_dir, {"name": "benchmark"})
    every = max(1, steps // max(frames, 1))
    calls = 0.0
    started = time.perf_counter()
    for step in range(steps):
        now = time.time()
        values = dict(rows[step % 1000])
        before = time.perf_counter()
        writer.scalars(step, now, values)
        calls += time.perf_counter() - before
        if frames and step % every == 0:
            statistics = {kind: ("parameter", random.random(LAYERS, np.float32)) for kind in kinds}
            counts = table + random.integers(0, 20, table.shape, np.uint32) * (table > 0)
            writer.put(LayerFrame(step, now, {"parameter": layers}, statistics))
            histograms = {"weight": HistogramTable(layers, counts, outside, population)}
            writer.put(HistogramFrame(step, now, edges, histograms))
        while len(writer._calls) > 20_000:  # a real step takes far longer; this loop only must not outrun the disk
            time.sleep(0.001)
    looped = time.perf_counter() - started
    writer.close()
    total = time.perf_counter() - started
    assert not any(writer.dropped.values()), writer.dropped
    return {"call": calls, "loop": looped, "total": total - bare, "process": time.process_time()}


def peak_megabytes() -> float:
    """Peak resident memory of this process (VmHWM; ru_maxrss would include the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def in_fresh_process(what: str, run_dir: Path) -> dict[str, float]:
    """Run `reading` of this file in a process of its own."""
    command = [sys.executable, __file__, "--read", what, "--keep", str(run_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    result: dict[str, float] = json.loads(done.stdout)
    return result


def reading(what: str, run_dir: Path) -> dict[str, float]:
    """Time one way of reading, seconds."""
    import pyarrow.ipc  # noqa: F401

    from probes.runlog import open_run, run, views  # noqa: F401  importing is not what is measured

    base = peak_megabytes()
    started = time.perf_counter()
    found = open_run(run_dir)
    result = {"open": time.perf_counter() - started}
    if what == "series":
        series = found.series("train/metric-07")
        result["series"] = time.perf_counter() - started
        assert len(series) > 0
        again = time.perf_counter()
        found.series("train/metric-08")
        result["another series"] = time.perf_counter() - again
    elif what == "last step":
        assert found.last_step is not None
        result["last step"] = time.perf_counter() - started
    elif what == "all":
        for name in found.series_names:
            found.series(name)
        result["all series"] = time.perf_counter() - started
    elif what == "layers":
        found.layer_series("statistic_3")
        result["layers"] = time.perf_counter() - started
    elif what == "histograms":
        layer = found.histogram_layers("weight")[31]
        found.histograms("weight", layer)
        result["histograms"] = time.perf_counter() - started
        steps = found.histograms_at("weight").steps
        chance = np.random.default_rng(1)
        again = time.perf_counter()
        for step in chance.choice(steps, 200):
            found.histograms_at("weight", int(step))
        result["random histogram frame"] = (time.perf_counter() - again) / 200
    result["peak MB"] = peak_megabytes()
    result["of that imports MB"] = base
    return result


def refreshing(run_dir: Path) -> dict[str, float]:
    """Following a live run: `refresh` with one step new, with nothing new, and reading the longer series."""
    from probes.runlog import RunWriter, open_run

    writer = RunWriter(run_dir, {}, flush_interval=600)
    found = open_run(run_dir)
    found.series("train/metric-07")
    found.layer_kinds, found.histogram_kinds  # noqa: B018  loaded, as a dashboard would have them
    new, nothing, series = [], [], []
    first = writer.start_step + 1
    names = found.series_names
    for step in range(first, first + 100):
        writer.scalars(step, time.time(), dict.fromkeys(names, 1.0))
        writer.flush()
        started = time.perf_counter()
        assert found.refresh()
        new.append(time.perf_counter() - started)
        started = time.perf_counter()
        found.series("train/metric-07")
        series.append(time.perf_counter() - started)
        started = time.perf_counter()
        found.refresh()
        nothing.append(time.perf_counter() - started)
    writer.close()
    return {name: float(np.median(t)) for name, t in (("new", new), ("nothing", nothing), ("series", series))}


def main() -> None:
    """Write, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--read", choices=["series", "last step", "all", "layers", "histograms"])
    options = parser.parse_args()
    if options.read:
        print(json.dumps(reading(options.read, options.keep)))
        return
    with tempfile.TemporaryDirectory() as directory:
        run_dir = (options.keep or Path(directory)) / "run"
        scalars_dir = (options.keep or Path(directory)) / "scalars-only"
        alone = write(scalars_dir, options.steps, 0)
        print(f"scalars() call              {1e6 * alone['call'] / options.steps:8.2f} us/step in the loop")
        print(f"whole loop, scalars only    {1e6 * alone['total'] / options.steps:8.2f} us/step")
        both = write(run_dir, options.steps, options.frames)
        peak = peak_megabytes()
        print(f"whole loop, with frames     {1e6 * both['total'] / options.steps:8.2f} us/step")
        print(f"writer's process, peak      {peak:8.0f} MB")
        sizes = {
            stream: sum(path.stat().st_size for path in run_dir.glob(f"{stream}-*"))
            for stream in ("scalars", "layers", "histograms")
        }
        print(f"scalars on disk             {sizes['scalars'] / options.steps:8.1f} bytes/step")
        print(f"layers on disk              {sizes['layers'] / options.frames:8.0f} bytes/frame")
        print(f"histograms on disk          {sizes['histograms'] / options.frames:8.0f} bytes/frame")
        for what in ("series", "last step", "all", "layers", "histograms"):
            for name, value in in_fresh_process(what, run_dir).items():
                unit = f"{value:8.0f}" if name.endswith("MB") else f"{1e3 * value:8.1f} ms"
                print(f"{what + ': ' + name:34s}  {unit}")
        for name, seconds in refreshing(run_dir).items():
            print(f"refresh, {name:10s}           {1e6 * seconds:8.0f} us")


if __name__ == "__main__":
    main()
