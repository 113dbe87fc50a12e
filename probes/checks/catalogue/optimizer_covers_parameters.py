"""Does the optimizer hold the model's parameters, each exactly once?

**What it does.** Compares the parameters of the model (and of a loss with parameters) with those in the
optimizers' groups.

**Why it matters.** A layer that was added or replaced after the optimizer was made is never updated, and the
loss still comes down, since the other layers work around it. An optimizer made for another copy of the model
updates nothing that is used.

**Criterion.** *Fail*: a trainable parameter that no optimizer holds, or an optimizer that holds none of the
model's. *Warn*: tensors in the optimizer that belong to neither model nor loss; a parameter that two groups
or optimizers hold; a learning rate of exactly 0 without a schedule.

**When it misleads.** Layers left out on purpose should be frozen (requires_grad_(False)): then they are not
reported, and their gradients are not computed either.

**References.** PyTorch documentation, torch.optim: constructing it (move and build the model before).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from probes.checks.context import Context
from probes.checks.errors import NotApplicable
from probes.checks.names import listed
from probes.checks.outcome import Outcome, failed, passed, warned

TITLE = "Does the optimizer hold the model's parameters, each exactly once?"
FAMILY = "optimizer"
SHARE = 0.1


def run(context: Context) -> Outcome:
    if not context.optimizers:
        raise NotApplicable("no optimizer was given: pass optimizer=")
    named = {id(p): name for name, p in context.model.named_parameters()}
    if isinstance(context.loss_fn, nn.Module):
        named.update({id(p): f"loss.{name}" for name, p in context.loss_fn.named_parameters()})
    groups = [group for optimizer in context.optimizers for group in optimizer.param_groups]
    held = [id(p) for group in groups for p in group["params"]]
    trainable = {id(p): name for name, p in context.model.named_parameters() if p.requires_grad}
    missing = [name for key, name in trainable.items() if key not in set(held)]
    foreign = [p for group in groups for p in group["params"] if id(p) not in named]
    twice = sorted({named[key] for key in held if key in named and held.count(key) > 1}) if len(held) < 20_000 else []
    asleep = [
        str(index)
        for index, group in enumerate(groups)
        if not isinstance(group.get("lr"), (type(None), list)) and float(group["lr"]) == 0 and "initial_lr" not in group
    ]
    evidence: dict[str, Any] = {
        "missing": missing,
        "foreign_shapes": [list(p.shape) for p in foreign][:20],
        "twice": twice,
        "groups": [
            {
                "parameters": len(group["params"]),
                "lr": float(group["lr"]) if "lr" in group else None,
                "weight_decay": group.get("weight_decay"),
            }
            for group in groups
        ],
    }
    if len(foreign) == len(held):
        return failed(
            "the optimizer holds none of the model's parameters: it was made for another model",
            "make the optimizer from this model's parameters, after moving, copying or replacing layers",
            **evidence,
        )
    if missing:
        return failed(
            f"the optimizer does not hold {listed(missing)}: they will never be updated",
            "make the optimizer after the last layer is in place, from model.parameters()",
            "if they are not meant to learn: requires_grad_(False)",
            **evidence,
        )
    problems, advice = [], []
    if foreign:
        problems.append(f"the optimizer holds {len(foreign)} tensors that are not part of the model or the loss")
        advice.append("make the optimizer anew after replacing layers")
    if twice:
        problems.append(f"{listed(twice)} are held more than once and get several updates a step")
        advice.append("give each parameter to one group of one optimizer")
    if asleep:
        problems.append(f"the learning rate of group {listed(asleep)} is 0")
        advice.append("set a learning rate")
    if problems:
        return warned("; ".join(problems), *advice, **evidence)
    return passed(f"{len(trainable)} trainable parameters, each in one of {len(groups)} groups", **evidence)
