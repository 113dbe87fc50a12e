"""A short training of a rig on one batch, with its curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from probes.checks.accuracy import accuracy
from probes.checks.batches import Batch
from probes.checks.clock import Deadline
from probes.checks.losses.identify import LossSpec
from probes.checks.rig import Rig, backward, trainable

PATIENCE = 80  # steps without any new best loss after which a fit is given up


@dataclass
class Fit:
    """One attempt: loss and accuracy at every step (before the step's update)."""

    learning_rate: float
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    reached: bool = False
    stopped: str = ""

    @property
    def best(self) -> float:
        finite = [value for value in self.losses if math.isfinite(value)]
        return min(finite) if finite else math.inf

    @property
    def best_accuracy(self) -> float | None:
        return max(self.accuracies, default=None)

    @property
    def falling(self) -> bool:
        """Whether the loss was still coming down when the fit ended."""
        if len(self.losses) < 40:
            return len(self.losses) > 1 and self.losses[-1] < self.losses[0]
        tail = self.losses[-20:]
        return sum(tail) / 20 < 0.99 * sum(self.losses[-40:-20]) / 20


def fit(
    rig: Rig,
    spec: LossSpec,
    batch: Batch,
    learning_rate: float,
    steps: int,
    deadline: Deadline,
    done: Callable[[float, float | None], bool],
) -> Fit:
    """Train with Adam, no weight decay, until `done(loss, accuracy)`, `steps`, the deadline, or no more
    progress.
    """
    parameters = list(trainable(rig.model).values())
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    result = Fit(learning_rate)
    best, best_step = math.inf, 0
    for step in range(steps + 1):
        optimizer.zero_grad(set_to_none=True)
        outputs = rig.outputs(batch)
        loss = rig.loss_of(outputs, batch)
        value = float(loss.detach())
        share = accuracy(spec, outputs, batch.targets)
        result.losses.append(value)
        if share is not None:
            result.accuracies.append(share)
        if done(value, share):
            result.reached, result.stopped = True, "goal reached"
        elif not math.isfinite(value):
            result.stopped = "loss is not finite"
        elif not loss.requires_grad:
            result.stopped = "the loss does not depend on any trainable parameter"
        elif step == steps:
            result.stopped = "steps used up"
        elif deadline.expired:
            result.stopped = "time used up"
        elif step - best_step > PATIENCE:
            result.stopped = "no more progress"
        if result.stopped:
            return result
        if value < best - 1e-3 * abs(best) or not math.isfinite(best):
            best, best_step = value, step
        backward(loss)
        optimizer.step()
    return result
