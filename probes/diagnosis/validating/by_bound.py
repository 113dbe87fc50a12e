"""Judge the validation loss by the least that its accuracy allows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import guessing_loss, label_counts
from probes.diagnosis.tracks import accuracy
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.view import RunView


def below_its_bound(view: RunView, losses: Losses, bound: float) -> Anomaly | None:
    """A cross-entropy lower than its own accuracy allows: below ``bound`` times that."""
    track = accuracy(view, validation=True)
    if guessing_loss(view) is None or track is None:
        return None
    name, validation = losses.name, losses.validation
    steps, mine, theirs = np.intersect1d(validation.steps, track[1].finite.steps, return_indices=True)
    if len(steps) < 3:
        return None
    values, right = validation.values[mine], track[1].finite.values[theirs]
    least = np.clip(1.0 - right, 0.0, 1.0) * math.log(2.0)
    low = (values < bound * least) & (right < 0.995)
    if low.mean() <= 0.5:
        return None
    place = int(np.flatnonzero(low)[0])
    return Anomaly(
        "warning",
        f"{name} is {short(values[place])} at step {int(steps[place])}, where {percent(float(right[place]))} of the "
        f"answers are right ({track[0]}): the mean cross-entropy of the wrong ones alone makes at least "
        f"{short(float(least[place]))}. It is {short(float(least[place] / values[place]))} times too small, or more.",
        int(steps[place]),
        (
            *_left_out(view),
            "sum batch mean times batch size and divide by the number of examples, or divide the sum of batch means by "
            "the number of batches (not of examples)",
            "compute both losses with the same function",
        ),
        (
            Evidence(name, float(values[place]), float(least[place]), "<", int(steps[place]), note="validation loss"),
            Evidence(track[0], float(right[place]), step=int(steps[place]), note="accuracy of the same validation"),
        ),
    )


def _left_out(view: RunView) -> list[str]:
    """What to say of a class that the loss leaves out: the net may answer anything where it is the target."""
    given, counts = view.manifest.get("loss"), label_counts(view)
    ignored = given.get("ignore_index") if isinstance(given, Mapping) else None
    if not isinstance(ignored, int) or not 0 <= ignored < len(counts) or not counts[ignored]:
        return []
    share = counts[ignored] / sum(counts)
    return [
        f"the loss leaves out class {ignored} (ignore_index={ignored}), {percent(share)} of all targets: that is for "
        "padding. If it is a class like others, remove ignore_index; if it is padding, leave it out of the accuracy"
    ]
