"""What a backward pass is for: whether it brings gradients to the parameters, or only to the input."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge


def current_backward() -> int:
    """A number for the backward pass under way; -1 outside of one."""
    return int(torch._C._current_graph_task_id())


def reaches(parameters: Iterable[Tensor]) -> bool:
    """Whether the backward pass under way brings a gradient to any of the parameters.

    False for gradients asked for an input alone, as saliency maps, adversarial examples and the inner part of a
    gradient penalty do. Called in a hook of that pass; takes about 3 microseconds for each parameter until one is
    reached.
    """
    for parameter in parameters:
        if parameter.requires_grad:
            try:
                if torch._C._will_engine_execute_node(get_gradient_edge(parameter).node):
                    return True
            except RuntimeError:  # refused for a leaf that torch.autograd.grad was asked about: it is reached
                return True
    return False
