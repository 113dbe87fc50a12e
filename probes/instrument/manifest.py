"""Plain descriptions of model, optimizers and loss for the manifest of a run."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from probes.instrument.modules import Watched, clean_name
from probes.instrument.parameters import Watchlist


def describe_model(
    model: nn.Module,
    watchlist: Watchlist,
    watched: Sequence[Watched],
    shapes: Mapping[int, Sequence[int]],
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
            "output_shape": list(shapes[i]) if i in shapes else None,
            "parameters": sum(p.numel() for p in w.module.parameters()),
        }
        for i, w in enumerate(watched)
    ]
    inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
    named = inner if isinstance(inner, nn.Module) else model
    return {"class": type(named).__name__, "parameters": parameters, "modules": modules, "notes": list(notes)}


def _owners(model: nn.Module) -> dict[int, str]:
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), clean_name(name))
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
    """What the loss is called, with the settings of a loss module that are plain values."""
    if loss_fn is None:
        return None
    if isinstance(loss_fn, nn.Module):
        settings = {
            key: value
            for key, value in vars(loss_fn).items()
            if not key.startswith("_") and key != "training" and isinstance(value, (str, int, float, bool))
        }
        return {"class": type(loss_fn).__name__, **settings}
    return {"class": getattr(loss_fn, "__name__", type(loss_fn).__name__)}


def plain(value: object) -> object:
    """A value as JSON can hold it. What it cannot hold becomes text; NaN and infinities become text as well."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, Tensor):
        return (
            plain(value.item()) if value.numel() == 1 and value.device.type != "meta" else f"tensor{list(value.shape)}"
        )
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)
