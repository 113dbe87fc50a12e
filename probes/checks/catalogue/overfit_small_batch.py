"""Can the model learn about twenty examples by heart?

**What it does.** Picks about 20 different examples (at least two of each class where that is possible; fewer
sequences, and fewer for models with hardly any parameters) and trains a copy of the model on them, with
dropout and weight decay off, with Adam at several learning rates one after the other, until the loss is all
but zero and every answer is right. It stops as soon as one rate gets there. The curves are kept.

**Why it matters.** A network that cannot fit twenty examples will not fit twenty thousand. It is the one test
that runs the whole chain of data, labels, model, loss, backward and update, and no amount of tuning repairs
what it finds.

**Criterion.** The loss, counted from its lowest possible value (0, or the entropy of soft and smoothed
labels) in units of the best constant answer's loss: *pass* below 0.1 with an accuracy of 100% (token by
token: below 0.2, since the first tokens of a sequence cannot be foretold), *warn* below 0.5 or when time ran
out while the loss was still falling, *fail* otherwise. How low a loss can go that babysit does not know is not known
either: *pass* when it fell by a quarter, *warn* when it fell by a twentieth; *warn* also when outputs and targets look
like scores and classes, and the largest score is the label of less than 90% of the examples.

**When it misleads.** Targets that the inputs do not determine (noise, several answers for one input) cannot
be learned by heart by a model that is small; a model that is meant to be tiny may be too small for twenty
examples.

**References.** CS231n notes, "Before learning: sanity checks" (overfit a tiny subset of data); A. Karpathy,
"A recipe for training neural networks" (overfit one batch).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from probes.checks.accuracy import accuracy
from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.errors import NotApplicable
from probes.checks.fitting import Fit, fit
from probes.checks.losses.baselines import best_constant_loss, loss_floor, neutral_loss
from probes.checks.losses.identify import LossSpec
from probes.checks.modes import train_without_dropout
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import trainable
from probes.checks.small_batch import small_batch

TITLE = "Can the model learn about twenty examples by heart?"
FAMILY = "learning"
SHARE = 6.0

RATES = (3e-3, 1e-2, 1e-3, 3e-2, 3e-4, 1e-4)
STEPS = 300
LONG_STEPS = 2000
AIM = 0.02  # the training goes on to here, so that the curve shows the loss reach zero
PASS_SHARE = 0.1
PASS_SHARE_TOKENS = 0.2
WARN_SHARE = 0.5
PASS_SHARE_UNKNOWN = 0.75
FAIL_SHARE_UNKNOWN = 0.95
RIGHT = 0.9


@dataclass(frozen=True)
class _Scale:
    """The loss's lowest value and the best constant answer's: 0 and 1 on the scale of the criterion."""

    floor: float
    constant: float
    limit: float
    tokens: bool
    known: bool

    def share(self, loss: float) -> float:
        span = self.constant - self.floor
        return (loss - self.floor) / span if span > 0 else math.inf if loss > self.floor else 0.0


def run(context: Context) -> Outcome:
    if not trainable(context.model):
        raise NotApplicable("no parameter is trainable")
    spec = context.spec()
    batch = small_batch(spec, context.model, context.pooled(), context.trial_outputs())
    scale, start = _measure(context, spec, batch)
    if not math.isfinite(start):
        raise NotApplicable(f"the loss is {start:g} before any training: see finite-forward-backward")
    fits = _attempts(context, spec, batch, scale)
    best = min(fits, key=lambda attempt: attempt.best)
    share = scale.share(best.best)
    evidence = {
        "examples": batch.size,
        "loss_start": start,
        "loss_end": best.best,
        "loss_floor": scale.floor,
        "loss_constant": scale.constant,
        "share_left": share,
        "limits": {"pass": scale.limit, "warn": WARN_SHARE},
        "accuracy": best.best_accuracy,
        "learning_rate": best.learning_rate,
        "curves": [
            {
                "learning_rate": f.learning_rate,
                "loss": f.losses,
                "accuracy": f.accuracies,
                "stopped": f.stopped,
            }
            for f in fits
        ],
    }
    return _judge(best, fits, scale, start, evidence, batch)


def _measure(context: Context, spec: LossSpec, batch: Batch) -> tuple[_Scale, float]:
    rig = context.rig()
    train_without_dropout(rig.model)
    with torch.no_grad():
        outputs = rig.outputs(batch)
        start = float(rig.loss(batch))
    tokens = accuracy(spec, outputs, batch.targets) is not None and _answers(batch) > (batch.size or 1)
    if spec.kind == "custom":
        return _Scale(0.0, abs(start), WARN_SHARE, tokens, False), start
    floor = loss_floor(rig.loss_fn, spec, outputs, batch.targets) or 0.0
    constant = best_constant_loss(rig.loss_fn, spec, outputs, batch.targets)
    if constant is None or constant - floor < 1e-6 * max(abs(constant), 1e-12):
        constant = neutral_loss(rig.loss_fn, spec, outputs, batch.targets)
    return _Scale(floor, constant, PASS_SHARE_TOKENS if tokens else PASS_SHARE, tokens, True), start


def _answers(batch: Batch) -> int:
    return batch.targets.numel() if isinstance(batch.targets, Tensor) else 0


def _attempts(context: Context, spec: LossSpec, batch: Batch, scale: _Scale) -> list[Fit]:
    def done(loss: float, share: float | None) -> bool:
        return (share is None or share == 1.0) and scale.share(loss) < (AIM if scale.known else 0.3)

    fits: list[Fit] = []

    def attempt(rate: float, steps: int) -> Fit:
        rig = context.rig()
        train_without_dropout(rig.model)
        context.reseed()
        fits.append(fit(rig, spec, batch, rate, steps, context.deadline, done))
        return fits[-1]

    for rate in RATES:
        if _learned(attempt(rate, STEPS), scale) or context.deadline.expired:
            return fits
    best = min(fits, key=lambda f: f.best)
    if best.falling or scale.share(best.best) < WARN_SHARE:
        attempt(best.learning_rate, LONG_STEPS)
    return fits


def _learned(attempt: Fit, scale: _Scale) -> bool:
    right = attempt.best_accuracy is None or scale.tokens or attempt.best_accuracy == 1.0
    return attempt.reached or (right and scale.share(attempt.best) < scale.limit)


def _judge(best: Fit, fits: list[Fit], scale: _Scale, start: float, evidence: dict[str, Any], batch: Batch) -> Outcome:
    examples = f"{batch.size} examples" if batch.size else "the batch"
    share = scale.share(best.best)
    accurate = f", accuracy {best.best_accuracy:.0%}" if best.best_accuracy is not None else ""
    story = (
        f"loss {start:.4g} -> {best.best:.4g}{accurate} on {examples} in {len(best.losses) - 1} steps "
        f"(Adam, learning rate {best.learning_rate:g})"
    )
    if scale.known and _learned(best, scale):
        return passed(story, **evidence)
    cut = any(f.stopped == "time used up" for f in fits)
    if not scale.known:
        right = best.best_accuracy
        if share < PASS_SHARE_UNKNOWN and right is not None and right < RIGHT:
            return warned(
                f"{story}: the loss falls, but the largest score is the label of only {right:.0%} of the examples",
                "does this loss compare the scores with class numbers as if those were quantities? Classes want "
                "CrossEntropyLoss",
                *_advice(best),
                **evidence,
            )
        if share < PASS_SHARE_UNKNOWN:
            return passed(f"{story}; how low this loss can go is not known", **evidence)
        if share < FAIL_SHARE_UNKNOWN or cut:
            return warned(f"{story}; it fell by less than a quarter", *_advice(best), **evidence)
        return failed(f"{story}: it hardly learns", *_advice(best), **evidence)
    aim = f"the best constant answer has {scale.constant:.4g}, and {scale.floor:.3g} is possible"
    if cut and best.falling:
        return warned(
            f"{story}; still falling when the time ran out ({aim})",
            "give it more time: raise the budget",
            **evidence,
        )
    if share < WARN_SHARE:
        return warned(f"{story}; {aim}", *_advice(best), **evidence)
    return failed(f"{story}: it cannot learn them by heart ({aim})", *_advice(best), **evidence)


def _advice(best: Fit) -> list[str]:
    if best.losses and not math.isfinite(best.losses[-1]):
        return ["the loss became NaN or infinite: look at the scale of inputs and layers (initialization)"]
    return [
        "see the other checks first: a layer without gradients, symmetric weights, a wrong loss pairing or "
        "inputs of a "
        "wrong scale explain this",
        "check that inputs and labels belong together (shuffled apart?)",
        "give the model more capacity: wider layers, fewer bottlenecks",
    ]
