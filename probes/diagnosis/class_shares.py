"""What it costs to give every example the shares of the classes, whatever the input.

A classifier finds these shares in its first steps, for they take biases alone. With uneven classes its loss comes down
to their entropy by that, well below ln C, and has learned nothing of the inputs (Cover and Thomas, Elements of
Information Theory, 2.6: no answer that ignores the input costs less).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.manifest import BINARY_CROSS_ENTROPIES
from probes.diagnosis.progress import guessing_loss, label_counts
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signal import opening
from probes.diagnosis.signs.label_noise import batches_are_mixed
from probes.diagnosis.task import shape_of
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import Floats, NotJudged, RunView
from probes.diagnosis.yes_or_no import yes_or_no

FEWEST, FEWEST_OF_A_CLASS = 100, 10
"""Labels seen, in all and per class in the mean, that tell the shares."""
UNEVEN = 0.98
"""Cost of the shares, of ln C, below which classes are uneven: nearer, ln C says the same."""
AS_UNTRAINED = 1.15
"""First loss, of ln 2, above which the positive examples have a weight of their own."""
ALL, FEWEST_VALUES = 0.99, 5
"""Share of one class among the answers to a batch that are all the same; values of an accuracy then."""
ALIKE = 0.01
"""Difference of an accuracy from the share of the commonest class that is none, beyond the error of the latter."""


@dataclass(frozen=True)
class OfShares:
    """The mean cross-entropy of always giving the shares of the classes, its standard error, both in nats, and the
    share of the ``common``est class.
    """

    cost: float
    error: float
    common: float

    @property
    def low(self) -> float:
        """One standard error below."""
        return self.cost - self.error

    @property
    def high(self) -> float:
        """One standard error above."""
        return self.cost + self.error


def cost_of_shares(view: RunView) -> OfShares | None:
    """What always giving the shares of uneven classes costs; None where classes are even, or it is not known.

    The shares are those of the labels seen, one for each example: neighbours in a text or a picture are not
    independent, and how many of them tell the shares is not known. None too with class weights, or when the loss is not
    known to be a mean cross-entropy, of classes or of yes and no.
    """
    loss = loss_as_logged(view)
    if loss is None or loss.reduction != "mean" or loss.weighted or not batches_are_mixed(view):
        return None
    if loss.name in ("CrossEntropyLoss", "NLLLoss"):
        found = _of_classes(view, loss.label_smoothing)
    elif loss.name in BINARY_CROSS_ENTROPIES:
        found = _of_yes_and_no(view)
    else:
        return None
    even = guessing_loss(view)
    return None if found is None or (even is not None and found.high > UNEVEN * even) else found


def entropy_of_shares(shares: Floats, seen: float, smoothing: float = 0.0) -> OfShares:
    """The entropy of class shares [C] that were estimated from ``seen`` labels, and its standard error.

    With the bias of Miller (Note on the bias of information estimates, 1955), (C - 1) / 2n. The variance is that of
    -ln p over n (Basharin, 1959), and of the bias' own, which is left where all shares are alike.

    Args:
        smoothing: label smoothing: that share of each target is spread over all classes.
    """
    given = (1.0 - smoothing) * shares + smoothing / len(shares)
    known = given > 0.0
    costs = -np.log(given[known])
    mean = float(np.sum(shares[known] * costs))
    spread = float(np.sum(shares[known] * costs**2)) - mean**2
    classes = int(np.count_nonzero(shares))
    bias = (1.0 - smoothing) * (classes - 1) / (2.0 * seen)
    variance = (1.0 - smoothing) ** 2 * max(spread, 0.0) / seen + (classes - 1) / (2.0 * seen**2)
    return OfShares(float(np.sum(given[known] * costs)) + bias, math.sqrt(variance), float(shares.max()))


def _of_classes(view: RunView, smoothing: float) -> OfShares | None:
    loss = view.manifest.get("loss")
    if len(shape_of(view, "target_shape")) != 1:
        return None
    counts = np.asarray(label_counts(view), dtype=np.float64)
    ignored = loss.get("ignore_index") if isinstance(loss, Mapping) else None
    if isinstance(ignored, int) and 0 <= ignored < len(counts):
        counts[ignored] = 0.0
    seen = float(counts.sum())
    classes = int(np.count_nonzero(counts))
    if classes < 2 or seen < max(FEWEST, FEWEST_OF_A_CLASS * classes):
        return None
    found = entropy_of_shares(counts / seen, seen, smoothing)
    return found if smoothing else _by_answers(view, counts / seen, seen, found)


def _of_yes_and_no(view: RunView) -> OfShares | None:
    """Of several answers the mean over these; where they were not counted apart the most that it can be, as the entropy
    is concave: that of their mean share.
    """
    asked = yes_or_no(view)
    if asked is None or asked.examples < FEWEST or _weighs_more_at_first(view):
        return None
    seen = float(asked.examples)
    each = [entropy_of_shares(np.array([1.0 - yes, yes]), seen) for yes in asked.shares]
    if asked.answers == 1:
        return _by_answers(view, np.array([1.0 - asked.shares[0], asked.shares[0]]), seen, each[0])
    # What is asked of one example may go together: their errors may, too.
    cost, error = (float(np.mean(part)) for part in zip(*((one.cost, one.error) for one in each), strict=True))
    return OfShares(cost, error, asked.common)


def _weighs_more_at_first(view: RunView) -> bool:
    """Whether the loss of yes and no began above ln 2, as `pos_weight` has it (which an older log does not tell)."""
    try:
        return opening(training_loss(view)[1].finite.values) > AS_UNTRAINED * math.log(2.0)
    except NotJudged:
        return True


def _by_answers(view: RunView, shares: Floats, seen: float, found: OfShares) -> OfShares:
    """The same by the accuracy in training, which counts far more labels than the frames do: it is the share of the
    commonest class, where that is always answered. The entropy is that of this class or another, and of the others.
    """
    track, since = accuracy(view, validation=False), _answers_one_since(view)
    if track is None or since is None:
        return found
    known = track[1].finite
    late = known.values[known.steps >= since]
    if len(late) < FEWEST_VALUES:
        return found
    right = float(late.mean())
    near = ALIKE + 2.0 * math.sqrt(found.common * (1.0 - found.common) / seen)
    if not 0.0 < right < 1.0 or abs(right - found.common) > near:
        return found
    others = np.delete(shares, int(shares.argmax())) / (1.0 - found.common)
    rest = entropy_of_shares(others, seen * (1.0 - found.common))
    slope = abs(math.log((1.0 - right) / right) - rest.cost)
    error = math.hypot(slope * float(late.std()) / math.sqrt(len(late)), (1.0 - right) * rest.error)
    cost = -right * math.log(right) - (1.0 - right) * math.log1p(-right) + (1.0 - right) * rest.cost
    return OfShares(cost, error, right) if error < found.error else found


def _answers_one_since(view: RunView) -> int | None:
    """The step of the first frame of the latter half, if the answers of each of these frames were one class."""
    shares = view.series("data/largest_prediction_share")
    if shares is not None and len(shares.finite):
        half = len(shares.finite) // 2
        return int(shares.finite.steps[half]) if (shares.finite.values[half:] >= ALL).all() else None
    low, high = view.series("data/output_min"), view.series("data/output_max")
    if low is None or high is None or not len(low.finite) or len(low.finite) != len(high.finite):
        return None
    half = len(low.finite) // 2
    middle = 0.5 if (low.finite.values >= 0.0).all() else 0.0  # probabilities, or scores
    one = (low.finite.values[half:] > middle).all() or (high.finite.values[half:] < middle).all()
    return int(low.finite.steps[half]) if one else None
