"""Whether a run came to little in the end: for what is seen from the first step on, and must have done harm."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.fractions import fractions
from probes.diagnosis.progress import Progress, majority_share, variance_of_targets
from probes.diagnosis.signal import closing
from probes.diagnosis.task import accuracy_at_end, falls_short, score_at_end
from probes.diagnosis.tracks import accuracy, training_loss, validation_loss
from probes.diagnosis.view import NotJudged, RunView

MOST, HALF = 0.6, 0.5
"""Share of the loss that is gone in a run that came to something, with an accuracy beside it and without."""
RIGHT = 0.65
"""Share of what always giving the commonest class gets wrong, that a classifier of some use gets right."""


def reached_at_end(view: RunView, part: float) -> tuple[str, float | None, float]:
    """What the answers are measured by, how good they are at the end, and what guessing gives.

    The "accuracy" beside that of always giving the commonest class; where none was logged, a "validation score" beside
    0, if it is below ``part``, else None; where no such score was either, likewise the "R^2" of a squared error
    (`variance_left`), or the "share of what can be learned" of fractions (`knowledge_left`).
    """
    reached = accuracy_at_end(view)
    if reached is not None:
        return "accuracy", reached, majority_share(view)
    measure, score = "validation score", score_at_end(view)
    left = knowledge_left(view, values=1) if score is None else None
    if left is not None:
        measure, score = "R^2" if fractions(view) is None else "share of what can be learned", 1.0 - left
    if score is not None and falls_short(score, 0.0, part):
        return measure, score, 0.0
    return measure, None, majority_share(view)


def answers_short(view: RunView, part: float) -> bool | None:
    """Whether a classifier gets right less than ``part`` of what guessing gets wrong; None without an accuracy.

    The better of training and validation accuracy at the end counts.
    """
    reached = accuracy_at_end(view)
    return None if reached is None else falls_short(reached, majority_share(view), part)


def answers_poorly(view: RunView) -> bool | None:
    """Whether a classifier still gets wrong more than a third of what guessing gets wrong; None without an accuracy."""
    return answers_short(view, RIGHT)


def validated_short(view: RunView, part: float, values: int = 3) -> bool | None:
    """Whether validation, or training where there is none, gets right less than ``part`` of what guessing gets wrong at
    the end; None where fewer ``values`` of that accuracy are known.
    """
    track = accuracy(view, validation=True) or accuracy(view, validation=False)
    known = track[1].finite.values if track is not None else np.empty(0)
    return falls_short(closing(known), majority_share(view), part) if len(known) >= values else None


def variance_left(view: RunView, values: int = 3) -> float | None:
    """Part of the variance of the targets that is left at the end of a mean squared error: of validation, or of
    training where there is none; None where that variance is not known, or fewer ``values`` of the loss are. The end
    of validation is that many of them, or its last tenth.

    The variance is the larger of the batches' mean and median: some targets may be far off.
    """
    variance, spread = variance_of_targets(view), view.series("data/target_std")
    end = _loss_at_end(view, values)
    if variance is None or spread is None or end is None:
        return None
    return end / max(variance, float(np.mean(spread.finite.values**2)))


def knowledge_left(view: RunView, values: int = 3) -> float | None:
    """`variance_left`; of fractions the part of what can be learned that is left, at least (`Fractions.left`)."""
    shares = fractions(view)
    end = _loss_at_end(view, values) if shares is not None else None
    return variance_left(view, values) if shares is None else None if end is None else shares.left(end)


def _loss_at_end(view: RunView, values: int) -> float | None:
    """The level of the validation loss at the end, or of the training loss where there is none of it."""
    for find in (validation_loss, training_loss):
        try:
            known = find(view)[1].finite.values
        except NotJudged:
            continue
        if len(known) >= values:
            return closing(known, points=values if find is validation_loss else 3)
    return None


def came_to_little(view: RunView, learned: Progress) -> bool:
    """Whether less than 0.6 of the loss is gone and the accuracy is poor, or as much is left of what can be learned of
    fractions; less than half where neither is known.
    """
    poor = answers_poorly(view)
    if poor is None and learned.floor and learned.share >= HALF:
        left = knowledge_left(view)
        poor = left is not None and left > 1.0 - RIGHT
    return learned.share < HALF if poor is None else poor and learned.share < MOST
