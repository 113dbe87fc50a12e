"""Validation inputs that are prepared otherwise than training inputs: told by the same net before and after few steps.

Before the first step the net knows neither kind of examples, and its loss on both is about alike. Inputs on another
scale make it larger, and larger yet with each step that is taken for the others. Where validation begins later, the
first one and the beginning of the training loss stand in for that: from the very next validation on it is several times
as wrong as a net that knows nothing, which no examples learned by heart could be so soon.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.manifest import read_mode_dependent
from probes.diagnosis.signal import closing, level, noise, opening
from probes.diagnosis.tracks import training_loss, validation_loss
from probes.diagnosis.view import NotJudged, RunView

APART = 2.0
"""Validation loss before the first step, of the training loss in the first steps, from which the two sets differ."""
GROWN = 3.0
"""Each later validation loss, of the one before the first step, by which what is learned makes it worse."""
FEWEST_LATER = 4
"""Later validations that are enough where none was taken before the first step."""
BY_HEART = 0.1
"""Part of the training loss, at the end, below which the examples may be known by heart, and others be answered wrongly
and surely."""
CERTAIN = 5.0
"""Deviations of the noise of the training loss by which its first values differ from the validation loss."""


@dataclass(frozen=True)
class Prepared:
    """Both losses where the training began, the training loss now, and the lowest later validation loss.

    ``step`` is that of the first validation: 0 before the first step.
    """

    train: str
    validation: str
    train_start: float
    train_end: float
    start: float
    least: float
    step: int = 0


def prepared_differently(view: RunView) -> Prepared | None:
    """Both losses, when the validation inputs are seen to be prepared differently; None otherwise.

    With running averages (batch normalisation) the net in validation is another one at first, and nothing is told.
    """
    modes = read_mode_dependent(view.manifest)
    if modes is None or any(module.dropped is None for module in modes):
        return None
    try:
        name, validation = validation_loss(view)
        train_name, train = training_loss(view)
    except NotJudged:
        return None
    curve, losses = validation.finite, train.finite.values
    if len(curve) < 2 or len(losses) < 3 or view.start_step > 0 or train.steps[0] > 1:
        return None
    begin, end, first, step = opening(losses), closing(losses), float(curve.values[0]), int(curve.steps[0])
    least = float(curve.values[1:].min())
    if not begin > 0 or end > begin:
        return None
    if step > 0:
        known = max(first, begin + CERTAIN * noise(losses))
        apart = least >= APART * known and level(curve.values[1:]) >= GROWN * known and end > BY_HEART * begin
        apart &= len(curve) > FEWEST_LATER
    else:
        apart = first >= APART * begin and first - begin >= CERTAIN * noise(losses) and least >= GROWN * first
    return Prepared(train_name, name, begin, end, first, least, step) if apart else None
