"""The user's own arrays in .npz and .npy files. Nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trainer.errors import TaskError, did_you_mean
from trainer.tasks.base import TASKS, Task
from trainer.tasks.files import existing_file
from trainer.tasks.given import AUTO, Arrays, Kind, given_task
from trainer.tasks.options import Steps, ValidationFraction
from trainer.typed import NaturalNumber


@TASKS.register("npz")
def npz(
    *,
    path: str,
    inputs: str = "x_train",
    targets: str = "y_train",
    validation_inputs: str = "",
    validation_targets: str = "",
    problem: Kind = AUTO,
    channels_last: bool = False,
    symbols: bool = False,
    preprocessing: Steps = ("standardize",),
    validation_fraction: ValidationFraction = 0.2,
    split_seed: NaturalNumber = 0,
) -> Task:
    """Your own arrays in one .npz file, by their keys. Without validation keys a part of the training examples is
    held out."""
    file = existing_file(path, "task.path")
    keys = {
        "task.inputs": inputs,
        "task.targets": targets,
        "task.validation_inputs": validation_inputs,
        "task.validation_targets": validation_targets,
    }
    _both_or_none(validation_inputs, validation_targets)
    arrays = _read_npz(file, {option: key for option, key in keys.items() if key})
    train = Arrays(*(arrays[k] for k in (inputs, targets)), f"{file}: {inputs}", f"{file}: {targets}")
    validation = None
    if validation_inputs:
        validation = Arrays(
            arrays[validation_inputs],
            arrays[validation_targets],
            f"{file}: {validation_inputs}",
            f"{file}: {validation_targets}",
        )
    return given_task(
        "npz",
        train,
        validation,
        problem=problem,
        symbols=symbols,
        channels_last=channels_last,
        preprocessing=preprocessing,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        source=str(file),
    )


@TASKS.register("npy")
def npy(
    *,
    inputs: str,
    targets: str,
    validation_inputs: str = "",
    validation_targets: str = "",
    problem: Kind = AUTO,
    channels_last: bool = False,
    symbols: bool = False,
    preprocessing: Steps = ("standardize",),
    validation_fraction: ValidationFraction = 0.2,
    split_seed: NaturalNumber = 0,
) -> Task:
    """Your own arrays, each in a .npy file of its own. Without validation files a part of the training examples is
    held out."""
    _both_or_none(validation_inputs, validation_targets)
    train = _read_pair(inputs, targets, "task.inputs", "task.targets")
    validation = None
    if validation_inputs:
        options = "task.validation_inputs", "task.validation_targets"
        validation = _read_pair(validation_inputs, validation_targets, *options)
    return given_task(
        "npy",
        train,
        validation,
        problem=problem,
        symbols=symbols,
        channels_last=channels_last,
        preprocessing=preprocessing,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        source=f"{inputs} and {targets}",
    )


def _both_or_none(inputs: str, targets: str) -> None:
    if bool(inputs) != bool(targets):
        given, missing = ("inputs", "targets") if inputs else ("targets", "inputs")
        raise TaskError(f"task.validation_{given} is set, but task.validation_{missing} is not; set both or none")


def _read_npz(file: Path, keys: dict[str, str]) -> dict[str, np.ndarray]:
    """The named arrays; ``keys``: option -> key."""
    archive = _load(file)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise TaskError(f"{file}: holds one array, allowed: an .npz archive; for .npy files use task.name = npy")
    with archive:
        for option, key in keys.items():
            if key not in archive.files:
                raise TaskError(f"{file}: no array '{key}' ({option}); {did_you_mean(key, archive.files)}")
        return {key: _member(archive, file, key) for key in keys.values()}


def _member(archive: Any, file: Path, key: str) -> np.ndarray:
    try:
        return archive[key]
    except Exception as error:  # noqa: BLE001 - a damaged header can raise anything, tokenize.TokenError too
        raise TaskError(f"{file}: {key}: cannot be read: {_reason(error)}") from None


def _read_pair(inputs: str, targets: str, inputs_option: str, targets_option: str) -> Arrays:
    arrays = []
    for path, option in ((inputs, inputs_option), (targets, targets_option)):
        array = _load(existing_file(path, option))
        if isinstance(array, np.lib.npyio.NpzFile):
            array.close()
            raise TaskError(f"{option} = '{path}': an .npz archive, allowed: .npy; use task.name = npz")
        arrays.append(array)
    return Arrays(*arrays, inputs, targets)


def _load(file: Path) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except Exception as error:  # noqa: BLE001 - a damaged header can raise anything, tokenize.TokenError too
        raise TaskError(f"{file}: cannot be read as a NumPy file: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "allow_pickle" in text or "pickled" in text:
        return (
            "it holds Python objects or is no NumPy file; save plain arrays of numbers with numpy.savez or numpy.save"
        )
    return text or type(error).__name__
