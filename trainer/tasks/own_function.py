"""Data from a function of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import Dataset

from probes.cli.check_target import call_target
from probes.errors import BabysitError
from trainer.errors import TaskError
from trainer.tasks.base import TASKS, Task
from trainer.tasks.given import AUTO, Arrays, Kind, given_task
from trainer.tasks.options import Steps, ValidationFraction
from trainer.typed import NaturalNumber

EXPECTED = (
    "(inputs, targets), (training inputs, training targets, validation inputs, validation targets), "
    "(training, validation) as Datasets or pairs, or a dict with 'train' and 'validation'"
)


@TASKS.register("function")
def function(
    *,
    function: str,
    problem: Kind = AUTO,
    channels_last: bool = False,
    symbols: bool = False,
    preprocessing: Steps = (),
    validation_fraction: ValidationFraction = 0.2,
    split_seed: NaturalNumber = 0,
) -> Task:
    """Your own data, from a function without arguments: `package.module:function` or `file.py:function`. It returns
    tensors, arrays or Datasets, or a whole Task."""
    try:
        value, source, name = call_target(function)
    except BabysitError as error:
        raise TaskError(f"task.function = '{function}': {error}") from None
    if isinstance(value, Task):
        return value
    where = f"{name}() in {source}"
    train, validation = _two_splits(value, where)
    return given_task(
        "function",
        _arrays(train, f"{where}: training"),
        None if validation is None else _arrays(validation, f"{where}: validation"),
        problem=problem,
        symbols=symbols,
        channels_last=channels_last,
        preprocessing=preprocessing,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        source=where,
    )


def _two_splits(value: Any, where: str) -> tuple[Any, Any]:
    """(training, validation) out of what the function returned; validation is None where there is none."""
    if isinstance(value, Mapping):
        if "train" not in value or set(value) - {"train", "validation"}:
            raise TaskError(
                f"{where} returned a dict of {', '.join(map(str, value)) or 'nothing'}; expected {EXPECTED}"
            )
        return value["train"], value.get("validation")
    if isinstance(value, Dataset):
        return value, None
    if isinstance(value, tuple | list):
        if len(value) == 4:
            return tuple(value[:2]), tuple(value[2:])
        if len(value) == 2:
            return tuple(value) if all(map(_is_split, value)) else (tuple(value), None)
    what = f"{len(value)} things" if isinstance(value, tuple | list) else f"a {type(value).__name__}"
    raise TaskError(f"{where} returned {'nothing (None)' if value is None else what}; expected {EXPECTED}")


def _is_split(value: Any) -> bool:
    return isinstance(value, Dataset) or (isinstance(value, tuple | list) and len(value) == 2)


def _arrays(split: Any, where: str) -> Arrays:
    if isinstance(split, Dataset):
        split = _stacked(split, where)
    elif not (isinstance(split, tuple | list) and len(split) == 2):
        raise TaskError(f"{where}: found a {type(split).__name__}, allowed: (inputs, targets) or a Dataset")
    return Arrays(split[0], split[1], f"{where} inputs", f"{where} targets")


def _stacked(dataset: Any, where: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Every example of a Dataset, once."""
    try:
        pairs = [dataset[i] for i in range(len(dataset))] if hasattr(dataset, "__len__") else list(dataset)
        inputs = torch.stack([torch.as_tensor(inputs) for inputs, _ in pairs])
        targets = torch.stack([torch.as_tensor(targets) for _, targets in pairs])
    except (TypeError, ValueError, RuntimeError, IndexError, KeyError, OSError, NotImplementedError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TaskError(
            f"{where}: a Dataset must give pairs (input, target) of numbers, all of one shape: {reason}"
        ) from error
    return inputs, targets
