"""What a forward pass needs, or does to its inputs, that a plain call under no_grad would get wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from probes.checks.trees import map_tensors, tensors


@dataclass(frozen=True)
class Habits:
    """Attributes:
    needs_grad: forward or loss differentiate themselves (physics-informed nets, gradient penalties): they cannot run
        under no_grad.
    changes_inputs: forward writes to its inputs, or the loss to its targets: they are given copies.
    """

    needs_grad: bool = False
    changes_inputs: bool = False

    def given(self, tree: Any) -> Any:
        """Inputs or targets as they may be handed out."""
        return copied(tree) if self.changes_inputs else tree

    def grad_mode(self) -> AbstractContextManager[Any]:
        """The context to call forward and loss in."""
        return torch.enable_grad() if self.needs_grad else nullcontext()


class Careful:
    """A loss function that writes to its targets, given copies of them.

    Attributes:
        func: the function itself, as functools.partial has it.
    """

    def __init__(self, func: Callable[[Any, Any], Any]) -> None:
        self.func = func

    def __call__(self, outputs: Any, targets: Any) -> Any:
        return self.func(outputs, copied(targets))


def copied(tree: Any) -> Any:
    """`tree` with copies of its tensors."""
    return map_tensors(tree, Tensor.clone)


def find_habits(run: Callable[[Any, Any, Habits], None], inputs: Any, targets: Any) -> Habits | None:
    """Try one forward pass and loss, `run(inputs, targets, habits)`, on copies; None where it fails either way."""
    needs_grad = False
    inputs, targets = copied(inputs), copied(targets)
    versions = [tensor._version for tensor in tensors((inputs, targets))]
    try:
        with torch.no_grad():
            run(inputs, targets, Habits())
    except Exception:  # noqa: BLE001 - the user's code: whatever it raises here, a check will meet and report
        try:
            run(copied(inputs), copied(targets), Habits(needs_grad=True))
            needs_grad = True
        except Exception:  # noqa: BLE001
            return None
    changed = versions != [tensor._version for tensor in tensors((inputs, targets))]
    return Habits(needs_grad, changed)
