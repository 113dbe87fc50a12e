"""What a bad beginning cost: initial weights that are far too large or too small are no harm by themselves."""

from __future__ import annotations

from typing import Literal

import numpy as np

from probes.diagnosis.outcome import answers_poorly, answers_short, came_to_little, knowledge_left, validated_short
from probes.diagnosis.progress import Progress, majority_share
from probes.diagnosis.signal import closing, level
from probes.diagnosis.signs.late_start import LASTS, late_start
from probes.diagnosis.signs.never_bent import never_bent
from probes.diagnosis.slope import fall, is_certain
from probes.diagnosis.task import falls_short
from probes.diagnosis.tracks import accuracy, training_loss
from probes.diagnosis.view import RunView

Kind = Literal["large", "small", "fading", "turning"]

HALF = 0.5
"""Part of the loss that is left, and was left on a plateau, where the beginning did harm."""
WELL, AHEAD = 0.8, 0.1
"""Share right of what guessing gets wrong that is well, and accuracy in training ahead of that in validation."""
NEARLY_ALL = 0.9
"""The same share where weights begin beyond anything that is in use: it takes a tenth wrong to blame them."""
CERTAIN = 5.0
"""Standard errors of a fall that is beyond doubt."""
ENOUGH, LEAP, OFTEN = 100, 2.5, 0.05
"""Values of a loss, and how many of them lie how far above their level, in a net that small steps still throw about."""
A_QUARTER = 0.25
"""Part of the run that such a plateau takes where outputs next to nothing are there to explain it."""
FADING_STEPS = 1000
"""Steps of a run that goes on in which a deep net may leave the plateau that a faded signal begins with."""


def did_harm(view: RunView, kind: Kind, learned: Progress, least: float, steps_needed: float, extreme: bool) -> bool:
    """Whether a beginning of this ``kind`` did harm, by what was learned since.

    Args:
        learned: the progress of the training loss.
        least: share of the loss that must be gone for there to be no harm.
        steps_needed: steps in which that may be asked of a run; of one that goes on twice as many where it is gone.
        extreme: whether the weights are larger than any scheme in use makes them, as drawn.
    """
    running = view.status == "running"
    if kind == "turning":
        return not running and view.last_step >= steps_needed and came_to_little(view, learned)
    if learned.share < least:
        return kind != "fading" or not running or view.last_step >= FADING_STEPS
    if kind != "large" and not running and _left_late(view, learned, A_QUARTER if kind == "small" else LASTS):
        return True
    over = kind == "large" and not running
    if view.last_step < (steps_needed if over else 2 * steps_needed):
        return False
    if kind == "fading":
        # Outputs that are all alike at first have the loss of guessing: it need not be known otherwise.
        return not running and (came_to_little(view, learned) or (learned.share < HALF and not _well(view)))
    known = learned.guessing is not None or learned.variance is not None
    if known and (came_to_little(view, learned) or (not running and learned.share < HALF and not _well(view))):
        return True
    if kind == "small":
        return not running and (_gets_wrong(view, 1.0 - WELL) or (_leaves(view, 1.0 - WELL) and never_bent(view)))
    return over and (
        _knows_only_its_examples(view)
        or bool(not known and answers_poorly(view))
        or (extreme and (_gets_wrong(view, 1.0 - NEARLY_ALL) or _leaves(view, 1.0 - NEARLY_ALL)))
        or (extreme and not known and (_far_from_done(view) or _restless(view)))
    )


def _left_late(view: RunView, learned: Progress, lasts: float) -> bool:
    """Whether the loss rested high up for a large part of the run before it fell."""
    plateau = late_start(training_loss(view)[1].finite, lasts)
    return plateau is not None and plateau.level > (1.0 - HALF) * learned.reference


def _far_from_done(view: RunView) -> bool:
    """Whether, without an accuracy, the loss still falls for certain at the end, so fast that as many steps again would
    take off half of it: what remains is the beginning, which small steps take away slowly.
    """
    loss = training_loss(view)[1].finite
    steps = loss.steps.astype(np.float64)
    found = fall(steps, loss.values)
    unmeasured = answers_poorly(view) is None and found is not None and found.promise >= HALF
    return unmeasured and found is not None and is_certain(found, steps, loss.values, CERTAIN)


def _restless(view: RunView) -> bool:
    """Whether, without an accuracy, the loss leaps to the end: a twentieth or more of the latter half lies at `LEAP`
    times its level, and a line through it does not fall for certain.
    """
    loss = training_loss(view)[1].finite
    late = loss.values[len(loss) // 2 :]
    if answers_poorly(view) is not None or len(late) < ENOUGH or not level(late) > 0:
        return False
    steps = loss.steps.astype(np.float64)
    found = fall(steps, loss.values)
    still_falls = found is not None and is_certain(found, steps, loss.values, CERTAIN)
    return not still_falls and float(np.mean(late > LEAP * level(late))) >= OFTEN


def _knows_only_its_examples(view: RunView) -> bool:
    """Whether validation gets wrong a fifth or more of what guessing gets wrong, and far more than training does.

    Weights that begin large need not change to fit the examples: features are hardly learned (Chizat, Oyallon and
    Bach, On lazy training in differentiable programming, 2019).
    """
    own, other = accuracy(view, validation=False), accuracy(view, validation=True)
    if own is None or other is None or min(len(own[1].finite), len(other[1].finite)) < 3:
        return False
    right, held = closing(own[1].finite.values), closing(other[1].finite.values)
    return falls_short(held, majority_share(view), WELL) and right - held > AHEAD


def _gets_wrong(view: RunView, part: float) -> bool:
    """Whether validation, or training where there is none, gets wrong ``part`` or more of what guessing gets wrong."""
    return bool(validated_short(view, 1.0 - part))


def _leaves(view: RunView, part: float) -> bool:
    """Whether a regression, without an accuracy, leaves ``part`` of what can be learned (`knowledge_left`), or more."""
    left = knowledge_left(view) if answers_poorly(view) is None else None
    return left is not None and left >= part


def _well(view: RunView) -> bool:
    return answers_short(view, WELL) is False
