"""What the net is asked for and what it answers: ranges of outputs and targets, labels, predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from probes.instrument.modules import first_tensor, is_measurable
from probes.instrument.sampling import take

MAX_CLASSES = 1_024
"""With more classes than this labels and predictions are not counted."""

OUTCOME_LIMIT = 16_384

_LABEL_TYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


@dataclass(frozen=True)
class Outcome:
    """One call of the loss in a training step.

    Attributes:
        facts: shapes and types, for the manifest.
        numbers: name -> small tensors: ``output`` and ``target`` are float32 [4] (mean, std, min, max),
            ``labels`` and ``predictions`` are counts [classes], ``foreign`` counts labels outside of them,
            ``outranked`` is the share of the other scores that are above the label's, both 0-d; ``answers`` is the
            number of examples and, over these, the sum of the targets of each of K outputs, [1 + K].
    """

    facts: Mapping[str, object]
    numbers: Mapping[str, Tensor]


def observe(outputs: object, targets: object) -> Outcome | None:
    """Looks at what a loss is called with; None when the outputs are no plain tensor."""
    output, target = first_tensor(outputs), first_tensor(targets)
    if output is None or not is_measurable(output) or output.dim() == 0:
        return None
    output = output.detach()
    facts: dict[str, object] = {"output_shape": list(output.shape), "output_dtype": _dtype(output)}
    numbers = {"output": _describe(take(output, OUTCOME_LIMIT))}
    if target is None or target.numel() == 0 or target.device != output.device:
        return Outcome(facts, numbers)
    target = target.detach()
    facts |= {"target_shape": list(target.shape), "target_dtype": _dtype(target)}
    classes = output.shape[1] if output.dim() >= 2 else 1
    if _is_class_index(output, target) and classes <= MAX_CLASSES:
        facts["classes"] = classes
        numbers |= _count_classes(output.argmax(1), target, classes)
        if output.dim() == 2:
            numbers["outranked"] = _outranked(output, target, classes)
    elif not target.is_complex():
        numbers["target"] = _describe(take(target.to(torch.float32), OUTCOME_LIMIT))
        if output.dim() == 2 and output.shape == target.shape and 1 < classes <= MAX_CLASSES:
            numbers["answers"] = _sum_answers(target, classes)
    return Outcome(facts, numbers)


def _is_class_index(output: Tensor, target: Tensor) -> bool:
    """Whether targets are class numbers, one for each distribution along axis 1 of the outputs."""
    return (
        target.dtype in _LABEL_TYPES
        and output.dim() >= 2
        and output.shape[1] > 1
        and target.shape == output.shape[:1] + output.shape[2:]
    )


def _count_classes(predicted: Tensor, target: Tensor, classes: int) -> dict[str, Tensor]:
    target = target.to(torch.int64)
    known = (target >= 0) & (target < classes)
    # One bin beyond the classes takes what is foreign, so that no selection has to wait for the device.
    labels = _count(torch.where(known, target, classes), classes + 1)
    predictions = _count(torch.where(known, predicted, classes), classes + 1)
    return {"labels": labels[:-1], "predictions": predictions[:-1], "foreign": labels[-1]}


def _outranked(output: Tensor, target: Tensor, classes: int) -> Tensor:
    """Share of the other scores that are above that of the label, 0-d: one half where nothing is known."""
    known = (target >= 0) & (target < classes)
    own = output.gather(1, torch.where(known, target, 0).to(torch.int64).unsqueeze(1))
    above = (output > own).sum(1) * known
    return above.sum() / (known.sum().clamp(min=1) * (classes - 1))


def _sum_answers(target: Tensor, answers: int) -> Tensor:
    """See `Outcome`; of many examples those of evenly spaced rows."""
    apart = -(-len(target) // max(1, OUTCOME_LIMIT // answers))
    seen = target[::apart].to(torch.float32)
    return torch.cat([seen.new_full((1,), len(seen)), seen.sum(0)])


def _count(values: Tensor, length: int) -> Tensor:
    flat = values.reshape(-1)
    counts = torch.zeros(length, dtype=torch.int32, device=flat.device)
    return counts.index_add_(0, flat, torch.ones_like(flat, dtype=torch.int32))


def _describe(sample: Tensor) -> Tensor:
    mean = sample.mean()
    deviation = torch.linalg.vector_norm(sample - mean) / sample.numel() ** 0.5
    return torch.stack([mean, deviation, sample.amin(), sample.amax()])


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


class ObservedLoss:
    """A loss function that shows its arguments to an observer and returns exactly what the original returns."""

    def __init__(self, function: Callable[..., Any], observer: Callable[[Any, Any], None]) -> None:
        self._function = function
        self._observer = observer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = [*args, *kwargs.values()]
        if len(values) >= 2 and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._observer(values[0], values[1])
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


@dataclass
class OutcomeTotals:
    """Adds up over the frames what is known about targets and predictions, for the manifest."""

    facts: dict[str, object] = field(default_factory=dict)
    labels: npt.NDArray[np.int64] | None = None
    foreign: int = 0
    answers: npt.NDArray[np.float64] | None = None
    target_min: float = np.inf
    target_max: float = -np.inf

    def add(self, facts: Mapping[str, object], numbers: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
        """Takes in one frame; returns its series."""
        self.facts |= facts
        series: dict[str, float] = {}
        for what in ("output", "target"):
            if what in numbers:
                for name, value in zip(("mean", "std", "min", "max"), numbers[what], strict=True):
                    series[f"data/{what}_{name}"] = float(value)
        if "target" in numbers:
            self.target_min = min(self.target_min, float(numbers["target"][2]))
            self.target_max = max(self.target_max, float(numbers["target"][3]))
        if "answers" in numbers:
            answers = numbers["answers"].astype(np.float64)
            same = self.answers is not None and self.answers.shape == answers.shape
            self.answers = self.answers + answers if same and self.answers is not None else answers
        if "labels" in numbers:
            labels = numbers["labels"].astype(np.int64)
            same = self.labels is not None and self.labels.shape == labels.shape
            self.labels = self.labels + labels if same and self.labels is not None else labels
            self.foreign += int(numbers["foreign"])
            series["data/largest_label_share"] = _largest_share(labels)
            series["data/largest_prediction_share"] = _largest_share(numbers["predictions"])
        if "outranked" in numbers:
            series["data/label_outranked"] = float(numbers["outranked"])
        return series

    def manifest(self) -> dict[str, object]:
        """What is known so far."""
        known = dict(self.facts)
        if self.labels is not None:
            known |= {"label_counts": self.labels.tolist(), "foreign_labels": self.foreign}
        if self.answers is not None and np.isfinite(self.answers).all() and self.answers[0] > 0:
            examples, sums = int(self.answers[0]), self.answers[1:]
            known |= {"target_examples": examples, "target_means": (sums / examples).tolist()}
        if self.target_min <= self.target_max:
            known |= {"target_min": self.target_min, "target_max": self.target_max}
        return known


def _largest_share(counts: npt.NDArray[Any]) -> float:
    total = int(counts.sum())
    return float(counts.max()) / total if total else float("nan")
