"""How far from real examples those are that a model makes: the progress of a training whose losses have not to fall.

The losses of two players answer each other (Goodfellow et al. 2014): neither tells what was learned. A distance between
generated and real examples does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.tracks import split_of
from probes.diagnosis.view import Curve, RunView

_DISTANCES = frozenset({"frechet", "fid", "kid", "mmd", "swd"})
"""Words of distances between generated and real examples: that of Fréchet (Heusel et al. 2017), of kernels (Binkowski
et al. 2018; Gretton et al. 2012), sliced Wasserstein (Karras et al. 2018).
"""
_NO_DISTANCE = frozenset({"score", "loss", "best", "time"})
_MEASURED = ("system", "data", "optimizer")
AT_ONCE = 0.01
"""Part of the run before which the first value must lie to be the beginning: a generator learns much in an epoch."""
AGREE = 1e-3
"""Relative deviation of quotients that are one number but for rounding."""


@dataclass(frozen=True)
class Generation:
    """The course of a distance.

    Attributes:
        series: its name.
        curve: its finite values, two or more, from the beginning of the training on.
        of_the_mean: the distance of always giving the mean of the real examples, where a score beside it tells; None
            otherwise.
    """

    series: str
    curve: Curve
    of_the_mean: float | None


def generation(view: RunView) -> Generation | None:
    """The one distance that was logged from the beginning on; None where there is none, or several."""
    found = []
    for name in view.series_names:
        split, metric = split_of(name)
        words = set(metric.replace("-", "_").replace("/", "_").split("_"))
        if split not in _MEASURED and words & _DISTANCES and not words & _NO_DISTANCE:
            found.append(name)
    curve = view.series(found[0]) if len(found) == 1 else None
    if curve is None or view.start_step > 0:
        return None
    finite = curve.finite
    if len(finite) < 2 or finite.steps[0] > max(1.0, AT_ONCE * view.last_step) or not (finite.values >= 0).all():
        return None
    return Generation(found[0], finite, _of_the_mean(view, found[0], finite))


def _of_the_mean(view: RunView, name: str, distance: Curve) -> float | None:
    """V, where a series of the same split is 1 - distance / V at every step: a score of 0 is that distance."""
    for other in view.series_names:
        score = view.series(other) if other != name and split_of(other)[0] == split_of(name)[0] else None
        if score is None:
            continue
        _, here, there = np.intersect1d(distance.steps, score.finite.steps, return_indices=True)
        left = 1.0 - score.finite.values[there]
        if len(here) < 2 or len(here) < len(distance) or not (left > 0).all():
            continue
        quotients = distance.values[here] / left
        if quotients.min() > 0 and float(np.ptp(quotients)) <= AGREE * float(quotients.mean()):
            return float(np.median(quotients))
    return None
