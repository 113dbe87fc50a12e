"""At which learning rates does the loss come down, and is the optimizer's among them?

**What it does.** Trains a copy on one fixed batch with the user's optimizer (its class and settings; Adam
where none is given) while the learning rate grows from 1e-7 to 10 in equal ratios, until the loss has
exploded. The suggestion is where the loss falls fastest, at most a tenth of the rate with the lowest loss.
With an optimizer given, 30 steps at its own rate and 30 at the suggested one are compared.

**Why it matters.** The learning rate is the setting that matters most, and a factor of 100 too much or too
little is the most frequent reason for a loss that does not come down.

**Criterion.** *Fail* when 30 steps at the optimizer's rate end above 1.5 times the starting loss, or NaN.
*Warn* when they gain less than a twentieth of what the suggested rate gains, and the rate is more than 30
times away from it. A loss that babysit does not know may have no lower end: there a tenth of the starting loss in 30
steps is enough.

**When it misleads.** Schedules with warm-up are judged at their target rate. Fine-tuning of a pretrained
model wants smaller rates than the sweep suggests. Sweeps on one batch favour rates at the upper end: take the
suggestion as the order of magnitude.

**References.** L. Smith, "Cyclical learning rates for training neural networks" (2017), 3.3; CS231n notes,
"Hyperparameter optimization"; the tenth of the minimum is fastai's rule.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.optim import LBFGS, Optimizer

from probes.checks.batches import Batch
from probes.checks.clock import Deadline
from probes.checks.context import Context
from probes.checks.errors import NotApplicable
from probes.checks.modes import train_without_dropout
from probes.checks.outcome import Outcome, failed, passed, skipped, warned
from probes.checks.rig import Rig, backward, trainable

TITLE = "At which learning rates does the loss come down, and is the optimizer's among them?"
FAMILY = "learning"
SHARE = 3.0

EXAMPLES = 64
LOWEST, HIGHEST = 1e-7, 10.0
SWEEP = 100
TRIAL = 30
EXPLODED = 4.0
WORSE = 1.5
LESS = 0.05
AWAY = 30.0
MOVES = 0.1


def run(context: Context) -> Outcome:
    if not trainable(context.model):
        raise NotApplicable("no parameter is trainable")
    if any(isinstance(optimizer, LBFGS) for optimizer in context.optimizers):
        raise NotApplicable("LBFGS chooses its steps itself")
    batch = context.pooled().first(EXAMPLES)
    rates, losses = _sweep(context, batch)
    if len(losses) < 10 or not math.isfinite(losses[0]):
        return skipped("no time for a sweep, or no finite loss to start from", "raise the budget")
    smooth = _smooth(losses)
    lowest = min(range(len(smooth)), key=smooth.__getitem__)
    suggested = min(rates[lowest] / 10, rates[_steepest(smooth[: lowest + 1])])
    start = losses[0]
    evidence: dict[str, Any] = {
        "rates": rates,
        "losses": losses,
        "smoothed": smooth,
        "suggested": suggested,
        "lowest_at": rates[lowest],
        "exploded_at": rates[-1] if len(rates) < SWEEP and not context.deadline.expired else None,
    }
    if smooth[lowest] > start - 0.01 * abs(start):
        return warned(
            f"no learning rate from {LOWEST:g} to {rates[-1]:.2g} lowers the loss ({start:.4g})",
            "see overfit-small-batch and gradients-reach-every-parameter first",
            **evidence,
        )
    text = f"the loss falls up to a learning rate of {rates[lowest]:.2g}; suggested: about {suggested:.1g}"
    if not context.optimizers:
        return passed(f"{text} (Adam)", **evidence)
    return _compare(context, batch, suggested, text, evidence)


def _steepest(losses: list[float]) -> int:
    """Where the smoothed loss falls fastest, over five steps of the sweep."""
    drops = [losses[i] - losses[i + 5] for i in range(len(losses) - 5)]
    return max(range(len(drops)), key=drops.__getitem__) if drops else 0


def _compare(context: Context, batch: Batch, suggested: float, text: str, evidence: dict[str, Any]) -> Outcome:
    configured = max(_rate(group) for optimizer in context.optimizers for group in optimizer.param_groups)
    mine = _trial(context, batch, configured, context.deadline.part(0.5))
    theirs = _trial(context, batch, suggested, context.deadline)
    start = mine[0]
    evidence.update(configured=configured, trial={"configured": mine, "suggested": theirs})
    end = min(mine[-5:]) if all(math.isfinite(value) for value in mine) else math.inf
    if not math.isfinite(end) or end > start + (WORSE - 1) * abs(start):
        return failed(
            f"at the optimizer's learning rate of {configured:g} the loss goes from {start:.4g} to {end:.4g} "
            f"in "
            f"{len(mine) - 1} steps; {text}",
            f"lower the learning rate from {configured:g} to about {suggested:.1g}",
            **evidence,
        )
    gain, possible = start - min(mine), start - min(theirs)
    away = max(configured, 1e-30) / suggested
    # A loss without a lower end (policy gradients) lets large rates gain without limit: its own gain must be small.
    if context.spec().kind == "custom" and gain > MOVES * abs(start):
        possible = min(possible, gain)
    if gain < LESS * possible and not 1 / AWAY <= away <= AWAY:
        verb = "lower" if away > 1 else "raise"
        return warned(
            f"at the optimizer's learning rate of {configured:g} the loss goes from {start:.4g} to "
            f"{min(mine):.4g} in "
            f"{len(mine) - 1} steps, at {suggested:.1g} to {min(theirs):.4g}",
            f"{verb} the learning rate from {configured:g} to about {suggested:.1g}",
            **evidence,
        )
    return passed(
        f"{text}; the optimizer's {configured:g} takes the loss from {start:.3g} to {min(mine):.3g}",
        **evidence,
    )


def _rate(group: dict[str, Any]) -> float:
    return max(float(group.get("lr", 0.0)), float(group.get("initial_lr", 0.0)))


def _optimizers(rig: Rig) -> list[Optimizer]:
    return rig.optimizers or [torch.optim.Adam(trainable(rig.model).values(), lr=1e-3)]


def _set_rate(optimizers: list[Optimizer], rate: float) -> None:
    """Give the fastest group `rate`; the others keep their ratio to it."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    top = max((group.setdefault("_ratio", _rate(group)) for group in groups), default=0.0)
    for group in groups:
        group["lr"] = rate * (group["_ratio"] / top if top > 0 else 1.0)


def _step(rig: Rig, optimizers: list[Optimizer], batch: Batch) -> float:
    """One training step; the loss before it."""
    for parameter in trainable(rig.model).values():
        parameter.grad = None
    loss = rig.loss(batch)
    value = float(loss.detach())
    if math.isfinite(value) and loss.requires_grad:
        backward(loss)
        for optimizer in optimizers:
            optimizer.step()
    return value


def _sweep(context: Context, batch: Batch) -> tuple[list[float], list[float]]:
    rig = context.rig()
    train_without_dropout(rig.model)
    context.reseed()
    optimizers = _optimizers(rig)
    limit = context.deadline.part(0.6)
    rates: list[float] = []
    losses: list[float] = []
    best = math.inf
    for step in range(SWEEP):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (SWEEP - 1))
        _set_rate(optimizers, rate)
        value = _step(rig, optimizers, batch)
        rates.append(rate)
        losses.append(value)
        best = min(best, value)
        if not math.isfinite(value) or value - best > EXPLODED * max(abs(losses[0]), 1e-12) or limit.expired:
            break
    return rates, losses


def _trial(context: Context, batch: Batch, rate: float, limit: Deadline) -> list[float]:
    rig = context.rig()
    train_without_dropout(rig.model)
    context.reseed()
    optimizers = _optimizers(rig)
    _set_rate(optimizers, rate)
    losses = [_step(rig, optimizers, batch)]
    while len(losses) <= TRIAL and math.isfinite(losses[-1]) and not limit.expired:
        losses.append(_step(rig, optimizers, batch))
    return losses


def _smooth(losses: list[float], weight: float = 0.7) -> list[float]:
    """Exponential moving average; values that are not finite count as the worst so far."""
    worst = max(value for value in losses if math.isfinite(value))
    smooth, current = [], losses[0]
    for value in losses:
        current = weight * current + (1 - weight) * (value if math.isfinite(value) else worst)
        smooth.append(current)
    return smooth
