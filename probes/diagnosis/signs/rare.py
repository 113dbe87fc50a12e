"""Masks, tags and rare events under a binary cross-entropy: whether any of the rare ones is ever said."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.mismatch.called import kind_of_loss
from probes.diagnosis.signal import block_medians
from probes.diagnosis.task import shape_of
from probes.diagnosis.tracks import (
    TRAIN_SPLITS,
    VALIDATION_SPLITS,
    accuracy,
    share_right,
    split_of,
    validation_losses,
)
from probes.diagnosis.view import Curve, RunView

RARE = 0.1
"""Share of the answers that are yes, at most."""
LEAST_SEEN = 30
"""Answers that are yes, in the frames that are judged, below which chance decides."""
FRAMES = 3
LEAST_YES = 5
"""Answers that are yes, of all frames, that show how rare it is."""
VALIDATIONS = 8
"""Validations in which not one example crosses one half."""
NEAR = 0.25
"""Distance of the accuracy from that of always saying no, as a share of what is rare."""


@dataclass(frozen=True)
class NeverSaid:
    """No answer of many is ever yes: share of the targets that is, highest score, the accuracy and its series."""

    share: float
    highest: float
    series: str
    accuracy: float
    since: int


def never_said(view: RunView) -> NeverSaid | None:
    """Whether of the several answers per example none is yes, and the accuracy is that of always saying no.

    The scores of the last three frames are all below 0 although `LEAST_SEEN` targets in them are 1, and an accuracy
    that was logged stays, from a quarter of the run on, where always saying no puts it. A single answer per example may
    be a risk (of fraud, of a click) that is ranked, and need not reach one half: it is left out.
    """
    shape = shape_of(view, "output_shape")
    highest, targets, top = (view.series(f"data/{name}") for name in ("output_max", "target_mean", "target_max"))
    if kind_of_loss(view) != "BCEWithLogitsLoss" or highest is None or targets is None or top is None:
        return None
    answers = math.prod(shape)
    if len(shape) < 2 or answers < 2 * shape[0] or len(highest.finite) < FRAMES or len(targets.finite) < FRAMES:
        return None
    late, yes = highest.finite.values[-FRAMES:], targets.finite.values[-FRAMES:]
    share = float(np.median(targets.finite.values))
    if not bool((late < 0.0).all()) or not 0.0 < share < RARE or yes.sum() * answers < LEAST_SEEN:
        return None
    if not bool((top.finite.values == 1.0).any()):
        return None
    found = _accuracy_of_no(view, share)
    if found is None:
        return None
    name, level = found
    return NeverSaid(share, float(late.max()), name, level, int(highest.finite.steps[-FRAMES]))


def never_flagged(view: RunView) -> NeverSaid | None:
    """Whether a single rare answer per example is never yes, where an accuracy is all that is looked at.

    The accuracy of validation is the same to the last digit at each of `VALIDATIONS` or more since the first tenth of
    the run: not one example has crossed one half while the scores moved. It is that of always saying no, within three
    standard errors of the targets seen. And the scores of the frames are all below 0 through the latter half. Whoever
    logs a measure of validation beside loss and accuracy (an area under the curve, a recall) ranks risks, or watches
    the rare ones: then nothing is said.
    """
    shape = shape_of(view, "output_shape")
    highest, mean, targets = (view.series(f"data/{name}") for name in ("output_max", "output_mean", "target_mean"))
    if kind_of_loss(view) != "BCEWithLogitsLoss" or highest is None or mean is None or targets is None:
        return None
    answers = math.prod(shape)
    frames = min(len(curve.finite) for curve in (highest, mean, targets))
    if not shape or answers != shape[0] or frames < 2 * FRAMES or _other_measures(view):
        return None
    seen = answers * len(targets.finite)
    share = float(targets.finite.values.mean())
    error = math.sqrt(share * (1.0 - share) / seen) if 0.0 < share < RARE else 0.0
    late = highest.finite.values[len(highest.finite) // 2 :]
    if seen * share < LEAST_YES or error <= 0.0 or not bool((late < 0.0).all()) or np.ptp(mean.finite.values) <= 0.0:
        return None
    track = accuracy(view, validation=True)
    scored = track[1].finite if track is not None else Curve(np.empty(0, np.int64), np.empty(0))
    right = scored.values[scored.steps > 0.1 * view.last_step]
    if track is None or len(right) < VALIDATIONS or right[0] >= 1.0 or bool((right != right[0]).any()):
        return None
    if abs(float(right[0]) - (1.0 - share)) > 3.0 * error:
        return None
    return NeverSaid(share, float(late.max()), track[0], float(right[0]), int(highest.finite.steps[-len(late)]))


def _other_measures(view: RunView) -> bool:
    """Whether something else than losses and one accuracy of validation was logged."""
    known = {*validation_losses(view), *(track[:1] if (track := accuracy(view, validation=True)) else ())}
    return any(split_of(name)[0] in VALIDATION_SPLITS and name not in known for name in view.series_names)


def _accuracy_of_no(view: RunView, share: float) -> tuple[str, float] | None:
    """(name, level) of an accuracy that stays at 1 - ``share``; that of a validation split first."""
    for splits in (VALIDATION_SPLITS, TRAIN_SPLITS):
        for name in view.series_names:
            split, _, metric = name.lower().partition("/")
            curve = view.series(name) if split in splits and metric.endswith(("accuracy", "acc")) else None
            if curve is None or len(curve.finite) < 5:
                continue
            values = Curve(curve.finite.steps, share_right(curve.finite.values))
            _, levels = block_medians(values.steps, values.values, 8)
            late = levels[len(levels) // 4 :]
            if bool((np.abs(late - (1.0 - share)) < NEAR * share).all()):
                return name, float(late[-1])
    return None
