"""Faults of the numbers: half precision without its precautions, recurrent weights that explode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.faults.base import Fault, register, with_training
from trainer.parts import Parts


def _as_half(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.half() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments)


def _half(parts: Parts) -> Parts:
    """Weights, activations, gradients and the optimizer's averages in float16; only the loss is float32.

    Float16 has 10 bits of mantissa and nothing below 6e-8: an update smaller than a two-thousandth of the weight
    is rounded away, the squares that Adam averages underflow below gradients of 2e-4, and its epsilon of 1e-8 is
    zero (Micikevicius et al. 2018, Mixed Precision Training, section 3).
    """
    if parts.settings.precision != "fp32":
        raise RecipeError(f"fault 'fp16-underflow' needs training.precision = 'fp32', not '{parts.settings.precision}'")
    if parts.discriminator_optimizer is not None:
        raise RecipeError("fault 'fp16-underflow' needs a model with one loss; a GAN has two")
    parts.model.half()
    parts.model.register_forward_pre_hook(_as_half)
    parts.model.register_forward_hook(lambda module, inputs, outputs: outputs.float())
    _try(parts)
    return parts


def _try(parts: Parts) -> None:
    """Raises `RecipeError` when torch has no float16 version of a layer here, as of local response normalisation on
    a CPU."""
    was_training = parts.model.training
    try:
        with torch.no_grad():
            parts.model.eval()(parts.task.train.inputs[:1])  # in evaluation mode nothing random is drawn
    except RuntimeError as error:  # NotImplementedError is one
        raise RecipeError(
            f"fault 'fp16-underflow' does not fit this model: torch cannot compute it in float16 here ({error})"
        ) from None
    finally:
        parts.model.train(was_training)


def _explodes(parts: Parts) -> Parts:
    recurrent = [m for m in parts.model.modules() if isinstance(m, nn.RNNBase)]
    if not recurrent:
        raise RecipeError("fault 'exploding-rnn' needs a recurrent model")
    with torch.no_grad():
        for module in recurrent:
            for name, parameter in module.named_parameters():
                if name.startswith("weight_hh"):
                    parameter.mul_(8.0)
    return parts


register(
    Fault(
        "fp16-underflow",
        "pure half precision, without loss scaling or float32 master weights: small updates are lost",
        ("parameters-not-updated", "vanishing-gradients", "nonfinite-values", "learning-rate-too-low"),
        parts=_half,
    ),
    Fault(
        "exploding-rnn",
        "recurrent weights eight times too large and no gradient clipping",
        ("exploding-gradients", "poor-initialization", "saturated-activations", "nonfinite-values"),
        recipe=lambda recipe: with_training(recipe, clip_norm=0.0),
        parts=_explodes,
    ),
)
