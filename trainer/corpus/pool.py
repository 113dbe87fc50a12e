"""Runs over all cores: one process a run, each ended when it takes too long."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from trainer.corpus.outcome import RunOutcome, load_outcome, save_outcome, settings_of
from trainer.corpus.plan import Planned

Work = Callable[[Planned, Path], None]


@dataclass
class _Running:
    run: Planned
    process: BaseProcess
    deadline: float


def train_all(
    runs: Sequence[Planned], folder: Path, work: Work, jobs: int, limit: float
) -> Iterator[tuple[Planned, RunOutcome]]:
    """Does ``work(run, run directory)`` for each run in a process of its own and yields each as it ends.

    At most ``jobs`` at a time; one that takes ``limit`` seconds is ended, one that dies is noted. However this
    ends, no process stays behind. A run that was under way then has no outcome.
    """
    # With fork, torch and the data libraries are imported once; nothing has computed before.
    context = multiprocessing.get_context("fork")
    waiting = list(reversed(runs))
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop()
                place = folder / run.name
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir(parents=True)
                process = context.Process(target=_alone, args=(work, run, place), daemon=True)
                process.start()
                running.append(_Running(run, process, time.monotonic() + limit))
            first = min(one.deadline for one in running)
            wait([one.process.sentinel for one in running], timeout=max(0.0, first - time.monotonic()))
            for one in [*running]:
                if one.process.is_alive() and time.monotonic() < one.deadline:
                    continue
                running.remove(one)
                yield one.run, _ended(one, folder / one.run.name, limit)
    finally:
        for one in running:
            one.process.kill()
            one.process.join()


def _alone(work: Work, run: Planned, place: Path) -> None:
    """In the process made for it. Ends with its parent, however that ends: nothing goes on writing there."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    work(run, place)


def _ended(one: _Running, place: Path, limit: float) -> RunOutcome:
    note = ""
    if one.process.is_alive():
        one.process.kill()
        note = f"took longer than {limit:g} s"
    one.process.join()
    outcome = load_outcome(one.run, place)
    if outcome is not None:
        return outcome
    outcome = RunOutcome(settings_of(one.run), note or f"ended with exit code {one.process.exitcode}")
    save_outcome(outcome, place)
    return outcome
