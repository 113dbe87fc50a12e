"""Judge the sign of the entropy in the loss of an agent."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import short
from probes.diagnosis.signal import MAD_TO_SIGMA, closing, opening
from probes.diagnosis.tracks import rewards, split_of
from probes.diagnosis.view import RunView

MINIMUM_VALUES = 20
GONE = 0.1
"""Entropy, of that at the beginning, of a policy that has made its choice."""
ALIKE = 0.1
"""Spread of the loss over the entropy, of its median, within which the one is made of the other."""


def entropy_is_paid_for(view: RunView) -> Mismatch | None:
    """A loss of an agent that is a positive multiple of the policy's entropy, which has gone.

    The bonus for exploration is subtracted from what is minimised: with a policy that is sure, the loss is then a small
    negative multiple of the entropy. A positive one, alike through the latter half, is an entropy that was added.
    """
    rewarded = rewards(view)
    measured = [name for name in view.series_names if "entropy" in split_of(name)[1].replace("-", "_").split("_")]
    entropies = [name for name in measured if "loss" not in name.lower().partition("/")[2]]
    if not rewarded or len(entropies) != 1:
        return None
    entropy = view.series(entropies[0])
    for name in view.series_names:
        loss = view.series(name) if "loss" in split_of(name)[1] and name != entropies[0] else None
        if loss is None or entropy is None:
            continue
        steps, mine, theirs = np.intersect1d(loss.finite.steps, entropy.finite.steps, return_indices=True)
        losses, left = loss.finite.values[mine], entropy.finite.values[theirs]
        if len(steps) < MINIMUM_VALUES or not (left > 0.0).all() or closing(left) > GONE * opening(left):
            continue
        ratio = losses[len(losses) // 2 :] / left[len(left) // 2 :]
        times = float(np.median(ratio))
        if times > 0.0 and MAD_TO_SIGMA * float(np.median(np.abs(ratio - times))) < ALIKE * times:
            return Mismatch(
                f"{name} has been {short(times)} times {entropies[0]} through the latter half, and {entropies[0]} fell "
                f"from {short(opening(left))} to {short(closing(left))}: the entropy is added to what is minimised, so "
                f"that the policy is paid for being sure, and not for {rewarded[0]}.",
                int(steps[0]),
                evidence=(
                    Evidence(name, times, 0.0, ">", note="loss over entropy, median of the latter half"),
                    Evidence(entropies[0], closing(left), GONE * opening(left), "<", note="entropy at the end"),
                ),
                suggestions=(
                    f"subtract the entropy: loss - {short(min(times, 0.01))} * entropy",
                    "weigh it with 0.01 or less first, and see that it falls slowly while rewards rise",
                ),
            )
    return None
