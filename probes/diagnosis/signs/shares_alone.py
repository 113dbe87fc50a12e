"""A classifier that knows how often each class comes, and nothing else."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.class_shares import OfShares, cost_of_shares
from probes.diagnosis.signal import closing
from probes.diagnosis.tracks import accuracy, validation_loss
from probes.diagnosis.view import NotJudged, RunView

NONE = 0.03
"""Accuracy above the share of the commonest class that is none."""
BELOW = 0.02
"""Validation loss below the cost of the shares, as a share of it, that is nothing learned."""
FEWEST = 3
"""Values of an accuracy."""
MOST_COMMON = 0.7
"""Share of the commonest class beyond which an accuracy hardly shows what is learned: few of the rare become likely."""
CERTAIN = 0.015
"""Error of the cost, as a share of it, with which the losses alone tell."""


def shares_alone(view: RunView) -> OfShares | None:
    """What the shares of uneven classes cost, where accuracy and validation say that the net answers by these alone.

    The accuracy in validation, or that in training where there is none, is that of always giving the commonest class,
    and the validation loss, where it was logged, is no lower than the cost. With a class of more than 0.7 of all that
    cost must be known to 0.015 of it.
    """
    found = cost_of_shares(view)
    if found is None or (found.common > MOST_COMMON and found.error > CERTAIN * found.cost):
        return None
    track = accuracy(view, validation=True) or accuracy(view, validation=False)
    values = track[1].finite.values if track is not None else np.empty(0)
    if len(values) < FEWEST or float(values[-max(FEWEST, len(values) // 3) :].mean()) > found.common + NONE:
        return None
    try:
        validation = validation_loss(view)[1].finite.values
    except NotJudged:
        return found
    return found if not len(validation) or closing(validation) > (1.0 - BELOW) * found.cost else None
