"""Does the model compute the same in eval mode as in train mode, dropout and batch statistics aside?

**What it does.** Lets batch normalisation gather its running statistics over the batches read (no weight is
changed), then compares the outputs in eval mode with those in train mode with dropout off. Runs eval mode
twice to see whether it repeats itself.

**Why it matters.** Validation and use run in eval mode. Functional dropout without
``training=self.training``, a batch normalisation whose statistics never catch up, or a branch that only
exists in training make validation worse than training for no visible reason.

**Criterion.** d = median absolute difference of the outputs relative to their standard deviation over the
examples. Without batch normalisation *warn* above 1e-3; with it *warn* above 1.5, i.e. when the two are as
good as unrelated (batches of 8 or more). *Warn* when eval mode is random, or when forward or loss fail in
eval mode only.

A model that returns several tensors and draws normal noise is taken to sample on purpose, as variational autoencoders
do.

**When it misleads.** Models that return something else in eval mode on purpose (detectors).

**References.** S. Ioffe and C. Szegedy, "Batch normalization" (2015); PyTorch documentation of
nn.Module.eval.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable, UserCodeError
from probes.checks.modes import is_batch_norm, train_without_dropout
from probes.checks.names import listed
from probes.checks.outcome import Outcome, passed, warned
from probes.checks.random_draws import RandomDraws
from probes.checks.rig import Rig, main_output
from probes.checks.state import same_bits
from probes.checks.trees import tensors

TITLE = "Does the model compute the same in eval mode as in train mode, dropout and batch statistics aside?"
FAMILY = "model"
SHARE = 0.5

PASSES = 150  # what a running mean starts with has decayed to 0.9^150, one part in ten million
EXAMPLES = 128
SAME = 1e-3
UNRELATED = 1.5
FEW = 8


def run(context: Context) -> Outcome:
    rig = context.rig()
    batch = context.batch
    train_without_dropout(rig.model)
    gathering = [name for name, m in rig.model.named_modules() if is_batch_norm(m) and m.track_running_stats]
    with torch.no_grad():
        gathered = _gather(context, rig) if gathering else PASSES
        outputs = _seeded(context, rig, batch)
        rig.loss_of(outputs, batch)  # what fails in train mode too is not ours to report
        in_training = main_output(outputs)
        context.reseed_differently()
        sampling = not same_bits(in_training, main_output(rig.outputs(batch)))
        rig.model.eval()
        try:
            outputs = _seeded(context, rig, batch)
            rig.loss_of(outputs, batch)
            in_eval = main_output(outputs)
            context.reseed_differently()
            again = main_output(rig.outputs(batch))
        except UserCodeError as error:
            return warned(
                f"in eval mode, and only there, {error.where} fails: {error.what}",
                "make forward return the same kind of outputs in both modes, or validate with another loss",
            )
    if in_training.shape != in_eval.shape:
        return warned(
            f"outputs are {list(in_training.shape)} in train mode and {list(in_eval.shape)} in eval mode",
            "make forward return the same kind of outputs in both modes",
        )
    if not same_bits(in_eval, again) and not _only_rounding(rig, batch, in_eval, again):
        return _random(context, rig, batch, outputs, float((in_eval - again).abs().max()))
    if sampling:
        return passed(
            "eval mode repeats itself; train mode is random beside its dropout modules (functional dropout, "
            "sampling), "
            "so that the two cannot be compared"
        )
    if gathered < PASSES:
        raise NotApplicable(
            f"no time for batch normalisation to gather its statistics ({gathered} of {PASSES} batches): "
            f"raise "
            "the budget"
        )
    return _compare(in_training, in_eval, gathering, batch)


def _only_rounding(rig: Rig, batch: Batch, left: Tensor, right: Tensor) -> bool:
    """Whether two passes differ by the order of additions alone: no random number drawn, hardly any difference."""
    watch = RandomDraws()
    with torch.no_grad(), watch:
        rig.outputs(batch)
    size = float(exact(left).square().mean().sqrt())
    return not watch.draws | watch.drops and float((exact(left) - exact(right)).abs().max()) < SAME * size


def _random(context: Context, rig: Rig, batch: Batch, outputs: Any, difference: float) -> Outcome:
    """What is to be said of a model that is random in eval mode.

    Normal noise in a model that also returns the parameters of a distribution (several tensors of numbers) is sampling,
    as in variational autoencoders; anything that drops, and noise in a plain model, is regularisation left on.
    """
    watch = RandomDraws()
    with torch.no_grad(), watch:
        rig.outputs(batch)
    if not watch.draws and not watch.drops:
        return passed(
            "two passes over one batch differ although no random number is drawn: the model keeps something from one "
            "call to the next (a hidden state); the two modes cannot be compared",
            difference=difference,
        )
    several = sum(tensor.is_floating_point() for tensor in tensors(outputs)) > 1
    if several and watch.draws and not watch.drops:
        return passed(
            f"the model samples in eval mode too ({listed(sorted(watch.draws))}), and returns more than the sample: "
            "taken as meant; the two modes cannot be compared",
            draws=sorted(watch.draws),
            difference=difference,
        )
    return warned(
        f"the model is random in eval mode: two passes over one batch differ by {difference:.2g}"
        + (f" (it calls {listed(sorted(watch.drops | watch.draws))})" if watch.drops | watch.draws else ""),
        "functional dropout needs training=self.training; noise layers must ask self.training",
        "models that sample on purpose should use the mean in eval mode",
        difference=difference,
    )


def _gather(context: Context, rig: Rig) -> int:
    """Forward passes in train mode, on a few examples each, until the running statistics are the data's."""
    limit = context.deadline.part(0.8)
    for turn in range(PASSES):
        rig.outputs(context.batches[turn % len(context.batches)].first(EXAMPLES))
        if limit.expired:
            return turn + 1
    return PASSES


def _seeded(context: Context, rig: Rig, batch: Batch) -> Any:
    context.reseed()
    return rig.outputs(batch)


def _compare(in_training: Tensor, in_eval: Tensor, gathering: list[str], batch: Batch) -> Outcome:
    left, right = exact(in_training), exact(in_eval)
    if not bool(torch.isfinite(left).all()):
        raise NotApplicable("the outputs are not finite: see finite-forward-backward")
    scale = float(left.std(0, correction=0).square().mean().sqrt()) if left.dim() and left.shape[0] > 1 else 0.0
    scale = scale or float(left.square().mean().sqrt())
    difference = float((left - right).abs().median())
    relative = difference / scale if scale > 0 else (0.0 if difference == 0 else float("inf"))
    evidence = {
        "relative_difference": relative,
        "limits": {"without_batch_norm": SAME, "with_batch_norm": UNRELATED},
    }
    if not gathering and relative > SAME:
        return warned(
            f"outputs differ between train and eval mode by {relative:.2g} of their spread, without dropout "
            f"and batch "
            "normalisation to explain it",
            "look for `if self.training` and for functional dropout with training=True",
            **evidence,
        )
    if gathering and relative > UNRELATED:
        if (batch.size or FEW) < FEW:
            raise NotApplicable(f"batches of {batch.size} are too small to compare batch with running statistics")
        return warned(
            f"outputs in eval mode are unrelated to those in train mode (difference {relative:.2g} of their "
            f"spread) "
            f"after {PASSES} batches of statistics in {listed(gathering)}",
            "check the momentum of batch normalisation (PyTorch's 0.1 is the share of the new batch)",
            "use larger batches, or group normalisation",
            **evidence,
        )
    kind = " once batch normalisation has its statistics" if gathering else ""
    return passed(f"eval and train mode agree{kind} (difference {relative:.1g} of the outputs' spread)", **evidence)
