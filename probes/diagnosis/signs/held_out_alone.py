"""What is learned holds on validation examples, and hardly at all on those it was learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from probes.diagnosis.class_shares import cost_of_shares
from probes.diagnosis.progress import guessing_loss
from probes.diagnosis.signal import noise
from probes.diagnosis.signs.label_noise import batches_are_mixed
from probes.diagnosis.view import Curve, Floats, RunView

LITTLE = 0.05
"""Part of the loss of guessing that is gone in training: with more, accuracies tell, or mixed examples explain it."""
TIMES = 3.0
"""How many times as much is gone in validation."""
CERTAIN = 3.0
"""Standard errors of that difference."""
FEWEST, HELD_OUT = 3, 100
"""Validations of the latter half with training after them; examples of a small validation set."""


@dataclass(frozen=True)
class HeldOutAlone:
    """What guessing costs, the mean losses of validation and of the training after it, and the first step of these."""

    guessing: float
    validation: float
    train: float
    step: int


def held_out_alone(
    view: RunView, validation: Curve, later: Floats, values: Floats, train: Curve
) -> HeldOutAlone | None:
    """Whether a mean cross-entropy over even classes has come below guessing in validation several times as far as in
    training.

    Where a share e of the targets is any other of C classes, drawn at random, the scores that suit these targets are
    (1 - k) times as large as those that suit the true ones, with k = e C / (C - 1). While they are small, of variance
    v, they gain v / 2 in training, and v / (1 - k) - v / 2 on targets that are right: 2 / (1 - k) - 1 times as much.
    That is 3 with 45% of the targets of ten classes wrong, and 1 with none.

    Args:
        validation: finite validation loss, [T].
        later: mean of the training loss from each validation to the next, [T].
        values: how many values that is, [T].
        train: finite training loss.
    """
    guessing = guessing_loss(view) if batches_are_mixed(view) else None
    half = slice(len(validation) // 2, len(validation) - 1)  # nothing follows the last
    held, own = validation.values[half], later[half]
    if guessing is None or view.status == "running" or len(held) < FEWEST or cost_of_shares(view) is not None:
        return None
    gained, learned = guessing - float(held.mean()), guessing - float(own.mean())
    if learned > LITTLE * guessing or gained < TIMES * learned or not (held < own).all():
        return None
    # What a net that knows no more than it shows in training may gain on a few examples by chance: the variance of a
    # logarithm of a ratio of likelihoods is twice its mean.
    chance = math.sqrt(2.0 * max(learned, 0.0) / HELD_OUT)
    error = math.hypot(noise(train.values) / math.sqrt(float(values[half].sum())), noise(held) / math.sqrt(len(held)))
    if gained - learned < max(CERTAIN * error, 2.0 * chance) or gained < 2.0 * CERTAIN * error:
        return None
    return HeldOutAlone(guessing, float(held.mean()), float(own.mean()), int(validation.steps[half][0]))
