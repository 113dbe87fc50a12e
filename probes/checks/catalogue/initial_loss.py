"""Is the loss of the untrained model what chance gives?

**What it does.** Measures the loss of the model as it is (train mode, dropout off, up to eight batches) and
compares it with the loss of outputs that know nothing: zero scores, or uniform probabilities. In closed form
that is ln C for cross-entropy and NLL over C classes, balanced or not and whatever the class weights; ln 2
for binary cross-entropy; var(t) + mean(t)^2 for mean squared error; mean |t| for L1. The user's own loss
function is evaluated there, so that label smoothing, ignored labels, weights and the reduction count too. A
loss babysit does not know is skipped: pass ``expected_loss=``.

**Why it matters.** A model that starts far above chance is confidently wrong: its first hundreds of steps go
into shrinking its outputs (the hockey-stick loss curve), and often the scale of its layers is wrong
everywhere. One that starts far below has seen the answers: a leak, or pretrained weights.

**Criterion.** Random outputs of standard deviation s, independent of the targets, raise the expected loss: by
about s^2/2 (1 - 1/C) for cross-entropy, s^2/8 for binary cross-entropy, s^2 for squared error. Common
initialisations give scores of s = 0.1 to 1.5. *Warn* above the loss of random outputs with s = 2, *fail*
above s = 5 or when the loss is NaN or infinite; for regression s counts in units of the targets' RMS, *warn*
above 1.5 and *fail* above 5. *Warn* below half the loss of the best constant output (class priors, mean of
the targets). s is simulated with the user's loss, so the bands hold for every reduction; two standard errors are
added, which counts for batches of a few examples.

**When it misleads.** Pretrained models start below chance, rightly. A loss on a very small batch scatters: a
few hundred examples are better.

**References.** CS231n notes, "Before learning: sanity checks" (look for correct loss at chance performance);
A. Karpathy, "A recipe for training neural networks" (verify loss at init). The bands are babysit's own.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable
from probes.checks.losses.baselines import best_constant_loss, loss_at_scale, neutral_loss, target_scale
from probes.checks.losses.evaluate import LossFn
from probes.checks.losses.identify import REGRESSION_KINDS, LossSpec, class_rows
from probes.checks.modes import train_without_dropout
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import main_output

TITLE = "Is the loss of the untrained model what chance gives?"
FAMILY = "loss"
SHARE = 1.0

WARN_SCALE = 2.0
WARN_SCALE_REGRESSION = 1.5
FAIL_SCALE = 5.0
TOO_GOOD = 0.5


_Band = tuple[float, float]  # mean and standard deviation


def run(context: Context) -> Outcome:
    spec = context.spec()
    expected_given = context.setup.expected_loss
    if spec.kind == "custom" and expected_given is None:
        raise NotApplicable(
            f"loss_fn ({spec.name}) is none of the known losses, so its value at chance is unknown: pass "
            f"expected_loss= "
            "(the loss of a model that knows nothing)"
        )
    rig = context.rig()
    train_without_dropout(rig.model)
    losses, expected, scales = [], [], []
    bands: list[tuple[_Band, _Band]] = []
    constants: list[float | None] = []
    with torch.no_grad():
        for batch in context.batches:
            outputs = rig.outputs(batch)
            losses.append(float(rig.loss_of(outputs, batch)))
            scales.append(float(exact(main_output(outputs)).std(correction=0)))
            if expected_given is None:
                expected.append(neutral_loss(rig.loss_fn, spec, outputs, batch.targets))
                bands.append(_bands(rig.loss_fn, spec, outputs, batch))
                constants.append(best_constant_loss(rig.loss_fn, spec, outputs, batch.targets))
            if context.deadline.expired:
                break
    measured = sum(losses) / len(losses)
    target = expected_given if expected_given is not None else sum(expected) / len(expected)
    if bands:
        # Of a few examples the loss scatters: by chance it may be two standard errors above what is expected.
        few = math.sqrt(len(bands))
        warn_above = sum(low[0] + 2 * low[1] / few for low, _ in bands) / len(bands)
        fail_above = sum(high[0] + 2 * high[1] / few for _, high in bands) / len(bands)
    else:  # a given value: within 1.5 times and 3 times, for lack of anything better
        warn_above, fail_above = target + 0.5 * abs(target), target + 2.0 * abs(target)
    known = [value for value in constants if value is not None]
    floor = TOO_GOOD * sum(known) / len(known) if known and len(known) == len(constants) else None
    evidence = {
        "loss": measured,
        "losses": losses,
        "expected": target,
        "warn_above": warn_above,
        "fail_above": fail_above,
        "warn_below": floor,
        "output_std": sum(scales) / len(scales),
        "kind": spec.kind,
        "reduction": spec.reduction,
        "batches": len(losses),
    }
    formula = _formula(spec, context, expected_given)
    if not math.isfinite(measured):
        return failed(
            f"the loss of the untrained model is {measured:g}, expected about {target:.3g} ({formula})",
            "look at finite-forward-backward and at the inputs: NaN or infinities come in somewhere",
            **evidence,
        )
    if measured > warn_above:
        text = (
            f"the untrained model's loss is {measured:.4g}, chance gives {target:.4g} ({formula}); "
            f"its outputs have standard deviation {evidence['output_std']:.3g}"
        )
        advice = _advice(spec, context)
        return failed(text, *advice, **evidence) if measured > fail_above else warned(text, *advice, **evidence)
    if floor is not None and measured < floor and target > 0:
        return warned(
            f"the untrained model's loss is {measured:.4g}, less than half of what any constant output "
            f"reaches "
            f"({2 * floor:.4g})",
            "if the model is pretrained on this task, all is well",
            "otherwise look for the targets, or something computed from them, among the inputs",
            **evidence,
        )
    return passed(f"loss {measured:.4g}, chance gives {target:.4g} ({formula})", **evidence)


def _bands(loss_fn: LossFn, spec: LossSpec, outputs: Any, batch: Batch) -> tuple[_Band, _Band]:
    unit = target_scale(spec, batch.targets)
    low = WARN_SCALE_REGRESSION if spec.kind in REGRESSION_KINDS else WARN_SCALE
    return (
        loss_at_scale(loss_fn, spec, outputs, batch.targets, low * unit),
        loss_at_scale(loss_fn, spec, outputs, batch.targets, FAIL_SCALE * unit),
    )


def _formula(spec: LossSpec, context: Context, given: float | None) -> str:
    if given is not None:
        return "as given by expected_loss"
    rows = class_rows(spec, context.trial_outputs(), context.batch.targets)
    note = ", summed over the batch" if spec.reduction == "sum" else ""
    if spec.kind in ("focal", "multi-margin", "soft-margin"):
        return f"{spec.kind} loss of scores of zero{note}"
    if rows is not None:
        return f"ln {rows[0].shape[1]}{note}"
    if spec.kind in ("bce", "bce-logits"):
        weighted = ", with pos_weight" if spec.pos_weight is not None else ""
        return f"ln 2{weighted}{note}"
    if spec.kind in REGRESSION_KINDS:
        what = {"mse": "mean of t²", "l1": "mean of |t|"}.get(spec.kind, f"{spec.kind} of t")
        return f"{what}: outputs of zero{note}"
    return f"neutral outputs{note}"


def _advice(spec: LossSpec, context: Context) -> list[str]:
    last = [name for name, p in context.model.named_parameters() if p.dim() > 1][-1:]
    layer = f" ({last[0].rpartition('.')[0] or last[0]})" if last else ""
    if spec.kind in REGRESSION_KINDS:
        return [
            f"make the outputs start near the targets' size: scale the inputs to zero mean and unit "
            f"variance, or start "
            f"the last layer{layer} with smaller weights",
            "standardise the targets: (t - mean) / std",
        ]
    return [
        f"start the last layer{layer} with smaller weights (standard deviation 0.01, bias 0), so that the "
        f"first scores "
        "are near zero",
        "check the scale of the inputs (input-normalization) and of the layers (initialization)",
    ]
