"""Does a step of the optimizer change every parameter, by a sensible amount?

**What it does.** Takes one real training step with a copy of the optimizer on the first batch, and compares
every parameter before and after, bit by bit; the relative update |dw| / |w| of each is kept as evidence.

**Why it matters.** It closes the chain from loss to weights: a learning rate of 0, an update lost in the
rounding of half precision, or a step that makes a weight NaN are all found here.

**Criterion.** *Fail*: a parameter with a gradient that the step leaves as it is, or one that is NaN or infinite
afterwards. *Warn*: a weight matrix that changes by more than half of its size in one step (its norm, at least that
of weights of variance 1/fan_in), if the loss of all batches read is not lower afterwards, nor after twenty steps
more (RMSprop's first step is ten times as large as the later ones), or has grown tenfold in between; a frozen
parameter that changes; all weight matrices changing by less than 1e-8 of their size.

**When it misleads.** The first steps of Adam have the size of the learning rate whatever the gradient is:
small weights change relatively much. A warm-up that starts at 0 is checked at its target rate.

**References.** CS231n notes, "Ratio of weights:updates" (about 1e-3 is usual).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable, UserCodeError
from probes.checks.names import listed
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import Rig, backward, usual_size
from probes.checks.state import same_bits

TITLE = "Does a step of the optimizer change every parameter, by a sensible amount?"
FAMILY = "optimizer"
SHARE = 0.5

TOO_MUCH = 0.5
TOO_LITTLE = 1e-8
MORE = 20
BLOWN_UP = 10.0


def run(context: Context) -> Outcome:
    if not context.optimizers:
        raise NotApplicable("no optimizer was given: pass optimizer=")
    rig = context.rig()
    warmed = _out_of_warm_up(rig)
    before = {name: p.detach().clone() for name, p in rig.model.named_parameters()}
    loss, gradients = one_step(context, rig)
    if not math.isfinite(loss):
        raise NotApplicable(f"the loss is {loss:g}: see finite-forward-backward")
    after = {name: p.detach() for name, p in rig.model.named_parameters()}
    held = {id(p) for o in rig.optimizers for group in o.param_groups for p in group["params"]}
    stuck, broken, thawed = [], [], []
    ratios: dict[str, float] = {}
    for name, parameter in rig.model.named_parameters():
        same = same_bits(before[name], after[name])
        if not bool(torch.isfinite(after[name]).all()):
            broken.append(name)
        elif same and id(parameter) in held and gradients.get(name, 0.0) > 0:
            stuck.append(name)
        elif not same and not parameter.requires_grad:
            thawed.append(name)
        if parameter.requires_grad and parameter.dim() > 1 and id(parameter) in held:
            ratios[name] = float((exact(after[name]) - exact(before[name])).norm()) / usual_size(before[name])
    evidence: dict[str, Any] = {"update_ratios": ratios, "unchanged": stuck, "nonfinite": broken}
    rates = sorted({float(g["lr"]) for o in rig.optimizers for g in o.param_groups if "lr" in g})
    at = f"at a learning rate of {', '.join(f'{rate:g}' for rate in rates)}"
    if broken:
        return failed(
            f"after one step {at} {listed(broken)} holds NaN or infinities",
            "lower the learning rate, clip the gradients, and check the gradients (finite-forward-backward)",
            **evidence,
        )
    if stuck:
        return failed(
            f"one step {at} leaves {listed(stuck)} as it was, although it has a gradient",
            "check the learning rate of its group",
            "in half precision small updates are rounded away: keep the weights in float32 (autocast)",
            **evidence,
        )
    losses = (_loss(context, context.rig()), _loss(context, rig))
    evidence.update(loss_before=losses[0], loss_after=losses[1])
    if max(ratios.values(), default=0.0) > TOO_MUCH and not losses[1] < losses[0]:
        for turn in range(MORE):
            one_step(context, rig, context.batches[(turn + 1) % len(context.batches)])
            if context.deadline.expired:
                break
        evidence.update(loss_after_more=_loss(context, rig))
        if losses[1] < BLOWN_UP * abs(losses[0]):
            losses = (losses[0], evidence["loss_after_more"])
    return _amounts(ratios, thawed, at, warmed, losses, evidence)


def _loss(context: Context, rig: Rig) -> float:
    """The mean loss of all batches read, with the same random numbers every time."""
    rig.model.train()
    context.reseed()
    with torch.no_grad():
        return sum(float(rig.loss(batch)) for batch in context.batches) / len(context.batches)


def _amounts(
    ratios: dict[str, float],
    thawed: list[str],
    at: str,
    warmed: bool,
    losses: tuple[float, float],
    evidence: dict[str, Any],
) -> Outcome:
    large = [f"{name} ({ratio:.2g})" for name, ratio in ratios.items() if ratio > TOO_MUCH]
    if large and not losses[1] < losses[0]:
        return warned(
            f"one step {at} changes weights by more than half of their size: {listed(large)}; the loss "
            f"goes from {losses[0]:.4g} to {losses[1]:.4g}",
            "lower the learning rate (learning-rate-range suggests one)",
            **evidence,
        )
    if thawed:
        return warned(
            f"{listed(thawed)} has requires_grad=False and changes all the same",
            "look for code in forward or in hooks that writes to it",
            **evidence,
        )
    if ratios and max(ratios.values()) < TOO_LITTLE:
        return warned(
            f"one step {at} changes no weight by more than {max(ratios.values()):.1e} of its size",
            "raise the learning rate (learning-rate-range suggests one)",
            **evidence,
        )
    note = " (the warm-up's target rate)" if warmed else ""
    span = f" by {min(ratios.values()):.1e} to {max(ratios.values()):.1e} of their size" if ratios else ""
    return passed(f"one step {at}{note} changes every weight matrix{span}", **evidence)


def one_step(context: Context, rig: Rig, batch: Batch | None = None) -> tuple[float, dict[str, float]]:
    """One real training step in train mode, on the first batch or another: the loss before it, and the gradient norms
    by name that the step saw.

    Raises:
        UserCodeError: forward, loss or an optimizer raised.
    """
    rig.model.train()
    context.reseed()

    def closure() -> Tensor:
        for optimizer in rig.optimizers:
            optimizer.zero_grad()
        loss = rig.loss(batch or context.batch)
        if not loss.requires_grad:
            raise NotApplicable("the loss does not depend on any trainable parameter: see finite-forward-backward")
        backward(loss)
        return loss

    with torch.enable_grad():
        loss = float(closure().detach())
    norms = {name: _norm(p.grad) for name, p in rig.model.named_parameters() if p.grad is not None}
    for optimizer in rig.optimizers:
        try:
            optimizer.step(_as_float(closure))
        except (UserCodeError, NotApplicable):
            raise
        except Exception as error:
            raise UserCodeError(
                f"the optimizer ({type(optimizer).__name__})",
                f"step() raised {type(error).__name__}: {error}",
            ) from error
    return loss, norms


def _as_float(closure: Any) -> Any:
    def run() -> Any:
        with torch.enable_grad():
            return closure().detach()

    return run


def _norm(gradient: Tensor) -> float:
    return float(exact(gradient.coalesce().values() if gradient.is_sparse else gradient).norm())


def _out_of_warm_up(rig: Rig) -> bool:
    warmed = False
    for optimizer in rig.optimizers:
        for group in optimizer.param_groups:
            if "initial_lr" in group and float(group["lr"]) < float(group["initial_lr"]):
                group["lr"] = group["initial_lr"]
                warmed = True
    return warmed
