"""What binary cross-entropy costs where the targets are fractions (shares, probabilities, smoothed labels).

Such a loss does not come to zero: where the answer is the target t itself, it still costs the entropy H(t). What can be
learned lies between that and what always answering the mean costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.manifest import BINARY_CROSS_ENTROPIES
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.view import Floats, RunView

LEAST = 0.05
"""Share of the cost of guessing that fractions must keep for their entropy to matter, and that there must be to learn:
the entropy is bounded to a tenth or two of it."""
POWER = 1.0 / math.log(4.0)
"""Exponent of the upper bound of the entropy, in bits: 4 t (1 - t) <= H(t) <= (4 t (1 - t)) ** POWER (Topsoe)."""


@dataclass(frozen=True)
class Fractions:
    """Levels of a mean binary cross-entropy, in nats.

    Attributes:
        guessing: always answering the mean of the targets; over several outputs the most that answering the mean of
            each can cost.
        least, most: bounds of what the targets themselves cost, their mean entropy.
    """

    guessing: float
    least: float
    most: float

    @property
    def floor(self) -> float:
        """The middle of the bounds: at most 0.05 nats from the entropy."""
        return 0.5 * (self.least + self.most)

    def left(self, loss: float) -> float:
        """Part of what can be learned that a ``loss`` leaves, at least: 1 for guessing, 0 or less for all learned."""
        return (loss - self.most) / (self.guessing - self.most)


def entropy(share: float) -> float:
    """-t ln t - (1 - t) ln(1 - t), in nats."""
    return -sum(part * math.log(part) for part in (share, 1.0 - share) if part > 0.0)


def fractions(view: RunView) -> Fractions | None:
    """The levels of the binary cross-entropy of fractions; None for another loss, for targets that are 0 or 1, where
    the targets were not seen, and where next to nothing can be learned.

    t (1 - t) has a known mean, from mean and deviation of a batch; so has, by Topsoe's bounds and Jensen's inequality,
    the entropy on both sides.

    Reference: Topsoe, Bounds for entropy and divergence for distributions over a two-element set, Journal of
    Inequalities in Pure and Applied Mathematics 2, 2001.
    """
    loss = loss_as_logged(view)
    if loss is None or loss.name not in BINARY_CROSS_ENTROPIES or loss.reduction != "mean" or loss.weighted:
        return None
    seen = [_seen(view, name) for name in ("mean", "std", "min", "max")]
    if not all(len(values) for values in seen) or len({len(values) for values in seen}) > 1:
        return None
    mean, deviation, smallest, largest = seen
    if float(smallest.min()) < 0.0 or float(largest.max()) > 1.0:
        return None
    common = float(mean.mean())
    apart = max(0.0, float(np.mean(mean * (1.0 - mean) - deviation**2)))
    guessing, least, most = entropy(common), math.log(2.0) * 4.0 * apart, math.log(2.0) * (4.0 * apart) ** POWER
    if least < LEAST * guessing or guessing - most < LEAST * guessing:
        return None
    return Fractions(guessing, least, most)


def _seen(view: RunView, what: str) -> Floats:
    curve = view.series(f"data/target_{what}")
    return curve.finite.values if curve is not None else np.empty(0)
