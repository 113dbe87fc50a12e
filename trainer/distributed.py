"""Several processes that train one model (data parallelism), started by ``torchrun``.

Each process takes its share of every batch; gradients are averaged by ``DistributedDataParallel``. So the batch of
all processes together is the batch of one process that trains alone, and so is the result, up to rounding.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from probes.errors import BabysitError
from trainer.errors import RecipeError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes that train together, seen from one of them. Alone, every method does nothing.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """True in the process that prints and writes the checkpoints."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process's part of the rows of a batch, [N] -> [N / size]."""
        return rows.chunk(self.size)[self.rank] if self.size > 1 else rows

    def check_batches(self, batch_size: int, last: int) -> None:
        """Raises `RecipeError` when batches of ``batch_size`` (the last of an epoch: ``last``) have no equal
        shares: then the mean of the shares' losses would not be the loss of the batch."""
        if batch_size % self.size:
            raise RecipeError(
                f"training.batch_size = {batch_size} cannot be shared equally by {self.size} processes; "
                f"allowed: a multiple of {self.size}"
            )
        if last % self.size:
            raise RecipeError(
                f"the last batch of an epoch has {last} examples, which {self.size} processes cannot share equally; "
                "set training.drop_last = true, or another training.batch_size"
            )

    def parallel(self, model: nn.Module, some_unused: bool) -> nn.Module:
        """The model as the training calls it: gradients are averaged over the processes in its backward pass.

        ``some_unused``: some parameters take part in no loss (found out at the first step).
        """
        if self.size == 1:
            return model
        if next(model.parameters()).is_cuda:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # for the CPU torch has none
        return DistributedDataParallel(model, static_graph=some_unused)

    def mean(self, numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """0-d tensors by name, averaged over the processes."""
        if self.size == 1:
            return dict(numbers)
        together = torch.stack([value.detach().float() for value in numbers.values()])
        dist.all_reduce(together)
        return dict(zip(numbers, together / self.size, strict=True))

    def sum(self, numbers: tuple[float, ...]) -> tuple[float, ...]:
        """Numbers, each added up over the processes: the same to the bit in all of them."""
        if self.size == 1:
            return numbers
        together = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(together)
        return tuple(together.tolist())

    def highest(self, number: int) -> int:
        """The highest that any process has."""
        if self.size == 1:
            return number
        together = torch.tensor(number)
        dist.all_reduce(together, op=dist.ReduceOp.MAX)
        return int(together)

    def gather(self, value: Tensor) -> list[Tensor]:
        """The tensors of all processes, in order of their rank."""
        if self.size == 1:
            return [value]
        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, value)
        return everyone

    def first(self, action: Callable[[], T]) -> T:
        """What ``action`` returns, or the `BabysitError` it raises, in the process of rank 0: the others get it
        from there."""
        if self.size == 1:
            return action()
        told: list[Any] = [None, None]
        if self.leads:
            try:
                told[0] = action()
            except BabysitError as error:
                told[1] = error
        dist.broadcast_object_list(told)
        if told[1] is not None:
            raise told[1]
        return told[0]  # type: ignore[no-any-return]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


def processes() -> Processes:
    """The processes this one trains with, within `joined`; otherwise it is alone."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return Processes()


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Joins the processes ``torchrun`` started (it says so in the environment), and leaves them at the end.

    Numbers on the CPU travel by gloo, those on CUDA devices by NCCL.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield processes()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield processes()
    finally:
        dist.destroy_process_group()
