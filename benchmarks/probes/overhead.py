"""What watching costs in time: a step with a tool / a step of the bare loop, as medians of paired ratios.

    python -m benchmarks.probes.overhead [--quick] [--only mlp] [--threads 2]

The bare loop and the watched one train copies of the same network in the same process. A round is a block of steps of
each, a quarter of a second or more, in changing order; the ratio is taken within the round, so that what else the
machine does hits both alike. Each tool at each cadence is measured by itself, because what the threads and processes of
one do would be counted with the next.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from torch import nn

from benchmarks.probes.tools import GROUPS, Tool, bare, missing
from benchmarks.probes.workloads import WORKLOADS, Workload

BLOCK = 10
"""A block is this many steps or a multiple of it: one frame each when frames are taken at every tenth."""

BLOCK_SECONDS = 0.25

SECONDS = 20.0
"""How long each tool is measured at each cadence on each network."""

WARM_UP = {"default": 40.0}
"""Seconds of training before it is measured: the governor's first frames are taken on the credit of 30 seconds."""

_LEAST_ROUNDS = 10
"""Also where a round takes seconds: the median of three ratios was off by several percent."""

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "thread": time.thread_time}
"""What a step takes: time that passes, or processor time of the training's own thread, which other programs at work on
the same cores disturb far less; what a tool does on threads of its own is then left out."""


@dataclass(frozen=True)
class Ratio:
    """Time with the tool / time without.

    Attributes:
        middle: the median of the paired ratios.
        low, high: 10th and 90th percentile of the paired ratios.
    """

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3f} ({self.low:.2f}–{self.high:.2f})"


@dataclass(frozen=True)
class Loop:
    """A training: its next step, and what is to be called when it goes on after a pause."""

    step: Callable[[], None]
    resume: Callable[[], None]


def training_loop(workload: Workload, tool: Tool, folder: Path, stack: ExitStack) -> Loop:
    """The training of a fresh copy of the network, watched by the tool."""
    torch.manual_seed(0)
    model = workload.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    inputs, targets = workload.batch()
    after = tool(model, optimizer, folder, stack)

    def step() -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        after(loss)

    return Loop(step, getattr(after, "resume", lambda: None))


def measure(
    workload: Workload, tool: Tool, seconds: float, clock: str = "wall", warm_up: float = 0.0
) -> tuple[float, Ratio, int]:
    """Milliseconds of a bare step, the ratio of the tool, and the number of rounds."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        loops = {
            name: training_loop(workload, chosen, Path(folder) / name, stack)
            for name, chosen in (("bare", bare), ("watched", tool))
        }
        times: dict[str, list[float]] = {name: [] for name in loops}
        began = time.perf_counter()
        _round(loops, {name: [] for name in loops}, BLOCK, CLOCKS[clock])
        once = (time.perf_counter() - began) / len(loops)
        block = BLOCK * max(1, round(BLOCK_SECONDS / once))
        while time.perf_counter() < began + warm_up:
            loops["watched"].step()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times["bare"]) < _LEAST_ROUNDS:
            _round(loops, times, block, CLOCKS[clock])
        return 1000 * median(times["bare"]) / block, _ratio(times["watched"], times["bare"]), len(times["bare"])


def _round(loops: Mapping[str, Loop], times: dict[str, list[float]], count: int, clock: Callable[[], float]) -> None:
    for name in random.sample(list(loops), len(loops)):
        loops[name].resume()
        step = loops[name].step
        began = clock()
        for _ in range(count):
            step()
        times[name].append(clock() - began)


def _ratio(watched: list[float], alone: list[float]) -> Ratio:
    paired = [w / a for w, a in zip(watched, alone, strict=True)]
    tenths = quantiles(paired, n=10, method="inclusive")
    return Ratio(median(paired), tenths[0], tenths[-1])


def table(only: str = "", share: float = 1.0, threads: int = 2, clock: str = "wall") -> Iterator[str]:
    """The lines of the table as they are measured; ``share`` shortens the measurement."""
    torch.set_num_threads(threads)
    cadences = ["scalars", "default", "every 10th", "every step"]
    yield "| network | tool | bare, ms a step | rounds | " + " | ".join(cadences) + " |"
    yield "|---" * (len(cadences) + 4) + "|"
    for group, tools in GROUPS.items():
        package = missing(group)
        if package:
            print(f"{group} is left out: {package} is not installed (pip install 'babysit[bench]')", flush=True)
            continue
        for workload in (w for w in WORKLOADS if only.lower() in w.name.lower()):
            alone, cells, rounds = [], [], []
            for cadence in cadences:
                if cadence not in tools:
                    cells.append("")
                    continue
                warm_up = WARM_UP.get(cadence, 0.0) * share
                bare_step, ratio, count = measure(workload, tools[cadence], SECONDS * share, clock, warm_up)
                alone.append(bare_step)
                rounds.append(count)
                cells.append(str(ratio))
            yield f"| {workload.name} | {group} | {median(alone):.1f} | {min(rounds)} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--threads", type=int, default=2, help="that torch computes with")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="thread: processor time of the training's thread"
    )
    options = parser.parse_args()
    for line in table(options.only, 0.1 if options.quick else 1.0, options.threads, options.clock):
        print(line, flush=True)


if __name__ == "__main__":
    main()
