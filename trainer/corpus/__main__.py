"""`python -m trainer.corpus`: train the corpus, or what is missing of it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from trainer.corpus.outcome import RunOutcome, load_outcome
from trainer.corpus.plan import PARTS, Planned, planned
from trainer.corpus.pool import train_all
from trainer.corpus.table import FILE, rows, write_table

EVERY = 20  # runs between two writings of the table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainer.corpus", description=__doc__)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the runs go to DIR/NAME, the table to DIR/corpus.csv")
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names to train, such as 'digits-mlp.*'")
    parser.add_argument("--jobs", type=_count, default=len(os.sched_getaffinity(0)), metavar="N", help="runs at a time")
    parser.add_argument("--limit", type=float, default=600.0, metavar="SECONDS", help="end a run that takes longer")
    parser.add_argument("--list", action="store_true", help="print what is planned and stop")
    args = parser.parse_args(arguments)
    runs = planned(args.part, args.only)
    if not runs:
        parser.error(f"no planned run is called {args.only!r} in part {args.part}; --list shows their names")
    if args.list:
        print("\n".join(f"{run.part:7} {run.name}" for run in runs))
        return 0
    if args.out is None:
        parser.error("--out is missing: the directory for the runs")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return make(runs, args.out, args.jobs, args.limit)
    except KeyboardInterrupt:
        print(
            f"interrupted; the same command goes on from here, the table so far is {args.out / FILE}", file=sys.stderr
        )
        return 130


def make(runs: Sequence[Planned], folder: Path, jobs: int, limit: float) -> int:
    """Trains what has no outcome yet and writes the table; 1 when a run failed, else 0."""
    folder.mkdir(parents=True, exist_ok=True)
    every = planned()  # the table is about all that is in the folder, not only about what is trained now
    outcomes = {run.name: found for run in every if (found := load_outcome(run, folder / run.name))}
    missing = [run for run in runs if run.name not in outcomes]
    try:
        with tqdm(total=len(runs), initial=len(runs) - len(missing), unit="run", file=sys.stderr) as bar:
            for number, (run, outcome) in enumerate(_trained(missing, folder, jobs, limit), 1):
                outcomes[run.name] = outcome
                bar.update()
                if outcome.note:
                    bar.write(f"{run.name}: {outcome.note}", file=sys.stderr)
                if number % EVERY == 0:
                    write_table(rows(every, outcomes), folder / FILE)
    finally:
        write_table(rows(every, outcomes), folder / FILE)
    return int(any(outcomes[run.name].note for run in runs))


def _trained(missing: Sequence[Planned], folder: Path, jobs: int, limit: float) -> Iterator[tuple[Planned, RunOutcome]]:
    if not missing:
        return iter(())
    from trainer.corpus.work import load_libraries, train_one  # torch is not needed to list or to tabulate

    load_libraries()
    return train_all(missing, folder, train_one, jobs, limit)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed: a whole number from 1")
    return int(text)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
