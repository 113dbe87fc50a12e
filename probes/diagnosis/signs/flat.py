"""A loss that is flat where the outputs are: it sends hardly any gradient back, and a good part of it is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.fractions import fractions
from probes.diagnosis.gradients import total_norm
from probes.diagnosis.manifest import read_loss
from probes.diagnosis.task import accuracy_at_end
from probes.diagnosis.tracks import VALIDATION_SPLITS, split_of, training_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView, Steps

FRAMES, STEPS = 4, 100
"""Fewest frames with a gradient, and steps, before anything is said."""
LEFT = 0.25
"""Share of the first loss that is a good part of it. Targets smoothed by 0.1 among ten classes leave 0.22 of ln 10; of
fractions what is above their entropy counts."""
BEYOND = 30.0
"""Times that the gradient must have fallen for a loss that has not. Of a cross-entropy the gradient falls in proportion
to the loss, of a squared error as its root; what a loss keeps at its best (targets that are shares) makes it seem to
fall further: the less is left, the further the fall must go, by the square of what is left."""
LARGE = 1.0 / 3.0
"""Share of the first gradient above which the loss that is logged is the one it began with."""
WITH_A_CONSTANT = frozenset({"nll", "elbo", "nelbo", "likelihood", "logp", "bpd", "energy", "action"})
"""Words for a loss that may keep any constant at its best, as the logarithm of a density does: what is left of it says
little, unless the gradient is exactly zero."""
DENSITIES = ("GaussianNLLLoss", "PoissonNLLLoss")
"""Loss functions that are such."""
RIGHT = 0.9
"""Share of right answers with which nothing is left to learn."""


@dataclass(frozen=True)
class Flat:
    """A loss that sends nothing back.

    Attributes:
        series, start, end: the loss, its level while the gradient was large, and in the last two frames.
        share: the larger gradient of the last two frames over that of the first frame; 0.0 for none at all.
        limit: what it must lie below.
        since: the first frame from which on the gradient lies below that.
    """

    series: str
    start: float
    end: float
    share: float
    limit: float
    since: int


def flat_loss(view: RunView) -> Flat | None:
    """The loss that is flat at the outputs; None where the gradient goes with the loss, or not enough is known.

    The gradient is what comes back to the outputs of the modules, example by example, and what reaches the parameters:
    both must be gone. At the best a net can do, the gradient of the parameters is none, but not that of each example;
    and where outputs are differentiated (a differential equation), not all of the gradient passes through them.
    """
    table = view.layers("grad_norm")
    if table is None or view.last_step < STEPS or len(table) < FRAMES:
        return None
    total = total_norm(table).finite
    if len(total) < FRAMES or not total.values[0] > 0:
        return None
    steps, share = _shares(view, total)
    if len(steps) < FRAMES or not float(share[-2:].max()) < 1.0 / BEYOND:
        return None
    reached = accuracy_at_end(view)
    if reached is not None and reached >= RIGHT:
        return None
    shares = fractions(view)
    kept = 0.0 if shares is None else shares.most
    now = float(share[-2:].max())
    losses = _losses(view, none_at_all=bool((total.values[-2:] == 0.0).all()))
    found = None
    for name, loss in losses:
        start, end = _level(loss, 0, int(steps[int(np.argmax(share < LARGE))])), _level(loss, *steps[-2:].tolist())
        if start is None or end is None or not start > 0 or not end - kept >= LEFT * (start - kept):
            return None
        limit = min(1.0, end / start) ** 2 / BEYOND
        if not now < limit:
            return None
        since = int(steps[len(share) - int(np.argmax(share[::-1] >= limit))])
        found = found or Flat(name, start, end, now, limit, since)
    return found


def _shares(view: RunView, total: Curve) -> tuple[Steps, Floats]:
    """(steps, gradient over that of the first frame, [T]): the largest of what the parameters get, of what comes back
    to the last module, and of the most that comes back to any. Empty where no gradient of outputs was recorded.
    """
    table = view.layers("activation_grad_norm")
    if table is None:
        return total.steps[:0], total.values[:0]
    known = np.where(table.measured, table.values, 0.0)
    kept = table.measured.any(axis=1) & np.isfinite(known).all(axis=1)
    steps, _, rows = np.intersect1d(total.steps, table.steps[kept], return_indices=True)
    if not len(steps):
        return steps, total.values[:0]
    known = known[kept][rows]
    called = [module.name for module in view.modules if module.output_shape and module.name in table.layers]
    sizes = [total.values[np.isin(total.steps, steps)], known.max(axis=1)]
    if called:
        sizes.append(known[:, table.layers.index(called[-1])])
    if not all(size[0] > 0 for size in sizes):
        return steps[:0], total.values[:0]
    return steps, np.max([size / size[0] for size in sizes], axis=0)


def _losses(view: RunView, *, none_at_all: bool) -> list[tuple[str, Curve]]:
    """The one training loss that should fall to nothing; any, or all that are logged, where there is no gradient."""
    try:
        name, curve = training_loss(view)
        words = set(split_of(name)[1].split("_"))
        kind = read_loss(view.manifest)
        constant = bool(words & WITH_A_CONSTANT) or (kind is not None and kind.name in DENSITIES)
        return [(name, curve.finite)] if none_at_all or not constant else []
    except NotJudged:
        if not none_at_all:
            return []
    named = [name for name in view.series_names if "loss" in split_of(name)[1].split("_")]
    found = [(name, view.series(name)) for name in named if split_of(name)[0] not in VALIDATION_SPLITS]
    return [(name, curve.finite) for name, curve in found if curve is not None and len(curve.finite)]


def _level(loss: Curve, first: int, last: int) -> float | None:
    """The median of a loss from step ``first`` to ``last``; None where it was not logged between."""
    low, high = np.searchsorted(loss.steps, first), np.searchsorted(loss.steps, last, side="right")
    return float(np.median(loss.values[low:high])) if high > low else None
