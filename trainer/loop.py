"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer import adversarial, checkpoint, observers
from trainer.assembly import assemble
from trainer.checkpoint import Progress, Stateful
from trainer.distributed import processes
from trainer.ensemble import Snapshots, averaged, ensemble
from trainer.interrupt import interruptible
from trainer.models.adversarial import GAN
from trainer.parts import Parts
from trainer.precision import autocasting
from trainer.progress import progress_bar
from trainer.recipe import as_document, keep_recipe
from trainer.regularization import l1_norm
from trainer.schedules import set_learning_rates
from trainer.sections import Recipe, Training
from trainer.tasks import Examples

VALIDATION_BATCH = 512


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        loss, score: on the validation examples, at the end.
        metric: what the score is, "accuracy".
        criterion: what the loss is, "loss"; of a GAN "frechet_distance".
        epochs, steps: done, whole epochs and optimizer steps.
        interrupted_by: the signal that stopped it, or None.
        averages: (loss, score) of the average of the last checkpoints, by what was averaged.
    """

    loss: float
    score: float
    metric: str
    criterion: str
    epochs: int
    steps: int
    interrupted_by: int | None
    averages: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def train(
    recipe: Recipe, run_dir: Path, *, watched: bool = True, every: int | str = "auto", resume: bool = False
) -> Outcome:
    """Trains the recipe, writing checkpoints and (when ``watched``) the run log into ``run_dir``.

    ``every`` is the cadence of per-layer frames, see `probes.watch`. With ``resume`` training goes on from
    the checkpoint in ``run_dir``; on a CPU the result is, bit for bit, that of the training never
    interrupted. Within `trainer.distributed.joined` all its processes train together.
    """
    if recipe.training.threads:
        torch.set_num_threads(recipe.training.threads)
    here = processes()
    parts = assemble(recipe)
    settings, model, batches = parts.settings, parts.model, parts.batches
    network = here.parallel(model, some_unused=bool(recipe.faults.names))
    game = isinstance(model, GAN)
    criterion, metric = ("frechet_distance", "frechet_score") if game else ("loss", parts.problem.metric)
    look = adversarial.validate if game else validate

    saved, snapshots = run_dir / checkpoint.FILE, Snapshots(settings.average_last)
    stateful = stateful_parts(parts, snapshots)
    if resume:
        progress = checkpoint.restore(saved, stateful)
    else:
        progress = Progress()
        if here.rank:
            torch.manual_seed(settings.seed + here.rank)  # each process drops out units of its own

    total_steps = settings.epochs * len(batches)
    config = as_document(recipe) | {"total_steps": total_steps}

    with contextlib.ExitStack() as stack:
        probe = stack.enter_context(
            observers.watch(parts, network, run_dir, config, every, progress.step) if watched else observers.NoProbe()
        )
        if here.leads:
            keep_recipe(recipe, run_dir)
        interrupt = stack.enter_context(interruptible())
        bar = stack.enter_context(progress_bar(total_steps, progress.step, wanted=here.leads))
        if progress.step == 0:
            validation_loss, validation_score = look(parts)
            probe.log("val", **{criterion: validation_loss, metric: validation_score})

        while not finished(progress, settings) and interrupt.signum is None:
            model.train()
            for inputs, targets in batches.epoch(progress.epoch, start=progress.batch):
                for optimizer in parts.optimizers:
                    set_learning_rates(optimizer, parts.schedule(progress.step, len(batches)))
                if game:
                    measured = adversarial.take_step(parts, inputs, targets)
                else:
                    measured = take_step(parts, network, inputs, targets)
                probe.log("train", **here.mean(measured))
                progress.step += 1
                progress.batch += 1
                bar.update()
                if interrupt.agree(here.highest):
                    break
            if progress.batch < len(batches):
                break  # interrupted within the epoch; the checkpoint below remembers where
            progress.epoch, progress.batch = progress.epoch + 1, 0
            snapshots.take(model)

            if progress.epoch % settings.validate_every == 0 or progress.epoch == settings.epochs:
                validation_loss, validation_score = look(parts)
                probe.log("val", **{criterion: validation_loss, metric: validation_score})
                bar.set_postfix_str(f"val {criterion} {validation_loss:.3f}, {metric} {validation_score:.3f}")
                parts.schedule.look(validation_loss)
                note_look(progress, validation_loss)
            if settings.checkpoint_every and progress.epoch % settings.checkpoint_every == 0:
                checkpoint.save(saved, stateful, progress)

        checkpoint.save(saved, stateful, progress)
        validation_loss, validation_score = look(parts)
        averages = {}
        if interrupt.signum is not None:
            probe.close("finished", f"interrupted by {signal.Signals(interrupt.signum).name}")
        elif len(snapshots):
            averages = validate_averages(parts, snapshots)
            for what, (loss, score) in averages.items():
                probe.log(f"average_of_{what}", **{criterion: loss, metric: score})
        return Outcome(
            validation_loss,
            validation_score,
            metric,
            criterion,
            progress.epoch,
            progress.step,
            interrupt.signum,
            averages,
        )


def take_step(parts: Parts, network: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """One step of the optimizer, on one batch. Returns what there is to log.

    The scaler multiplies the loss, so that small gradients do not underflow in float16, and divides the gradients
    again before they are used; without float16 it hands everything through.
    """
    settings, optimizer, scaler = parts.settings, parts.optimizer, parts.scaler
    optimizer.zero_grad()
    with autocasting(settings.precision, inputs.device):
        outputs = network(inputs)
    outputs = outputs.float()  # the loss is always computed in float32
    loss = parts.loss_fn(outputs, targets)
    measured = {"loss": loss, parts.problem.metric: parts.problem.score(outputs, targets)}
    if settings.l1:
        penalty = measured["l1_penalty"] = settings.l1 * l1_norm(parts.model)
        loss = loss + penalty
    scaler.scale(loss).backward()
    if settings.clip_norm:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parts.model.parameters(), settings.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    return measured


def stateful_parts(parts: Parts, snapshots: Snapshots) -> dict[str, Stateful]:
    """What a checkpoint has to hold, by name."""
    stateful: dict[str, Stateful] = {
        "model": parts.model,
        "optimizer": parts.optimizer,
        "schedule": parts.schedule,
        "scaler": parts.scaler,
        "snapshots": snapshots,
    }
    if parts.discriminator_optimizer is not None:
        stateful["discriminator_optimizer"] = parts.discriminator_optimizer
    return stateful


@torch.no_grad()
def validate(parts: Parts, predict: Callable[[Tensor], Tensor] | None = None) -> tuple[float, float]:
    """Mean loss and score over the validation examples, in evaluation mode; the model's mode is put back.

    ``predict`` takes the model's place. Of several processes each looks at its share of the examples.
    """
    here = processes()
    was_training = parts.model.training
    parts.model.eval()
    loss = score = 0.0
    for some in in_parts(parts.task.validation, VALIDATION_BATCH)[here.rank :: here.size]:
        with autocasting(parts.settings.precision, some.inputs.device):
            outputs = (predict or parts.model)(some.inputs)
        outputs = outputs.float()
        share = len(some) / len(parts.task.validation)
        loss += share * parts.loss_fn(outputs, some.targets).item()
        score += share * parts.problem.score(outputs, some.targets).item()
    parts.model.train(was_training)
    loss, score = here.sum((loss, score))
    return loss, score


def validate_averages(parts: Parts, snapshots: Snapshots) -> dict[str, tuple[float, float]]:
    """(loss, score) on the validation examples of the average of the snapshots' weights, and of the average of
    their predictions."""
    with autocasting(parts.settings.precision, parts.task.train.inputs.device):
        weights = averaged(parts.model, snapshots, parts.batches).eval()
    predictions = ensemble(parts.model, snapshots, parts.task.problem)
    return {"weights": validate(parts, weights), "predictions": validate(parts, predictions)}


def in_parts(examples: Examples, size: int) -> list[Examples]:
    """The examples in order, at most ``size`` at a time."""
    pairs = zip(examples.inputs.split(size), examples.targets.split(size), strict=True)
    return [Examples(inputs, targets) for inputs, targets in pairs]


def finished(progress: Progress, settings: Training) -> bool:
    """All epochs are done, or the validation loss has not improved for ``patience`` looks (early stopping; 0:
    never)."""
    return progress.epoch >= settings.epochs or 0 < settings.patience <= progress.waited


def note_look(progress: Progress, validation_loss: float) -> None:
    """Remembers the lowest validation loss, and counts the looks since."""
    if validation_loss < progress.best_loss:
        progress.best_loss, progress.waited = validation_loss, 0
    else:
        progress.waited += 1
