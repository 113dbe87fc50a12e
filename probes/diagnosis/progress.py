"""How much a run has learned: the fall of its training loss against where it began, or against guessing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.beginning import beginning
from probes.diagnosis.fractions import fractions
from probes.diagnosis.manifest import BINARY_CROSS_ENTROPIES
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signal import closing, opening
from probes.diagnosis.task import classes_of_targets, outputs_of_last_weights
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView
from probes.diagnosis.yes_or_no import counts_examples, yes_or_no

NEAR = 0.1
"""Deviation of an initial loss from that of guessing, as a share of it."""
FEWEST_BATCHES, SE_OF_MEDIAN, CERTAIN = 5, 1.25, 0.01
"""Batches that tell a variance, standard error of a median over that of a mean (normal), and of one that is known."""


@dataclass(frozen=True)
class Progress:
    """The training loss at both ends.

    Attributes:
        series: its name.
        start, end: level of the first values and of the last tenth.
        guessing: the loss of guessing, when it is known (`guessing_loss`, `fractions`).
        variance: the loss of always answering the mean of the targets, when it is known (`variance_of_targets`), or
            the most that it can be (`deviation_of_targets`).
        share: part of the initial loss that is gone: 0 nothing learned, 1 all of it, negative: worse than at
            the start. A loss that begins above that of guessing is measured from there: to come down to it takes
            small scores, and no knowledge.
        floor: what the loss keeps when all is learned (`fractions`, in the middle of its bounds): no part of the share.
    """

    series: str
    start: float
    end: float
    guessing: float | None = None
    variance: float | None = None
    floor: float = 0.0

    @property
    def reference(self) -> float:
        """The level that learning is measured from."""
        return min(level for level in (self.start, self.guessing, self.variance) if level is not None)

    @property
    def share(self) -> float:
        """See the class."""
        whole = abs(self.reference) - self.floor
        return (self.reference - self.end) / whole if whole > 0.0 else 0.0


def progress(view: RunView) -> Progress | None:
    """The progress of the one training loss; None when there is none to judge by.

    Raises:
        NotJudged: the log does not hold the beginning of the training, and what guessing would give is not known.
    """
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    finite = curve.finite
    if len(finite) < 4:
        return None
    start = where_it_began(view, name, finite)
    variance = variance_of_targets(view)
    variance = deviation_of_targets(view) if variance is None else variance
    shares = fractions(view)
    guessing = guessing_loss(view) if shares is None else shares.guessing
    floor = 0.0 if shares is None else shares.floor
    return Progress(name, start, closing(finite.values), guessing, variance, floor)


def progress_if_known(view: RunView) -> Progress | None:
    """Like `progress`, but None where it raises `NotJudged`: for what can be told without."""
    try:
        return progress(view)
    except NotJudged:
        return None


def where_it_began(view: RunView, name: str, loss: Curve) -> float:
    """The level at which the finite training loss ``name`` began: its own, or that of guessing when it begins late.

    Raises:
        NotJudged: the log does not hold the beginning, and what guessing would give is not known.
    """
    guessing = guessing_loss(view)
    return beginning(view, loss, name, variance_of_targets(view) if guessing is None else guessing)


def guessing_loss(view: RunView) -> float | None:
    """ln C: the mean cross-entropy over C classes when all get the same probability, whatever the labels; ln 2 of a
    mean binary cross-entropy of yes and no.

    None when the loss function is not known to be a mean cross-entropy, or the number of classes is not known, or one
    of yes and no has weights. Class weights, label smoothing and ignored targets leave ln C as it is.
    """
    if _is_mean(view, *BINARY_CROSS_ENTROPIES):
        loss = loss_as_logged(view)
        known = loss is not None and not loss.weighted and yes_or_no(view) is not None
        return math.log(2.0) if known else None
    if not _is_mean(view, "CrossEntropyLoss", "NLLLoss"):
        return None
    classes = classes_of_targets(view)
    return None if classes is None else math.log(classes)


def begins_at_guessing(view: RunView, values: Floats) -> bool:
    """Whether the first values of a loss [T] are that of guessing: ln C, of the classes seen or of the last layer's
    outputs, within the tenth that random scores are worth at the beginning.
    """
    known = guessing_loss(view)
    if known is None:
        outputs = outputs_of_last_weights(view)
        known = math.log(outputs) if outputs >= 2 else None
    return known is not None and len(values) > 0 and abs(opening(values) - known) < NEAR * known


def variance_of_targets(view: RunView) -> float | None:
    """The mean squared error of always answering the mean of the targets: their variance (the median of the batches').

    None when the loss is not known to be a mean squared error, or the targets were not seen. Over several outputs the
    variance is that of all of them together, which is no less than what the means of each leave.
    """
    deviation = _deviation_seen(view) if _is_mean(view, "MSELoss") else None
    variance = deviation**2 if deviation is not None else 0.0
    return variance if variance > 0 else None


def certain_variance(view: RunView) -> float | None:
    """`variance_of_targets`, where the batches seen agree on it to a hundredth (standard error of their median); None
    otherwise.
    """
    variance, spread = variance_of_targets(view), view.series("data/target_std")
    if variance is None or spread is None or len(spread.finite) < FEWEST_BATCHES:
        return None
    seen = spread.finite.values**2
    error = SE_OF_MEDIAN * float(seen.std()) / math.sqrt(len(seen))
    return variance if error <= CERTAIN * variance else None


def deviation_of_targets(view: RunView) -> float | None:
    """The most that always answering the mean of the targets can cost by a mean absolute error: their standard
    deviation, by Jensen's inequality.

    None when the loss is not known to be that or a Huber loss, which with a delta of 1, as its smooth variant with a
    beta of 1, is nowhere above it; or the targets were not seen.
    """
    deviation = _deviation_seen(view) if _is_mean(view, "L1Loss", "SmoothL1Loss", "HuberLoss") else None
    return deviation if deviation is not None and deviation > 0 else None


def _is_mean(view: RunView, *names: str) -> bool:
    """Whether the logged loss is known to be the mean of one of these."""
    loss = loss_as_logged(view)
    return loss is not None and loss.name in names and loss.reduction == "mean"


def _deviation_seen(view: RunView) -> float | None:
    """The standard deviation of the targets of a batch, in the median; None when none were seen."""
    spread = view.series("data/target_std")
    known = spread.finite.values if spread is not None else np.empty(0)
    return float(np.median(known)) if len(known) else None


def label_counts(view: RunView) -> tuple[int, ...]:
    """How often each class was seen among the targets, [C]; empty when it was not recorded."""
    data = view.manifest.get("data")
    counts = data.get("label_counts") if isinstance(data, Mapping) else None
    if not isinstance(counts, (list, tuple)) or not all(isinstance(count, (int, float)) for count in counts):
        return ()
    return tuple(int(count) for count in counts)


def majority_share(view: RunView) -> float:
    """Accuracy of always answering the most frequent class, or each of several questions by its more frequent answer
    (the least of it that is known); 1/C when only C is known, 0 when nothing is.
    """
    counts = label_counts(view)
    if sum(counts) > 0:
        return max(counts) / sum(counts)
    seen = yes_or_no(view)
    if seen is not None:
        return seen.common if seen.answers == 1 or counts_examples(view) is False else 0.0
    guessing = guessing_loss(view)
    return math.exp(-guessing) if guessing is not None else 0.0
