"""The order of the data: a pure function of seed and epoch, drawn from a generator of its own.

Nothing else that draws random numbers (dropout, probes) can change it, and resuming in the middle of an
epoch needs only the epoch and the number of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from trainer.augmentation import augment
from trainer.distributed import Processes
from trainer.errors import RecipeError
from trainer.tasks.base import Examples

ALONE = Processes()


class Batches:
    """The training examples in batches.

    Of several ``processes`` each gets its share of every batch: together they train on the batches of one.
    ``smallest`` is the number of examples in the smallest share of a batch.

    Raises `RecipeError` when there is not one whole batch and ``drop_last`` leaves out what is not whole, and when
    a batch has no equal shares, or an augmentation does not fit the inputs.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        augmentations: Sequence[str] = (),
        processes: Processes = ALONE,
    ) -> None:
        self.examples = examples
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.augmentations = tuple(augmentations)
        self.processes = processes
        whole, rest = divmod(len(examples), batch_size)
        self.smallest = (batch_size if drop_last or not rest else rest) // processes.size
        self._per_epoch = whole + (0 if drop_last or not rest else 1)
        if self._per_epoch == 0:
            raise RecipeError(
                f"training.batch_size = {batch_size}, but there are only {len(examples)} training examples; "
                "lower it or set training.drop_last = false"
            )
        augment(examples.inputs[:1], self.augmentations, _generator(seed, 0, 0))  # what does not fit is said at once
        processes.check_batches(batch_size if whole else 0, 0 if drop_last else rest)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._per_epoch

    def order(self, epoch: int) -> Tensor:
        """Row numbers of the examples in this epoch's order, int64 [N]."""
        if not self.shuffle:
            return torch.arange(len(self.examples))
        return torch.randperm(len(self.examples), generator=_generator(self.seed, epoch, 0))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches (inputs, targets) of an epoch, from batch number ``start`` on."""
        order = self.order(epoch).to(self.examples.inputs.device)
        for batch in range(start, len(self)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            inputs = self.examples.inputs[rows]
            if self.augmentations:  # of the whole batch, so that every example gets what it gets in one process
                inputs = augment(inputs, self.augmentations, _generator(self.seed, epoch, batch + 1))
            yield self.processes.share(inputs), self.processes.share(self.examples.targets[rows])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The first epoch: what `probes.check` looks at."""
        return self.epoch(0)


def _generator(seed: int, epoch: int, part: int) -> torch.Generator:
    # The three numbers are mixed into one seed, so that neighbouring seeds share no epoch.
    mixed = np.random.SeedSequence([seed, epoch, part]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> 1))
