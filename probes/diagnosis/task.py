"""What a run tells of its task: whether it is classification, how accurate the net has become, how large a batch is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from probes.diagnosis.manifest import ModuleInfo, read_loss
from probes.diagnosis.signal import closing
from probes.diagnosis.tracks import VALIDATION_SPLITS, accuracy, share_right, split_of
from probes.diagnosis.view import RunView

_OF_CLASSES = ("CrossEntropyLoss", "NLLLoss")


def classifies(view: RunView) -> bool:
    """Whether the task is known to be classification: by the loss function, or by an accuracy that was logged."""
    loss = read_loss(view.manifest)
    named = loss is not None and loss.name in _OF_CLASSES
    return named or any(accuracy(view, validation=validation) is not None for validation in (False, True))


def classes_of_targets(view: RunView) -> int | None:
    """Number of classes among the targets seen; None when none were."""
    data = view.manifest.get("data")
    classes = data.get("classes") if isinstance(data, Mapping) else None
    return classes if isinstance(classes, int) and classes >= 2 else None


def shape_of(view: RunView, key: str) -> tuple[int, ...]:
    """The shape that the manifest holds under ``data``/``key``; empty when it is not known."""
    data = view.manifest.get("data")
    shape = data.get(key) if isinstance(data, Mapping) else None
    return tuple(int(n) for n in shape) if isinstance(shape, (list, tuple)) else ()


def outputs_of_last_weights(view: RunView) -> int:
    """Outputs of the last layer with weights: as many as there are classes, if it is a classifier; 0 without any."""
    weights = [parameter for parameter in view.parameters if parameter.is_weight]
    return weights[-1].shape[0] if weights else 0


def last_module(view: RunView) -> ModuleInfo | None:
    """The last module that was called; None when no call was seen."""
    return next((module for module in reversed(view.modules) if module.output_shape), None)


def accuracy_at_end(view: RunView) -> float | None:
    """The higher of training and validation accuracy at the end, as a share of 1; None when none was logged."""
    ends = []
    for validation in (False, True):
        track = accuracy(view, validation=validation)
        values = track[1].finite.values if track is not None else np.empty(0)
        if len(values):
            ends.append(closing(values, points=1))
    return max(ends, default=None)


SCORES = frozenset(
    {"dice", "iou", "miou", "jaccard", "f1", "fscore", "map", "em", "bleu", "kappa", "mcc"}
    | {"r2", "rsquared", "explained", "nse"}
)
"""Words for scores that are 1 where every answer is right, and about 0 where none is better than chance."""


def scores(view: RunView) -> list[str]:
    """The validation scores that were logged."""
    found = []
    for name in view.series_names:
        split, metric = split_of(name)
        words = set(metric.replace("-", "_").replace("/", "_").split("_"))
        if split in VALIDATION_SPLITS and words & SCORES and "loss" not in words:
            found.append(name)
    return found


def score_at_end(view: RunView) -> float | None:
    """The highest validation score at the end, as a share of 1; None when none was logged."""
    ends = []
    for name in scores(view):
        curve = view.series(name)
        if curve is not None and len(curve.finite):
            ends.append(closing(share_right(curve.finite.values), points=1))
    return max(ends, default=None)


def falls_short(accuracy: float, common: float, part: float) -> bool:
    """Whether an ``accuracy`` is less than ``part`` of the way from that of always giving the most frequent class,
    ``common``, to 1.
    """
    return accuracy - common < part * (1.0 - common)


def batch_size(view: RunView) -> int | None:
    """Examples in a batch: the length that the outputs of most modules have; None when no shape was recorded."""
    sizes = [module.output_shape[0] for module in view.modules if len(module.output_shape) >= 2]
    return max(set(sizes), key=sizes.count) if sizes else None
