"""Faults of the wiring: what the program connects wrongly, although every setting is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.faults.base import RUNAWAY, Fault, register
from trainer.models.activations import ACTIVATIONS
from trainer.models.initialization import WEIGHTED
from trainer.parts import Parts

ACTIVATION_TYPES = tuple({type(make()) for make in ACTIVATIONS.values()} - {nn.Identity})


def _weighted(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Dense and convolutional layers, in order."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, WEIGHTED)]


def _never_cleared(parts: Parts) -> Parts:
    parts.optimizer.zero_grad = lambda set_to_none=True: None  # type: ignore[method-assign]
    return parts


def _misses(fault: str, which: int) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        group = parts.optimizer.param_groups[0]
        known = {id(p) for p in group["params"]}  # of a GAN the optimizer has the generator's
        layers = [module for _, module in _weighted(parts.model) if any(id(p) in known for p in module.parameters())]
        missed = {id(p) for p in layers[which].parameters()}
        group["params"] = [p for p in group["params"] if id(p) not in missed]
        if not group["params"]:
            raise RecipeError(f"fault '{fault}' needs a model of more than one layer")
        return parts

    return change


def _maximized(parts: Parts) -> Parts:
    for group in parts.optimizer.param_groups:
        group["maximize"] = True
    return parts


def _frozen(parts: Parts) -> Parts:
    for name, parameter in parts.model.named_parameters():
        parameter.requires_grad_("head" in name.split("."))
    if all(parameter.requires_grad for parameter in parts.model.parameters()):
        raise RecipeError("fault 'frozen-layers' needs a model of more than one layer")
    return parts


def _detached(parts: Parts) -> Parts:
    layers = _weighted(parts.model)
    if len(layers) < 2:
        raise RecipeError("fault 'detached-layer' needs a model of more than one layer")
    if any(isinstance(module, nn.GroupNorm) for module in parts.model.modules()):
        # torch 2.13 ends the process (SIGSEGV) in the backward pass of one whose channels-last input needs no gradient.
        raise RecipeError("fault 'detached-layer' does not fit a model with group normalisation: torch fails behind it")
    layers[len(layers) // 2 - 1][1].register_forward_hook(lambda module, inputs, output: output.detach())
    return parts


def _double_softmax(parts: Parts) -> Parts:
    if parts.task.problem != "multi-class":
        raise RecipeError("fault 'double-softmax' needs a task with classes")
    if isinstance(parts.model, nn.Sequential):
        parts.model.add_module("softmax", nn.Softmax(dim=1))
    else:  # as a function at the end of `forward`: no module that a person or a probe could see
        parts.model.register_forward_hook(lambda module, inputs, outputs: outputs.softmax(1))
    return parts


def _wrong_head(parts: Parts) -> Parts:
    """Where the loss wants raw scores, a sigmoid (binary, regression) or a ReLU (classes)."""
    layer: nn.Module = nn.ReLU() if parts.task.problem == "multi-class" else nn.Sigmoid()
    if isinstance(parts.model, nn.Sequential):
        parts.model.add_module("output", layer)
    else:
        parts.model.register_forward_hook(lambda module, inputs, outputs: layer(outputs))
    return parts


def _summed(parts: Parts) -> Parts:
    parts.loss_fn.reduction = "sum"  # type: ignore[assignment]
    return parts


def _never_evaluating(parts: Parts) -> Parts:
    modules = list(parts.model.modules())
    if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) or (isinstance(m, nn.Dropout) and m.p) for m in modules):
        raise RecipeError("fault 'never-evaluating' needs a model with dropout or batch normalisation")
    parts.model.eval = lambda: parts.model  # type: ignore[method-assign]
    return parts


def _linear(parts: Parts) -> Parts:
    found = [
        (module, name)
        for module in parts.model.modules()
        for name, child in module.named_children()
        if isinstance(child, ACTIVATION_TYPES)
    ]
    if not found:
        raise RecipeError("fault 'missing-activations' needs a model with layers of activations")
    for module, name in found:
        setattr(module, name, nn.Identity())
    return parts


def _dead_on_arrival(parts: Parts) -> Parts:
    if not any(isinstance(module, nn.ReLU) for module in parts.model.modules()):
        raise RecipeError("fault 'dead-relu' needs a model with ReLU units")
    first = _weighted(parts.model)[0][1]
    with torch.no_grad():
        first.bias.fill_(-50.0)
    return parts


class WrongTargets(nn.Module):
    """Compares the squashed scores with the number of the class, as if it were a quantity."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scores [N, C], classes [N] -> 0-d."""
        return (outputs.max(1).values.sigmoid() - targets.float()).square().mean()


def _likelihood_of_scores(parts: Parts) -> Parts:
    if parts.task.problem != "multi-class":
        raise RecipeError("fault 'missing-log-softmax' needs a task with classes")
    return replace(parts, loss_fn=nn.NLLLoss())


def _wrong_loss(parts: Parts) -> Parts:
    if parts.task.problem != "multi-class" or parts.task.per_position:
        raise RecipeError("fault 'wrong-loss' needs one class an example")
    return replace(parts, loss_fn=WrongTargets())


register(
    Fault(
        "gradients-never-cleared",
        "zero_grad is missing: every step adds the gradients of all steps before",
        ("gradients-not-cleared",),
        parts=_never_cleared,
    ),
    Fault(
        "optimizer-misses-a-layer",
        "the first layer was not given to the optimizer",
        ("parameters-not-updated",),
        parts=_misses("optimizer-misses-a-layer", 0),
    ),
    Fault(
        "optimizer-misses-the-head",
        "the last layer was not given to the optimizer",
        ("parameters-not-updated",),
        parts=_misses("optimizer-misses-the-head", -1),
    ),
    Fault(
        "maximized-loss",
        "the optimizer climbs: a sign is wrong",
        ("loss-diverging", "learning-rate-too-high", "exploding-gradients", "nonfinite-values", "weights-growing"),
        parts=_maximized,
    ),
    Fault(
        "frozen-layers",
        "everything but the last layer is frozen",
        ("parameters-not-updated", "missing-gradients", "underfitting"),
        parts=_frozen,
    ),
    Fault(
        "detached-layer",
        "the graph is cut in the middle: layers before it get no gradients",
        ("missing-gradients", "parameters-not-updated"),
        parts=_detached,
    ),
    Fault(
        "double-softmax",
        "the model ends in a softmax, and the loss has one of its own",
        ("loss-output-mismatch",),
        parts=_double_softmax,
    ),
    Fault(
        "wrong-loss",
        "a squared error between a sigmoid and the number of the class",
        ("loss-output-mismatch",),
        parts=_wrong_loss,
    ),
    Fault(
        "wrong-head",
        "a ReLU (classes) or a sigmoid (else) after the last layer, where the loss wants raw scores",
        ("loss-output-mismatch", "dead-units", "constant-predictions"),
        parts=_wrong_head,
    ),
    Fault(
        "missing-log-softmax",
        "the negative log-likelihood of raw scores: the loss has no lower bound",
        ("loss-output-mismatch", "loss-diverging", "weights-growing"),
        parts=_likelihood_of_scores,
    ),
    Fault(
        "summed-loss",
        "the loss is summed over the batch instead of averaged",
        ("unexpected-initial-loss", *RUNAWAY),
        parts=_summed,
    ),
    Fault(
        "never-evaluating",
        "validation runs in training mode: dropout on, batch statistics instead of running ones",
        ("validation-anomaly",),
        parts=_never_evaluating,
    ),
    Fault(
        "missing-activations",
        "no nonlinearity between the layers: a deep linear model",
        ("underfitting",),
        parts=_linear,
    ),
    Fault(
        "dead-relu",
        "the biases of the first layer keep all its units off",
        ("dead-units", "poor-initialization", "collapsed-activations"),
        parts=_dead_on_arrival,
    ),
)
