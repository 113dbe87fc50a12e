"""Judge batch normalisation that was fed one example at a time."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.manifest import read_mode_dependent
from probes.diagnosis.numbers import names, percent
from probes.diagnosis.progress import majority_share
from probes.diagnosis.signal import closing
from probes.diagnosis.task import classes_of_targets, falls_short, outputs_of_last_weights
from probes.diagnosis.tracks import accuracy
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.modes import TRAINING
from probes.diagnosis.validating.validations import MINIMUM_PAIRS
from probes.diagnosis.view import RunView

STEPS, LITTLE = 100, 0.15
"""Steps of a run that had time to learn, and part of what guessing gets wrong that is next to nothing right."""
MOSTLY = 0.5
"""Share of the steps in which the model ran in training mode: batch normalisation uses its averages in the others."""


def normalised_alone(view: RunView) -> Anomaly | None:
    """Batches of one example in a net with batch normalisation that runs in training mode, and validation near chance.

    What is left of an example then is what differs within it: its own mean and scale are gone, in training only. Many
    nets do well with that (instance normalisation), so that nothing is said without the poor end.
    """
    modes, track = view.series(TRAINING), accuracy(view, validation=True)
    if view.status == "running" or view.last_step < STEPS or modes is None or track is None:
        return None
    alone = _single(view)
    right = track[1].finite
    classes = classes_of_targets(view) or outputs_of_last_weights(view)
    if not alone or classes < 2 or len(right) < MINIMUM_PAIRS or float(np.mean(modes.finite.values)) < MOSTLY:
        return None
    common = max(majority_share(view), 1.0 / classes)
    end = max(closing(right.values), float(np.median(right.values)))
    if not falls_short(end, common, LITTLE):
        return None
    return Anomaly(
        "warning",
        f"Batch normalisation ({names(alone)}) is fed one example at a time: it takes from each its own mean and "
        f"scale in training, and those of the running averages in evaluation. {track[0]} is {percent(end)}, where "
        f"guessing among {classes} classes gives {percent(common)}.",
        int(right.steps[0]),
        (
            "use larger batches: 16 examples or more",
            "where memory allows one example only, use GroupNorm or LayerNorm; they do the same in evaluation",
            "accumulating gradients over several batches does not help: each is normalised by itself",
        ),
        (
            Evidence("run.json", 1.0, None, "=", layer=alone[0], note="examples that are normalised together"),
            Evidence(track[0], end, common, "=", view.last_step, note="accuracy at the end, against guessing"),
        ),
        tuple(alone),
    )


def _single(view: RunView) -> list[str]:
    """The batch normalisations, when all of them are fed a single example."""
    shapes = {module.name: module.output_shape for module in view.modules}
    types = {module.name: module.type for module in view.modules}
    known = read_mode_dependent(view.manifest) or ()
    norms = [m.name for m in known if m.dropped is None and types.get(m.name, "").startswith("BatchNorm")]
    return norms if all(len(shapes[name]) >= 3 and shapes[name][0] == 1 for name in norms) else []
