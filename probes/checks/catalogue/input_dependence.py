"""Does the net look at its input?

**What it does.** Trains two copies of the model for the same number of steps on a few examples: one on the
real inputs, one on inputs that are the same for every example (the first example repeated). The first must
end lower. For models with several inputs, each one is then exchanged between examples, to see whether the
outputs notice.

**Why it matters.** A net that learns the labels' mean looks as if it learned. If it does as well without its
input, the input is lost on the way: overwritten, multiplied by zero, wrongly sliced, or destroyed by the data
pipeline.

**Criterion.** *Fail* when the outputs for different inputs are equal after the training (their spread is below 1e-5
of their size). *Warn* when the real inputs do not end at least 10% lower than the constant ones, counted from the
lowest loss that is possible (for a loss that babysit does not know: when they end no lower), unless they took the
loss below a twentieth of where it started or all targets are the same; or when one of several inputs has no
influence on any output.

**When it misleads.** Data whose inputs say nothing about the targets, on a model too small to learn them by
heart. An input that only matters later (a mask that masks nothing yet) is only judged when it varies.

**References.** A. Karpathy, "A recipe for training neural networks" (input-independent baseline).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable, UserCodeError
from probes.checks.fitting import Fit, fit
from probes.checks.losses.baselines import loss_floor
from probes.checks.losses.identify import LossSpec
from probes.checks.modes import train_without_dropout
from probes.checks.names import listed
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import Rig, main_output, trainable
from probes.checks.small_batch import small_batch
from probes.checks.trees import map_tensors, named_tensors, tensors

TITLE = "Does the net look at its input?"
FAMILY = "model"
SHARE = 2.0

RATES = (3e-3, 3e-2, 3e-4)
STEPS = 80
ENOUGH = 30
BETTER = 0.9
LEARNED = 0.05
SPREAD = 1e-5


def run(context: Context) -> Outcome:
    if not trainable(context.model):
        raise NotApplicable("no parameter is trainable")
    spec = context.spec()
    batch = small_batch(spec, context.model, context.pooled(), context.trial_outputs())
    if batch.size is None or batch.size < 2:
        raise NotApplicable("the batch cannot be taken apart into examples (or holds one only)")
    blind = replace(batch, inputs=map_tensors(batch.inputs, lambda t: _first_for_all(batch, t)))
    sighted: tuple[Rig, Fit] | None = None
    blinded: Fit | None = None
    for rate in RATES:
        seeing = _train(context, batch, rate)
        if sighted is None or seeing[1].best < sighted[1].best:
            sighted = seeing
        baseline = _train(context, blind, rate)[1]
        blinded = baseline if blinded is None or baseline.best < blinded.best else blinded
        if sighted[1].best < BETTER * blinded.best or context.deadline.expired:
            break
    assert sighted is not None and blinded is not None
    rig, real = sighted
    spread = _spread(rig, batch, context.output_axis())
    floor = _floor(context, spec, batch)
    evidence: dict[str, Any] = {
        "loss_floor": floor,
        "loss_real": real.best,
        "loss_constant": blinded.best,
        "learning_rate": real.learning_rate,
        "output_spread": spread,
        "curves": {"real": real.losses, "constant": blinded.losses},
    }
    text = f"loss {real.best:.3g} with the real inputs, {blinded.best:.3g} with one input for all"
    if context.deadline.expired and len(real.losses) < ENOUGH:
        raise NotApplicable(f"no time: {len(real.losses) - 1} of {STEPS} steps; raise the budget")
    if context.deadline.expired:
        text += f" (cut short by the time budget after {len(real.losses) - 1} steps)"
    if not math.isfinite(real.best):
        raise NotApplicable("the loss is not finite: see finite-forward-backward")
    if spread < SPREAD:
        return failed(
            f"the outputs are the same for every input ({text})",
            "follow the input through forward: is it used, overwritten, multiplied by zero, reduced away?",
            "dead rectifiers and saturated or constant layers hide it too (initialization)",
            **evidence,
        )
    if _targets_vary(batch) and not _helps(real.losses[0], real.best, blinded.best, floor):
        return warned(
            f"the inputs do not help: {text} after {STEPS} steps",
            "look at the inputs next to their labels: do they belong together, do they hold the information?",
            **evidence,
        )
    ignored = _ignored_inputs(context, rig, batch)
    evidence["ignored_inputs"] = ignored
    if ignored:
        return warned(
            f"{text}; but exchanging inputs{listed(ignored)} between examples changes nothing",
            "use this input in forward, or do not pass it",
            **evidence,
        )
    return passed(text, **evidence)


def _train(context: Context, batch: Batch, rate: float) -> tuple[Rig, Fit]:
    rig = context.rig()
    train_without_dropout(rig.model)
    context.reseed()
    limit = context.deadline.part(0.5)
    return rig, fit(rig, context.spec(), batch, rate, STEPS, limit, lambda *_: False)


def _first_for_all(batch: Batch, tensor: Tensor) -> Tensor:
    return batch.select(tensor, slice(0, 1)).expand_as(tensor).contiguous()


def _floor(context: Context, spec: LossSpec, batch: Batch) -> float | None:
    """The lowest value of the loss on these targets, None where it is not known."""
    rig = context.rig()
    train_without_dropout(rig.model)
    with torch.no_grad():
        return loss_floor(rig.loss_fn, spec, rig.outputs(batch), batch.targets)


def _targets_vary(batch: Batch) -> bool:
    """Whether the examples ask for different answers: where they do not, nothing is to be learned from the inputs."""
    rows = [batch.rows(tensor) for tensor in tensors(batch.targets)]
    return not rows or any(bool((row != row[:1]).any()) for row in rows)


def _helps(start: float, real: float, constant: float, floor: float | None) -> bool:
    """Whether the real inputs took the loss lower than the constant ones did.

    A loss that is all but learned needs no comparison: some are easy without an input (triplets, labels among the
    inputs). Where the lowest loss is not known, a loss that cannot come near 0 would hide what the inputs give: then
    what was gained is compared, and any gain more counts.
    """
    if real - (floor or 0.0) <= LEARNED * (start - (floor or 0.0)):
        return True
    if floor is None:
        return real < constant
    return real - floor < BETTER * (constant - floor)


def _spread(rig: Rig, batch: Batch, axis: int) -> float:
    """Standard deviation of the outputs over the examples, relative to the outputs' RMS."""
    with torch.no_grad():
        outputs = exact(main_output(rig.outputs(batch)))
    if outputs.dim() <= axis or outputs.shape[axis] % (batch.size or 1):
        return 1.0
    rows = outputs.movedim(axis, 0).reshape(batch.size or 1, -1)
    size = float(rows.square().mean().sqrt())
    return float(rows.std(0, correction=0).square().mean().sqrt()) / size if size > 0 else 0.0


def _ignored_inputs(context: Context, rig: Rig, batch: Batch) -> list[str]:
    leaves = list(named_tensors(batch.inputs))
    if len(leaves) < 2:
        return []
    ignored = []
    with torch.no_grad():
        context.reseed()
        before = _floats(rig.outputs(batch))
        for path, leaf in leaves:
            other = leaf.roll(1, batch.axis(leaf))
            if torch.equal(other, leaf):
                continue
            context.reseed()
            after = _after(rig, batch, leaf, other)
            if after is not None and _equal(before, after):
                ignored.append(path)
    return ignored


def _after(rig: Rig, batch: Batch, leaf: Tensor, other: Tensor) -> list[Tensor] | None:
    """The outputs with another input; None when the model cannot do with it, which is an influence too."""
    changed: Any = map_tensors(batch.inputs, lambda t: other if t is leaf else t)
    try:
        return _floats(rig.outputs(replace(batch, inputs=changed)))
    except UserCodeError:
        return None


def _floats(outputs: Any) -> list[Tensor]:
    """Every tensor of the outputs that is made of numbers: a pair of embeddings is two."""
    return [t for t in tensors(outputs) if t.is_floating_point()]


def _equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
