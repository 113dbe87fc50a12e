"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from trainer import checkpoint, observers
from trainer.assembly import assemble
from trainer.checkpoint import Progress
from trainer.interrupt import interruptible
from trainer.parts import Parts
from trainer.progress import progress_bar
from trainer.recipe import Recipe, as_document, keep_recipe
from trainer.schedules import set_learning_rates
from trainer.tasks import Examples

VALIDATION_BATCH = 512


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        loss, score: on the validation examples, at the end.
        metric: what the score is, "accuracy".
        epochs, steps: done, whole epochs and optimizer steps.
        interrupted_by: the signal that stopped it, or None.
    """

    loss: float
    score: float
    metric: str
    epochs: int
    steps: int
    interrupted_by: int | None


def train(
    recipe: Recipe, run_dir: Path, *, watched: bool = True, every: int | str = "auto", resume: bool = False
) -> Outcome:
    """Trains the recipe, writing checkpoints and (when ``watched``) the run log into ``run_dir``.

    ``every`` is the cadence of per-layer frames, see `probes.watch`. With ``resume`` training goes on from
    the checkpoint in ``run_dir``; on a CPU the result is, bit for bit, that of the training never
    interrupted.
    """
    if recipe.training.threads:
        torch.set_num_threads(recipe.training.threads)
    parts = assemble(recipe)
    settings = parts.settings
    model, optimizer, loss_fn, batches = parts.model, parts.optimizer, parts.loss_fn, parts.batches
    metric, score = parts.problem.metric, parts.problem.score
    saved = run_dir / checkpoint.FILE
    progress = checkpoint.restore(saved, model, optimizer) if resume else Progress()

    total_steps = settings.epochs * len(batches)
    config = as_document(recipe) | {"total_steps": total_steps}

    with contextlib.ExitStack() as stack:
        probe = stack.enter_context(
            observers.watch(parts, run_dir, config, every, progress.step if resume else None)
            if watched
            else observers.NoProbe()
        )
        keep_recipe(recipe, run_dir)
        interrupt = stack.enter_context(interruptible())
        bar = stack.enter_context(progress_bar(total_steps, progress.step))
        if progress.step == 0:
            validation_loss, validation_score = validate(parts)
            probe.log("val", loss=validation_loss, **{metric: validation_score})

        while progress.epoch < settings.epochs and interrupt.signum is None:
            model.train()
            for inputs, targets in batches.epoch(progress.epoch, start=progress.batch):
                set_learning_rates(optimizer, parts.schedule(progress.step, len(batches)))
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = loss_fn(outputs, targets)
                loss.backward()
                if settings.clip_norm:
                    nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
                optimizer.step()
                probe.log("train", loss=loss, **{metric: score(outputs, targets)})
                progress.step += 1
                progress.batch += 1
                bar.update()
                if interrupt.signum is not None:
                    break
            if progress.batch < len(batches):
                break  # interrupted within the epoch; the checkpoint below remembers where
            progress.epoch, progress.batch = progress.epoch + 1, 0

            if progress.epoch % settings.validate_every == 0 or progress.epoch == settings.epochs:
                validation_loss, validation_score = validate(parts)
                probe.log("val", loss=validation_loss, **{metric: validation_score})
                bar.set_postfix_str(f"val loss {validation_loss:.3f}, {metric} {validation_score:.3f}")
                if out_of_patience(progress, validation_loss, settings.patience):
                    break
            if settings.checkpoint_every and progress.epoch % settings.checkpoint_every == 0:
                checkpoint.save(saved, model, optimizer, progress)

        checkpoint.save(saved, model, optimizer, progress)
        validation_loss, validation_score = validate(parts)
        if interrupt.signum is not None:
            probe.close("finished", f"interrupted by {signal.Signals(interrupt.signum).name}")
        return Outcome(validation_loss, validation_score, metric, progress.epoch, progress.step, interrupt.signum)


@torch.no_grad()
def validate(parts: Parts) -> tuple[float, float]:
    """Mean loss and score over the validation examples, in evaluation mode; the model's mode is put back."""
    was_training = parts.model.training
    parts.model.eval()
    loss = score = 0.0
    for some in in_parts(parts.task.validation, VALIDATION_BATCH):
        outputs = parts.model(some.inputs)
        share = len(some) / len(parts.task.validation)
        loss += share * parts.loss_fn(outputs, some.targets).item()
        score += share * parts.problem.score(outputs, some.targets).item()
    parts.model.train(was_training)
    return loss, score


def in_parts(examples: Examples, size: int) -> list[Examples]:
    """The examples in order, at most ``size`` at a time."""
    pairs = zip(examples.inputs.split(size), examples.targets.split(size), strict=True)
    return [Examples(inputs, targets) for inputs, targets in pairs]


def out_of_patience(progress: Progress, validation_loss: float, patience: int) -> bool:
    """Notes the validation loss; True when it has not improved for ``patience`` looks (early stopping; 0:
    never)."""
    if validation_loss < progress.best_loss:
        progress.best_loss, progress.waited = validation_loss, 0
    else:
        progress.waited += 1
    return bool(patience) and progress.waited >= patience
