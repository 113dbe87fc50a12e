"""Does the regularisation do anything, and not too much?

**What it does.** Dropout: learns a small batch by heart (briefly), then compares the loss with dropout off
with its mean over several draws with dropout on. Weight decay: lets the optimizer take one step with all gradients at
zero, and looks at how much the decayed weights shrink; where the optimizer rescales the decay together with the
gradient (Adam, RMSprop, Adagrad), compares the two norms, decay |w| and |g|.

**Why it matters.** Regularisation always makes the training loss higher. If it does not, it is not
connected: a dropout module that forward never calls, a weight decay on an empty group. If it outweighs the
loss, the network learns to be small instead of right.

**Criterion.** *Warn* when dropout leaves the loss exactly as it is, or lowers it by more than three standard
errors; when one step shrinks a weight by more than 1%, or, where it is rescaled, decay pulls more than twice as hard
as the loss of the untrained model; when weight decay is set and no weight shrinks.

**When it misleads.** Where decay is meant to be strong for a short time.

**References.** CS231n notes, "Sanity checks" (increasing the regularisation strength should increase the
loss); I. Loshchilov and F. Hutter, "Decoupled weight decay regularization" (2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
PULL = 2.0
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
    named = {id(p): name for name, p in rig.model.named_parameters()}
    gradients = rig.gradients(context.batch)
    loss = float(rig.loss(context.batch).detach())
    decayed: list[_Decayed] = []
    for optimizer in rig.optimizers:
        if isinstance(optimizer, LBFGS):
            continue
        for group in optimizer.param_groups:
            if group.get("initial_lr") and not float(group["lr"]):
                group["lr"] = group["initial_lr"]  # a warm-up starts at 0
            for parameter in group["params"]:
                if parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)
                    strength = float(group.get("weight_decay", 0))
                    if strength and parameter.dim() > 1:
                        found = gradients.get(named.get(id(parameter), ""))
                        size = float(parameter.detach().norm())
                        slope = float(_dense(found).norm()) if found is not None else 0.0
                        expected = float(group.get("lr", 0.0)) * strength
                        decayed.append(_Decayed(parameter, size, strength, slope, expected))
            for setting in ("momentum", "dampening", "nesterov"):  # nothing but the decay shall act
                if setting in group:
                    group[setting] = type(group[setting])(0)
        optimizer.state.clear()
        optimizer.step()
    decayed = [one for one in decayed if one.size > 0]
    if not decayed:
        told.append("weight decay: no weight matrix in its groups")
        return
    fastest = max(one.shrink for one in decayed)
    penalty = sum(0.5 * one.strength * one.size**2 for one in decayed)
    pull = math.sqrt(sum((one.strength * one.size) ** 2 for one in decayed))
    slope = math.sqrt(sum(one.slope**2 for one in decayed))
    # A step shrinks all weights by lr * decay where decay acts by itself or under plain SGD. Where it does not, decay
    # is part of a gradient that the optimizer rescales: what counts is how it compares with the loss's.
    rescaled = any(abs(one.shrink - one.expected) > 0.1 * one.expected + 1e-6 for one in decayed)
    evidence.update(loss=loss, penalty=penalty, largest_shrink=fastest, pull=pull, loss_gradient=slope)
    if all(one.shrink <= 0 for one in decayed):
        problems.append(("weight decay is set, but a step without gradients shrinks no weight", "check the groups"))
    elif not rescaled and fastest > SHRINK:
        problems.append(
            (
                f"weight decay shrinks weights by {fastest:.1%} in each step: they halve in {0.7 / fastest:.0f} steps",
                "lower weight_decay (learning rate times weight decay should stay below about 0.001)",
            )
        )
    elif rescaled and slope > 0 and pull > PULL * slope:
        problems.append(
            (
                f"weight decay pulls at the weights {pull / slope:.1f} times as hard as the loss does (gradient norms "
                f"{pull:.3g} and {slope:.3g}), and the optimizer does not tell the two apart",
                f"lower weight_decay by a factor of about {10 * pull / slope:.0f}",
            ),
        )
    elif math.isfinite(loss):
        how = f"pulls {pull / slope:.2g} times as hard as the loss" if rescaled and slope > 0 else ""
        told.append(f"weight decay {how or f'shrinks weights by at most {fastest:.1e} a step'}")


@dataclass(frozen=True)
class _Decayed:
    """One weight matrix under decay: its norm before the step, its loss gradient's, and the shrinking of lr * decay."""

    parameter: nn.Parameter
    size: float
    strength: float
    slope: float
    expected: float

    @property
    def shrink(self) -> float:
        return 1 - float(self.parameter.detach().norm()) / self.size


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.to_dense() if gradient.layout != torch.strided else gradient
