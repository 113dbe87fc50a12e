"""Two nets that play against each other (a GAN): which losses are whose, and whether one of them has won."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.beginning import begins_late
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
