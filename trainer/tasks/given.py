"""Arrays that a user gives, as a task: checked, typed, split and preprocessed.

Every task that reads the user's own data ends here, so that the same mistake gets the same answer whatever
file it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from trainer.errors import TaskError
from trainer.tasks.base import Examples, Task, preprocess, split_stratified
from trainer.typed import one_of

AUTO = "auto"
Kind = Annotated[str, one_of(AUTO, "multi-class", "binary", "multi-label", "regression", "unit-regression")]
SPLIT_BY_CLASS = ("multi-class", "binary")
OWN_LICENCE = "the user's own data"
MANY = 100  # different whole numbers that are rather quantities than classes, if half of them are different


@dataclass(frozen=True)
class Arrays:
    """Inputs [N, ...] and targets [N] or [N, D] as they came, and what errors call the two."""

    inputs: Any
    targets: Any
    inputs_name: str
    targets_name: str


def given_task(
    name: str,
    train: Arrays,
    validation: Arrays | None,
    *,
    preprocessing: Sequence[str],
    validation_fraction: float,
    split_seed: int,
    source: str,
    problem: str = AUTO,
    symbols: bool = False,
    channels_last: bool = False,
    classes: Sequence[str] = (),
    licence: str = OWN_LICENCE,
) -> Task:
    """The task that the arrays make.

    Args:
        name: as registered.
        validation: None takes ``validation_fraction`` of the training examples, of every class alike where there
            are classes.
        problem: "auto" tells it from the targets: classes from whole numbers or names, several labels from rows
            of 0 and 1, quantities from other numbers. What can be read in two ways is refused.
        symbols: inputs are symbols 0, 1, ... in a sequence [N, T], not numbers; targets [N, T] are one a position.
        channels_last: images are [N, H, W, C].
        classes: names of the classes 0, 1, ...; empty takes the values of the targets.

    Raises `TaskError`: one line that names the array, what was found and what is allowed.
    """
    inputs = _inputs(train, symbols, channels_last)
    targets = _array(train.targets, train.targets_name, "biufUS")
    _same_length(train, inputs, targets)
    per_position = symbols and targets.ndim == 2 and targets.shape == inputs.shape
    problem = _problem(problem, targets, train.targets_name, per_position)
    targets = targets if per_position else _values(problem, targets, train.targets_name)
    if validation is None:
        rows = _split(problem, inputs, targets, train, validation_fraction, split_seed)
        held_inputs, held_targets, held = inputs[rows[1]], targets[rows[1]], train
        inputs, targets = inputs[rows[0]], targets[rows[0]]
    else:
        held = validation
        held_inputs = _inputs(validation, symbols, channels_last)
        held_targets = _array(validation.targets, validation.targets_name, "biufUS")
        _same_length(validation, held_inputs, held_targets)
        _same_shape(validation.inputs_name, held_inputs, train.inputs_name, inputs)
        held_targets = held_targets if per_position else _values(problem, held_targets, validation.targets_name)
        _same_shape(validation.targets_name, held_targets, train.targets_name, targets)
    if problem == "multi-class":
        ours, theirs, classes = _classes(targets, held_targets, train.targets_name, held.targets_name, classes)
        outputs = len(classes)
    else:
        ours, theirs = _scaled(problem, targets, held_targets, train.targets_name)
        outputs, classes = ours.shape[1], tuple(classes) if problem in ("binary", "multi-label") else ()
    task = Task(
        name=name,
        problem=problem,
        outputs=outputs,
        classes=tuple(classes),
        train=Examples(_tensor(inputs, symbols), torch.from_numpy(ours)),
        validation=Examples(_tensor(held_inputs, symbols), torch.from_numpy(theirs)),
        source=source,
        licence=licence,
        vocabulary=int(max(inputs.max(), held_inputs.max())) + 1 if symbols else None,
        per_position=per_position,
    )
    return task if symbols else preprocess(task, preprocessing)


def _array(value: Any, name: str, kinds: str) -> np.ndarray:
    """As a NumPy array of one of these kinds (letters of ``np.dtype.kind``)."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise TaskError(f"{name}: found {type(value).__name__}, allowed: an array ({error})") from None
    if array.dtype.kind not in kinds:
        allowed = "numbers or names" if "U" in kinds else "numbers"
        raise TaskError(f"{name}: found an array of {array.dtype}, allowed: {allowed}")
    if array.ndim == 0 or array.size == 0:
        raise TaskError(f"{name}: found an array of shape {list(array.shape)}, which holds no examples")
    return array


def _inputs(arrays: Arrays, symbols: bool, channels_last: bool) -> np.ndarray:
    name = arrays.inputs_name
    array = _array(arrays.inputs, name, "biuf")
    if symbols:
        if array.ndim != 2 or array.dtype.kind not in "iu" or array.min() < 0:
            raise TaskError(
                f"{name}: found {array.dtype} {list(array.shape)} from {array.min()}, allowed with symbols = true: "
                "whole numbers [N, T] from 0"
            )
        return array
    if array.ndim not in (2, 3, 4):
        raise TaskError(
            f"{name}: found shape {list(array.shape)}, allowed: tables [N, D], grey images [N, H, W], "
            "images [N, C, H, W]"
        )
    if channels_last and array.ndim != 4:
        raise TaskError(f"{name}: found shape {list(array.shape)}, allowed with channels_last = true: [N, H, W, C]")
    if array.dtype.kind == "f" and (bad := int((~np.isfinite(array)).sum())):
        raise TaskError(f"{name}: {bad} of {array.size} numbers are NaN or infinite; remove or replace them")
    if channels_last:
        array = np.moveaxis(array, 3, 1)
    return array[:, None] if array.ndim == 3 else array


def _same_length(arrays: Arrays, inputs: np.ndarray, targets: np.ndarray) -> None:
    if len(inputs) != len(targets):
        raise TaskError(
            f"{arrays.inputs_name} holds {len(inputs)} examples, but {arrays.targets_name} {len(targets)}; "
            "each input needs one target"
        )


def _same_shape(name: str, found: np.ndarray, other_name: str, other: np.ndarray) -> None:
    if found.shape[1:] != other.shape[1:]:
        raise TaskError(
            f"{name}: an example has shape {list(found.shape[1:])}, but {list(other.shape[1:])} in {other_name}"
        )


def _problem(problem: str, targets: np.ndarray, name: str, per_position: bool) -> str:
    """Which kind of problem it is; `TaskError` where the targets do not tell, or cannot be that."""
    if per_position:
        if problem not in (AUTO, "multi-class"):
            raise TaskError(f"{name}: one target a position, allowed for it: task.problem = multi-class")
        return "multi-class"
    if targets.ndim > 2:
        raise TaskError(f"{name}: found shape {list(targets.shape)}, allowed: [N] or [N, D]")
    if problem != AUTO:
        return problem
    values = targets.reshape(len(targets), -1)
    if values.dtype.kind in "US":
        if values.shape[1] > 1:
            raise TaskError(f"{name}: found names {list(targets.shape)}, allowed: one name an example, [N]")
        return "multi-class"
    if values.shape[1] > 1 and np.isin(values, (0, 1)).all():
        if (values.sum(1) == 1).all():
            raise TaskError(
                f"{name}: every row holds exactly one 1; say which it is: task.problem = multi-class (one class an "
                "example) or multi-label"
            )
        return "multi-label"
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        return "regression"
    different = len(np.unique(values))
    if values.dtype.kind == "f" or values.shape[1] > 1 or (different > MANY and different > len(values) / 2):
        raise TaskError(
            f"{name}: found {different} different whole numbers as {targets.dtype} {list(targets.shape)}; say what "
            "they are: task.problem = multi-class, regression, ..."
        )
    return "multi-class"


def _split(
    problem: str, inputs: np.ndarray, targets: np.ndarray, arrays: Arrays, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the two splits."""
    if problem in SPLIT_BY_CLASS and targets.size == len(inputs):
        labels = targets.reshape(-1)
        values, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2:
            raise TaskError(
                f"{arrays.targets_name}: class {values[counts.argmin()]} has 1 example; a split into training and "
                "validation needs 2 of every class"
            )
        return split_stratified(labels, fraction, seed)
    if len(inputs) < 2:
        raise TaskError(f"{arrays.inputs_name}: found 1 example; a split into training and validation needs 2")
    rows = np.random.default_rng(seed).permutation(len(inputs))
    held = min(len(rows) - 1, max(1, round(fraction * len(rows))))
    return np.sort(rows[held:]), np.sort(rows[:held])


def _classes(
    train: np.ndarray, validation: np.ndarray, name: str, held_name: str, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Class numbers int64 of both splits, and the names of the classes."""
    if names:
        values = np.arange(len(names))
        if unknown := set(np.unique(train)) - set(values.tolist()):
            raise TaskError(f"{name}: found class {min(unknown)}, allowed: 0 to {len(names) - 1}")
    elif train.ndim == 2:  # one target a position: symbols, of which some may be rare
        if train.min() < 0:
            raise TaskError(f"{name}: found target {train.min()}, allowed: symbols from 0")
        values = np.arange(max(train.max(), validation.max()) + 1)
    else:
        values = np.unique(train)
    if len(values) < 2:
        raise TaskError(f"{name}: every target is {values[0]}; there is nothing to tell apart")
    unknown = ~np.isin(validation, values)
    if unknown.any():
        raise TaskError(
            f"{held_name}: {int(unknown.sum())} validation targets are of classes that the training examples do not "
            f"have, such as {validation[unknown][0]}"
        )
    shown = tuple(names) or tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
    return np.searchsorted(values, train), np.searchsorted(values, validation), shown


def _class_values(targets: np.ndarray, name: str) -> np.ndarray:
    """Class values [N]; rows with a single 1 are read as its column."""
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    elif targets.ndim == 2 and np.isin(targets, (0, 1)).all() and (targets.sum(1) == 1).all():
        return targets.argmax(1)
    elif targets.ndim == 2:
        raise TaskError(
            f"{name}: found {targets.dtype} {list(targets.shape)}, allowed: one class an example, [N], or a 1 a row"
        )
    if targets.dtype.kind == "f":
        if not np.isfinite(targets).all() or (targets != np.round(targets)).any():
            raise TaskError(f"{name}: found fractions, NaN or Inf, allowed as classes: whole numbers or names")
        targets = targets.astype(np.int64)
    return targets.astype(np.int64) if targets.dtype.kind == "b" else targets


def _values(problem: str, targets: np.ndarray, name: str) -> np.ndarray:
    """Targets in the form of the problem: class values [N], or numbers float64 [N, D] that are checked."""
    if problem == "multi-class":
        return _class_values(targets, name)
    if targets.dtype.kind in "US":
        raise TaskError(f"{name}: found names, allowed with task.problem = {problem}: numbers")
    values = targets.reshape(len(targets), -1).astype(np.float64)
    if bad := int((~np.isfinite(values)).sum()):
        raise TaskError(f"{name}: {bad} of {values.size} targets are NaN or infinite; remove or replace them")
    if problem in ("binary", "multi-label") and not np.isin(values, (0, 1)).all():
        wrong = values[~np.isin(values, (0, 1))][0]
        raise TaskError(f"{name}: found {wrong:g}, allowed with task.problem = {problem}: 0 and 1")
    if problem == "binary" and values.shape[1] != 1:
        raise TaskError(f"{name}: found {values.shape[1]} columns, allowed with task.problem = binary: one")
    if problem == "unit-regression" and (values.min() < 0 or values.max() > 1):
        raise TaskError(
            f"{name}: found numbers from {values.min():g} to {values.max():g}, allowed with task.problem = "
            "unit-regression: from 0 to 1"
        )
    return values


def _scaled(problem: str, train: np.ndarray, validation: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets float32 [N, D] of both splits; those of a regression standardised by the training targets."""
    if problem == "regression":
        constant = np.ptp(train, axis=0) == 0
        if constant.any():
            raise TaskError(f"{name}: column {int(constant.argmax())} never varies; there is nothing to learn in it")
        mean, std = train.mean(0), train.std(0)
        train, validation = (train - mean) / std, (validation - mean) / std
    return train.astype(np.float32), validation.astype(np.float32)


def _tensor(inputs: np.ndarray, symbols: bool) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(inputs, np.int64 if symbols else np.float32))
