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
        places = [(i, j) for i, o in enumerate(optimizers) for j in range(len(o.param_groups))]
        new = [place for place in places if place not in self._names]
        alone = len(places) == 1 and not self._names
        for place in new:
            self._names[place] = "optimizer/lr" if alone else f"optimizer/lr/{len(self._names)}"
        host: dict[str, float] = {}
        device: dict[str, Tensor] = {}
        for i, j in places:
            rate = optimizers[i].param_groups[j].get("lr")
            # Some optimizers keep None here and find a rate of their own.
            if isinstance(rate, Real):
                host[self._names[i, j]] = float(rate)
            elif isinstance(rate, Tensor) and rate.numel() == 1 and not rate.is_complex():
                if rate.device.type == "cpu":
                    host[self._names[i, j]] = float(rate)
                else:  # to read it here would make the training wait for the device
                    device[self._names[i, j]] = rate.detach()
        return host, device, bool(new)
