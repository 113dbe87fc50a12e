"""Two nets that play against each other (a GAN): which losses are whose, and whether one of them has won."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.manifest import ModuleInfo
from probes.diagnosis.signal import level, opening
from probes.diagnosis.view import Curve, Floats, RunView

_GENERATOR = frozenset({"g", "gen", "generator", "netg", "errg", "lossg", "gloss"})
_CRITIC = frozenset({"d", "dis", "disc", "discriminator", "critic", "netd", "errd", "lossd", "dloss"})
WON = 0.01
"""Loss of a discriminator, of where it began, that is no loss any more."""
MINIMUM_VALUES = 20


@dataclass(frozen=True)
class Won:
    """A discriminator that tells all apart: both series, with their levels at the beginning and in the latter half."""

    critic: str
    critic_start: float
    critic_end: float
    generator: str
    generator_start: float
    generator_end: float
    since: int


def are_rivals(view: RunView) -> bool:
    """Whether a loss of a generator and one of a discriminator were logged."""
    return _the_one(view, _CRITIC) is not None and _the_one(view, _GENERATOR) is not None


def generators_outputs(view: RunView) -> ModuleInfo | None:
    """The last module of the generator that was called; None where no module goes by such a name."""
    theirs = modules_of_players(view)[0]
    return theirs[-1] if theirs else None


def critics_entrance(view: RunView) -> ModuleInfo | None:
    """The first module of the discriminator that was called and has weights; None where none goes by such a name."""
    weighted = {parameter.module for parameter in view.parameters if parameter.is_weight}
    return next((module for module in modules_of_players(view)[1] if module.name in weighted), None)


def modules_of_players(view: RunView) -> tuple[list[ModuleInfo], list[ModuleInfo]]:
    """The modules that were called of the generator, and of the discriminator, in forward order."""
    called = [module for module in view.modules if module.output_shape]
    of_generator, of_critic = ([module for module in called if _is_of(module, one)] for one in (_GENERATOR, _CRITIC))
    return of_generator, of_critic


def _is_of(module: ModuleInfo, words: frozenset[str]) -> bool:
    return bool(set(re.split(r"[^a-z0-9]+", module.name.lower())[:-1]) & words)


def discriminator_has_won(view: RunView) -> Won | None:
    """Whether the discriminator's loss is next to nothing through the latter half, and the generator's no better.

    Losses below zero (those of a Wasserstein critic) say nothing of the kind: then, None.
    """
    found = _won(view)
    return None if found is None or found[0].generator_end < found[0].generator_start else found[0]


def both_have_won(view: RunView) -> Won | None:
    """Whether both losses are next to nothing through the latter half, although what one gains the other must lose."""
    found = _won(view)
    if found is None:
        return None
    won, ours = found
    late = ours[len(ours) // 2 :]
    gone = won.generator_start > 0.0 and float(np.quantile(late, 0.9)) < WON * won.generator_start
    return won if gone and ours.min() >= 0.0 else None


def is_in_doubt(view: RunView, part: float) -> bool:
    """Whether the discriminator's loss, in the last quarter of the log, is at ``part`` of where it began or above."""
    critic = _the_one(view, _CRITIC)
    values = critic[1].finite.values if critic is not None else np.empty(0)
    if len(values) < MINIMUM_VALUES or values.min() < 0.0:
        return False
    return level(values[-(len(values) // 4) :]) >= part * opening(values)


def _won(view: RunView) -> tuple[Won, Floats] | None:
    """Whether the discriminator's loss is next to nothing through the latter half, and the generator's loss, [T]."""
    critic, generator = _the_one(view, _CRITIC), _the_one(view, _GENERATOR)
    if critic is None or generator is None:
        return None
    theirs, ours = critic[1].finite, generator[1].finite
    if min(len(theirs), len(ours)) < MINIMUM_VALUES or begins_late(view, theirs.steps) or theirs.values.min() < 0.0:
        return None
    half = len(theirs) // 2
    start, late = opening(theirs.values), theirs.values[half:]
    before, after = opening(ours.values), level(ours.values[len(ours) // 2 :])
    if not start > 0.0 or not float(np.quantile(late, 0.9)) < WON * start:
        return None
    below = np.flatnonzero(theirs.values >= WON * start)
    since = int(theirs.steps[min(int(below[-1]) + 1, half)]) if len(below) else int(theirs.steps[0])
    return Won(critic[0], start, level(late), generator[0], before, after, since), ours.values


def _the_one(view: RunView, words: frozenset[str]) -> tuple[str, Curve] | None:
    """The one logged loss that goes by one of ``words``."""
    found = []
    for name in view.series_names:
        said = set(re.split(r"[^a-z0-9]+", name.lower()))
        curve = view.series(name) if said & words and not said & {"lr", "optimizer", "grad", "norm", "acc"} else None
        if curve is not None:
            found.append((name, curve))
    losses = [entry for entry in found if "loss" in entry[0].lower()] or found
    return losses[0] if len(losses) == 1 else None
