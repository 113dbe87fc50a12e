"""What watching costs: training with probes against the bare loop, in turns, as medians of the ratios.

    python benchmarks/probes/overhead.py [--rounds 15] [--only mlp]

Each variant trains a copy of the same network in the same process; a round runs a few steps of every variant
in changing order, and the ratio to the bare loop is taken within the round, so that what else the machine
does hits all variants alike.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import torch
from torch import nn
from workloads import WORKLOADS, Workload

import probes

Step = Callable[[], None]


def bare(workload: Workload, stack: ExitStack, folder: Path) -> Step:
    return _loop(workload, None)


def default(workload: Workload, stack: ExitStack, folder: Path) -> Step:
    return _watched(workload, stack, folder / "default", "auto")


def scalars(workload: Workload, stack: ExitStack, folder: Path) -> Step:
    return _watched(workload, stack, folder / "scalars", 1_000_000_000)


def tenth(workload: Workload, stack: ExitStack, folder: Path) -> Step:
    return _watched(workload, stack, folder / "tenth", 10)


def every(workload: Workload, stack: ExitStack, folder: Path) -> Step:
    return _watched(workload, stack, folder / "every", 1)


VARIANTS: dict[str, Callable[[Workload, ExitStack, Path], Step]] = {
    "bare": bare,
    "scalars only": scalars,
    "default": default,
    "every 10th step": tenth,
    "every step": every,
}


def _watched(workload: Workload, stack: ExitStack, folder: Path, cadence: int | str) -> Step:
    return _loop(workload, lambda m, o: stack.enter_context(probes.watch(m, o, folder, every=cadence)))


def _loop(workload: Workload, attach: Callable[[nn.Module, torch.optim.Optimizer], probes.Probe] | None) -> Step:
    torch.manual_seed(0)
    model = workload.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    inputs, targets = workload.batch()
    probe = attach(model, optimizer) if attach else None

    def step() -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        if probe is not None:
            probe.log("train", loss=loss)

    return step


def measure(workload: Workload, rounds: int, names: list[str]) -> dict[str, float]:
    """Median over the rounds of each variant's time / the bare loop's time; "bare" itself in ms a step."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        steps = {name: VARIANTS[name](workload, stack, Path(folder)) for name in names}
        for step in steps.values():
            for _ in range(max(3, workload.steps // 2)):
                step()
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in random.sample(names, len(names)):
                began = time.perf_counter()
                for _ in range(workload.steps):
                    steps[name]()
                times[name].append((time.perf_counter() - began) / workload.steps)
        result = {name: median(t / b for t, b in zip(times[name], times["bare"], strict=True)) for name in names}
        result["bare"] = 1000 * median(times["bare"])
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    names = ["bare", *(v for v in options.variants if v != "bare")]
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {options.rounds} rounds\n")
    print("| network | bare, ms a step | " + " | ".join(names[1:]) + " |")
    print("|---" * (len(names) + 1) + "|")
    for workload in _chosen(options.only):
        result = measure(workload, options.rounds, names)
        cells = [f"{result[name]:.3f}" for name in names[1:]]
        print(f"| {workload.name} | {result['bare']:.2f} | " + " | ".join(cells) + " |", flush=True)


def _chosen(only: str) -> Iterator[Workload]:
    return (w for w in WORKLOADS if only.lower() in w.name.lower())


if __name__ == "__main__":
    main()
