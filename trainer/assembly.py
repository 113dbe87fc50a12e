"""From a recipe to the objects a training loop needs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from trainer.batches import Batches
from trainer.errors import RecipeError
from trainer.faults import fault_named
from trainer.losses import LOSSES, PROBLEMS, Problem
from trainer.models import MODELS
from trainer.optimizers import OPTIMIZERS
from trainer.parts import Parts
from trainer.recipe import AUTO, Recipe
from trainer.schedules import SCHEDULES
from trainer.tasks import TASKS, Examples, Task


def assemble(recipe: Recipe) -> Parts:
    """Makes every part, with the faults the recipe names injected.

    The initial weights follow from ``training.seed``, and so does the global random state afterwards.
    """
    faults = [fault_named(name) for name in recipe.faults.names]
    for fault in faults:
        recipe = fault.recipe(recipe) if fault.recipe else recipe
    settings = recipe.training
    torch.manual_seed(settings.seed)
    device = _device(settings.device)
    task = TASKS[recipe.task.name].make(**recipe.task.options)
    for fault in faults:
        task = fault.task(task, settings.seed) if fault.task else task
    task = _to_device(task, device)
    problem = PROBLEMS[task.problem]
    model = MODELS[recipe.model.name].make(task.spec, **recipe.model.options).to(device)
    parts = Parts(
        settings=settings,
        task=task,
        problem=problem,
        model=model,
        loss_fn=_loss(recipe, task, problem).to(device),
        optimizer=OPTIMIZERS[recipe.optimizer.name].make(model.parameters(), **recipe.optimizer.options),
        schedule=SCHEDULES[recipe.schedule.name].make(settings.epochs, **recipe.schedule.options),
        batches=Batches(
            task.train,
            settings.batch_size,
            seed=settings.seed,
            shuffle=settings.shuffle,
            drop_last=settings.drop_last,
            augmentations=settings.augment,
        ),
    )
    for fault in faults:
        parts = fault.parts(parts) if fault.parts else parts
    return parts


def _loss(recipe: Recipe, task: Task, problem: Problem) -> nn.Module:
    name, options = recipe.loss.name, recipe.loss.options
    if name == AUTO:
        name = problem.loss
    elif name not in problem.losses:
        raise RecipeError(
            f"loss.name = '{name}' does not fit task '{task.name}' ({task.problem}); "
            f"allowed: {', '.join(problem.losses)}"
        )
    return LOSSES[name].make(**options)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise RecipeError("training.device = 'cuda', but torch sees no CUDA device here; use 'cpu'")
    return torch.device(name)


def _to_device(task: Task, device: torch.device) -> Task:
    def moved(examples: Examples) -> Examples:
        return Examples(examples.inputs.to(device), examples.targets.to(device))

    return replace(task, train=moved(task.train), validation=moved(task.validation))
