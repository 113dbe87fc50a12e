"""Judge the mode the model ran in: validated as in training, or trained as in evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.modes import EVALUATION, TRAINING, described
from probes.diagnosis.view import RunView, Steps

WEAK = 0.05
"""Share of the units dropped that changes little."""


def validated_in_training(
    view: RunView, times: Steps, dependent: Mapping[str, float | None], validations: float
) -> Anomaly | None:
    """Dropout on and batch statistics in validation.

    Args:
        view: the run.
        times: steps of the validations, [T].
        dependent: module -> share of the units it drops, None for batch normalisation.
        validations: validations in training mode that are enough.
    """
    share = view.series(EVALUATION)
    if share is None or not dependent:
        return None
    # What ran between two steps is told with the later one, or at the end of the run with the last.
    later = np.where(np.isin(times + 1, share.steps), times + 1, times)
    known = np.isin(later, share.steps)
    if not known.any():
        return None
    steps = times[known]
    wrong = share.values[np.searchsorted(share.steps, later[known])] > 0.5
    if int(wrong.sum()) < min(validations, max(1, len(steps))) or wrong.mean() <= 0.5:
        return None
    first = int(steps[wrong][0])
    weak = all(dropped is not None and dropped <= WEAK for dropped in dependent.values())
    return Anomaly(
        "info" if weak else "warning",
        f"At {int(wrong.sum())} of {len(steps)} validations the model ran in training mode: {described(dependent)} "
        "behaved as in training, so that the validation numbers are not those of the finished model.",
        first,
        (
            "call model.eval() before validating, and model.train() after it",
            "judge the numbers so far with care: a checkpoint, evaluated in evaluation mode, gives the true ones",
        ),
        (
            Evidence(
                EVALUATION, float(np.mean(wrong)), 0.5, ">", first, note="share of the validations in training mode"
            ),
        ),
        tuple(dependent),
    )


def trained_in_evaluation(view: RunView, dependent: Mapping[str, float | None], stretch: float) -> Anomaly | None:
    """A model that stays in evaluation mode, or was never in training mode, for ``stretch`` steps at the end."""
    mode = view.series(TRAINING)
    if mode is None or not dependent or mode.values[-1] > 0.5:
        return None
    since = int(mode.steps[-1])
    if view.last_step - since + 1 < stretch:
        return None
    before = bool((mode.values > 0.5).any())
    start = (
        f"Since step {since} (of {view.last_step}) the model is trained in evaluation mode"
        if before
        else "The model is trained in evaluation mode from the first step on"
    )
    return Anomaly(
        "warning" if before else "info",
        f"{start}: {described(dependent)} behave as in evaluation, dropout drops nothing and batch normalisation no "
        "longer learns its averages.",
        since,
        (
            "call model.train() before each epoch's training, after the validation has called model.eval()",
            "to keep only batch normalisation frozen, put those modules into evaluation mode, and not the whole model",
        ),
        (Evidence(TRAINING, 0.0, 1.0, "<", since, note="mode of the training passes (1 is training)"),),
        tuple(dependent),
    )
