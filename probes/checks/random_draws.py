"""Which random numbers a forward pass draws: those that drop, and those that are noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

NORMAL = ("randn", "randn_like", "normal", "normal_")
DROPPING = (
    "native_dropout", "dropout", "bernoulli", "bernoulli_", "rand", "rand_like", "uniform", "uniform_", "randint",
    "randperm", "multinomial",
)  # fmt: skip


class RandomDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, takes down the names of the random operations.

    Attributes:
        draws: those that make normal noise.
        drops: those that choose: masks, uniform numbers, permutations.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws: set[str] = set()
        self.drops: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = str(func.overloadpacket.__name__)
        if name in NORMAL:
            self.draws.add(name)
        elif name in DROPPING:
            self.drops.add(name)
        return func(*args, **(kwargs or {}))
