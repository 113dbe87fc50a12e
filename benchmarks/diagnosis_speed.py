"""How long the diagnosis of a large run takes: 1,000,000 steps of 20 series, 10,000 frames of 50 layers.

    python -m benchmarks.diagnosis_speed [--steps 1000000] [--frames 10000] [--layers 50] [--keep DIR] [--profile]

Diagnosing is timed in fresh processes, from opening the run directory to the report: nothing is warm but the disk's
cache. "again" is a second diagnosis by the same process after one more second of training was appended, as the
diagnosis of a live run does it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PARAMETER_KINDS = (
    "weight_norm", "grad_norm", "update_norm", "update_ratio", "weight_mean", "weight_std", "weight_min", "weight_max",
    "grad_mean", "grad_std", "grad_max_abs", "weight_zero_fraction", "grad_zero_fraction", "weight_nonfinite",
    "grad_nonfinite",
)  # fmt: skip
MODULE_KINDS = (
    "activation_mean", "activation_std", "activation_max_abs", "zero_fraction", "dead_fraction", "saturated_fraction",
    "activation_nonfinite", "activation_grad_norm", "activation_grad_std", "activation_grad_zero_fraction",
    "batch_variation",
)  # fmt: skip
SMALL = {"update_norm", "update_ratio", "grad_mean", "dead_fraction", "saturated_fraction"}
NOTHING = {"weight_zero_fraction", "grad_zero_fraction", "weight_nonfinite", "grad_nonfinite", "activation_nonfinite"}


def write(run_dir: Path, steps: int, frames: int, layers: int) -> None:
    """A healthy run: a loss that falls, noise, everything of an ordinary size."""
    from probes.runlog import LayerFrame, RunWriter

    random = np.random.default_rng(0)
    parameters = [f"block{i // 5}.fc{i % 5}.weight" for i in range(layers)]
    modules = [f"block{i // 5}.fc{i % 5}" for i in range(layers)]
    described = zip(parameters, modules, strict=True)
    manifest = {
        "name": "benchmark",
        "model": {
            "parameters": [{"name": p, "module": m, "shape": [64, 64], "trainable": True} for p, m in described],
            "modules": [{"name": m, "type": "Linear", "activation": "relu", "output_shape": [8, 64]} for m in modules],
        },
        "optimizers": [{"class": "SGD", "groups": [{"lr": 0.1, "momentum": 0.9, "parameters": parameters}]}],
        "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
        "data": {"classes": 10, "label_counts": [100] * 10},
    }
    writer = RunWriter(run_dir, manifest)
    every = max(1, steps // frames)
    other = [f"train/metric-{i:02d}" for i in range(12)]
    noise = random.standard_normal(10_007)
    now = time.time()
    for step in range(1, steps + 1):
        draw = float(noise[step % 10_007])
        loss = 0.3 + 2.0 / (1.0 + step / 20_000) + 0.05 * draw
        values = dict.fromkeys(other, draw)
        values |= {"train/loss": loss, "train/accuracy": 1.0 - loss / 3, "optimizer/lr": 0.1}
        values |= {"system/step_time": 0.01, "system/data_wait": 0.001, "system/probe_time": 1e-4}
        if step % 1000 == 0:
            values |= {"val/loss": loss + 0.02, "val/accuracy": 0.98 - loss / 3}
        writer.scalars(step, now, values)
        if step % every == 0:
            rows = {}
            for axis, kinds in (("parameter", PARAMETER_KINDS), ("module", MODULE_KINDS)):
                for kind in kinds:
                    size = 0.0 if kind in NOTHING else 1e-3 if kind in SMALL else 1.0
                    rows[kind] = axis, (size * (0.5 + random.random(layers, np.float32))).astype(np.float32)
            writer.put(LayerFrame(step, now, {"parameter": parameters, "module": modules}, rows))
        while len(writer._calls) > 20_000 or len(writer._records) > 200:
            time.sleep(0.001)  # a real step takes far longer; this loop only must not outrun the disk
    writer.close()


def measure(run_dir: Path, profile: bool) -> dict[str, float]:
    """Seconds of one cold diagnosis, of the next one after a little more, and the memory it took."""
    import probes
    from benchmarks.runlog.bench_runlog import peak_megabytes
    from probes.diagnosis import RULES  # noqa: F401  importing is not what is measured
    from probes.runlog import RunWriter, run  # noqa: F401

    base = peak_megabytes()
    if profile:
        import cProfile

        cProfile.runctx("probes.diagnose(run_dir)", {"probes": probes, "run_dir": run_dir}, {}, sort="cumulative")
        return {}
    began, worked = time.perf_counter(), time.process_time()
    report = probes.diagnose(run_dir)
    cold, processor = time.perf_counter() - began, time.process_time() - worked
    assert report.ok, report.verdict
    assert not [reason for _, reason in report.not_judged if "failed" in reason]
    opened = probes.open_run(run_dir)
    probes.diagnose(opened)
    writer = RunWriter(run_dir, opened.manifest, flush_interval=600)
    values = {name: float(opened.series(name).values[-1]) for name in opened.series_names}
    for step in range(writer.start_step + 1, writer.start_step + 101):
        writer.scalars(step, time.time(), values)
    writer.flush()
    began = time.perf_counter()
    opened.refresh()
    probes.diagnose(opened)
    again = time.perf_counter() - began
    writer.close()
    return {"cold": cold, "of that processor time": processor, "again": again, "peak MB": peak_megabytes() - base}


def main() -> None:
    """Write, diagnose, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--layers", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="where the run is (made when it is not there) and stays")
    parser.add_argument("--profile", action="store_true", help="say where the time of the cold diagnosis goes")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        found = measure(options.measure, options.profile)
        if found:
            print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as directory:
        run_dir = (options.keep or Path(directory)) / "run"
        if not (run_dir / "run.json").exists():
            write(run_dir, options.steps, options.frames, options.layers)
        command = [sys.executable, "-m", "benchmarks.diagnosis_speed", "--measure", str(run_dir)]
        if options.profile:
            subprocess.run([*command, "--profile"], check=True)
            return
        results = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(3)]
        for name in results[0]:
            value = sorted(result[name] for result in results)[1]
            print(f"{name:24s}{value:8.0f}" if name.endswith("MB") else f"{name:24s}{value:8.2f} s")


if __name__ == "__main__":
    main()
