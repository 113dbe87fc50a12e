"""Fractions that a net answers exactly: what their binary cross-entropy still costs in training is their entropy."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.fractions import Fractions
from probes.diagnosis.signal import closing, opening
from probes.diagnosis.task import last_module
from probes.diagnosis.view import Curve, RunView

EXACT, FRAMES, LAST = 0.05, 6, 3
"""Error over that of the first frame that is next to none (0.25% of the variance of the targets is left), frames
needed, and those at the end that all must show it."""
NEAR = 1.2
"""First loss over that of guessing, of a net that began with answers all alike: its errors are the targets' spread."""


def entropy_in_training(view: RunView, shares: Fractions, train: Curve) -> float | None:
    """What a finite training loss of fractions keeps for certain, because the answers have come to the targets; None
    where they have not, or it is not known.

    The gradient of a binary cross-entropy at the scores is the answer less the target, (p - t) / n: its norm falls as
    the errors do, whatever the loss keeps.
    """
    last = last_module(view)
    norms = view.layer("activation_grad_norm", last.name) if last is not None else None
    if norms is None or len(norms) < FRAMES or not norms.values[0] > 0.0 or not len(train):
        return None
    if opening(train.values) > NEAR * shares.guessing:
        return None
    if float(np.max(norms.values[-LAST:])) > EXACT * norms.values[0]:
        return None
    return closing(train.values)
