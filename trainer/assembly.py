"""From a recipe to the objects a training loop needs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from trainer.batches import Batches
from trainer.distributed import processes
from trainer.errors import RecipeError, TaskError
from trainer.faults import fault_named
from trainer.folds import make_fold
from trainer.losses import LOSSES, PROBLEMS, Problem
from trainer.models import MODELS
from trainer.models.adversarial import GAN
from trainer.models.normalization import check_single_example
from trainer.optimizers import OPTIMIZERS
from trainer.parts import Parts
from trainer.precision import check_supported, make_scaler
from trainer.recipe import AUTO
from trainer.schedules import SCHEDULES
from trainer.sections import Recipe
from trainer.tasks import TASKS, Examples, Task


def assemble(recipe: Recipe) -> Parts:
    """Makes every part, with the faults the recipe names injected.

    The initial weights follow from ``training.seed``, and so does the global random state afterwards.

    Raises `RecipeError` or `TaskError`, which name the recipe's file, for parts that do not fit each other, data
    that cannot be read, and what is too large for the memory.
    """
    try:
        return _assemble(recipe)
    except (RecipeError, TaskError) as error:
        raise type(error)(f"{recipe.origin}: {error}") from None
    except (MemoryError, RuntimeError, ValueError) as error:
        if not _is_too_large(error):
            raise
        raise RecipeError(
            f"{recipe.origin}: task '{recipe.task.name}', model '{recipe.model.name}': too large for the memory "
            f"({' '.join(str(error).split())[:120]}); make one of them smaller"
        ) from None


def _assemble(recipe: Recipe) -> Parts:
    faults = [fault_named(name) for name in recipe.faults.names]
    for fault in faults:
        recipe = fault.recipe(recipe) if fault.recipe else recipe
    settings = recipe.training
    torch.manual_seed(settings.seed)
    device = _device(settings.device)
    task = _task(recipe)
    for fault in faults:
        task = fault.task(task, settings.seed) if fault.task else task
    task = _to_device(task, device)
    problem = PROBLEMS[task.problem]
    model = MODELS[recipe.model.name].make(task.spec, **recipe.model.options).to(device)
    check_supported(model, settings.precision, device)
    make_optimizer = OPTIMIZERS[recipe.optimizer.name].make
    adversarial = isinstance(model, GAN)
    if adversarial:
        _check_adversarial(recipe)
    parts = Parts(
        settings=settings,
        task=task,
        problem=problem,
        model=model,
        loss_fn=_loss(recipe, task, problem).to(device),
        optimizer=make_optimizer(
            model.generator.parameters() if adversarial else model.parameters(), **recipe.optimizer.options
        ),
        schedule=SCHEDULES[recipe.schedule.name].make(settings.epochs, **recipe.schedule.options),
        batches=Batches(
            task.train,
            settings.batch_size,
            seed=settings.seed,
            shuffle=settings.shuffle,
            drop_last=settings.drop_last,
            augmentations=settings.augment,
            processes=processes(),
        ),
        scaler=make_scaler(settings.precision, device, settings.grad_scaler),
        discriminator_optimizer=(
            make_optimizer(model.discriminator.parameters(), **recipe.optimizer.options) if adversarial else None
        ),
    )
    for fault in faults:
        parts = fault.parts(parts) if fault.parts else parts
    if parts.batches.smallest == 1 and not adversarial:
        check_single_example(parts.model, parts.task.train.inputs[:1])
    return parts


def _task(recipe: Recipe) -> Task:
    """The task with its own split, or with that of the fold the recipe names."""
    make, options, fold = TASKS[recipe.task.name].make, recipe.task.options, recipe.fold
    return make_fold(make, options, fold.of, fold.number, fold.repeat) if fold.of else make(**options)


def _check_adversarial(recipe: Recipe) -> None:
    """Raises `RecipeError` for settings that mean nothing in a game of two networks."""
    for key in ("l1", "average_last"):
        if value := getattr(recipe.training, key):
            raise RecipeError(f"training.{key} = {value:g}, but '{recipe.model.name}' is a GAN; allowed: 0")
    if (size := processes().size) > 1:
        raise RecipeError(f"'{recipe.model.name}' is a GAN, which is trained by one process; found {size} processes")


def _loss(recipe: Recipe, task: Task, problem: Problem) -> nn.Module:
    name, options = recipe.loss.name, recipe.loss.options
    if name == AUTO:
        name = problem.loss
    elif name not in problem.losses:
        raise RecipeError(
            f"loss.name = '{name}' does not fit task '{task.name}' ({task.problem}); "
            f"allowed: {', '.join(problem.losses)}"
        )
    return LOSSES[name].make(task.train.targets, task.outputs, **options)


def _is_too_large(error: Exception) -> bool:
    """Whether memory was asked for that there is not: torch and NumPy say so in errors of several types."""
    words = ("allocate memory", "CUDA out of memory", "Storage size", "array is too big", "Maximum allowed dimension")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise RecipeError("training.device = 'cuda', but torch sees no CUDA device here; use 'cpu'")
    return torch.device(name)


def _to_device(task: Task, device: torch.device) -> Task:
    def moved(examples: Examples) -> Examples:
        return Examples(examples.inputs.to(device), examples.targets.to(device))

    return replace(task, train=moved(task.train), validation=moved(task.validation))
