"""Plain descriptions of model, optimizers and loss for the manifest of a run."""

from __future__ import annotations

import argparse
import dataclasses
import math
import numbers
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probes.instrument.modes import mode_dependent
from probes.instrument.modules import Watched
from probes.instrument.parameters import Watchlist
from probes.instrument.wrappers import own_names, unwrap

_MAX_DEPTH = 20


@dataclass(frozen=True)
class Called:
    """How a module was called in the frame that first saw it.

    Attributes:
        shape: of its output.
        times: calls in passes that trained; `capture.MAX_CALLS` stands for that many or more.
    """

    shape: Sequence[int]
    times: int


def describe_model(
    model: nn.Module,
    watchlist: Watchlist,
    watched: Sequence[Watched],
    called: Mapping[nn.Module, Called],
    notes: Iterable[str],
) -> dict[str, object]:
    """Class, parameters and watched modules (in the order given) of a model."""
    owners = _owners(model)
    parameters = [
        {
            "name": name,
            "module": owners.get(id(tensor), name.rpartition(".")[0]),
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "numel": tensor.numel(),
            "trainable": tensor.requires_grad,
        }
        for name, tensor in zip(watchlist.names, watchlist.tensors, strict=True)
    ]
    modules = [
        {
            "name": w.name,
            "type": type(w.module).__name__,
            "activation": w.kind.slug if w.kind else None,
            "output_shape": list(called[w.module].shape) if w.module in called else None,
            "calls": called[w.module].times if w.module in called else None,
            "parameters": sum(p.numel() for p in w.module.parameters()),
        }
        for w in watched
    ]
    name = type(unwrap(model)).__name__
    return {
        "class": name,
        "parameters": parameters,
        "modules": modules,
        "mode_dependent": mode_dependent(model),
        "notes": list(notes),
    }


def _owners(model: nn.Module) -> dict[int, str]:
    owners: dict[int, str] = {}
    own = own_names(model)
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), own(name))
    return owners


def describe_optimizers(optimizers: Iterable[torch.optim.Optimizer], watchlist: Watchlist) -> list[dict[str, object]]:
    """Class and parameter groups (their settings and the names of the model's parameters in them)."""
    return [
        {"class": type(optimizer).__name__, "groups": [_group(g, watchlist) for g in optimizer.param_groups]}
        for optimizer in optimizers
    ]


def _group(group: Mapping[str, object], watchlist: Watchlist) -> dict[str, object]:
    settings = {str(key): plain(value) for key, value in group.items() if key not in ("params", "param_names")}
    members = group["params"]
    assert isinstance(members, list)
    names = [watchlist.names[watchlist.numbers[id(p)]] for p in members if id(p) in watchlist.numbers]
    return {**settings, "parameters": names}


def describe_loss(loss_fn: object) -> dict[str, object] | None:
    """What the loss is called, with the settings of a loss module that are plain values, and whether it weighs classes
    (`weighted`)."""
    if loss_fn is None:
        return None
    if isinstance(loss_fn, nn.Module):
        settings = {
            key: plain(value)
            for key, value in vars(loss_fn).items()
            if not key.startswith("_") and key != "training" and isinstance(value, (str, int, float, bool))
        }
        # Weights are tensors, and not plain values: that there are some is what a level of the loss is read by.
        weighted = any(isinstance(getattr(loss_fn, name, None), Tensor) for name in ("weight", "pos_weight"))
        return {"class": type(loss_fn).__name__, **settings, **({"weighted": True} if weighted else {})}
    return {"class": getattr(loss_fn, "__name__", type(loss_fn).__name__)}


def settings_of(config: object) -> Mapping[Any, Any] | None:
    """The entries of a mapping, a namespace or a dataclass instance; None for anything else."""
    if isinstance(config, Mapping):
        return config
    if isinstance(config, (argparse.Namespace, types.SimpleNamespace)):
        return dict(vars(config))
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: getattr(config, field.name, None) for field in dataclasses.fields(config)}
    return None


def plain(value: object) -> object:
    """A value as JSON can hold it. What it cannot hold becomes text: NaN and infinities, whole numbers beyond
    64 bits, objects, and what contains itself.
    """
    return _plain(value, ())


def _plain(value: object, around: tuple[int, ...]) -> object:
    try:
        return _convert(value, around)
    except Exception:  # noqa: BLE001  a setting is any object, with any code of its own; the text says what failed
        return f"<unprintable {type(value).__name__}>"


def _convert(value: object, around: tuple[int, ...]) -> object:
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, Tensor):
        one = value.numel() == 1 and value.device.type != "meta"
        return _plain(value.item(), around) if one else f"tensor{list(value.shape)}"
    if isinstance(value, numbers.Integral):
        number = int(value)
        if -(2**63) <= number < 2**63:
            return number
        # Python refuses to write out more than some thousand digits.
        return str(number) if number.bit_length() < 10_000 else f"a whole number of {number.bit_length()} bits"
    if isinstance(value, numbers.Real):
        try:
            real = float(value)
        except OverflowError:
            return _encodable(str(value))
        return real if math.isfinite(real) else str(real)
    settings = settings_of(value)
    if settings is None and not isinstance(value, (list, tuple, set, frozenset)):
        return _encodable(str(value))
    if id(value) in around:
        return f"<{type(value).__name__} that contains itself>"
    if len(around) >= _MAX_DEPTH:
        return f"<{type(value).__name__} nested too deeply>"
    around = (*around, id(value))
    if settings is not None:
        return {str(_plain(str(key), ())): _plain(item, around) for key, item in settings.items()}
    assert isinstance(value, Iterable)
    return [_plain(item, around) for item in value]


def _encodable(text: str) -> str:
    """Text without the lone surrogates that no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
