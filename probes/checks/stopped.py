"""Hold constant what a program takes out of the graph, so that differences see the function that backward() sees.

Straight-through estimators (``z + (q - z).detach()``), advantages, targets of the same network: with ``.detach()`` the
analytic gradient treats a value as a constant on purpose, while a difference moves it. Recorded at the point itself and
played back at every point nearby, it is a constant for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

STOPPING = (torch.Tensor.detach, torch.detach, torch.Tensor.data.__get__, torch.Tensor.item)  # type: ignore[attr-defined]


class StoppedGradients(TorchFunctionMode):
    """Records what is detached where a graph is built, then plays it back, call by call.

    Attributes:
        recorded: the value of each such call; None for one inside a custom function or under no_grad, which backward()
            does not see either.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[Any] = []
        self._next: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything was taken out of the graph."""
        return any(value is not None for value in self.recorded)

    def rewind(self) -> None:
        """From here on, play back from the beginning."""
        self._next = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in STOPPING:
            return result
        if self._next is None:
            stops = torch.is_grad_enabled() and args[0].requires_grad
            self.recorded.append((result.clone() if isinstance(result, Tensor) else result) if stops else None)
            return result
        before = self.recorded[self._next] if self._next < len(self.recorded) else None
        self._next += 1
        if before is None or (isinstance(result, Tensor) and result.shape != before.shape):
            return result
        return before.clone() if isinstance(before, Tensor) else before
