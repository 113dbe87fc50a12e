"""A classifier that knows how often each class comes, and nothing else."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.class_shares import OfShares, cost_of_shares
from probes.diagnosis.signal import closing
from probes.diagnosis.tracks import accuracy, training_loss, validation_loss
from probes.diagnosis.view import NotJudged, RunView

NONE = 0.03
"""Accuracy above the share of the commonest class that is none."""
BELOW = 0.02
"""Loss below the cost of the shares, as a share of it, that takes more than these."""
FEWEST = 3
"""Values of an accuracy."""
MOST_COMMON = 0.7
"""Share of the commonest class beyond which an accuracy hardly shows what is learned: few of the rare become likely."""
CERTAIN, OF_RARE = 0.02, 0.015
"""Error of the cost, as a share of it, with which so little can be told; where one class is as common as that."""


def shares_alone(view: RunView) -> OfShares | None:
    """What the shares of uneven classes cost, where accuracy and validation say that the net answers by these alone.

    The accuracy in validation, or that in training where there is none, is that of always giving the commonest class,
    and the validation loss, or that of training where there is none, is not below the cost by more than 0.02 of it,
    less its error: regularities as faint as that are no fault. The cost must be known to 0.02, or to 0.015 where a
    class has more than 0.7 of all.
    """
    found = cost_of_shares(view)
    if found is None or found.error > (CERTAIN if found.common <= MOST_COMMON else OF_RARE) * found.cost:
        return None
    track = accuracy(view, validation=True) or accuracy(view, validation=False)
    values = track[1].finite.values if track is not None else np.empty(0)
    if len(values) < FEWEST or float(values[-max(FEWEST, len(values) // 3) :].mean()) > found.common + NONE:
        return None
    try:
        losses = validation_loss(view)[1].finite.values
    except NotJudged:
        losses = training_loss(view)[1].finite.values
    return found if len(losses) and closing(losses) >= (1.0 - BELOW) * found.cost + found.error else None
