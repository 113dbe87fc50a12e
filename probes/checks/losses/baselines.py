"""What a loss is worth at outputs that know nothing, and at the best constant output.

Closed forms at neutral outputs (zero scores; uniform probabilities): cross-entropy and NLL over C balanced or
imbalanced classes: ln C, whatever the class weights, since a weighted mean of equal terms is that term;
binary cross-entropy: ln 2 (times the mean of pos_weight over the positive targets, 1 elsewhere); MSE:
mean(t^2) = var(t) + mean(t)^2; L1: mean |t|. They are obtained here by giving the user's own loss function
neutral outputs, which also takes label smoothing, ignored labels, weights and the reduction into account.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from probes.checks.double import exact
from probes.checks.losses.evaluate import LossFn, evaluate_loss
from probes.checks.losses.identify import REGRESSION_KINDS, LossSpec, class_rows
from probes.checks.trees import main_tensor, replace_main


def outputs_like(spec: LossSpec, main: Tensor, scores: Tensor) -> Tensor:
    """`scores` (zeros: knows nothing) as the loss wants its outputs: log-probabilities, probabilities or as
    they are.
    """
    if spec.kind == "nll":
        return scores.log_softmax(spec.class_dim if main.dim() > 1 else 0)
    if spec.kind == "kl-div":
        return scores.log_softmax(-1)
    if spec.kind == "bce":
        return scores.sigmoid()
    return scores


def neutral_loss(loss_fn: LossFn, spec: LossSpec, outputs: Any, targets: Any) -> float:
    """The loss of outputs that know nothing (see the module's text)."""
    main = _main(outputs)
    neutral = outputs_like(spec, main, torch.zeros_like(main))
    return _value(evaluate_loss(loss_fn, replace_main(outputs, neutral), targets))


def loss_at_scale(
    loss_fn: LossFn, spec: LossSpec, outputs: Any, targets: Any, scale: float, draws: int = 16
) -> tuple[float, float]:
    """Mean and standard deviation of the loss over `draws` Gaussian random outputs of standard deviation `scale` that
    do not depend on the inputs.
    """
    main = _main(outputs)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(draws):
        scores = (scale * torch.randn(main.shape, generator=generator)).to(main)
        losses.append(float(evaluate_loss(loss_fn, replace_main(outputs, outputs_like(spec, main, scores)), targets)))
    mean = sum(losses) / draws
    return mean, math.sqrt(sum((value - mean) ** 2 for value in losses) / (draws - 1))


def target_scale(spec: LossSpec, targets: Any) -> float:
    """The natural unit of the outputs: the RMS of regression targets, 1 for scores."""
    if spec.kind in REGRESSION_KINDS and isinstance(targets, Tensor):
        return max(float(exact(targets).square().mean().sqrt()), 1e-12)
    return 1.0


def best_constant_loss(loss_fn: LossFn, spec: LossSpec, outputs: Any, targets: Any) -> float | None:
    """The loss of the best output that ignores the inputs: class priors, base rates, means or medians of the
    targets.

    None for a loss whose best constant is not known in closed form.
    """
    main = _main(outputs)
    constant: Tensor | None = None
    rows = class_rows(spec, outputs, targets)
    if rows is not None:
        scores, labels = rows
        if labels.numel() == 0 or spec.kind not in ("cross-entropy", "nll"):
            return None
        counts = exact(torch.bincount(labels.cpu(), minlength=scores.shape[1]))
        weight = exact(spec.weight).cpu() if spec.weight is not None else torch.ones(len(counts)).double()
        prior = counts * weight
        logs = (prior / prior.sum()).clamp_min(1e-12).log().to(main)
        shape = [1] * main.dim()
        shape[spec.class_dim if main.dim() > 1 else 0] = -1
        constant = logs.reshape(shape).expand_as(main)
    elif isinstance(targets, Tensor) and targets.shape == main.shape and targets.numel():
        values = exact(targets)
        columns = values.reshape(values.shape[0], -1) if values.dim() > 1 else values.reshape(-1, 1)
        if spec.kind in ("mse", "smooth-l1", "huber"):
            best = columns.mean(0)
        elif spec.kind == "l1":
            best = columns.median(0).values
        elif spec.kind in ("bce", "bce-logits"):
            rate = columns.mean(0).clamp(1e-6, 1 - 1e-6)
            if (
                spec.pos_weight is not None
                and spec.kind == "bce-logits"
                and spec.pos_weight.numel() in (1, rate.numel())
            ):
                odds = rate / (1 - rate) * exact(spec.pos_weight).reshape(-1).to(rate)
                rate = odds / (1 + odds)
            best = rate if spec.kind == "bce" else torch.logit(rate)
        else:
            return None
        constant = best.expand_as(columns).reshape(main.shape).to(main)
    if constant is None:
        return None
    value = _value(evaluate_loss(loss_fn, replace_main(outputs, constant.contiguous()), targets))
    return value if math.isfinite(value) else None


def _value(loss: Tensor) -> float:
    return float(loss.detach())


def _main(outputs: Any) -> Tensor:
    main = main_tensor(outputs)
    if main is None:
        raise ValueError("the model returned no tensor")
    return main.detach()


def loss_floor(loss_fn: LossFn, spec: LossSpec, outputs: Any, targets: Any) -> float | None:
    """The lowest value the loss can take on these targets: 0 for plain targets, the targets' entropy for soft
    ones.

    None for a loss babysit does not know.
    """
    main = _main(outputs)
    if not isinstance(targets, Tensor):
        return None
    ideal: Tensor | None = None
    if spec.kind in ("cross-entropy", "nll"):
        dim = spec.class_dim if main.dim() > 1 else 0
        classes = main.shape[dim]
        if targets.is_floating_point():
            probabilities = targets.to(main) if targets.shape == main.shape else None
        else:
            labels = targets.clamp(0, classes - 1)
            if labels.numel() * classes != main.numel():
                return None
            one_hot = torch.nn.functional.one_hot(labels.reshape(-1), classes).to(main)
            moved = main.movedim(dim, -1)
            probabilities = one_hot.reshape(moved.shape).movedim(-1, dim)
        if probabilities is None:
            return None
        smoothing = spec.label_smoothing
        probabilities = (1 - smoothing) * probabilities + smoothing / classes
        ideal = probabilities.clamp_min(1e-12).log()
    elif targets.numel() == main.numel():
        values = targets.reshape(main.shape).to(main)
        if spec.kind == "bce":
            ideal = values.clamp(0, 1)
        elif spec.kind == "bce-logits":
            ideal = torch.logit(values.clamp(0, 1), eps=1e-7)
        elif spec.kind in REGRESSION_KINDS:
            ideal = values
        elif spec.kind == "kl-div":
            ideal = values if spec.log_target else values.clamp_min(1e-12).log()
        elif spec.kind == "poisson-nll":
            ideal = values.clamp_min(1e-8).log() if spec.log_input else values
    if ideal is None:
        return None
    value = _value(evaluate_loss(loss_fn, replace_main(outputs, ideal.contiguous()), targets))
    return value if math.isfinite(value) else None
