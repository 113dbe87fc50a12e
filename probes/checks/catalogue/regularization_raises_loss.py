"""Does the regularisation do anything, and not too much?

**What it does.** Dropout: learns a small batch by heart (briefly), then compares the loss with dropout off
with its mean over several draws with dropout on. Weight decay: measures the penalty 1/2 decay |w|^2 beside
the loss, lets the optimizer take one step with all gradients at zero, and looks at whether the decayed
weights shrink.

**Why it matters.** Regularisation always makes the training loss higher. If it does not, it is not
connected: a dropout module that forward never calls, a weight decay on an empty group. If it outweighs the
loss, the network learns to be small instead of right.

**Criterion.** *Warn* when dropout leaves the loss exactly as it is, or lowers it by more than three standard
errors; when the penalty is more than 10 times the loss, or one step shrinks a weight by more than 1%;
when weight decay is set and no weight shrinks.

**When it misleads.** Where decay is meant to be strong for a short time.

**References.** CS231n notes, "Sanity checks" (increasing the regularisation strength should increase the
loss); I. Loshchilov and F. Hutter, "Decoupled weight decay regularization" (2019).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import LBFGS

from probes.checks.context import Context
from probes.checks.errors import NotApplicable
from probes.checks.fitting import fit
from probes.checks.modes import dropout_modules, train_without_dropout
from probes.checks.names import listed
from probes.checks.outcome import Outcome, passed, warned
from probes.checks.rig import Rig, trainable
from probes.checks.small_batch import small_batch

TITLE = "Does the regularisation do anything, and not too much?"
FAMILY = "loss"
SHARE = 1.0

DRAWS = 24
FIT_STEPS = 60
RATE = 3e-3
PENALTY = 10.0
SHRINK = 0.01


def run(context: Context) -> Outcome:
    dropping = dropout_modules(context.model)
    decayed = [
        group for optimizer in context.optimizers for group in optimizer.param_groups if group.get("weight_decay", 0)
    ]
    if not dropping and not decayed:
        without = "" if context.optimizers else " (pass optimizer= to have weight decay checked)"
        raise NotApplicable(f"no dropout and no weight decay found{without}")
    told: list[str] = []
    problems: list[tuple[str, str]] = []
    evidence: dict[str, Any] = {}
    if decayed:
        _decay(context, told, problems, evidence)
    if dropping:
        _dropout(context, dropping, told, problems, evidence)
    if problems:
        return warned("; ".join(p[0] for p in problems), *(p[1] for p in problems), **evidence)
    return passed("; ".join(told), **evidence)


def _dropout(
    context: Context,
    names: list[str],
    told: list[str],
    problems: list[tuple[str, str]],
    evidence: dict[str, Any],
) -> None:
    rig = context.rig()
    batch = small_batch(context.spec(), context.model, context.pooled(), context.trial_outputs())
    if trainable(rig.model):
        train_without_dropout(rig.model)
        fit(rig, context.spec(), batch, RATE, FIT_STEPS, context.deadline.part(0.7), lambda *_: False)
    # Dropout is switched on again module by module, from the user's own settings.
    fitted = {name: p.detach() for name, p in rig.model.named_parameters()}
    with torch.no_grad():
        off = float(rig.loss(batch))
        noisy = _with_dropout(context, rig, fitted)
        on = [float(noisy.loss(batch)) for _ in range(DRAWS) if not context.deadline.expired]
    if len(on) < 2:
        told.append("dropout: no time to measure it")
        return
    mean = sum(on) / len(on)
    error = math.sqrt(sum((value - mean) ** 2 for value in on) / (len(on) - 1) / len(on))
    evidence.update(loss_without_dropout=off, loss_with_dropout=mean, standard_error=error, dropout=names)
    if all(value == off for value in on):
        problems.append(
            (
                f"dropout ({listed(names)}) changes nothing in train mode",
                "call the dropout modules in forward, and train in train mode: model.train()",
            )
        )
    elif mean < off - 3 * error - 1e-6 * abs(off):
        problems.append(
            (
                f"dropout lowers the loss: {off:.4g} without, {mean:.4g} with it",
                "look at what is done to the activations in train mode besides dropping some",
            )
        )
    else:
        told.append(f"dropout raises the loss of learned examples from {off:.3g} to {mean:.3g}")


def _with_dropout(context: Context, rig: Rig, fitted: dict[str, torch.Tensor]) -> Rig:
    """A rig in train mode, dropout as the user set it, with the fitted weights."""
    kept = {name: value.clone() for name, value in fitted.items()}
    noisy = context.rig()
    noisy.model.train()
    for name, parameter in noisy.model.named_parameters():
        parameter.copy_(kept[name])
    return noisy


def _decay(context: Context, told: list[str], problems: list[tuple[str, str]], evidence: dict[str, Any]) -> None:
    rig = context.rig()
    train_without_dropout(rig.model)
    with torch.no_grad():
        loss = float(rig.loss(context.batch))
    decayed: list[tuple[nn.Parameter, float]] = []
    penalty = 0.0
    for optimizer in rig.optimizers:
        if isinstance(optimizer, LBFGS):
            continue
        for group in optimizer.param_groups:
            strength = float(group.get("weight_decay", 0))
            for parameter in group["params"]:
                if parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)
                    if strength and parameter.dim() > 1:
                        decayed.append((parameter, float(parameter.detach().norm())))
                        penalty += 0.5 * strength * decayed[-1][1] ** 2
            if group.get("initial_lr") and not float(group["lr"]):
                group["lr"] = group["initial_lr"]  # a warm-up starts at 0
            for momentum in ("momentum", "dampening"):
                if momentum in group and not group.get("nesterov"):
                    group[momentum] = 0
        optimizer.state.clear()
        optimizer.step()
    shrinks = [1 - float(p.detach().norm()) / norm for p, norm in decayed if norm > 0]
    if not shrinks:
        told.append("weight decay: no weight matrix in its groups")
        return
    coupled = not any("AdamW" in type(o).__name__ or "decoupled" in str(o.defaults) for o in rig.optimizers)
    fastest = max(shrinks)
    evidence.update(loss=loss, penalty=penalty, largest_shrink=fastest)
    if all(shrink <= 0 for shrink in shrinks):
        problems.append(("weight decay is set, but a step without gradients shrinks no weight", "check the groups"))
    elif any(type(o).__name__ in ("SGD", "AdamW") for o in rig.optimizers) and fastest > SHRINK:
        problems.append(
            (
                f"weight decay shrinks weights by {fastest:.1%} in each step: they halve in {0.7 / fastest:.0f} steps",
                "lower weight_decay (learning rate times weight decay should stay below about 0.001)",
            )
        )
    elif coupled and math.isfinite(loss) and penalty > PENALTY * abs(loss):
        problems.append(
            (
                f"the weight decay penalty ({penalty:.3g}) is {penalty / max(abs(loss), 1e-12):.0f} times "
                f"the loss "
                f"({loss:.3g})",
                f"lower weight_decay by a factor of about {penalty / max(abs(loss), 1e-12):.0f}",
            )
        )
    elif coupled:
        told.append(f"weight decay adds {penalty:.2g} to a loss of {loss:.3g} and shrinks weights {fastest:.1e} a step")
    else:
        told.append(f"weight decay shrinks weights {fastest:.1e} a step")
