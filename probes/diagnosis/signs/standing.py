"""Nothing is learned, told by other than the training loss: rewards that are lost or stay, answers that stay at
chance, a triplet loss that stays at its margin.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.progress import majority_share
from probes.diagnosis.signal import block_medians, closing, opening
from probes.diagnosis.task import outputs_of_last_weights
from probes.diagnosis.tracks import accuracy, rewards, split_of
from probes.diagnosis.view import Floats, RunView

_PLAIN = frozenset({"reward", "rewards", "return", "returns", "rew"})
_BESIDE = frozenset(
    {"mean", "avg", "average", "total", "sum", "ep", "episode", "episodic", "per", "env", "undiscounted", "train"}
)
"""Words of a series that is what the agent is to raise: not its spread, a bonus, a part of it, or a model of it."""
MINIMUM_REWARDS, MINIMUM_ACCURACIES, MINIMUM_IN_ONE = 20, 5, 10
ERRORS = 4.0
"""Standard errors by which a reward has fallen; single episodes depend on each other."""
EIGHTHS, LOST = 8, 0.5
"""Parts of a run, and the share of what an agent had gained that it is without in each of the latter half."""
HIGHER, RISEN, SEEN = 3.0, 2.0, 0.75
"""Standard errors of a rise of rewards in any of many parts, and in one of them; the rise, in spreads of single
rewards, that would have been seen.
"""
AT_MOST, TIMES = 0.05, 1.5
"""Accuracy at chance over C classes: 1 / C and this share of the way to 1, and no more than this many times 1 / C."""
MARGINS = (0.1, 0.2, 0.3, 0.5, 1.0)
"""Margins in use for triplets; 1 is the default of PyTorch, 0.2 that of FaceNet."""
BEGAN, ENDED = 1.5, 0.03
"""Highest beginning of such a loss, in margins, and distance from the margin at its end, as a share of it."""
ALIKE = 0.8
"""Variation of the outputs across the examples, of what it was, when they have become more alike."""


@dataclass(frozen=True)
class Standing:
    """A series that tells it, its levels at both ends, and what its end would be above if something were learned."""

    series: str
    start: float
    end: float
    reference: float


def rewards_are_lost(view: RunView) -> Standing | None:
    """Whether an agent gets less in the end than at the beginning, through the latter half, by all that was logged."""
    found = [_lost(view, name) for name in rewards(view) if _is_plain(name)]
    return found[0] if found and all(found) else None


def gains_are_lost(view: RunView) -> Standing | None:
    """Whether an agent is without more than half of what it had gained through the latter half, by all that was logged.

    Of the run's eighths one of the former half is `ERRORS` standard errors above the first, and as far above each of
    the latter half: an agent that learns may stumble, but comes back. `reference` is the best it had come to.
    """
    found = [_lost_again(view, name) for name in rewards(view) if _is_plain(name)]
    return found[0] if found and all(found) else None


def _lost_again(view: RunView, name: str) -> Standing | None:
    curve = view.series(name)
    values = curve.finite.values if curve is not None else np.empty(0)
    if curve is None or len(values) < EIGHTHS * MINIMUM_IN_ONE or begins_late(view, curve.steps):
        return None
    parts = np.array_split(values, EIGHTHS)
    means = np.array([part.mean() for part in parts])
    errors = np.array([part.std(ddof=1) / math.sqrt(len(part)) for part in parts])
    late, best = slice(EIGHTHS // 2, None), int(means[: EIGHTHS // 2].argmax())
    gained = means[best] - means[0]
    clear = gained > ERRORS * math.hypot(errors[best], errors[0])
    gone = (means[late] < means[best] - LOST * gained) & (
        means[late] < means[best] - ERRORS * np.hypot(errors[best], errors[late])
    )
    return Standing(name, float(means[0]), float(means[-1]), float(means[best])) if clear and gone.all() else None


def rewards_stay(view: RunView) -> Standing | None:
    """Whether an agent gets no more at any time than at the beginning, by all that was logged.

    None of the run's eighths is `HIGHER` standard errors above the first, nor is the rest of the run `RISEN` above its
    first twentieth (an agent may learn at once) or the latter half above the former; and three quarters of the
    spread of single rewards more would have been seen. A mean of zero may be that of a game against
    itself, and rewards that are all the same the most there is: then, None.
    """
    found = [_stay(view, name) for name in rewards(view) if _is_plain(name)]
    return found[0] if found and all(found) else None


def _stay(view: RunView, name: str) -> Standing | None:
    curve = view.series(name)
    values = curve.finite.values if curve is not None else np.empty(0)
    if curve is None or len(values) < EIGHTHS * MINIMUM_IN_ONE or begins_late(view, curve.steps):
        return None
    eighth, half, first = len(values) // EIGHTHS, len(values) // 2, max(5, len(values) // 20)
    spread = float(values[: 2 * eighth].std(ddof=1))
    if not spread > 0 or abs(values.mean()) < ERRORS * values.std() / math.sqrt(len(values)):
        return None
    start = values[:eighth]
    pairs = [(part, start, HIGHER) for part in np.array_split(values, EIGHTHS)[1:]]
    pairs += [(values[first:], values[:first], RISEN), (values[half:], values[:half], RISEN)]
    if any(_above(later, before, errors * spread) for later, before, errors in pairs):
        return None
    late = values[half:]
    most = late.mean() - start.mean() + RISEN * spread * math.sqrt(1 / len(late) + 1 / len(start))
    if most > SEEN * spread:
        return None
    return Standing(name, float(start.mean()), float(values[-eighth:].mean()), float(start.mean()))


def _above(later: Floats, before: Floats, chance: float) -> bool:
    """Whether the mean of ``later`` [T] is above that of those ``before`` [S] by the ``chance`` of single rewards."""
    return float(later.mean() - before.mean()) > chance * math.sqrt(1 / len(later) + 1 / len(before))


def _is_plain(name: str) -> bool:
    words = set(re.split(r"[^a-z]+", split_of(name)[1])) - {""}
    return bool(words & _PLAIN) and words <= _PLAIN | _BESIDE


def _lost(view: RunView, name: str) -> Standing | None:
    curve = view.series(name)
    values = curve.finite.values if curve is not None else np.empty(0)
    if curve is None or len(values) < MINIMUM_REWARDS or begins_late(view, curve.steps):
        return None
    head, tail = values[: max(5, min(20, len(values) // 20))], values[-max(5, len(values) // 5) :]
    start, end = float(head.mean()), float(tail.mean())
    error = math.hypot(head.std() / math.sqrt(len(head)), tail.std() / math.sqrt(len(tail)))
    _, levels = block_medians(curve.finite.steps, values, 8)
    late = levels[len(levels) // 2 :]
    return Standing(name, start, end, start) if end < start - ERRORS * error and late.max() < start else None


def stays_at_chance(view: RunView) -> Standing | None:
    """Whether an accuracy ends at that of guessing among the outputs of the last layer, and no better than it began."""
    outputs = outputs_of_last_weights(view)
    track = accuracy(view, validation=False) or accuracy(view, validation=True)
    values = track[1].finite.values if track is not None else np.empty(0)
    if track is None or outputs < 2 or len(values) < MINIMUM_ACCURACIES or begins_late(view, track[1].steps):
        return None
    chance = 1.0 / outputs
    limit = min(chance + AT_MOST * (1.0 - chance), TIMES * chance)
    start, end = opening(values), closing(values)
    at_chance = end < limit and majority_share(view) < limit
    return Standing(track[0], start, end, limit) if at_chance and end <= start else None


def margin_it_stays_at(view: RunView, name: str, loss: Floats) -> float | None:
    """The margin at which the triplet loss ``name`` [T] has come to rest from above, while the outputs became more
    alike: that of outputs that are all the same.
    """
    if "triplet" not in re.split(r"[^a-z]+", name.lower()) or len(loss) < MINIMUM_REWARDS:
        return None
    start, end = opening(loss), closing(loss)
    table = view.layers("batch_variation")
    if table is not None:
        last = table.values[table.measured[:, -1], -1]
        if len(last) > 1 and not last[-1] < ALIKE * last[0]:
            return None
    near = [margin for margin in MARGINS if abs(end - margin) < ENDED * margin and margin <= start < BEGAN * margin]
    return near[0] if near else None
