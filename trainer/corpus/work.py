"""Trains one planned run, in the process that is made for it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

import probes
from probes.errors import BabysitError
from trainer import checkpoint
from trainer.corpus.outcome import RunOutcome, save_outcome, settings_of
from trainer.corpus.plan import Planned
from trainer.loop import train
from trainer.recipe import load_recipe
from trainer.sections import Recipe
from trainer.tasks import TASKS, Task

BEFORE = "model.run=before"


def load_libraries() -> None:
    """Imports here what every training would otherwise import for itself: processes forked from this one start
    in no time."""
    import skimage.io
    import sklearn.datasets

    import probes.instrument

    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # torch imports half of itself with the first optimizer
    assert sklearn.datasets and skimage.io and probes.instrument


def train_one(run: Planned, run_dir: Path) -> None:
    """Trains into ``run_dir`` on one thread, without checkpoints in between, and keeps the outcome there."""
    torch.set_num_threads(1)
    started = time.monotonic()
    settings = settings_of(run)
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        tempfile.TemporaryDirectory() as before,
    ):
        try:
            recipe = load_recipe(run.recipe, [*_after(run, Path(before)), "training.checkpoint_every=0"])
            ended = train(recipe, run_dir, every=run.every)
        except BabysitError as error:
            save_outcome(RunOutcome(settings, str(error), seconds=time.monotonic() - started), run_dir)
            return
    seconds = time.monotonic() - started
    outcome = RunOutcome(settings, probe_failure(run_dir), ended.loss, ended.score, guess(recipe), ended.steps, seconds)
    (run_dir / checkpoint.FILE).unlink(missing_ok=True)  # nobody goes on from here
    save_outcome(outcome, run_dir)


def _after(run: Planned, before: Path) -> list[str]:
    """The settings of the run, after the training it builds on, if it is one that fine-tunes: the same recipe
    with another seed, unwatched, into ``before``."""
    if BEFORE not in run.overrides:
        return run.settings
    kept = [o for o in run.overrides if not o.startswith(("model.", "optimizer."))]
    seed = f"training.seed={run.seed + 1000}"
    train(load_recipe(run.recipe, [*kept, seed, "training.checkpoint_every=0"]), before, watched=False)
    return [f"model.run={before}" if o == BEFORE else o for o in run.settings]


def probe_failure(run_dir: Path) -> str:
    """A note where the probe gave up, which no training notices: such a run says nothing about the diagnosis."""
    failed = [event.message for event in probes.open_run(run_dir).events if event.kind == "probe-error"]
    return f"the probe failed: {failed[0]}" if failed else ""


def guess(recipe: Recipe) -> float:
    """The validation score of the best answer that does not look at the input."""
    return score_of_constant(TASKS[recipe.task.name].make(**recipe.task.options))


def score_of_constant(task: Task) -> float:
    """Share of the most frequent class, variance explained by nothing, or nearness of the median."""
    targets = task.validation.targets
    if task.problem == "multi-class":
        return targets.flatten().bincount().max().item() / targets.numel()
    if task.problem in ("binary", "multi-label"):
        ones = targets.mean(0)
        return torch.maximum(ones, 1 - ones).mean().item()
    if task.problem == "unit-regression":
        return 1 - _distance_to_median(targets)
    return 0.0


def _distance_to_median(targets: Tensor) -> float:
    return (targets - targets.median(0).values).abs().mean().item()
