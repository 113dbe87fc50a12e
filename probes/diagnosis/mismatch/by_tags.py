"""Several answers hold at once, and the outputs share out one."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.called import Outputs
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import short
from probes.diagnosis.task import shape_of
from probes.diagnosis.view import RunView

TOGETHER = 1.25
"""Targets of 1 an example, in the mean, from which several hold at once."""


def shared_out(view: RunView, outputs: Outputs) -> Mismatch | None:
    """Probabilities that sum to one, as after a softmax, where more than one of the targets of an example is 1.

    The best that a softmax can do for k right answers is 1/k each, so that the binary cross-entropy of an example,
    summed over its outputs, stays at k ln k or above, whatever the net knows. Of two outputs nothing is said.
    """
    shape, means = shape_of(view, "output_shape"), view.series("data/target_mean")
    if len(shape) < 2 or shape[1] < 3 or shape != shape_of(view, "target_shape") or means is None:
        return None
    classes, known = shape[1], means.finite.values
    if not len(known) or not outputs.normalised(classes):
        return None
    tags = float(np.median(known)) * classes
    if tags < TOGETHER:
        return None
    return Mismatch(
        f"BCELoss is given probabilities that sum to one over {classes} outputs, as after a softmax, while "
        f"{short(tags)} of an example's targets are 1 in the mean: where k answers hold at once, none can be given "
        "more than 1/k of it.",
        outputs.first,
        (
            "end the model in a sigmoid, or return raw scores and use BCEWithLogitsLoss: each answer stands alone",
            "a softmax is for classes that exclude each other, with CrossEntropyLoss on raw scores",
        ),
        (
            Evidence("data/output_mean", float(outputs.mean[-1]), 1.0 / classes, "=", note="mean of the outputs: 1/C"),
            Evidence("data/target_mean", tags / classes, TOGETHER / classes, ">", note="mean of the targets"),
        ),
    )
