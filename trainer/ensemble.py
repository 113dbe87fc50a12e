"""Averaging the last checkpoints of one training, in the two ways the literature has.

*Of the weights*: one model whose weights are the mean of the checkpoints' (Polyak and Juditsky 1992; Izmailov et
al. 2018), which costs nothing at prediction. *Of the predictions*: an ensemble, whose predicted probabilities (or
values) are the mean of those of all checkpoints (Huang et al. 2017, "snapshot ensembles").
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

Weights = dict[str, Tensor]


class Snapshots:
    """The weights at the ends of the last ``keep`` epochs; with 0, none."""

    def __init__(self, keep: int) -> None:
        self.states: deque[Weights] = deque(maxlen=keep)

    def __len__(self) -> int:
        return len(self.states)

    def take(self, model: nn.Module) -> None:
        """Copies the model's weights and buffers, as an epoch ends."""
        if self.states.maxlen:
            self.states.append({name: value.detach().clone() for name, value in model.state_dict().items()})

    def state_dict(self) -> dict[str, Any]:
        return {"states": list(self.states)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.states = deque(state["states"], maxlen=self.states.maxlen)


def averaged(model: nn.Module, snapshots: Snapshots, batches: Iterable[Any]) -> nn.Module:
    """A copy of the model with the mean of the snapshots' weights.

    The statistics of batch normalisation are those of no single snapshot: they are taken anew over ``batches``
    (Izmailov et al. 2018, section 3.2). Other buffers that cannot be averaged are those of the last snapshot.
    """
    result = copy.deepcopy(model)
    result.load_state_dict(mean_weights(snapshots.states))
    with torch.random.fork_rng():  # dropout draws numbers
        update_bn(batches, result)
    return result


def mean_weights(states: Sequence[Weights]) -> Weights:
    """The mean of each floating point tensor, computed in float64; the last of the others."""
    mean = dict(states[-1])
    for name, value in mean.items():
        if value.is_floating_point():
            mean[name] = torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
    return mean


def ensemble(model: nn.Module, snapshots: Snapshots, problem: str) -> Callable[[Tensor], Tensor]:
    """A function inputs -> outputs whose predictions are the mean of the snapshots' (in evaluation mode)."""
    members = []
    for state in snapshots.states:
        member = copy.deepcopy(model)
        member.load_state_dict(state)
        members.append(member.eval())
    combine = COMBINE[problem]
    return lambda inputs: combine(torch.stack([member(inputs).float() for member in members]))


def _mean_of_softmax(scores: Tensor) -> Tensor:
    """Scores [M, N, C, ...] of M members -> [N, C, ...] whose softmax is the mean of theirs."""
    return functional.log_softmax(scores, 2).logsumexp(0) - math.log(len(scores))


def _mean_of_sigmoid(scores: Tensor) -> Tensor:
    """Scores [M, ...] of M members -> [...] whose sigmoid is the mean of theirs."""
    return functional.logsigmoid(scores).logsumexp(0) - functional.logsigmoid(-scores).logsumexp(0)


# The models end in raw scores (see `trainer.losses`): their mean prediction is given as scores again.
COMBINE: dict[str, Callable[[Tensor], Tensor]] = {
    "multi-class": _mean_of_softmax,
    "binary": _mean_of_sigmoid,
    "multi-label": _mean_of_sigmoid,
    "unit-regression": _mean_of_sigmoid,
    "regression": lambda scores: scores.mean(0),
}
