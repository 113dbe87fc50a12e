"""The share of correct answers, for the losses that have answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from probes.checks.losses.identify import BINARY_KINDS, LossSpec, class_rows
from probes.checks.trees import main_tensor


def accuracy(spec: LossSpec, outputs: Any, targets: Any) -> float | None:
    """Share of labels (classes, or single yes/no answers) that are right; None for other losses or soft
    targets.
    """
    rows = class_rows(spec, outputs, targets)
    if rows is not None:
        scores, labels = rows
        return float((scores.argmax(1) == labels).float().mean()) if labels.numel() else None
    main = main_tensor(outputs)
    if spec.classes and main is not None and isinstance(targets, Tensor) and main.shape[0] == targets.shape[0]:
        return float((main.argmax(1) == targets).float().mean())
    if spec.kind not in BINARY_KINDS or main is None or not is_hard(targets) or main.numel() != targets.numel():
        return None
    cut = 0.0 if spec.kind == "bce-logits" else 0.5
    return float(((main.reshape(-1) > cut) == (targets.reshape(-1) > 0.5)).float().mean())


def is_hard(targets: Any) -> bool:
    """Whether all targets are exactly 0 or 1."""
    return isinstance(targets, Tensor) and bool(torch.all((targets == 0) | (targets == 1)))
