"""Follows over the frames which loss the model's outputs go into, where the probe is not called with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from probes.instrument.outcomes import MAX_CLASSES
from probes.instrument.recognition.answers import Output
from probes.instrument.recognition.logged_losses import LoggedLosses
from probes.instrument.recognition.loss_kind import LossKind, Reals, Recognised, recognise
from probes.instrument.recognition.squared_error import Reduction, SquaredError, Squares

PATIENCE = 3
"""Frames of some other loss after which no more is looked for."""
UNDECIDED = 30
"""Frames that say nothing after which no more is looked for."""
DOUBT = 0.25
"""Share of frames of some other loss from which one that was recognised is given up: a batch is mixed now and then, or
agreed by chance at first."""
PROOF, COMPARED = 3, 8
"""Frames whose logged loss must be the one recognised where the gradient leaves a doubt; frames that are compared."""
NEAR = 0.02
"""Difference, as a share of the loss, of two that are one."""
POWER = 0.01
"""Distance from a power of two, in powers."""
STEADY, FEWEST, LATEST = 1.5, 3, 16
"""Times that the weight of a loss may differ from its median; frames from which it is judged, and are."""


@dataclass(frozen=True)
class Seen:
    """A recognised loss in one frame.

    Attributes:
        step, time: of the frame.
        loss: its mean over what it counts.
        facts, numbers: as `outcomes.Outcome` has them where the loss is observed.
    """

    step: int
    time: float
    loss: float
    facts: dict[str, object]
    numbers: dict[str, npt.NDArray[Any]]


class LossInUse:
    """What is known so far.

    Attributes:
        kind: of the loss, None while not known (or no longer).
        reduction: "mean" or "sum" over what the loss counts, None where neither is so.
        squares: whether it is a squared error, which takes the logged loss to tell.
    """

    def __init__(self) -> None:
        self.kind: LossKind | None = None
        self.reduction: str | None = None
        self.logged = LoggedLosses()
        self.squares = SquaredError(self.logged)
        self._doubtful: deque[tuple[LossKind, str | None, Seen, float]] = deque(maxlen=COMPARED + PROOF)
        self._weights: deque[tuple[float, float, float]] = deque(maxlen=LATEST)
        self._done = False
        self._agreed = self._other = self._undecided = 0

    @property
    def given_up(self) -> bool:
        """Whether no more frames are needed."""
        return self._done and self.squares.given_up

    @property
    def compares(self) -> bool:
        """Whether what is logged is needed."""
        return self.kind is None and not self.given_up

    def look_for_squares(
        self, step: int, time: float, output: Output, values: npt.NDArray[Any], gradients: npt.NDArray[Any], norm: float
    ) -> list[Seen]:
        """As `look`, for a squared error; ``norm`` is that of the gradient of the whole output."""
        if self.kind is not None and self.squares.reduction is None:
            self.squares.give_up()
        if self.squares.given_up:
            return []
        known = self.squares.reduction is not None
        count = int(np.prod(output.shape))
        frames = self.squares.look(
            Squares(step, time, norm**2, count, output.dtype, values.astype(np.float64), gradients.astype(np.float64))
        )
        reduction = self.squares.reduction
        if reduction is None:
            if known:  # no squared error after all
                self.kind, self.reduction = None, None
            return []
        self.kind, self.reduction, self._done = LossKind("MSELoss"), reduction, True
        return [_squares_seen(frame, reduction, output) for frame in frames]

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Takes in what was logged, while it is needed; may be called from another thread."""
        if self.compares:
            self.logged.log(step, values)

    def look(
        self, step: int, time: float, output: Output, values: npt.NDArray[Any], gradients: npt.NDArray[Any]
    ) -> list[Seen]:
        """Takes in the outputs of one frame and what came back to them; returns the frames, up to this one, in which
        the loss is now known to be seen.

        Args:
            step, time: of the frame.
            output: where the arrays come from.
            values, gradients: its rows, float32, laid out as they are there.
        """
        if self._done:
            return []
        answer = recognise(
            _rows(values, output.axis), _rows(gradients, output.axis), dtype=output.dtype, known=self.kind
        )
        found, seen = answer.found, list[Seen]()
        if found is not None and self.kind is not None and not found.kind.like(self.kind):
            self._other += 1
        elif found is not None and not self._weighs_alike(found, output):
            self._done, self.kind = True, None
        elif found is not None and (self.kind is not None or not found.doubtful):
            self._agreed += 1
            self.kind, self.reduction = found.kind, _reduction(found, output)
            seen = [Seen(step, time, found.loss, *describe(found, output))]
        elif found is not None:
            mine = Seen(step, time, found.loss, *describe(found, output))
            self._doubtful.append((found.kind, _reduction(found, output), mine, _number_of_terms(found, output)))
            seen = self._compare()
        elif answer.other:
            self._other += 1
        else:
            self._undecided += 1
        frames = self._agreed + self._other
        if self.kind is None:
            self._done = self._done or self._other >= PATIENCE or self._undecided >= UNDECIDED
        elif self._other > DOUBT * frames:
            self.kind, self._done, seen = None, True, []
        return seen

    def _weighs_alike(self, found: Recognised, output: Output) -> bool:
        """Whether the loss has one weight in all frames: as a mean, as a sum, or as a sum over a constant.

        A policy gradient of whole episodes is a cross-entropy of the actions taken, times the return of each episode.
        A scale against underflow goes by powers of two.
        """
        if found.kind.weighted or output.dtype == "float16":
            return True  # a sum of weights depends on the classes that come
        terms, rows = _number_of_terms(found, output), float(np.prod(output.shape))
        whole = found.total * rows / output.values.numel()
        self._weights.append((whole, whole / terms, whole * rows / terms))
        if len(self._weights) < FEWEST:
            return True
        weights = np.log(self._weights)
        away = np.abs(weights - np.median(weights, axis=0))
        twos = np.abs(away / np.log(2.0) - np.round(away / np.log(2.0))) < POWER
        return bool(((away < np.log(STEADY)) | twos).all(0).any())

    def _compare(self) -> list[Seen]:
        """Compares frames that leave a doubt with what was logged."""
        kind, reduction = self._doubtful[-1][:2]
        mine = [(seen, terms) for other, _, seen, terms in self._doubtful if other.like(kind)]
        compared = 0
        for values in self.logged.by_step():
            pairs = [(seen.loss, terms, values[seen.step]) for seen, terms in mine if seen.step in values]
            compared = max(compared, len(pairs))
            if len(pairs) >= PROOF and any(
                all(
                    abs(logged - loss * (terms if summed else 1.0)) <= NEAR * abs(logged)
                    for loss, terms, logged in pairs
                )
                for summed in (False, True)
            ):
                self.kind, self.reduction = kind, reduction
                self._agreed += len(mine)
                self._doubtful.clear()
                return [seen for seen, _ in mine]
        if compared >= COMPARED:
            self._other += PATIENCE
        elif not compared:
            self._undecided += 1
        return []

    def manifest(self) -> dict[str, object] | None:
        """The loss, with settings named as those of the modules of `torch.nn`; None while not known."""
        if self.kind is None:
            return None
        return {
            "class": self.kind.name,
            "reduction": self.reduction,
            "weighted": self.kind.weighted,
            "label_smoothing": round(self.kind.label_smoothing, 4),
            "through": self.kind.through,
        }


def describe(found: Recognised, output: Output) -> tuple[dict[str, object], dict[str, npt.NDArray[Any]]]:
    """Facts and numbers of one frame, as `outcomes.Outcome` has them where the loss is observed."""
    classes = found.given.shape[1]
    facts: dict[str, object] = {"output_shape": list(output.shape), "output_dtype": output.dtype}
    numbers: dict[str, npt.NDArray[Any]] = {"output": _spread(found.given)}
    if found.targets.ndim == 1:
        if output.axis != 1:  # the loss is given the positions as rows, or the scores along axis 1
            facts["output_shape"] = [int(np.prod(output.shape)) // classes, classes]
        if classes <= MAX_CLASSES:
            facts["classes"] = classes
            known = found.targets >= 0
            numbers |= {
                "labels": np.bincount(found.targets[known], minlength=classes),
                "predictions": np.bincount(found.given[known].argmax(1), minlength=classes),
                "foreign": np.zeros(()),
            }
            if len(output.shape) == 2:
                own = np.take_along_axis(found.given, np.maximum(found.targets, 0)[:, None], 1)
                above = (found.given > own).sum(1)[known].sum()
                numbers["outranked"] = above / (max(1, int(known.sum())) * (classes - 1))
    elif (found.targets >= 0).any():
        numbers["target"] = _spread(found.targets[found.targets >= 0])
        whole = found.targets[(found.targets >= 0).all(1)]
        if len(output.shape) == 2 and 1 < classes <= MAX_CLASSES and len(whole):
            numbers["answers"] = np.concatenate([[len(whole)], whole.sum(0)])
    return facts, numbers


def _squares_seen(frame: Squares, reduction: Reduction, output: Output) -> Seen:
    """A frame of a squared error."""
    mean = frame.loss(reduction) / (1 if reduction == "mean" else frame.count)
    facts: dict[str, object] = {"output_shape": list(output.shape), "output_dtype": output.dtype}
    numbers = {"output": _spread(frame.outputs), "target": _spread(frame.targets(reduction))}
    return Seen(frame.step, frame.time, mean, facts, numbers)


def _rows(values: npt.NDArray[Any], axis: int) -> Reals:
    return np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis]).astype(np.float64)


def _spread(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array([values.mean(), values.std(), values.min(), values.max()])


def _reduction(found: Recognised, output: Output) -> str | None:
    """Whether the loss is a mean or a sum over what it counts, as far as the size of the gradients says.

    Gradients that are scaled (against underflow) or accumulated are of another size.
    """
    counted, total, near = _number_of_terms(found, output), found.total, 5e-3
    if not output.whole:
        total, near = total * np.prod(output.shape) / output.values.numel(), 0.05
    if abs(total - 1.0) < near:
        return "mean"
    return "sum" if abs(total / counted - 1.0) < near else None


def _number_of_terms(found: Recognised, output: Output) -> float:
    """Rows or entries of the whole output that the loss counts."""
    return int((found.targets >= 0).sum()) * float(np.prod(output.shape)) / output.values.numel()
