"""Do data, outputs, loss and gradients consist of finite numbers?

**What it does.** Looks for NaN and infinities in the inputs and targets of every batch read, and of further
batches as far as a twentieth of the budget goes (data with a length only: an iterator is not used up). Runs the
model on the first batch, computes its loss and gradients, and looks again. The first module that turns finite
numbers into others is named.

**Why it matters.** One NaN spreads to every weight within one step, and nothing that follows can be
trusted. A forward or loss that raises is found here, before the queue, with the module's name.

**Criterion.** *Fail* when forward or loss raises, when inputs or targets hold NaN or infinities, when
the loss or a gradient is not finite, or when the loss is not connected to any parameter. Infinities
inside the model that harm neither loss nor gradients (masks) are fine. *Warn* when the loss is a
vector: backward() wants a scalar, so the checks use its mean.

**When it misleads.** Targets that use NaN for "missing" on purpose are reported: a loss that leaves
them out has to be tested with targets that do not hold them.

**References.** CS231n notes, "Sanity checks". A. Karpathy, "A recipe for training neural networks".
"""

from __future__ import annotations

import math
from typing import Any

import torch

from probes.checks.beyond import nonfinite
from probes.checks.context import Context
from probes.checks.losses.evaluate import loss_form
from probes.checks.names import label, listed
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import differentiate, trainable
from probes.checks.trace import first_nonfinite, trace_forward

TITLE = "Do data, outputs, loss and gradients consist of finite numbers?"
FAMILY = "basics"
SHARE = 1.0


def run(context: Context) -> Outcome:
    beyond = context.setup.beyond
    dirty = [found for index, batch in enumerate(context.everything) for found in nonfinite(batch, index)]
    dirty += beyond.nonfinite if beyond else []
    if dirty:
        return failed(
            f"the data holds numbers that are not finite: {listed(dirty)}",
            "find out where they come from (missing values, a division by a standard deviation of 0)",
            "drop or impute these examples before they reach the model",
            data=dirty[:50],
        )
    rig = context.rig()
    rig.model.train()
    context.reseed()
    outputs, calls = trace_forward(rig, context.batch)
    loss = rig.loss_of(outputs, context.batch)
    value = float(loss.detach())
    origin = first_nonfinite(calls)
    evidence: dict[str, Any] = {"loss": value, "origin": origin.name if origin else None}
    if not math.isfinite(value):
        came = f"; {label(origin.name, origin.module)} makes the first of them" if origin else ""
        return failed(
            f"the loss of the first batch is {value:g}{came}",
            "look for a logarithm or a division of 0, a square root of a negative number, an overflow in "
            "half precision",
            "scale the inputs and check the initialisation (input-normalization, initialization)",
            **evidence,
        )
    named = trainable(rig.model)
    if not named:
        return failed("no parameter of the model is trainable", "set requires_grad on what is to be trained")
    if not loss.requires_grad:
        return failed(
            "the loss does not depend on any trainable parameter",
            "look for .detach(), .item(), .data, torch.no_grad(), argmax or a NumPy round trip on the way",
            **evidence,
        )
    found = differentiate(loss, list(named.values()))
    bad = [
        name
        for name, gradient in zip(named, found, strict=True)
        if gradient is not None and not bool(torch.isfinite(_values(gradient)).all())
    ]
    if bad:
        return failed(
            f"the loss is finite ({value:.4g}) but the gradient of {listed(bad)} is not",
            "look for a square root, norm or power at 0, and for torch.where over a branch that is not "
            "finite: its gradient is computed all the same",
            "add a small epsilon inside the square root, logarithm or division",
            **evidence,
            parameters=bad,
        )
    form, what = loss_form(rig.loss_fn, outputs, context.batch.targets)
    if form == "vector":
        return warned(
            f"loss_fn returns {what}, but backward() starts from a scalar; the checks use its mean",
            "reduce it (reduction='mean' or .mean()), or wrap it as your loop does",
            **evidence,
        )
    looked = len(context.everything) + (beyond.batches if beyond else 0)
    evidence.update(batches_looked_through=looked, all_data=beyond is not None and beyond.complete)
    return passed(f"loss {value:.4g}, {len(named)} gradients, {looked} batches of data: all finite", **evidence)


def _values(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient
