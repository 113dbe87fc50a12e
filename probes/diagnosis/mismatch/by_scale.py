"""Judge the size of the scores that a cross-entropy is called with: cosines that no factor makes large enough."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.bounds import entropy, floor_of
from probes.diagnosis.mismatch.called import Outputs, number_of_classes
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import short
from probes.diagnosis.signal import at_rest, closing
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import NotJudged, RunView

PRESSED = 0.8
"""Highest score of a batch, of a bound of 1, that a net presses against the bound."""
TIMID = 0.5
"""Place of the loss between that of always being right (0) and that of being right as often as sure (1), with scores
of that spread: below it, the scores are too small for what the net knows."""
MINIMUM_FRAMES = 3


def unscaled(view: RunView, outputs: Outputs, steps_needed: float) -> Mismatch | None:
    """Scores that never leave [-1, 1], press against 1, and keep up the loss of a net that is right.

    Cosines between normalised vectors end at 1. A net that is far more often right than such scores can say makes them
    as large as they become, and its cross-entropy rests at about ln(1 + (C - 1) e^-g) for a gap g between the score of
    the class and the others. A net that is unsure for good reasons has the loss that its confidence asks for.
    """
    classes, spread = number_of_classes(view), view.series("data/output_std")
    late = outputs.high[len(outputs) // 2 :]
    if classes is None or classes < 2 or spread is None or outputs.last - outputs.first < steps_needed:
        return None
    bounded = outputs.within(-1.0, 1.0) and bool((outputs.low < 0.0).any())
    if not bounded or len(late) < MINIMUM_FRAMES or not bool((late > PRESSED).all()):
        return None
    try:
        name, curve = training_loss(view)
    except NotJudged:
        return None
    losses = curve.finite.values
    if len(losses) < 10 or not at_rest(losses):
        return None
    # One score above the others by a gap g, another in every example: standard deviation g sqrt((1/C)(1 - 1/C)).
    wide = closing(spread.finite.values)
    gap = wide / math.sqrt((1.0 / classes) * (1.0 - 1.0 / classes))
    best, calibrated = floor_of(classes, gap), entropy(1.0 / (1.0 + (classes - 1) * math.exp(-gap)), classes)
    end, floor = closing(losses), floor_of(classes, 2.0)
    if calibrated <= best or (end - best) / (calibrated - best) > TIMID:
        return None
    return Mismatch(
        f"The scores that CrossEntropyLoss is given never leave -1 to 1 and press against 1 (highest of a batch "
        f"{short(float(np.median(late)))}), as cosines do, and {name} rests at {short(end)}: hardly more than scores "
        f"of that size cost when all are right ({short(best)}). With {classes} classes such a loss cannot fall below "
        f"{short(floor)}.",
        outputs.first,
        (
            "multiply the cosines by a factor of 10 to 30, or by one that is learned (CosFace, CLIP: divide by a "
            "temperature)",
            "or leave out the normalisation before the last layer",
        ),
        (
            Evidence("data/output_max", float(late.min()), PRESSED, ">", note="highest score of a batch, late frames"),
            Evidence("data/output_max", float(outputs.high.max()), 1.0, "<", note="highest score of all"),
            Evidence(name, end, best, ">", note="level at the end, against that of being always right"),
        ),
    )
