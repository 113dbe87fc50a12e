"""Checkpoints: everything an interrupted training needs to go on as if nothing had happened.

Written with ``torch.save`` to a temporary file that then replaces the old one, read with
``weights_only=True``: only tensors and plain values are ever loaded, no code.
"""

from __future__ import annotations

import os
import pickle
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from trainer.errors import CheckpointError

FILE = "checkpoint.pt"
FORMAT = 1


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch, batch: the next batch to train on.
        step: optimizer steps done.
        best_loss, waited: lowest validation loss so far, and looks at the validation examples since.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    waited: int = 0


def save(path: Path, model: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
    """Writes the checkpoint; a reader sees the old file or the new one, never half of one."""
    state: dict[str, Any] = {
        "format": FORMAT,
        "progress": asdict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def restore(path: Path, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Puts model, optimizer and random state back and says how far the training had come.

    Raises `CheckpointError` when there is no checkpoint, it cannot be read, or it belongs to another model.
    """
    state = _read(path)
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        known = {f.name for f in fields(Progress)}
        return Progress(**{key: value for key, value in state["progress"].items() if key in known})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: does not fit this recipe's model and optimizer ({reason}); resume with the recipe it "
            "was made with, or start a new run"
        ) from None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: nothing to resume; leave out --resume to start")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about foreign files; the error below says it in one line
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); start a new run") from None
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError(f"{path}: not a checkpoint of this trainer; start a new run")
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {state['format']}, this babysit reads {FORMAT}; install a newer babysit"
        )
    return state
