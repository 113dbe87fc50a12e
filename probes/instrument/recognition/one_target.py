"""Recognises a loss that draws the outputs of all examples to one value, whatever their targets are.

Scores [N, 1] beside targets [N] are broadcast: each score is compared with each target. The gradient of a mean squared
error at score i is then 2/N times its distance to the mean of the targets of the batch, and that of a mean absolute
error counts how many targets lie below it and above: the same function of the score for all examples, which the
gradient of a comparison with the example's own target is not. PyTorch warns of it ("Using a target size that is
different to the input size") and goes on; the net learns the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.instrument.recognition.loss_kind import Reals

FEWEST, STAIRS = 8, 3
"""Different scores from which chance does not put the gradients in their order, and steps of a staircase: an absolute
error of an example's own target has two, and zero between them where they are as high."""
EXACT, GRID = 2e-3, 1e-3
"""Deviation from a straight line, in standard deviations of it, and from whole numbers: rounding is far below both."""
PROOF, PROOF_BY_STAIRS, ENOUGH = 5, 3, 40
"""Frames that must have the form, none of them another; frames that are looked at."""
DISTINCT, APART = 4, 1e-3
"""Different values that so many frames must be drawn to, and by what part of the range of the scores they differ: a
critic of generated and real examples is drawn to one label, or to the other."""
STEADY = 0.01
"""Difference of the pulls of two frames, as a share: they follow from the size of the batch alone."""
OFF = 0.02
"""Distance of that value from the middle of the scores, in ranges of them: a loss of their spread draws them there."""


@dataclass(frozen=True)
class Draw:
    """What all scores of one frame are drawn to.

    Attributes:
        to: the value, or where it lies beyond the scores, in a staircase, the nearest of them.
        pull: gradient for each unit of distance (of a staircase: for each target passed), times the examples.
        spread: range of the scores.
        off: distance of `to` from their mean, of a staircase from their median.
        stairs: whether the gradient is a staircase of the score, or else a straight line.
        sure: whether it takes more than chance to find the gradients so.
    """

    to: float
    pull: float
    spread: float
    off: float
    stairs: bool = False
    sure: bool = True


def draw_of(scores: Reals, gradients: Reals, examples: int) -> Draw | None:
    """The value to which a loss draws all ``scores`` [n] of a batch of ``examples``, by its ``gradients`` [n].

    None where it is not one function of the score, or rises nowhere.
    """
    order = np.argsort(scores, kind="stable")
    scores, gradients = scores[order], gradients[order]
    return _staircase(scores, gradients, examples) or _straight_line(scores, gradients, examples)


def _staircase(scores: Reals, gradients: Reals, examples: int) -> Draw | None:
    """Of absolute errors: the gradient counts the targets below a score less those above, in order of the scores."""
    for unit in (1.0 / examples**2, 1.0):
        steps = np.round(gradients / unit)
        if (
            np.abs(gradients / unit - steps).max() > GRID
            or np.abs(steps).max() > examples
            or (np.diff(steps) < 0).any()
        ):
            continue
        levels = np.unique(steps)
        sure = len(levels) >= STAIRS and not np.isin(np.abs(levels), (0.0, np.abs(levels).max())).all()
        first = int(np.searchsorted(steps, 0, side="right"))  # of the scores that are to fall
        to = float(scores[max(first - 1, 0)] + scores[min(first, len(scores) - 1)]) / 2
        return Draw(to, unit * examples**2, float(np.ptp(scores)), abs(to - float(np.median(scores))), True, sure)
    return None


def _straight_line(scores: Reals, gradients: Reals, examples: int) -> Draw | None:
    """Of squared errors: the gradient rises with the distance to the mean of the targets."""
    centred = scores - scores.mean()
    variance = float(np.mean(centred**2))
    slope = float(np.mean(centred * gradients)) / variance
    left = gradients - gradients.mean() - slope * centred
    if not slope > 0 or float(np.abs(left).max()) > EXACT * slope * np.sqrt(variance):
        return None
    away = -float(gradients.mean()) / slope
    return Draw(float(scores.mean()) + away, slope * examples, float(np.ptp(scores)), abs(away))


class OneTarget:
    """Follows it over the frames. ``given_up``: whether no more of them are needed."""

    def __init__(self) -> None:
        self.given_up = False
        self._draws: list[tuple[int, float, Draw]] = []
        self._looked = 0

    def look(
        self, step: int, time: float, shape: tuple[int, ...], scores: Reals, gradients: Reals
    ) -> list[tuple[int, float, float]]:
        """Takes in one frame: the scores of a batch of ``shape`` and what came back to them, both [n].

        Returns (step, time, value) of the frames, up to this one, in which all scores are now known to be drawn to
        one value.
        """
        if self.given_up:
            return []
        examples, self._looked = int(np.prod(shape)), self._looked + 1
        self.given_up = examples != shape[0] or self._looked >= ENOUGH
        if self.given_up or len(np.unique(scores)) < FEWEST:
            return []
        draw = draw_of(scores.astype(np.float64), gradients.astype(np.float64), examples)
        if draw is None or (draw.sure and self._draws and abs(draw.pull / self._draws[0][2].pull - 1.0) > STEADY):
            self.given_up = True
            return []
        if not draw.sure:
            return []
        self._draws.append((step, time, draw))
        needed = PROOF_BY_STAIRS if draw.stairs else PROOF
        if len(self._draws) < needed:
            return []
        if len(self._draws) > needed:
            self._draws.pop()
            return [(step, time, draw.to)]
        if not _varies([draw for _, _, draw in self._draws]):
            self.given_up = True
            return []
        return [(step, time, draw.to) for step, time, draw in self._draws]


def _varies(draws: list[Draw]) -> bool:
    """Whether the value is not the middle of the scores themselves, and moves with the batch. (One label for all gives
    no staircase.)
    """
    if not any(draw.off > OFF * draw.spread for draw in draws):
        return False
    near = APART * float(np.median([draw.spread for draw in draws]))
    values = np.sort([draw.to for draw in draws])
    return draws[0].stairs or 1 + int((np.diff(values) > near).sum()) >= DISTINCT
