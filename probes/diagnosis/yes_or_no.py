"""Answers of yes and no, one of an example or several: what was seen of their targets.

A binary cross-entropy is the mean over answers that each stand alone (multi-label classification). What is right can be
counted per answer, or per example whose answers are all right (exact match, subset accuracy: Tsoumakas and Katakis,
Multi-label classification, 2007); the loss tells which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.manifest import BINARY_CROSS_ENTROPIES, read_loss
from probes.diagnosis.task import shape_of
from probes.diagnosis.tracks import accuracy, training_loss, validation_loss
from probes.diagnosis.view import NotJudged, RunView

FRACTIONS = 0.02
"""Difference of the variance of 0 and 1 from that of the targets seen, which are fractions then."""
BEYOND, USUAL = 0.02, 0.5
"""Accuracy less than the loss proves, that counts whole examples, and the part of the values that show it."""
PLACES = 1_000
"""Values that are looked at, evenly spaced."""


@dataclass(frozen=True)
class YesOrNo:
    """The targets seen.

    Attributes:
        shares: share of the targets of each answer that are 1; of all together where they were not counted apart.
        examples: number of examples seen.
        answers: number of answers that an example asks for.
    """

    shares: tuple[float, ...]
    examples: int
    answers: int

    @property
    def common(self) -> float:
        """The least that always giving each answer's more frequent value gets right, one standard error below it where
        answers were counted apart. Where they were not: max(p, 1 - p) is convex in p, so that the mean over the answers
        is no less than that of their mean share.
        """
        often = np.maximum(np.asarray(self.shares), 1.0 - np.asarray(self.shares))
        if len(often) > 1:  # the larger of two counts is too large in the mean, by less than this
            often -= np.sqrt(often * (1.0 - often) / self.examples)
        return float(often.mean())


def yes_or_no(view: RunView) -> YesOrNo | None:
    """The targets of a binary cross-entropy, when all that were seen are 0 and 1; None where they are fractions, all
    the same, one for each place of a text or a picture, or were not seen.
    """
    loss, data = read_loss(view.manifest), view.manifest.get("data")
    means, spreads = view.series("data/target_mean"), view.series("data/target_std")
    if loss is None or loss.name not in BINARY_CROSS_ENTROPIES or means is None or spreads is None:
        return None
    shape = shape_of(view, "target_shape") or shape_of(view, "output_shape")  # the same, where it was recognised
    if not isinstance(data, Mapping) or not shape or sum(size != 1 for size in shape[1:]) > 1:
        return None
    share, spread = means.finite.values, spreads.finite.values
    if not len(share) or len(share) != len(spread):
        return None
    if float(np.max(np.abs(share * (1.0 - share) - spread**2))) > FRACTIONS:
        return None
    if not ((share > 0.0) & (share < 1.0)).any():  # as an adversary sees them: a batch is real, or it is made
        return None
    answers = math.prod(shape[1:])
    apart, counted = data.get("target_means"), data.get("target_examples")
    if isinstance(apart, (list, tuple)) and isinstance(counted, int) and len(apart) == answers:
        return YesOrNo(tuple(float(part) for part in apart), counted, answers)
    return YesOrNo((float(share.mean()),), shape[0] * len(share), answers)


def counts_examples(view: RunView) -> bool | None:
    """Whether the accuracy that was logged counts the examples whose answers are all right; None when it is not known.

    What is answered wrongly costs ln 2 or more, so that 1 - L / ln 2 or more of all answers are right, where L is the
    mean binary cross-entropy of the same examples: an accuracy below that counts something else.
    """
    for find, validation in ((training_loss, False), (validation_loss, True)):
        track = accuracy(view, validation=validation)
        try:
            loss = find(view)[1].finite
        except NotJudged:
            continue
        right = track[1].finite if track is not None else None
        if right is None or not len(loss) or not len(right):
            continue
        fewer = min((loss, right), key=len).steps
        steps = fewer[np.unique(np.linspace(0, len(fewer) - 1, min(len(fewer), PLACES)).astype(np.int64))]
        places = [np.minimum(np.searchsorted(curve.steps, steps), len(curve) - 1) for curve in (loss, right)]
        together = (loss.steps[places[0]] == steps) & (right.steps[places[1]] == steps)
        if together.any():
            proven = 1.0 - loss.values[places[0]][together] / math.log(2.0)
            return float((right.values[places[1]][together] < proven - BEYOND).mean()) > USUAL
    return None
