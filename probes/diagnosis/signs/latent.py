"""The code of a variational autoencoder: how much it says about the input, by the KL term that was logged beside."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.signal import closing, opening
from probes.diagnosis.tracks import TRAIN_SPLITS, split_of
from probes.diagnosis.view import Curve, RunView, Steps

_DIVERGENCES = ("kl", "kld", "kl_loss", "kl_div", "kl_divergence", "kl_term")
_RECONSTRUCTIONS = ("recon", "rec", "reconstruction", "bce", "mse", "misfit")
FEWEST = 20
GONE = 0.01
"""Divergence at the end, of that at the beginning and of the loss of reconstruction, that says nothing of the input."""
FALLEN, NOTHING = 0.1, 1e-4
"""The same, where it said next to nothing of the reconstruction when it was logged first, and has fallen further."""


@dataclass(frozen=True)
class Collapse:
    """The divergence ``series`` at the beginning and at the end, the reconstruction at the end, and since when."""

    series: str
    start: float
    end: float
    reconstruction: float
    steps: Steps


def collapsed_code(view: RunView) -> Collapse | None:
    """A code that says nothing of the input; None where it says something, or no such terms were logged.

    The divergence of the code from its prior is what the code can tell about an input (in nats, when it is not
    weighted). It is gone when it ends below `GONE` of where it began and of the reconstruction, and was so for half of
    the run (Bowman et al., Generating sentences from a continuous space, 2016); or below `FALLEN` of the one and
    `NOTHING` of the other, as where it is logged once an epoch, when the first epoch has seen it go.
    """
    divergence, reconstruction = _term(view, _DIVERGENCES), _term(view, _RECONSTRUCTIONS)
    if divergence is None or reconstruction is None:
        return None
    (name, code), (_, rebuilt) = divergence, reconstruction
    if len(code) < FEWEST or len(rebuilt) < FEWEST or not (code.values >= 0).all():
        return None
    start, end, error = opening(code.values), closing(code.values), closing(rebuilt.values)
    limit = max(GONE * min(start, abs(error)), min(FALLEN * start, NOTHING * abs(error)))
    late = code.values[code.steps > 0.5 * view.last_step]
    if not len(late) or not late.max() < limit:
        return None
    high = code.steps[code.values >= limit]
    return Collapse(name, start, end, error, code.steps[code.steps > (high[-1] if len(high) else -1)])


def _term(view: RunView, words: tuple[str, ...]) -> tuple[str, Curve] | None:
    """The training series whose metric is one of ``words``, or begins with one and an underscore."""
    for name in view.series_names:
        split, metric = split_of(name)
        if split in TRAIN_SPLITS and any(metric == word or metric.startswith(f"{word}_") for word in words):
            curve = view.series(name)
            if curve is not None:
                return name, curve.finite
    return None
