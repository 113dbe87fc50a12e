"""In eval mode, does the output for one example depend on the others in its batch?

**What it does.** Runs a few examples through the model in eval mode, exchanges all but one of them for
others, and looks at whether the output for the one that stayed is the same; for the first and for the last
example. When it is not, the first module whose output for that example changes is named.

**Why it matters.** A reshape that mixes the batch with another dimension, or a softmax over the wrong one,
leaks information between examples. The loss comes down all the same, and the model is worthless for one
example alone.

**Criterion.** *Fail* when the output of an example that was not touched changes by more than 1e-4 of the
outputs' size. *Warn* when the reason is a batch normalisation without running statistics, and when inputs and targets
could be time first as well ([T, N] or [N, T], not from a loader with a batch size) and the model treats them so.

**When it misleads.** Models that are meant to compare the examples of a batch. A model that needs its
examples in a certain order (packed sequences sorted by length) is skipped.

**References.** A. Karpathy, "A recipe for training neural networks" (use backprop to chart dependencies).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable, UserCodeError
from probes.checks.modes import is_batch_norm
from probes.checks.names import label
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import Rig, main_output
from probes.checks.trace import Call, trace_forward
from probes.checks.trees import tensors

TITLE = "In eval mode, does the output for one example depend on the others in its batch?"
FAMILY = "model"
SHARE = 0.3

EXAMPLES = 8
TOLERANCE = 1e-4
CANNOT_BE_CUT = (
    "the batch cannot be taken apart into examples, or holds one only ({batch}); if the examples are in dimension 1, "
    "as in sequences that go time first, pass batch_dim=1"
)


def run(context: Context) -> Outcome:
    pooled = context.pooled()
    if pooled.size is None or pooled.size < 2:
        raise NotApplicable(CANNOT_BE_CUT.format(batch=pooled.describe()))
    count = min(EXAMPLES, pooled.size // 2 if pooled.size >= 4 else pooled.size)
    rig = context.rig()
    rig.model.eval()
    axis = context.output_axis()
    worst, where = 0.0, 0
    for kept in (0, count - 1):
        left = pooled.take(torch.arange(count))
        right = pooled.take(_others(pooled.size, count, kept))
        try:
            with torch.no_grad():
                first, again, second = (_outputs(context, rig, b) for b in (left, left, right))
        except UserCodeError as error:
            raise NotApplicable(f"the model cannot be run on other combinations of examples ({error.what})") from error
        if first.dim() <= axis or first.shape[axis] % count or first.shape != second.shape:
            raise NotApplicable(f"the outputs {list(first.shape)} do not go by example")
        if not torch.equal(first, again) and _change(first, again, count, kept, axis) > TOLERANCE / 10:
            raise NotApplicable("the model is random in eval mode: see train-eval-consistency")
        change = _change(first, second, count, kept, axis)
        if change > worst:
            worst, where = change, kept
    evidence: dict[str, Any] = {"relative_change": worst, "limit": TOLERANCE, "examples": count}
    if worst <= TOLERANCE:
        return passed(
            f"an example's output stays the same whatever else is in the batch (change {worst:.0e})",
            **evidence,
        )
    culprit = _culprit(context, rig, pooled, count, where)
    text = f"the output for one example changes by {worst:.1e} of its size when only the others change"
    if culprit is not None:
        text += f"; {label(culprit.name, culprit.module)} is the first module where it does"
        evidence["culprit"] = culprit.name
    if culprit is not None and is_batch_norm(culprit.module):
        return warned(
            text,
            "batch normalisation without running statistics (track_running_stats=False) uses the batch in "
            "eval mode "
            "too: keep the statistics, or use group or layer normalisation",
            **evidence,
        )
    if _either_way(context, pooled):
        return warned(
            f"{text}; with the examples in dimension 1 none depends on another",
            "batches [time, batch, ...]: pass batch_dim=1, then all is well",
            "batches [batch, time, ...]: nn.LSTM, nn.GRU and nn.Transformer layers want batch_first=True",
            **evidence,
        )
    return failed(
        text,
        "look for view/reshape/transpose that mixes dimension 0 with another, and for softmax, mean, sum or "
        "normalisation over dimension 0",
        "sequence first? nn.LSTM, nn.GRU and nn.Transformer layers want batch_first=True for [batch, time, features]",
        **evidence,
    )


def _either_way(context: Context, pooled: Batch) -> bool:
    """Whether inputs and targets could be time first as well, and the model treats them so.

    The shapes of [T, N] and [N, T] tokens tell nothing; a loader's batch size does.
    """
    setup = context.setup
    everything = [*tensors(pooled.inputs), *tensors(pooled.targets)]
    loaded = isinstance(setup.data, DataLoader) and setup.data.batch_size is not None
    if setup.dim_given or loaded or pooled.dim or any(t.dim() < 2 for t in everything):
        return False
    turned = replace(context.batch, dim=1)
    if turned.size is None or turned.size < 4:
        return False
    count = min(EXAMPLES, turned.size // 2)
    rig = context.rig()
    rig.model.eval()
    with torch.no_grad():
        try:
            left = _outputs(context, rig, turned.take(torch.arange(count)))
            right = _outputs(context, rig, turned.take(_others(turned.size, count, 0)))
        except UserCodeError:
            return False
    return (
        left.dim() > 1
        and left.shape == right.shape
        and left.shape[1] == count
        and _change(left, right, count, 0, 1) <= TOLERANCE
    )


def _others(size: int, count: int, kept: int) -> Tensor:
    """Indices of a batch of the same size that shares with the first one only the example at `kept`."""
    index = torch.arange(count, 2 * count) if size >= 2 * count else torch.arange(count).roll(1)
    index[kept] = kept
    return index


def _outputs(context: Context, rig: Rig, batch: Batch) -> Tensor:
    context.reseed()
    return main_output(rig.outputs(batch))


def _change(left: Tensor, right: Tensor, count: int, kept: int, axis: int) -> float:
    a, b = (exact(t).movedim(axis, 0).reshape(count, -1) for t in (left, right))
    size: float = max(float(a.square().mean().sqrt()), float((a - a.mean()).abs().max()), 1e-12)
    return float((a[kept] - b[kept]).abs().max()) / size


def _culprit(context: Context, rig: Rig, pooled: Batch, count: int, kept: int) -> Call | None:
    traces: list[list[Call]] = []
    with torch.no_grad():
        for index in (torch.arange(count), _others(pooled.size or count, count, kept)):
            context.reseed()
            traces.append(trace_forward(rig, pooled.take(index))[1])
    for left, right in zip(traces[0], traces[1], strict=False):
        shape = left.output.shape
        axis = pooled.first(count).axis(left.output)
        if not shape or shape[axis] != count or shape != right.output.shape:
            continue
        if not left.output.is_floating_point():
            continue
        if _change(left.output, right.output, count, kept, axis) > TOLERANCE:
            return left
    return None
