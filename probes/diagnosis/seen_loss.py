"""Whether the loss that was logged is the one that the outputs go into.

A loss that was recognised by its gradient is known at the outputs alone. What is logged may have further terms (a
penalty on the weights, an auxiliary output), another factor, or be a sum: its level says what it should only where the
two agree.
"""

from __future__ import annotations

import math

import numpy as np

from probes.diagnosis.manifest import LossInfo, read_loss
from probes.diagnosis.task import shape_of
from probes.diagnosis.tracks import rewards, training_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

SEEN = "data/recognised"
"""The recognised loss as a mean over what it counts, from outputs and targets, per frame."""
NEAR = 0.1
"""Difference, as a share of the loss, of two that are one: outputs are sampled, terms of less weigh little."""
NEAR_MEANS = 0.25
"""The same where means over many steps are logged: frames are a few of these."""

LARGE = 0.01
"""Share of the largest loss from which two are compared: of smaller ones rounding and single examples decide."""


def need_targets(view: RunView) -> None:
    """Refuses to judge classes that an agent chose itself: the gradient of its policy is that of a cross-entropy of its
    actions.

    Raises:
        NotJudged: when rewards are logged, and the loss was not given but recognised.
    """
    loss, rewarded = read_loss(view.manifest), rewards(view)
    if loss is not None and loss.recognised and rewarded:
        raise NotJudged(f"{rewarded[0]} is logged: what the loss takes for targets may be the agent's own actions")


def loss_as_logged(view: RunView) -> LossInfo | None:
    """The loss function with the reduction that the logged training loss has; None when they are not one.

    A loss that was given is taken at its word.
    """
    loss = read_loss(view.manifest)
    if loss is None or not loss.recognised:
        return loss
    try:
        _, logged = training_loss(view)
    except NotJudged:
        return None
    seen = view.series(SEEN)
    if seen is None or not len(seen.finite):
        return None
    large = seen.finite.values > LARGE * seen.finite.values.max()
    ratios, near = _ratios(logged.finite, Curve(seen.finite.steps[large], seen.finite.values[large]))
    if not len(ratios):
        return None
    ratio = float(np.median(ratios))
    if abs(ratio - 1.0) <= near:
        return LossInfo(loss.name, "mean", loss.label_smoothing, loss.weighted, recognised=True)
    number = _number_of_terms(view, loss)
    if number is not None and abs(ratio / number - 1.0) <= near:
        return LossInfo(loss.name, "sum", loss.label_smoothing, loss.weighted, recognised=True)
    return None


def logged_over_seen(view: RunView, logged: Curve) -> Floats:
    """The finite ``logged`` loss over the mean of the recognised one, for each pair that belongs together; [] where
    none was recognised.
    """
    seen = view.series(SEEN)
    return _ratios(logged, seen.finite)[0] if seen is not None and len(seen.finite) and len(logged) else np.empty(0)


def _ratios(logged: Curve, seen: Curve) -> tuple[Floats, float]:
    """What was logged over what was seen, for each pair that belongs together, and how near to one is one.

    A loss is logged at the step it is of or, before the optimizer steps, at the one before: what agrees better.
    """
    pairs = [np.intersect1d(logged.steps + shift, seen.steps, return_indices=True)[1:] for shift in (0, 1)]
    found = [logged.values[mine] / seen.values[theirs] for mine, theirs in pairs if len(mine)]
    if found:
        best = min(found, key=lambda ratios: float(np.median(np.abs(ratios - np.median(ratios)))))
        if len(best) >= 3 or len(logged) < 3 or int(logged.steps[0]) <= 1:
            return best, NEAR
    ends = np.searchsorted(seen.steps, logged.steps, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    kept = ends > starts
    means = np.array([seen.values[a:b].mean() for a, b in zip(starts[kept], ends[kept], strict=True)])
    return logged.values[kept] / means, NEAR_MEANS


def _number_of_terms(view: RunView, loss: LossInfo) -> int | None:
    """What a sum adds up: rows of scores, or scores where each stands alone."""
    sizes = shape_of(view, "output_shape")
    if not sizes:
        return None
    by_row = loss.name in ("CrossEntropyLoss", "NLLLoss")
    return math.prod(sizes) // sizes[1] if by_row and len(sizes) >= 2 and sizes[1] else math.prod(sizes)
