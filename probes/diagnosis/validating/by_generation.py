"""Judge what is generated against validation examples: a distance that nothing changes is one to other examples."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.generation import generation
from probes.diagnosis.numbers import short
from probes.diagnosis.signs.rivals import are_rivals, generators_outputs, is_in_doubt
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.view import RunView

STILL, GROWN, IN_DOUBT = 0.02, 1.5, 0.25
"""Relative change of a distance that does not change; growth of the spread of what is generated; loss of a
discriminator, of where it began, that has not told what is generated from the training examples."""
FEWEST, STEPS = 5, 100


def other_than_shown(view: RunView) -> Anomaly | None:
    """A distance to validation examples that stays where it was while the generator comes to something by which the
    discriminator is in doubt: it is shown training examples, and these are not like those of validation.
    """
    found = generation(view) if are_rivals(view) and view.last_step >= STEPS else None
    last = generators_outputs(view) if found is not None else None
    spread = view.layer("activation_std", last.name) if last is not None else None
    if found is None or last is None or spread is None or len(found.curve) < FEWEST or spread.steps[0] > 1:
        return None
    values, start = found.curve.values, float(found.curve.values[0])
    still = start > 0 and bool((np.abs(values / start - 1.0) <= STILL).all())
    if not still or not spread.values[-1] > GROWN * spread.values[0] > 0 or not is_in_doubt(view, IN_DOUBT):
        return None
    first, now = short(float(spread.values[0])), short(float(spread.values[-1]))
    return Anomaly(
        "warning",
        f"{found.series} stays at {short(float(values[-1]))} (at first {short(start)}), although what {last.name} "
        f"gives has changed (standard deviation {first} at first, {now} now), and the discriminator does not tell it "
        "from the training examples for sure: the validation examples are not like those.",
        0,
        (
            "prepare the validation examples as the training examples: the same scaling, with the same numbers",
            "print mean and standard deviation of a training batch and of a validation batch",
        ),
        (
            Evidence(found.series, float(np.ptp(values)) / start, STILL, "<", note="change of the distance, relative"),
            Evidence("activation_std", float(spread.values[-1]), float(spread.values[0]), ">", layer=last.name),
        ),
        (last.name,),
    )
