"""Trains what is planned, one process a run, one run at a time; what is in the folder already is kept."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.diagnosis.plan import Planned
from probes.errors import BabysitError
from trainer.loop import train
from trainer.recipe import load_recipe

DONE = "outcome.json"


def train_all(runs: Iterable[Planned], folder: Path, limit: float) -> None:
    """Train each of ``runs`` that has no outcome yet into ``folder``; one that takes ``limit`` seconds is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")  # torch is imported once; nothing has computed before the fork
    for run in runs:
        place = folder / run.name
        if (place / DONE).exists():
            continue
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        process = context.Process(target=_one, args=(run, place))
        process.start()
        process.join(limit)
        if process.is_alive():
            process.kill()
            process.join()
            _note(place, "too long")
        elif not (place / DONE).exists():
            _note(place, f"ended with exit code {process.exitcode}")


def _one(run: Planned, place: Path) -> None:
    torch.set_num_threads(1)
    overrides = [*run.overrides, f"training.seed={run.seed}", "training.checkpoint_every=0"]
    if run.fault is not None:
        overrides.append(f"faults.names={json.dumps([run.fault])}")
    started = time.monotonic()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        try:
            outcome = train(load_recipe(run.recipe, overrides), place)
        except BabysitError as error:
            _note(place, str(error))
            return
    result = {"loss": outcome.loss, "score": outcome.score, "steps": outcome.steps}
    (place / DONE).write_text(json.dumps(result | {"seconds": time.monotonic() - started}))


def _note(place: Path, reason: str) -> None:
    (place / DONE).write_text(json.dumps({"left_out": reason}))
