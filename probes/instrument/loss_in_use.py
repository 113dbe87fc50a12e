"""Follows over the frames which loss the model's outputs go into, where the probe is not called with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from probes.instrument.answers import Output
from probes.instrument.loss_kind import LossKind, Reals, Recognised, recognise
from probes.instrument.outcomes import MAX_CLASSES
from probes.instrument.squared_error import Reduction, SquaredError, Squares

PATIENCE = 3
"""Frames of some other loss after which no more is looked for."""
UNDECIDED = 30
"""Frames that say nothing after which no more is looked for."""
DOUBT = 0.25
"""Share of frames of some other loss from which one that was recognised is given up: a batch is mixed now and then, or
agreed by chance at first."""


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
        self.squares = SquaredError()
        self._done = False
        self._agreed = self._other = self._undecided = 0

    @property
    def given_up(self) -> bool:
        """Whether no more frames are needed."""
        return self._done and self.squares.given_up

    @property
    def compares(self) -> bool:
        """Whether what is logged is needed."""
        return self.kind is None and not self.squares.given_up

    def look_for_squares(
        self, step: int, time: float, output: Output, values: npt.NDArray[Any], gradients: npt.NDArray[Any], norm: float
    ) -> list[tuple[Squares, Reduction]]:
        """Frames, up to this one, that are now known to be of a squared error."""
        if self.kind is not None and self.squares.reduction is None:
            self.squares.give_up()
        if self.squares.given_up:
            return []
        count = int(np.prod(output.shape))
        frames = self.squares.look(
            Squares(step, time, norm**2, count, output.dtype, values.astype(np.float64), gradients.astype(np.float64))
        )
        reduction = self.squares.reduction
        if reduction is None:
            return []
        self.kind, self.reduction, self._done = LossKind("MSELoss"), reduction, True
        return [(frame, reduction) for frame in frames]

    def look(self, output: Output, values: npt.NDArray[Any], gradients: npt.NDArray[Any]) -> Recognised | None:
        """Takes in the outputs of one frame and what came back to them; returns the loss when it is seen in them.

        Args:
            output: where the arrays come from.
            values, gradients: its rows, float32, laid out as they are there.
        """
        if self._done:
            return None
        answer = recognise(
            _rows(values, output.axis), _rows(gradients, output.axis), dtype=output.dtype, known=self.kind
        )
        found = answer.found
        if found is not None and self.kind is not None and not found.kind.like(self.kind):
            found = None
            self._other += 1
        elif found is not None:
            self._agreed += 1
            self.kind, self.reduction = found.kind, _reduction(found, output)
        elif answer.other:
            self._other += 1
        else:
            self._undecided += 1
        frames = self._agreed + self._other
        if self.kind is None:
            self._done = self._other >= PATIENCE or self._undecided >= UNDECIDED
        elif self._other > DOUBT * frames:
            self.kind, found, self._done = None, None, True
        return found

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
    elif (found.targets >= 0).any():
        numbers["target"] = _spread(found.targets[found.targets >= 0])
    return facts, numbers


def describe_squares(frame: Squares, reduction: Reduction) -> dict[str, npt.NDArray[Any]]:
    """Numbers of one frame of a squared error."""
    return {"output": _spread(frame.outputs), "target": _spread(frame.targets(reduction))}


def _rows(values: npt.NDArray[Any], axis: int) -> Reals:
    return np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis]).astype(np.float64)


def _spread(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array([values.mean(), values.std(), values.min(), values.max()])


def _reduction(found: Recognised, output: Output) -> str | None:
    """Whether the loss is a mean or a sum over what it counts, as far as the size of the gradients says.

    Gradients that are scaled (against underflow) or accumulated are of another size.
    """
    counted = int((found.targets >= 0).sum())
    total, near = found.total, 5e-3
    if not output.whole:
        share = output.values.numel() / float(np.prod(output.shape))
        counted, total = round(counted / share), total / share
        near = 0.05
    if abs(total - 1.0) < near:
        return "mean"
    return "sum" if abs(total / counted - 1.0) < near else None
