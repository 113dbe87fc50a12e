"""A model, loss and optimizer that a check may do with as it likes: an independent copy where one can be
made.

Where the model cannot be copied (it holds tensors that are part of a graph, open files, locks, ...), the
user's own objects are lent out instead; the engine's snapshot puts everything back.
"""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from probes.checks.batches import Batch
from probes.checks.double import exact
from probes.checks.errors import UserCodeError
from probes.checks.habits import Habits
from probes.checks.indices import guarded
from probes.checks.losses.evaluate import LossFn, evaluate_loss
from probes.checks.state import Snapshot
from probes.checks.trees import main_tensor, shapes, tensors

NO_HABITS = Habits()
Forward = Callable[[nn.Module, Any], Any]


def call_model(model: nn.Module, inputs: Any) -> Any:
    """The default forward: a tensor is passed as it is, a tuple or list as arguments, a dict as keywords."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (tuple, list)) and not hasattr(inputs, "_fields"):
        return model(*inputs)
    return model(inputs)


class Rig:
    """Model, loss and optimizers for one experiment."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFn,
        optimizers: list[Optimizer],
        forward: Forward | None,
        copied: bool,
        habits: Habits = NO_HABITS,
    ) -> None:
        self.model = model
        self.loss_fn = loss_fn
        self.optimizers = optimizers
        self.copied = copied
        self.habits = habits
        self._forward = forward or call_model

    def outputs(self, batch: Batch) -> Any:
        """What the model returns for a batch.

        Raises:
            UserCodeError: its forward raised; names the innermost module.
        """
        try:
            with guarded(batch.inputs), self.habits.grad_mode():
                return self._forward(self.model, self.habits.given(batch.inputs))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            text = str(error).strip().splitlines()
            module, where = self._innermost(error)
            raise UserCodeError(
                f"the model's forward{where}",
                f"{type(error).__name__}: {text[0] if text else 'no message'} (inputs {shapes(batch.inputs)})",
                _embedding_remedy(module, batch) or _forward_remedy(str(error)),
            ) from error

    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch as a 0-d tensor, with its graph.

        Raises:
            UserCodeError: forward or loss raised.
        """
        return self.loss_of(self.outputs(batch), batch)

    def loss_of(self, outputs: Any, batch: Batch) -> Tensor:
        """The loss of outputs that are known already.

        Raises:
            UserCodeError: the loss raised.
        """
        with self.habits.grad_mode():
            loss = evaluate_loss(self.loss_fn, outputs, self.habits.given(batch.targets))
        return loss if torch.is_grad_enabled() else loss.detach()

    def gradients(self, batch: Batch) -> dict[str, Tensor | None]:
        """Gradient of the loss for every trainable parameter by name; None where none arrives."""
        named = trainable(self.model)
        loss = self.loss(batch)
        if not loss.requires_grad:
            return dict.fromkeys(named)
        return dict(zip(named, differentiate(loss, list(named.values())), strict=True))

    def double(self, device: torch.device | None = None) -> None:
        """Model and loss in float64, moved to `device` if one is given."""
        for part in (self.model, self.loss_fn):
            if isinstance(part, nn.Module):
                (part if device is None else part.to(device)).double()
                for tensor in (*part.parameters(), *part.buffers()):  # double() leaves complex ones as they are
                    if tensor.is_complex():
                        tensor.data = tensor.data.to(torch.complex128)

    def _innermost(self, error: BaseException) -> tuple[nn.Module | None, str]:
        """The innermost module that the error went through, and where that is, in words."""
        names = {id(module): name for name, module in self.model.named_modules()}
        found, innermost, place = "", None, ""
        for frame, line in traceback.walk_tb(error.__traceback__):
            owner = frame.f_locals.get("self")
            name = names.get(id(owner)) if isinstance(owner, nn.Module) else None
            if name is not None:
                if owner is not innermost:
                    place = ""
                innermost = owner
                if not frame.f_globals.get("__name__", "").startswith("torch."):
                    place = f", line {line} of {frame.f_code.co_name}()"
                found = f", in {name or 'the model itself'} ({type(owner).__name__}{place})"
        return innermost, found


def differentiate(loss: Tensor, parameters: list[nn.Parameter]) -> tuple[Tensor | None, ...]:
    """The gradient of the loss for each parameter; None where none arrives.

    Raises:
        UserCodeError: backward raised.
    """
    try:
        return torch.autograd.grad(loss, parameters, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise _backward_error(error) from error


def backward(loss: Tensor) -> None:
    """`loss.backward()`.

    Raises:
        UserCodeError: it raised.
    """
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise _backward_error(error) from error


def _backward_error(error: Exception) -> UserCodeError:
    text = str(error).strip()
    lowered = text.lower()
    remedy = "call loss.backward() once by hand, under torch.autograd.set_detect_anomaly(True)"
    if "second time" in lowered:
        remedy = (
            "a part of the graph was used up already: give autograd.grad inside forward create_graph=True, and detach "
            "what is kept from one step to the next (hidden states)"
        )
    elif "inplace operation" in lowered:
        remedy = (
            "do not change in place what backward still needs: x = x + ... in place of x += ..., no inplace=True there"
        )
    what = f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"
    return UserCodeError("the backward pass", what, remedy)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters with requires_grad by name, tied ones once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def usual_size(weight: Tensor) -> float:
    """A weight's norm, at least what a variance of 1/fan_in would give it: sqrt(numel / fan_in).

    What a last layer that starts near zero on purpose is to be measured by.
    """
    return max(float(exact(weight).norm()), math.sqrt(weight.shape[0]))


def _embedding_remedy(module: nn.Module | None, batch: Batch) -> str:
    """What to do when an embedding raised: it says neither how many rows it has nor what was asked of it."""
    if not isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return ""
    ids = [t for t in tensors(batch.inputs) if not t.is_floating_point() and t.dtype != torch.bool and t.numel()]
    if not ids:
        return "give token ids as whole numbers: inputs.long()"
    low, high = min(int(t.min()) for t in ids), max(int(t.max()) for t in ids)
    return (
        f"the table has {module.num_embeddings} rows, for ids 0 .. {module.num_embeddings - 1}; the integers of this "
        f"batch go from {low} to {high}: make num_embeddings larger, or look for ids that are none"
    )


def _forward_remedy(text: str) -> str:
    lowered = text.lower()
    if "more than 1 value per channel" in lowered:
        return "batch normalisation needs at least two examples a batch: a larger batch, or drop_last=True"
    if "mat1 and mat2 shapes" in lowered or "size mismatch" in lowered or "expected input" in lowered:
        return "make the layer's input size what the layer before it (or the data) gives"
    if "dtype" in lowered or "scalar type" in lowered or "byte" in lowered or "double" in lowered:
        return "give the inputs the parameters' dtype, usually inputs.float()"
    if "device" in lowered:
        return "move the model and everything it makes in forward to one device"
    if "unexpected keyword" in lowered or "positional argument" in lowered:
        return "pass forward=lambda model, inputs: ... to say how the model is called"
    return "call model(inputs) once by hand"


def build_rig(
    model: nn.Module,
    loss_fn: LossFn,
    optimizers: list[Optimizer],
    forward: Forward | None,
    snapshot: Snapshot,
    habits: Habits = NO_HABITS,
) -> Rig:
    """A fresh rig in the state the user's objects are in."""
    snapshot.restore()
    # One deepcopy of all three together, so that the optimizer's copy holds the model copy's parameters.
    source = getattr(model, "_orig_mod", model)  # of a compiled model: the module it was compiled from
    try:
        new_model, new_loss, new_optimizers = copy.deepcopy((source, loss_fn, optimizers))
    except Exception:  # noqa: BLE001 - anything a user's __deepcopy__ may raise; the report says that no copy was made
        return Rig(model, loss_fn, optimizers, forward, False, habits)
    for optimizer in new_optimizers:
        if isinstance(optimizer, LBFGS):  # its copy lacks what its constructor derived
            optimizer._params = optimizer.param_groups[0]["params"]
            optimizer._numel_cache = None
    return Rig(new_model, new_loss, new_optimizers, forward, True, habits)


def main_output(outputs: Any) -> Tensor:
    """The tensor the outputs are about.

    Raises:
        UserCodeError: there is none.
    """
    main = main_tensor(outputs)
    if main is None:
        raise UserCodeError("the model's forward", f"returned no tensor ({shapes(outputs)})", "return a tensor")
    return main
