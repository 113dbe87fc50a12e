"""Judge a loss of one's own by the answer that knows nothing: a net that answers worse was trained for another end."""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.called import number_of_classes
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import percent
from probes.diagnosis.progress import majority_share
from probes.diagnosis.task import batch_size, shape_of
from probes.diagnosis.tracks import accuracy
from probes.diagnosis.view import Floats, RunView

STEPS, VALUES, FRAMES = 100, 10, 3
"""Steps of a run that is over, values of the accuracy and frames in its latter half that are needed."""
WORSE = 0.8
"""Accuracy, of the share of the commonest class, that is clearly worse than always answering that class."""
UNRANKED = 0.4
"""Share of the other scores above that of the label: one half where scores say nothing of it."""
GROWN = 5.0
"""Standard deviation of the outputs, of that in the first frame, which shows that training has changed them."""


def worse_than_one_answer(view: RunView, kind: str) -> Mismatch | None:
    """Scores that have grown, and are right less often than one answer for all.

    Whatever rewards right answers finds the commonest class first, for it takes biases alone. Class weights may hide
    that, but leave the score of the label above most others (`data/label_outranked`).
    """
    track, classes, batch = accuracy(view, validation=False), number_of_classes(view), batch_size(view)
    common = majority_share(view)
    if track is None or classes is None or batch is None or not common or len(shape_of(view, "target_shape")) != 1:
        return None
    name, curve = track[0], track[1].finite
    late, above, spread = curve.values[len(curve) // 2 :], _late(view, "data/label_outranked"), _spread(view)
    over = view.status != "running" and view.last_step >= STEPS
    if not over or len(late) < VALUES or len(above) < FRAMES or begins_late(view, curve.steps):
        return None
    right, outranked = float(late.mean()), float(above.mean())
    error = math.sqrt(common * (1.0 - common) / (len(late) * batch))
    if right + 3.0 * error > WORSE * common or outranked < UNRANKED or spread < GROWN:
        return None
    return Mismatch(
        f"{name} has been {percent(right)} through the latter half, where always answering the commonest class makes "
        f"{percent(common)}, and {percent(outranked)} of the other scores are above that of the label: the scores have "
        f"grown {round(spread)} times, but what this loss ({kind}) rewards is not to be right.",
        int(curve.steps[0]),
        evidence=(
            Evidence(name, right, WORSE * common, "<", note="mean of the latter half, against the commonest class"),
            Evidence("data/label_outranked", outranked, UNRANKED, ">", note="mean of the latter half"),
        ),
        suggestions=(
            "use CrossEntropyLoss on one raw score for each class, with the class numbers as targets",
            "compute the loss by hand for a right and a wrong answer: the right one must be lower",
        ),
    )


def _late(view: RunView, series: str) -> Floats:
    """The values of the latter half of the frames; [] where there are none."""
    curve = view.series(series)
    return curve.finite.values[len(curve.finite) // 2 :] if curve is not None else np.empty(0)


def _spread(view: RunView) -> float:
    """How many times the standard deviation of the first frame the outputs have in the last two, at least."""
    curve = view.series("data/output_std")
    values = curve.finite.values if curve is not None else np.empty(0)
    return float(values[-2:].min() / values[0]) if len(values) >= FRAMES and values[0] > 0.0 else 0.0
