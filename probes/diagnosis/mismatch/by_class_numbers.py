"""Judge whether classes are fitted as numbers: by how a squared error begins, and how it ends beside the accuracy."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.called import kind_of_loss
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.signal import closing, opening
from probes.diagnosis.task import batch_size, last_module
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import NotJudged, RunView

STEPS, VALUES = 100, 20
FIRST = 10
"""Values of an accuracy that show where it began."""
FEWEST, MOST = 3, 200
"""Numbers of classes that are looked for: two of them, one output can tell apart."""
NEAR_CHANCE = 0.35
"""Distance of the first accuracy from 1/C, as a share of it, beyond its error."""
LESS_RIGHT, MORE_RIGHT = 0.1, 0.25
"""Distance of an accuracy from the share of normal errors that rounding removes: most are more peaked."""
A_CLASS, LEARNED = 1.0, 0.5
"""Mean squared error of answers that are usually a class off, or more; fall of the loss that shows that something was
learned."""


def classes_as_numbers(view: RunView) -> Mismatch | None:
    """A single output that is drawn to the number of the class by a squared error, and rounded to be judged.

    Three things show it. The loss begins at the mean square of the numbers 0, 1, ... C - 1, which is
    (C - 1)(2C - 1) / 6: that is what an output near 0 costs. The training accuracy begins at 1/C. And it ends near the
    share of errors below one half, when the root of the loss is their standard deviation. Numbers that do stand for an
    order (counts, marks) may be fitted so, and are: it is held against the net when it is usually a class off, or more.
    """
    last, track = last_module(view), accuracy(view, validation=False)
    if view.status == "running" or track is None or last is None or view.last_step < STEPS:
        return None
    if kind_of_loss(view) not in ("", "MSELoss") or math.prod(last.output_shape[1:]) != 1:
        return None
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    losses, right = curve.finite.values, track[1].finite
    if min(len(losses), len(right)) < VALUES or begins_late(view, curve.steps) or begins_late(view, right.steps):
        return None
    start, end, known = opening(losses), closing(losses), closing(right.values)
    if start <= 0.0 or end <= 0.0 or not A_CLASS <= end <= (1.0 - LEARNED) * start:
        return None
    classes = (3.0 + math.sqrt(1.0 + 48.0 * start)) / 4.0
    if not FEWEST - 0.25 <= classes <= MOST or not _begins_at_chance(view, right.values[:FIRST], 1.0 / classes):
        return None
    rounded = math.erf(0.5 / math.sqrt(2.0 * end))
    if not -LESS_RIGHT <= known - rounded <= MORE_RIGHT:
        return None
    count = round(classes)
    return Mismatch(
        f"{name} began at {short(start)}, the mean square of the numbers 0 to {count - 1}, and {track[0]} at "
        f"{percent(1.0 / count)}; now they are {short(end)} and {percent(known)}, as if the one output of {last.name} "
        f"were rounded to the number of one of {count} classes. Such a net must place every class between two others.",
        0,
        layers=(last.name,),
        evidence=(
            Evidence(name, start, (count - 1) * (2 * count - 1) / 6, "=", note="beginning, against the mean square"),
            Evidence(track[0], known, rounded, "=", note="accuracy, against what is left right by such errors"),
        ),
        suggestions=(
            f"give the last layer {count} outputs, one for each class, and train with CrossEntropyLoss",
            "if the numbers are an order (counts, marks), judge by the mean error, not by the accuracy",
        ),
    )


def _begins_at_chance(view: RunView, first: np.ndarray[tuple[int], np.dtype[np.float64]], chance: float) -> bool:
    """Whether the first accuracies [T] of batches are ``chance``, to their error."""
    error = math.sqrt(chance * (1.0 - chance) / (len(first) * (batch_size(view) or 1)))
    return abs(float(first.mean()) - chance) <= NEAR_CHANCE * chance + 2.0 * error
