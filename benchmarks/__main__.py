"""Runs the benchmarks and writes what they find to docs/benchmarks.md.

    python -m benchmarks [probes] [memory] [runlog] [diagnosis] [--quick] [--threads 2] [--note TEXT]

A part that is not run keeps its section in the document.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

What babysit costs, as measured by `make bench` (`python -m benchmarks`), which writes this page.
"""
TITLES = {
    "probes": "Time a training step takes, against the bare loop",
    "memory": "Memory",
    "runlog": "The run log",
    "diagnosis": "The diagnosis of a large run",
}
EXPLAINED = {
    "probes": """Time with the tool / time of the bare loop: medians of ratios taken within rounds in which both train
for a quarter of a second or more in turn (in brackets 10th to 90th percentile of the rounds). *Scalars*: loss and
learning rate at every step. *Default*: `every="auto"`, a frame as often as 3% of the loop's time allows, measured
after its first 40 seconds. *Every 10th*, *every step*: with a full frame then (TensorBoard and W&B: histograms of all
weights and gradients, no activations, updates or norms). The background threads of a tool run on the same cores and
are part of the figures.""",
    "memory": "Each line is measured in processes of its own.",
    "runlog": "1,000,000 steps of 20 series and 10,000 frames of 50 layers.",
    "diagnosis": """1,000,000 steps of 20 series and 10,000 frames of 50 layers (26 statistics of each), judged by every
rule. *Cold*: a fresh process opens the run directory and diagnoses it, imports aside. *Again*: the same process once
more, after 100 further steps were recorded, as the live diagnosis does it. *Peak*: memory that this took beyond what
the imports take.""",
}


def probes_lines(quick: bool, threads: int) -> Iterator[str]:
    """The table of costs in time."""
    from benchmarks.probes import overhead

    return overhead.table(share=0.1 if quick else 1.0, threads=threads)


def memory_lines(quick: bool, threads: int) -> Iterator[str]:
    """The tables of costs in memory."""
    from benchmarks.probes import memory

    return memory.table(10_000 if quick else 100_000)


def runlog_lines(quick: bool, threads: int) -> Iterator[str]:
    """What the run log's benchmark prints, as it is."""
    script = ROOT / "benchmarks" / "runlog" / "bench_runlog.py"
    size = ["--steps", "50000", "--frames", "500"] if quick else []
    done = subprocess.run([sys.executable, str(script), *size], cwd=ROOT, capture_output=True, text=True, check=True)
    yield from ["```", *done.stdout.rstrip().splitlines(), "```"]


def diagnosis_lines(quick: bool, threads: int) -> Iterator[str]:
    """What the benchmark of the diagnosis prints, as it is."""
    size = ["--steps", "50000", "--frames", "500"] if quick else []
    command = [sys.executable, "-m", "benchmarks.diagnosis_speed", *size]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    yield from ["```", *done.stdout.rstrip().splitlines(), "```"]


PARTS: dict[str, Callable[[bool, int], Iterator[str]]] = {
    "probes": probes_lines,
    "memory": memory_lines,
    "runlog": runlog_lines,
    "diagnosis": diagnosis_lines,
}


def machine(threads: int) -> str:
    """What it was measured on."""
    import torch

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{processor()}, {os.cpu_count()} cores, {threads} torch threads, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, {date.today()}; load before it began: {load}"
    )


def processor() -> str:
    """The processor's name as Linux knows it."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.machine()


def sections(text: str) -> dict[str, str]:
    """Part -> its section of an existing document."""
    found = {}
    for part, title in TITLES.items():
        match = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        if match:
            found[part] = match.group(0).rstrip() + "\n"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all when none is named")
    parser.add_argument("--quick", action="store_true", help="shorter and less exact; the document is left alone")
    parser.add_argument("--threads", type=int, default=2, help="that torch computes with in the probes' part")
    parser.add_argument("--note", default="", help="a remark put beside the tables")
    options = parser.parse_args()
    for part in options.parts or PARTS:
        begun = machine(options.threads)
        print(f"\n{TITLES[part]}: {begun}\n", flush=True)
        lines = []
        for line in PARTS[part](options.quick, options.threads):
            print(line, flush=True)
            lines.append(line)
        threads = f" --threads {options.threads}" if options.threads != 2 and part == "probes" else ""
        about = f"`python -m benchmarks {part}{threads}` on {begun}." + (f" {options.note}" if options.note else "")
        known = sections(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
        known[part] = "\n\n".join([f"## {TITLES[part]}", EXPLAINED[part], about, "\n".join(lines)]) + "\n"
        if not options.quick:
            DOCUMENT.write_text("\n".join([HEAD, *(known[p] for p in TITLES if p in known)]))


if __name__ == "__main__":
    main()
