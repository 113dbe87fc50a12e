"""What a check is given to work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from probes.checks.batches import Batch, Unpack
from probes.checks.beyond import Beyond
from probes.checks.clock import Deadline
from probes.checks.errors import UserCodeError
from probes.checks.habits import Habits
from probes.checks.losses.evaluate import LossFn
from probes.checks.losses.identify import LossSpec, identify_loss, looks_like_classes
from probes.checks.modes import train_without_dropout
from probes.checks.rig import Forward, Rig, build_rig
from probes.checks.state import Snapshot, kept_rng, seed_everything
from probes.checks.trees import detach, main_tensor


@dataclass
class Setup:
    """What `check` was called with, and the batches read from its data."""

    model: nn.Module
    loss_fn: LossFn
    optimizers: list[Optimizer]
    batches: list[Batch]
    data: Any
    forward: Forward | None
    unpack: Unpack | None
    expected_loss: float | None
    seed: int
    snapshot: Snapshot
    pooled: Batch | None = None
    everything: list[Batch] = field(default_factory=list)
    beyond: Beyond | None = None
    dim_given: bool = False
    habits: Habits = field(default_factory=Habits)
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        tensor = next((*self.model.parameters(), *self.model.buffers()).__iter__(), None)
        return tensor.device if tensor is not None else torch.device("cpu")


class Context:
    """One check's view of the setup: rigs to experiment with, batches, a deadline."""

    def __init__(self, setup: Setup, deadline: Deadline, seed: int) -> None:
        self.setup = setup
        self.deadline = deadline
        self.seed = seed

    @property
    def model(self) -> nn.Module:
        """The user's model: to be looked at only."""
        return self.setup.model

    @property
    def loss_fn(self) -> LossFn:
        """The user's loss: to be called without keeping state only."""
        return self.setup.loss_fn

    @property
    def optimizers(self) -> list[Optimizer]:
        """The user's optimizers: to be looked at only."""
        return self.setup.optimizers

    @property
    def batches(self) -> list[Batch]:
        return self.setup.batches

    @property
    def everything(self) -> list[Batch]:
        """All that was read, uncut: for looking at data without running the model on it."""
        return self.setup.everything or self.setup.batches

    @property
    def all_targets(self) -> list[Any]:
        """The targets of every batch read, and of those that were only looked through."""
        beyond = self.setup.beyond
        return [batch.targets for batch in self.everything] + (list(beyond.targets) if beyond else [])

    @property
    def batch(self) -> Batch:
        """The first batch."""
        return self.setup.batches[0]

    @property
    def device(self) -> torch.device:
        return self.setup.device

    def pooled(self) -> Batch:
        """All examples read, as one batch; the first batch where they cannot be joined."""
        return self.setup.pooled or self.batch

    def rig(self) -> Rig:
        """A fresh rig in the user's state; call it again for every experiment that must start anew."""
        setup = self.setup
        with kept_rng():
            return build_rig(setup.model, setup.loss_fn, setup.optimizers, setup.forward, setup.snapshot, setup.habits)

    def reseed(self) -> None:
        """Make the random numbers drawn from here on the same every time."""
        seed_everything(self.seed)

    def reseed_differently(self) -> None:
        """Other random numbers than after `reseed`: what still repeats does not depend on them."""
        seed_everything((self.seed + 1) % 2**32)

    def spec(self) -> LossSpec:
        """Which loss it is (recognised once, on the first batch)."""
        if "spec" not in self.setup.cache:
            outputs = self.trial_outputs()
            found = identify_loss(self.loss_fn, outputs, self.batch.targets)
            if found.kind == "custom":
                targets = [self.batch.targets, *self.all_targets]
                found = replace(found, classes=looks_like_classes(outputs, targets))
            self.setup.cache["spec"] = found
        spec: LossSpec = self.setup.cache["spec"]
        return spec

    def trial_outputs(self) -> Any:
        """Outputs of the untouched model for the first batch, train mode without dropout, detached, made
        once.

        Raises:
            UserCodeError: forward raised.
        """
        if "trial" not in self.setup.cache:
            rig = self.rig()
            train_without_dropout(rig.model)
            with torch.no_grad():
                self.setup.cache["trial"] = detach(rig.outputs(self.batch))
        return self.setup.cache["trial"]

    def output_axis(self) -> int:
        """The dimension of the model's main output that runs over the examples: the one that is shorter when one
        example is left out; 0 where that cannot be tried.
        """
        if "output_axis" not in self.setup.cache:
            self.setup.cache["output_axis"] = self._find_output_axis()
        axis: int = self.setup.cache["output_axis"]
        return axis

    def _find_output_axis(self) -> int:
        size = self.batch.size
        if self.batch.dim == 0 or size is None or size < 3:
            return 0
        rig = self.rig()
        train_without_dropout(rig.model)
        with torch.no_grad():
            try:
                more, less = (main_tensor(rig.outputs(self.batch.first(count))) for count in (3, 2))
            except UserCodeError:
                return 0
        if more is None or less is None or more.dim() != less.dim():
            return 0
        changed = [axis for axis in range(more.dim()) if more.shape[axis] == 3 and less.shape[axis] == 2]
        return changed[0] if changed else 0


Run = Callable[[Context], Any]
