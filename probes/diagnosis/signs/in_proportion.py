"""A loss that has fallen a little, in proportion to the learning rate summed up: the steps never left the neighbourhood
of the initial weights, where the loss is a straight line along them.

Weights that begin next to nothing (a last layer at 0.01, say) are soon moved by their own size and more, which says
nothing of how far they have to go; how the loss falls does.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.progress import Progress, majority_share
from probes.diagnosis.rates import summed_rates
from probes.diagnosis.signal import closing
from probes.diagnosis.signs.initial import gains_of_weights
from probes.diagnosis.slope import fall
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import NotJudged, RunView

CERTAIN = 5.0
"""Standard errors of a straight line through all of it."""
SLOWEST, FASTEST = 0.6, 1.5
"""Fall in the last two fifths over the mean one, of what goes straight on: a plateau that is left falls faster."""
LITTLE, GUESSED = 0.03, 0.9
"""Part of the loss that is gone, and the first level over that of guessing, of a net that knows next to nothing."""
NOTHING, BEYOND = 0.3, 0.05
"""Standard deviation times root of the fan-in of weights that begin next to nothing, and accuracy beyond that of the
most frequent class, which shows that the direction is right."""


@dataclass(frozen=True)
class InProportion:
    """Part of the loss that went along the summed-up rate, and its standard errors."""

    share: float
    certainty: float


def falls_in_proportion(view: RunView, learned: Progress) -> InProportion | None:
    """How little a loss fell, and how straight, from the level of guessing, of a net whose weights all began next to
    nothing, and whose answers get better; None where it did otherwise.
    """
    if learned.guessing is None or learned.start < GUESSED * learned.guessing or learned.share >= LITTLE:
        return None
    track = accuracy(view, validation=True) or accuracy(view, validation=False)
    if track is None or not len(track[1].finite) or closing(track[1].finite.values) < majority_share(view) + BEYOND:
        return None
    try:
        if (gains_of_weights(view) > NOTHING).any():
            return None
        loss = training_loss(view)[1].finite
    except NotJudged:
        return None
    along = summed_rates(view, loss)
    if along is None:
        return None
    whole, late = fall(along, loss.values, part=1.01), fall(along, loss.values)
    if whole is None or late is None or whole.certainty < CERTAIN or not SLOWEST <= late.pace <= FASTEST:
        return None
    return InProportion(1.0 - whole.end / whole.start, whole.certainty)
