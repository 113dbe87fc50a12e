"""Validation that never gets better than at first, when training had hardly begun to learn: that stands in for the loss
of guessing, where neither this is known nor was anything validated before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.progress import Progress
from probes.diagnosis.signal import closing, level, noise
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import Curve, RunView

BEFORE, VALIDATIONS = 5, 5
"""Values of the training loss up to the first validation, and validations, that are needed."""
HARDLY = 0.25
"""Share of what training gains in all, below which it had learned hardly anything by the first validation."""
WORSE = 1.05
"""Level of the validation loss at the end, over the first, that is worse."""
CERTAIN = 3.0
"""Deviations of its noise by which it is worse, too."""
RISEN = 0.05
"""Rise of the accuracy, and twice its noise, that shows that something was learned all the same."""


@dataclass(frozen=True)
class NeverBetter:
    """The first validation loss and its step, the lowest and the last level since; share of the gain by that step."""

    step: int
    first: float
    best: float
    end: float
    gained: float


def never_better(view: RunView, learned: Progress, validation: Curve, least: float) -> NeverBetter | None:
    """What a finite validation loss has done since the first one; None where it was ever better, or training had
    learned much by then, or has learned less than ``least`` of its loss by now.
    """
    _, train = training_loss(view)
    train = train.finite
    gain = learned.start - learned.end
    if len(validation) < VALIDATIONS or not learned.start > 0 or not gain >= least * learned.start:
        return None
    first, step = float(validation.values[0]), int(validation.steps[0])
    seen = int(np.searchsorted(train.steps, step, side="right"))
    if not first > 0 or seen < BEFORE:
        return None
    gained = (learned.start - level(train.values[seen - max(3, seen // 4) : seen])) / gain
    best, end = float(validation.values[1:].min()), closing(validation.values)
    worse = best >= first and end >= max(WORSE * first, first + CERTAIN * noise(validation.values))
    if gained >= HARDLY or not worse or _answers_rise(view):
        return None
    return NeverBetter(step, first, best, end, gained)


def _answers_rise(view: RunView) -> bool:
    """Whether the validation accuracy is higher at the end than at first."""
    track = accuracy(view, validation=True)
    values = track[1].finite.values if track is not None else np.empty(0)
    return len(values) >= 3 and closing(values) > float(values[0]) + RISEN + 2.0 * noise(values)
