"""The objects a training loop works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from trainer.batches import Batches
from trainer.losses import Problem
from trainer.schedules import Schedule
from trainer.sections import Training
from trainer.tasks import Task


@dataclass(frozen=True)
class Parts:
    """What the loop works with, made from one recipe; ``settings`` are the recipe's, as faults leave them.

    A GAN has a ``discriminator_optimizer`` too: then ``optimizer`` is the generator's.
    """

    settings: Training
    task: Task
    problem: Problem
    model: nn.Module
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    optimizer: Optimizer
    schedule: Schedule
    batches: Batches
    scaler: GradScaler
    discriminator_optimizer: Optimizer | None = None

    @property
    def optimizers(self) -> list[Optimizer]:
        """In the order in which they step."""
        return [o for o in (self.discriminator_optimizer, self.optimizer) if o is not None]
