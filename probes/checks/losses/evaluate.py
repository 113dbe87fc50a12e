"""Call a loss function and make one scalar of what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from probes.checks.errors import UserCodeError
from probes.checks.indices import guarded
from probes.checks.trees import shapes, tensors

LossFn = Callable[[Any, Any], Any]
Form = Literal["scalar", "vector", "tuple", "dict"]

LOSS_KEYS = ("loss", "total_loss", "total", "objective")


def loss_name(loss_fn: object) -> str:
    """A name for messages: the class of a module, else the function's own name."""
    if isinstance(loss_fn, nn.Module):
        return type(loss_fn).__name__
    inner = getattr(loss_fn, "func", loss_fn)  # functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def evaluate_loss(loss_fn: LossFn, outputs: Any, targets: Any) -> Tensor:
    """The loss as a 0-d tensor; a vector is averaged (`loss_form` tells which it was).

    Raises:
        UserCodeError: the loss raised, or returned nothing that can be differentiated.
    """
    where = f"loss_fn ({loss_name(loss_fn)})"
    try:
        with guarded((outputs, targets)):
            value = loss_fn(outputs, targets)
    except Exception as error:
        given = f"outputs {shapes(outputs)}, targets {shapes(targets)}"
        what = f"{type(error).__name__}: {_first_line(error)} ({given})"
        raise UserCodeError(where, what, _given_remedy(outputs, targets) or _remedy(str(error))) from error
    scalar, _ = reduce_loss(value, where)
    return scalar


def reduce_loss(value: Any, where: str = "loss_fn") -> tuple[Tensor, Form]:
    """One 0-d tensor from what a loss returned, and the form it had.

    A tuple's loss is its first element; a dict's is the entry "loss" (or "total_loss", "total", "objective",
    or its only one); a tensor with more than one element is averaged.
    """
    form: Form = "scalar"
    if isinstance(value, Mapping):
        form = "dict"
        key = next((key for key in LOSS_KEYS if key in value), None)
        if key is None and len(value) == 1:
            key = next(iter(value))
        if key is None:
            raise UserCodeError(
                where,
                f"returned a dict with the keys {sorted(map(str, value))}, none of them is the loss to minimise",
                'name the total "loss", or pass loss_fn=lambda outputs, targets: my_loss(...)["..."]',
            )
        value = value[key]
    elif isinstance(value, (tuple, list)) and value:
        form = "tuple"
        value = value[0]
    if not isinstance(value, Tensor):
        raise UserCodeError(
            where,
            f"returned {type(value).__name__}, expected a tensor that backward() can start from",
            "return the loss itself, without .item(), float() or .numpy()",
        )
    if value.dim() == 0:
        return value, form
    return value.mean(), form if value.numel() == 1 else "vector"


def loss_form(loss_fn: LossFn, outputs: Any, targets: Any) -> tuple[Form, str]:
    """How the loss comes back ("scalar", "vector", ...) and its shape in words."""
    with torch.no_grad():
        value = loss_fn(outputs, targets)
    return reduce_loss(value)[1], shapes(value)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else "no message"


def _given_remedy(outputs: Any, targets: Any) -> str:
    """What to do about outputs and targets that no loss takes."""
    found = tensors(outputs)
    if not found:
        return "make forward return a tensor"
    if not any(tensor.is_floating_point() or tensor.is_complex() for tensor in found):
        return "the outputs are whole numbers: give the loss the scores, before argmax or rounding"
    if not tensors(targets):
        return "make the targets a tensor: torch.tensor(labels)"
    return ""


def _remedy(text: str) -> str:
    lowered = text.lower()
    if "out of bounds" in lowered or "cur_target" in lowered or "index out of" in lowered:
        return "labels must lie in 0 .. classes - 1: widen the last layer or shift the labels (1-based ones by -1)"
    if (
        "scalar type long" in lowered
        or "to be long" in lowered
        or "not implemented for 'float'" in lowered
        or "floating" in lowered
    ):
        return "class labels must be int64: targets.long(), without a one-hot encoding"
    if "bool" in lowered:
        return "this loss takes numbers: targets.float()"
    if "not implemented for 'int'" in lowered or "dtype" in lowered or "found long" in lowered or "'long'" in lowered:
        return "this loss takes floating-point targets (targets.float()), class-index losses take int64"
    if "size" in lowered or "shape" in lowered or "dimension" in lowered or "multi-target" in lowered:
        return (
            "make the targets' shape what the loss expects: [N] class indices for cross-entropy, else the "
            "outputs' shape"
        )
    if "device" in lowered:
        return "move outputs, targets and class weights to one device"
    return "call it once on one batch by hand"
