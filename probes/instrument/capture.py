"""What the forward and backward passes of one frame leave behind: samples of outputs and of their gradients.

Samples are taken inside the hook, because an in-place module may overwrite the output right afterwards. They
count only if a gradient went through the forward pass they belong to and reached parameters: an evaluation in the
middle of the loop, with or without ``no_grad``, never mixes into the training statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from probes.instrument.activations import SATURATED_FROM, ActivationKind
from probes.instrument.sampling import LIMIT, row_slices

ALIVE_LIMIT = 65_536
"""Elements looked at for dead units: more than for the rest, because a rare unit must be caught firing."""

MAX_CALLS = 8
"""Calls of one module in a frame that are looked at: of a pass the first ones (a cell called at every time step), of
passes that did not train the last.
"""


@dataclass(slots=True)
class Pass:
    """One forward pass of the whole model or, where its parts are called by themselves, one call of a part.

    Attributes:
        training: whether the module was in training mode.
        whole: whether it is a pass of the whole model.
        probed: whether a gradient is asked for its input, as for adversarial examples and gradient penalties.
        trained: whether a gradient went through it to the parameters.
    """

    training: bool = True
    whole: bool = False
    probed: bool = False
    trained: bool = False

    @property
    def standing(self) -> tuple[bool, bool]:
        """Passes of a lower standing count only where a module saw none of a higher."""
        return self.training, not self.probed


def is_probed(batch: Tensor | None) -> bool:
    """Whether a batch wants a gradient of its own."""
    return batch is not None and batch.requires_grad and batch.is_leaf


@dataclass(frozen=True, slots=True)
class Range:
    """Between what values the outputs of each unit lay.

    Attributes:
        highest: [units].
        lowest: [units]; None for units that are never negative.
        observations: examples (for token-wise layers: tokens) looked at.
    """

    highest: Tensor
    lowest: Tensor | None
    observations: int


@dataclass(slots=True)
class Sample:
    """A sample of one output of one module.

    Attributes:
        values: float32, the output's layout with examples and positions thinned out, or None where not
            measurable.
        range: of units that can be dead; else None.
        population: elements the output has.
        gradients: samples of the gradients that came back (one a backward).
        dropped: to make room for later calls.
    """

    index: int
    forward: Pass
    values: Tensor
    population: int
    range: Range | None = None
    gradients: list[Tensor] = field(default_factory=list)
    dropped: bool = False

    def drop(self) -> None:
        """Lets go of the values."""
        self.dropped = True
        self.values, self.range = self.values.new_empty(0), None
        self.gradients.clear()


def as_batch(output: Tensor, channels_first: bool | None) -> tuple[Tensor, int]:
    """The output detached with at least [examples, units], and the axis its units lie on."""
    output, dimensions = output.detach(), output.dim()
    if dimensions == 2:
        return output, 1
    if dimensions == 0:
        return output.reshape(1, 1), 1
    if dimensions == 1:
        return output.unsqueeze(1), 1
    if channels_first is None:
        channels_first = dimensions >= 4
    return output, 1 if channels_first else dimensions - 1


def sample_output(output: Tensor, axis: int, kind: ActivationKind | None) -> tuple[Tensor, Range | None]:
    """`sample_values` of an output and, where its units can be dead, the range of each, for which more is looked at."""
    if kind is None or kind.dead_below is None:
        return sample_values(output, axis), None
    # Laid out afresh, once for both: what lies apart in memory is slow to read.
    seen = _part(output, axis, ALIVE_LIMIT).contiguous()
    return sample_values(seen, axis), _range(seen, axis, kind)


def sample_values(output: Tensor, axis: int) -> Tensor:
    """A fresh float32 copy of evenly spaced examples and positions, all units: about `sampling.LIMIT`
    elements.
    """
    part = _part(output, axis, LIMIT)
    if part.dtype == torch.float32:
        return part.clone(memory_format=torch.contiguous_format)
    return part.to(torch.float32, memory_format=torch.contiguous_format)


def _part(output: Tensor, axis: int, limit: int) -> Tensor:
    """What is looked at, as a view."""
    if type(output) is Tensor:
        return output.as_strided(*_window(output.shape, output.stride(), axis, limit))
    return output[row_slices(output.shape, axis, limit)]  # a subclass may lie in memory in another way than it says


@lru_cache(maxsize=4096)
def _window(
    shape: tuple[int, ...], stride: tuple[int, ...], axis: int, limit: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes and strides of what is looked at."""
    part = torch.empty_strided(shape, stride, device="meta")[row_slices(shape, axis, limit)]
    return tuple(part.shape), part.stride()


def _range(seen: Tensor, axis: int, kind: ActivationKind) -> Range:
    # Reduced one axis after the other: at once, over rows with gaps, takes up to ten times as long.
    tokens = axis == seen.dim() - 1
    count = seen.numel() // seen.shape[axis] if tokens else seen.shape[0]
    if tokens:
        seen = seen.view(-1, seen.shape[axis])

    def reduced(extreme: Callable[[Tensor, int], Tensor]) -> Tensor:
        over_examples = extreme(seen, 0)
        return over_examples if tokens else extreme(over_examples.view(seen.shape[1], -1), 1)

    lowest = None if kind.slug in ("relu", "relu6") else reduced(torch.amin)
    return Range(reduced(torch.amax), lowest, count)


def saturated_share(values: Tensor, kind: ActivationKind) -> Tensor:
    """Share of the values in the outer 5% of either half of a bounded activation's range, 0-d float32."""
    assert kind.bounds is not None
    low, high = kind.bounds
    limit = SATURATED_FROM * (high - low) / 2
    return ((values - (low + high) / 2).abs_() > limit).to(torch.float32).mean()
