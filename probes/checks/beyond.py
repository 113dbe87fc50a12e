"""A look at the data beyond the batches that the checks work with: one bad number or label may be anywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from probes.checks.batches import Batch
from probes.checks.clock import Deadline
from probes.checks.trees import named_tensors

SHARE = 0.05  # of the budget
MOST_LABELS = 4_000_000
MOST_FOUND = 20


class Beyond:
    """Collects numbers that are not finite, and targets, of batch after batch, until the time is up.

    Attributes:
        batches: how many batches were looked at.
        complete: whether the data came to its end.
        nonfinite: "3 of 640 in inputs of batch 12", at most twenty of them.
        targets: the targets of each batch as long as they are single tensors and not too many.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.batches = 0
        self.complete = True
        self.nonfinite: list[str] = []
        self.targets: list[Tensor] = []
        self._deadline = deadline
        self._labels = 0

    def __call__(self, number: int, batch: Batch) -> bool:
        """Takes in batch `number`; False when there is no more time."""
        self.batches += 1
        if len(self.nonfinite) < MOST_FOUND:
            self.nonfinite += nonfinite(batch, number)
        if isinstance(batch.targets, Tensor) and self._labels + batch.targets.numel() <= MOST_LABELS:
            self._labels += batch.targets.numel()
            self.targets.append(batch.targets.detach().clone())
        self.complete = not self._deadline.expired
        return self.complete


def nonfinite(batch: Batch, number: int) -> list[str]:
    """Where the batch holds NaN and infinities, in words."""
    found = []
    for part, tree in (("inputs", batch.inputs), ("targets", batch.targets)):
        for path, tensor in named_tensors(tree):
            if tensor.is_floating_point() or tensor.is_complex():
                count = int((~torch.isfinite(tensor)).sum())
                if count:
                    found.append(f"{count} of {tensor.numel()} in {part}{path} of batch {number}")
    return found
