"""What watching costs in time: a step with a tool / a step of the bare loop, as medians of paired ratios.

    python -m benchmarks.probes.overhead [--quick] [--only mlp] [--threads 2]

Every variant trains a copy of the same network in the same process. A round is a block of ten steps of each variant
in changing order; the ratio to the bare loop is taken within the round, so that what else the machine does hits all
variants alike. Tools take turns, because the threads and processes that one leaves at work would be counted with the
next.
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
"""Steps of one variant in a round: one frame when frames are taken at every tenth."""

SECONDS = {"babysit": 100.0, "TensorBoard": 40.0, "W&B offline": 40.0}
"""How long each tool is measured on each network."""

_LEAST_ROUNDS = 3

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


def training_step(workload: Workload, tool: Tool, folder: Path, stack: ExitStack) -> Callable[[], None]:
    """One step of a fresh copy of the network, watched by the tool."""
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

    return step


def measure(
    workload: Workload, tools: Mapping[str, Tool], seconds: float, clock: str = "wall"
) -> tuple[float, dict[str, Ratio], int]:
    """Milliseconds of a bare step, the ratio of each tool, and the number of rounds."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        variants = {"bare": bare, **tools}
        steps = {
            name: training_step(workload, tool, Path(folder) / str(number), stack)
            for number, (name, tool) in enumerate(variants.items())
        }
        times: dict[str, list[float]] = {name: [] for name in variants}
        _round(steps, {name: [] for name in variants}, 3, CLOCKS[clock])
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times["bare"]) < _LEAST_ROUNDS:
            _round(steps, times, BLOCK, CLOCKS[clock])
        ratios = {name: _ratio(times[name], times["bare"]) for name in tools}
        return 1000 * median(times["bare"]) / BLOCK, ratios, len(times["bare"])


def _round(
    steps: Mapping[str, Callable[[], None]], times: dict[str, list[float]], count: int, clock: Callable[[], float]
) -> None:
    for name in random.sample(list(steps), len(steps)):
        began = clock()
        for _ in range(count):
            steps[name]()
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
            alone, ratios, rounds = measure(workload, tools, SECONDS[group] * share, clock)
            cells = [str(ratios[c]) if c in ratios else "" for c in cadences]
            yield f"| {workload.name} | {group} | {alone:.1f} | {rounds} | " + " | ".join(cells) + " |"


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
