"""The learning rates of a step, under names that stay the same when parameter groups come and go."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

from torch import Tensor
from torch.optim import Optimizer


class LearningRates:
    """Reads the learning rate of every parameter group.

    A single group is called ``optimizer/lr``; of several the i-th over all optimizers ``optimizer/lr/<i>``. A name is
    kept: groups added later get the numbers that follow.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], str] = {}  # (optimizer, group of it) -> name

    def read(self, optimizers: Sequence[Optimizer]) -> tuple[dict[str, float], dict[str, Tensor], bool]:
        """Rates that are on the host, those that are on a device (as they are now, by reference), and whether there
        are groups that were not there before.
        """
        names, before = self._names, len(self._names)
        host: dict[str, float] = {}
        device: dict[str, Tensor] = {}
        for i, optimizer in enumerate(optimizers):
            groups = optimizer.param_groups
            for j, group in enumerate(groups):
                name = names.get((i, j))
                if name is None:
                    alone = len(optimizers) == len(groups) == 1 and not names
                    name = names[i, j] = "optimizer/lr" if alone else f"optimizer/lr/{len(names)}"
                rate = group.get("lr")
                # Some optimizers keep None here and find a rate of their own.
                if type(rate) is float:  # by far the most common, and asking for Real takes microseconds
                    host[name] = rate
                elif isinstance(rate, Real):
                    host[name] = float(rate)
                elif isinstance(rate, Tensor) and rate.numel() == 1 and not rate.is_complex():
                    if rate.device.type == "cpu":
                        host[name] = float(rate)
                    else:  # to read it here would make the training wait for the device
                        device[name] = rate.detach()
        return host, device, len(names) > before
