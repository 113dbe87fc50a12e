"""Does every trainable parameter receive a gradient?

**What it does.** Computes the gradient of every trainable parameter, takes a few Adam steps on the batches
read, and keeps looking: a parameter that starts with a zero gradient because the layer above it starts at
zero receives one after the first step.

**Why it matters.** A parameter without a gradient never learns. Usual reasons: a layer that forward does not
call, a list of layers that is not a ModuleList, .detach() or .data in between, a rectifier that is dead from
the start.

**Criterion.** *Fail* when a parameter gets no gradient at all (it is not part of the graph), or exactly zero
in every one of the steps. A bias whose weight does get one is only mentioned: normalisation behind it
cancels it.

**When it misleads.** Parameters kept for another stage of training should be frozen
(requires_grad_(False)); parts that only some inputs use (experts, rare embeddings) may need more batches.

**References.** PyTorch's DistributedDataParallel refuses such parameters by default
(find_unused_parameters); A. Karpathy, "A recipe for training neural networks".
"""

from __future__ import annotations

import torch
from torch import Tensor

from probes.checks.context import Context
from probes.checks.errors import NotApplicable
from probes.checks.modes import train_without_dropout
from probes.checks.names import listed
from probes.checks.outcome import Outcome, failed, passed
from probes.checks.rig import trainable

TITLE = "Does every trainable parameter receive a gradient?"
FAMILY = "gradients"
SHARE = 1.0

STEPS = 6
RATE = 1e-3


def run(context: Context) -> Outcome:
    rig = context.rig()
    named = trainable(rig.model)
    if not named:
        raise NotApplicable("no parameter is trainable")
    frozen = [name for name, p in rig.model.named_parameters() if not p.requires_grad]
    train_without_dropout(rig.model)
    optimizer = torch.optim.Adam(named.values(), lr=RATE)
    seen = dict.fromkeys(named, False)
    reached = dict.fromkeys(named, False)
    first: dict[str, float | None] = {}
    steps = 0
    for step in range(STEPS):
        gradients = rig.gradients(context.batches[step % len(context.batches)])
        steps += 1
        for name, gradient in gradients.items():
            seen[name] |= gradient is not None
            reached[name] |= gradient is not None and bool((_values(gradient) != 0).any())
            if step == 0:
                first[name] = None if gradient is None else float(_values(gradient).norm())
        if all(reached.values()) or context.deadline.expired:
            break
        for name, parameter in named.items():
            found = gradients[name]
            parameter.grad = found.to_dense() if found is not None and found.is_sparse else found
        optimizer.step()
    missing = [name for name in named if not seen[name]]
    zero = [name for name in named if seen[name] and not reached[name]]
    cancelled = [name for name in zero if name.endswith("bias") and reached.get(name[:-4] + "weight", False)]
    zero = [name for name in zero if name not in cancelled]
    evidence = {
        "gradient_norms": first,
        "missing": missing,
        "zero": zero,
        "cancelled_biases": cancelled,
        "frozen": frozen,
        "steps": steps,
    }
    if missing or zero:
        parts, advice = [], []
        if missing:
            parts.append(f"no gradient reaches {listed(missing)}")
            advice.append("call these layers in forward; look for .detach(), .data, no_grad() behind them")
        if zero:
            parts.append(f"the gradient of {listed(zero)} is exactly zero in {steps} steps")
            advice.append(
                "look for rectifiers that are dead for every example (bias far below 0, huge inputs), and "
                "for zeros "
                "above that are multiplied in"
            )
        advice.append("parameters that are not meant to learn: requires_grad_(False)")
        return failed("; ".join(parts), *advice, **evidence)
    notes = f"; {len(frozen)} are frozen" if frozen else ""
    if cancelled:
        notes += f"; the bias in {listed(cancelled)} is cancelled by what follows (bias=False saves it)"
    return passed(f"all {len(named)} trainable parameters receive a gradient{notes}", **evidence)


def _values(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient
