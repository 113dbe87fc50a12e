"""Losses that fell along the learning rate summed up: what was gained for what was trained, whatever the schedule."""

from __future__ import annotations

from collections.abc import Iterator

from probes.diagnosis.rates import summed_rates
from probes.diagnosis.slope import Fall, fall
from probes.diagnosis.tracks import training_loss, validation_loss
from probes.diagnosis.view import NotJudged, RunView

CERTAIN, PACE, HALVES = 5.0, 0.5, 0.5
"""Standard errors of a fall along the summed-up rate, the fall over the mean one of a loss that was on its way, and its
promise where as much training again would gain half of its level."""


def falls_along_the_rate(view: RunView) -> Iterator[Fall]:
    """How the training and the validation loss fell at the end of the learning rate summed up, where they did beyond
    doubt (`CERTAIN`).
    """
    for track in (training_loss, validation_loss):
        try:
            loss = track(view)[1].finite
        except NotJudged:
            continue
        along = summed_rates(view, loss)
        found = fall(along, loss.values) if along is not None else None
        if found is not None and found.certainty >= CERTAIN:
            yield found


def far_from_done(view: RunView) -> bool:
    """Whether either loss was on its way, and as much training again would have gained half of its level."""
    return any(found.pace >= PACE and found.promise >= HALVES for found in falls_along_the_rate(view))
