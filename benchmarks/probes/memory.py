"""What the probes cost in memory: whether it grows with the steps, and the peak beside the bare training.

python -m benchmarks.probes.memory [--steps 100000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import torch
from torch import nn

import probes
from benchmarks.probes.overhead import training_loop
from benchmarks.probes.tools import babysit, bare
from benchmarks.probes.workloads import WORKLOADS


def status(field: str) -> float:
    """MiB of this process: "VmRSS" at present, "VmHWM" at most."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def growth(steps: int, every: int | str) -> dict[str, float]:
    """In the second and in the last fifth of the steps: resident memory in MiB, and memory blocks that Python's
    allocator holds (counting them costs nothing; tracemalloc slows such short steps down several times). Medians of
    ten moments each: what waits to be written goes up and down.
    """
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    inputs = torch.randn(8, 16)
    seen: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, probes.watch(model, optimizer, f"{folder}/run", every=every) as probe:
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            fifth = (step - 1) * 5 // steps
            if step % max(1, steps // 50) == 0 and fifth in (1, 4):
                probe._engine.delivery.writer.flush(30.0)
                name = "early" if fifth == 1 else "late"
                seen.setdefault(f"resident {name}", []).append(status("VmRSS"))
                seen.setdefault(f"blocks {name}", []).append(float(sys.getallocatedblocks()))
    return {what: median(values) for what, values in seen.items()}


def peak(workload: int, watched: bool) -> float:
    """MiB resident at most in 30 steps, with a frame at each or none."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        step = training_loop(WORKLOADS[workload], babysit(1) if watched else bare, Path(folder) / "run", stack).step
        for _ in range(30):
            step()
        return status("VmHWM")


def table(steps: int = 100_000) -> Iterator[str]:
    """The lines of both tables; every figure is from a process of its own."""
    yield f"| {steps:,} steps | resident, second fifth | last fifth | Python memory blocks, second fifth | last fifth |"
    yield "|---|---|---|---|---|"
    for every in ("10", "auto"):
        f = _in_fresh_process("growth", str(steps), every)
        resident, blocks = ([f[f"{what} {when}"] for when in ("early", "late")] for what in ("resident", "blocks"))
        cells = [f"{c:.1f} MiB" for c in resident] + [f"{c:,.0f}" for c in blocks]
        yield f"| every={every} | " + " | ".join(cells) + " |"
    yield ""
    yield "| a frame at every step | peak, bare | peak, watched | extra |"
    yield "|---|---|---|---|"
    for number, workload in enumerate(WORKLOADS):
        alone, watched = (_in_fresh_process("peak", str(number), which)["peak"] for which in ("", "watched"))
        yield f"| {workload.name} | {alone:.0f} MiB | {watched:.0f} MiB | {watched - alone:.0f} MiB |"


def _in_fresh_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.probes.memory", "--measure", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, first, second = options.measure
        every: int | str = int(second) if second.isdigit() else second
        print(json.dumps(growth(int(first), every) if what == "growth" else {"peak": peak(int(first), bool(second))}))
        return
    for line in table(options.steps):
        print(line, flush=True)


if __name__ == "__main__":
    main()
