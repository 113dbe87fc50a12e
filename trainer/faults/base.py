"""What a fault is: one change to a healthy training, at one or more of three points, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainer.errors import RecipeError, unknown_name
from trainer.parts import Parts
from trainer.sections import Choice, Recipe
from trainer.tasks import Task


@dataclass(frozen=True)
class Fault:
    """A named mistake.

    Attributes:
        name: a slug.
        summary: what is wrong, in one line.
        findings: slugs of findings of `probes.diagnose` of which at least one should be reported as the root cause.
        recipe, task, parts: what it changes, before the parts are made, after the data are made, and at last.
        harm: how one sees, beside the healthy run of the same recipe and seed, that it did harm: "score", the
            validation score is lower; "flattery", the score is higher than it should be; "always", the score
            says nothing (time is lost, or nothing is measured).
    """

    name: str
    summary: str
    findings: tuple[str, ...]
    recipe: Callable[[Recipe], Recipe] | None = None
    task: Callable[[Task, int], Task] | None = None
    parts: Callable[[Parts], Parts] | None = None
    harm: Literal["score", "flattery", "always"] = "score"


# What a person may rightly call it when the steps are too large: one disease, seen at different moments and places.
RUNAWAY = (
    "learning-rate-too-high", "loss-diverging", "exploding-gradients", "nonfinite-values", "dead-units",
    "oscillating-loss", "loss-spikes", "weights-growing", "saturated-activations",
)  # fmt: skip

FAULTS: dict[str, Fault] = {}


def register(*faults: Fault) -> None:
    for fault in faults:
        if fault.name in FAULTS:
            raise ValueError(f"fault '{fault.name}' is registered twice")
        FAULTS[fault.name] = fault


def fault_named(name: str) -> Fault:
    """Raises `UnknownNameError`."""
    if name not in FAULTS:
        raise unknown_name("fault", name, FAULTS)
    return FAULTS[name]


def with_options(recipe: Recipe, section: str, options: Mapping[str, Any], fault: str) -> Recipe:
    """The recipe with options of one section set.

    Raises `RecipeError` when the part named there has no such option: the fault does not fit this recipe.
    """
    choice: Choice = getattr(recipe, section)
    for key in options:
        if key not in choice.options:
            raise RecipeError(f"fault '{fault}' needs {section}.{key}, which '{choice.name}' does not have")
    return replace(recipe, **{section: Choice(choice.name, {**choice.options, **options})})


def with_training(recipe: Recipe, **settings: Any) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **settings))
