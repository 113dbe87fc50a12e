"""Judge the course of the training loss and the accuracy beside it."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.called import number_of_classes
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import majority_share, progress_if_known
from probes.diagnosis.signal import at_rest, block_medians, closing, noise, opening
from probes.diagnosis.task import batch_size, classifies
from probes.diagnosis.tracks import accuracy, split_of, training_loss
from probes.diagnosis.view import Floats, NotJudged, RunView

PATIENCE = 150
"""Steps of a run that goes on before a loss at rest is held against it."""
FEWEST, MANY = 5, 20
"""Values of a loss, such as the means of epochs, from which its depth alone may tell that it has no bottom; and from
which its course does.
"""
BOTTOMLESS = 3.0
"""Depth below zero, in sizes of the loss at the beginning, from which a loss that falls ever faster has no bottom."""
NARROWED = 5.0
"""Depth below zero that a logarithm of a density reaches where it begins near zero, whose size then tells nothing: one
that has become 150 times as narrow (ln 150 = 5) falls so far, ever faster until it is as wide as the noise."""
ABYSS, GOES_ON = 100.0, 0.3
"""Depth below zero, in sizes of the loss at the beginning, that no likelihood reaches; fall of the second half of such
a loss, in falls of the first, from which it does not come to rest (one of a likelihood is below 0.1 by then)."""
DEEP, STEADY = 10.0, 0.7
"""The same depth for a loss that falls in a straight line from above zero, and slowest fall of an eighth of the run, in
fastest ones, of such a line: a likelihood slows down."""
SUNK = 1e6
"""Depth below zero, in sizes of the loss at the beginning, that shows by itself that there is no bottom."""
OVERLAPS, WITH_THEM = (
    frozenset({"dice", "iou", "jaccard", "tversky"}),
    frozenset({"soft", "loss", "mean"}),
)
"""Names of losses that are shares (of an area, that two have in common), and what may stand beside these."""
BEYOND = 0.05
"""Distance from a range of one that rounding does not make."""
NEVER_NEGATIVE = ("mse", "mae", "rmse", "l1", "bce", "ce", "cross_entropy", "crossentropy", "huber", "logloss")
"""Names of losses that are sums of what is never below zero; "kl" is another where classes are told apart."""
SOON, LARGE, GROWN, EVEN = 30, 1.0, 5.0, 1.5
"""Steps and values of the loss from which large scores that are no better than chance are held against it; standard
deviation of such scores, and how many times that of the first frame; frequency of a class, of that of an average one,
in classes that are about equally frequent."""
FELL = 0.3
"""Fall of a loss that no cross-entropy makes while the accuracy on the same examples stays at chance."""


def without_bottom(view: RunView) -> Mismatch | None:
    """A loss that falls through zero and on, faster and faster: nothing holds it."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    values = curve.finite.values
    if len(values) < FEWEST or view.last_step < 50 or begins_late(view, curve.steps):
        return None
    many = len(values) >= MANY
    start = float(np.abs(values[: max(3, len(values) // 20) if many else 1]).max())
    _, levels = block_medians(curve.finite.steps, values, 8)
    falls, half = -np.diff(levels), len(levels) // 2
    faster = many and bool((falls > 0).all()) and falls[-3:].min() > falls[:3].max() and values[0] > 0
    endless = levels[-1] < -ABYSS * start and falls[half:].sum() > GOES_ON * falls[:half].sum()
    straight = many and levels[-1] < -DEEP * start and falls.min() > STEADY * falls.max() and values[0] > 0
    sunk = levels[-1] < -SUNK * start
    if not levels[-1] < -max(BOTTOMLESS * start, NARROWED) or not (faster or endless or straight or sunk):
        return None
    first = int(curve.steps[int(np.argmax(curve.values < 0))])
    through = f"was below zero at step {first}" if values[0] < 0 else f"fell through zero at step {first}"
    course = "" if sunk else f", and falls {'faster and faster' if faster else 'on'}"
    return Mismatch(
        f"{name} {through} and is at {short(closing(values))}, after {short(start)} at the "
        f"beginning{course}: it has no lowest value, and is no measure of being right.",
        first,
        evidence=(Evidence(name, closing(values), -max(BOTTOMLESS * start, NARROWED), "<", note="level at the end"),),
        suggestions=(
            "check the targets: a binary cross-entropy takes 0 and 1 (not -1 and 1), a cross-entropy class numbers",
            "check what the loss expects: logarithms of probabilities, probabilities or raw scores",
            "check the sign of each of its terms: what is pushed apart needs a margin beyond which nothing is gained",
        ),
    )


def below_its_least(view: RunView) -> Mismatch | None:
    """A loss that by its name is never negative, and is: its inputs are not what it takes them for."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    metric, values = split_of(name)[1], curve.finite.values
    divergence = metric in ("kl", "kld", "kl_div") and classifies(view)
    if not (divergence or metric in NEVER_NEGATIVE) or len(values) < 10:
        return None
    late = values[len(values) // 2 :]
    if not float(np.quantile(late, 0.9)) < 0.0:
        return None
    what = "divergence of two distributions" if divergence else "loss of this name"
    return Mismatch(
        f"{name} is {short(closing(values))}, and nine in ten of its values in the latter half are below 0, which no "
        f"{what} is: it is not given what it expects.",
        int(curve.finite.steps[int(np.argmax(values < 0.0))]),
        evidence=(Evidence(name, closing(values), 0.0, "<", note="level at the end, against the lowest possible"),),
        suggestions=(
            "KLDivLoss takes logarithms of probabilities first (log_softmax of the scores), then the probabilities of "
            "the targets"
            if divergence
            else "check the targets: a binary cross-entropy takes 0 and 1, a cross-entropy class numbers",
            "compute the loss by hand for an answer that is right: it must be 0, or the lowest of all",
        ),
    )


def beyond_a_share(view: RunView) -> Mismatch | None:
    """A loss that by its name is a share, one less a share, or less than nothing by a share, and is none of these."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    words, loss = set(split_of(name)[1].replace("-", "_").split("_")), curve.finite
    if not words & OVERLAPS or not words <= OVERLAPS | WITH_THEM or len(loss) < 10:
        return None
    low, high = float(loss.values.min()), float(loss.values.max())
    if not (low < -BEYOND and high > 1.0 + BEYOND):
        return None
    return Mismatch(
        f"{name} was {short(low)} and {short(high)}, although two areas have a share of 0 to 1 in common: the outputs "
        "that it is given are no probabilities.",
        int(loss.steps[int(np.argmax((loss.values < -BEYOND) | (loss.values > 1.0 + BEYOND)))]),
        evidence=(
            Evidence(name, low, 0.0, "<", int(loss.steps[int(np.argmin(loss.values))]), note="lowest value"),
            Evidence(name, high, 1.0, ">", int(loss.steps[int(np.argmax(loss.values))]), note="highest value"),
        ),
        suggestions=(
            "apply the sigmoid (or softmax) to the scores before the overlap is computed",
            "compute the loss by hand for an answer that is right: it must be 0, or the lowest of all",
        ),
    )


def over_the_batch(view: RunView, kind: str) -> Mismatch | None:
    """A negative log-likelihood that begins at ln(batch size), not at ln(classes): a softmax over the wrong axis."""
    batch, classes = batch_size(view), number_of_classes(view)
    if kind not in ("NLLLoss", "nll_loss") or batch is None or classes is None or not batch > 1:
        return None
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    values = curve.finite.values
    if len(values) < 3 or begins_late(view, curve.steps) or curve.steps[0] > 2:
        return None
    begin, wrong, guessing = float(np.median(values[:3])), math.log(batch), math.log(classes)
    if abs(begin - wrong) > 0.04 * wrong or abs(begin - guessing) < 0.15 * guessing:
        return None
    return Mismatch(
        f"{name} began at {short(begin)}: that is the logarithm of the batch size ({batch}), where guessing among "
        f"{classes} classes gives {short(guessing)}. The log_softmax seems to be taken over the examples of the batch.",
        int(curve.steps[0]),
        evidence=(
            Evidence(name, begin, wrong, "=", note=f"level at the beginning, against ln {batch}"),
            Evidence(name, guessing, note=f"ln {classes}: the loss of guessing"),
        ),
        suggestions=(
            "use log_softmax(scores, dim=1): over the classes, not dim=0",
            "or CrossEntropyLoss on raw scores",
        ),
    )


def _sure_of_nothing(view: RunView, classes: int, right: Floats, losses: Floats) -> bool:
    """Whether the scores have become large, without costing anything and without the answers becoming right.

    Of scores that differ by `LARGE` or more (standard deviation, and `GROWN` times what it was) and are no better than
    chance any loss of classes costs more than of the small ones of the beginning: a cross-entropy about half their
    variance more. A loss that has not risen takes them for something else than scores. Classes must be about equally
    frequent: to give the frequent ones higher scores is right.

    Args:
        right: accuracy on the training batches, [T].
        losses: training loss, finite, [T]; it may rise by its noise, and by a quarter of what such scores cost.
    """
    spread, common = view.series("data/output_std"), majority_share(view)
    batch = batch_size(view)
    if spread is None or len(spread.finite) < 3 or batch is None or common > EVEN / classes:
        return False
    sizes = spread.finite.values
    if sizes[-1] < max(LARGE, GROWN * sizes[0]) or sizes[-2] < GROWN * sizes[0]:
        return False
    start = opening(losses)
    error = noise(losses) / math.sqrt(max(1, min(5, len(losses) // 10)))
    cost = min(0.5 * float(sizes[-1]) ** 2, float(sizes[-1])) / math.log(classes) * start
    if closing(losses) > start + min(2.0 * error, 0.25 * cost):
        return False
    late = right[len(right) // 3 :]
    chance = max(common, 1.0 / classes)
    error = math.sqrt(chance * (1.0 - chance) / (len(late) * batch))
    return float(late.mean()) + 2.0 * error < chance + min(0.05, 0.5 * chance)


def by_accuracy(view: RunView, kind: str) -> Mismatch | None:
    """A loss of one's own, of another size than a cross-entropy, that has come to rest with the accuracy at chance."""
    classes = number_of_classes(view)
    accuracy_track = accuracy(view, validation=False)
    track = accuracy_track or accuracy(view, validation=True)
    learned = progress_if_known(view)
    if classes is None or track is None or learned is None or learned.start <= 0 or majority_share(view) > 0.6:
        return None
    name, curve = track
    values = curve.finite.values
    series = training_loss(view)[1]
    losses = series.finite.values
    if not np.isfinite(series.values[-1]):
        return None  # nonfinite-values tells
    fell = learned.share >= FELL and track is accuracy_track
    sure = track is accuracy_track and _sure_of_nothing(view, classes, values, losses)
    needed = SOON if sure else PATIENCE if view.status == "running" and not fell else 100
    if len(values) < 5 or len(losses) < SOON or view.last_step < needed or not (fell or sure or at_rest(losses)):
        return None
    # Single batches of a few examples are right more often by chance: levels of them count.
    _, blocks = block_medians(curve.steps, values, max(5, min(10, len(values) // 5)))
    best = float(np.max(blocks[len(blocks) // 3 :]))
    chance, guessing = max(majority_share(view), 1.0 / classes), math.log(classes)
    if begins_late(view, series.steps):
        return None
    # A cross-entropy cannot fall far without the answers on the same examples becoming right.
    usual = 0.5 * guessing < learned.start < 3.0 * guessing
    if not sure and (best > chance + (0.05 if fell else 0.1) or (usual and not fell)):
        return None
    late = closing(losses)
    if late > 1.5 * learned.start:
        return None  # it rises: loss-diverging tells
    return Mismatch(
        f"{learned.series} ({kind}) went from {short(learned.start)} to {short(late)}, while "
        f"{name} stayed at {percent(best)}, as by guessing among {classes} classes (whose cross-entropy is "
        f"{short(guessing)}): what this loss rewards is not to be right.",
        int(curve.steps[0]),
        evidence=(
            Evidence(learned.series, learned.start, guessing, ">", note="level at the beginning, against ln C"),
            Evidence(name, best, chance + (0.05 if fell else 0.1), "<", note="best value, against guessing"),
        ),
        suggestions=(
            "use CrossEntropyLoss on one raw score for each class, with the class numbers as targets",
            "compute the loss by hand for a right and a wrong answer: the right one must be lower",
        ),
    )
