"""Runs the programs that have not been run yet, each in a process of its own, and notes how they went."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import shutil
import time
import traceback
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import torch

from benchmarks.diagnosis.programs.program import Program

OUTCOME = "outcome.json"
RUN = "run"
MENDED = "mended"


def record(programs: Sequence[Program], folder: Path, *, workers: int = 1, limit: float = 120.0) -> None:
    """Run each of ``programs`` that has no outcome in ``folder`` yet.

    Args:
        workers: processes at a time.
        limit: seconds after which a program is ended; it then has no score.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [program for program in programs if not (folder / program.name / OUTCOME).exists()]
    with ThreadPool(workers) as pool:
        pool.map(lambda program: _in_a_process(program, folder / program.name, limit), waiting, chunksize=1)


def outcome_of(program: Program, folder: Path) -> dict[str, Any] | None:
    """``{"score", "seconds"}`` or ``{"error"}`` of a program that was run; None before.

    A program with a twin has ``"mended"`` as well, the twin's score.
    """
    path = folder / program.name / OUTCOME
    if not path.exists():
        return None
    outcome: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return outcome


def _in_a_process(program: Program, place: Path, limit: float) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    context = multiprocessing.get_context("fork")  # torch is imported once; nothing has computed before the fork
    process = context.Process(target=_run, args=(program, place))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        _note(place, {"error": f"took more than {limit:.0f} s"})
    elif not (place / OUTCOME).exists():
        _note(place, {"error": f"ended with exit code {process.exitcode}"})


def _run(program: Program, place: Path) -> None:
    torch.set_num_threads(1)
    started = time.monotonic()
    try:
        # Warnings go where nobody reads them, but they are issued, as in anybody's program: probes take note of some.
        with contextlib.redirect_stderr(io.StringIO()):
            score = program.train(place / RUN)
            ended = time.monotonic()
            mended = {} if program.twin is None else {"mended": float(program.twin(place / MENDED))}
    except BaseException:  # noqa: BLE001 - whatever ends a program is its outcome
        _note(place, {"error": traceback.format_exc()})
        return
    _note(place, {"score": float(score), "seconds": ended - started, **mended})


def _note(place: Path, outcome: dict[str, Any]) -> None:
    (place / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")
