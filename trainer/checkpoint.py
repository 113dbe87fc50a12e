"""Checkpoints: everything an interrupted training needs to go on as if nothing had happened.

Written with ``torch.save`` to a temporary file that then replaces the old one, read with
``weights_only=True``: only tensors and plain values are ever loaded, no code.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import torch

from trainer.distributed import processes
from trainer.errors import CheckpointError

FILE = "checkpoint.pt"
FORMAT = 2


class Stateful(Protocol):
    """What a checkpoint holds: a model, an optimizer, a gradient scaler, a schedule, ..."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


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


def save(path: Path, stateful: Mapping[str, Stateful], progress: Progress) -> None:
    """Writes the checkpoint; a reader sees the old file or the new one, never half of one.

    Of several processes the first writes, with the random state of each.
    """
    here = processes()
    state: dict[str, Any] = {
        "format": FORMAT,
        "progress": asdict(progress),
        "rng": here.gather(torch.get_rng_state()),
        "cuda_rng": here.gather(torch.cuda.get_rng_state()) if torch.cuda.is_available() else [],
        **{name: part.state_dict() for name, part in stateful.items()},
    }
    if here.leads:
        temporary = path.with_name(path.name + ".tmp")
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    here.wait()


def restore(path: Path, stateful: Mapping[str, Stateful]) -> Progress:
    """Puts every part and the random state back and says how far the training had come.

    Raises `CheckpointError` when there is no checkpoint, it cannot be read, or it belongs to another model.
    """
    state = _read(path)
    try:
        for name, part in stateful.items():
            part.load_state_dict(state[name])
        _restore_random_state(state)
        known = {f.name for f in fields(Progress)}
        return Progress(**{key: value for key, value in state["progress"].items() if key in known})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: does not fit this recipe's model and optimizer ({reason}); resume with the recipe it "
            "was made with, or start a new run"
        ) from None


def weights(path: Path) -> dict[str, torch.Tensor]:
    """The model's part of a checkpoint: name -> tensor. Raises `CheckpointError`."""
    state = _read(path)
    if not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no model")
    return dict(state["model"])


def _restore_random_state(state: Mapping[str, Any]) -> None:
    """That of this process. A process more than there were before keeps the one it has."""
    rank = processes().rank
    if rank < len(state["rng"]):
        torch.set_rng_state(state["rng"][rank])
    if rank < len(state["cuda_rng"]) and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda_rng"][rank])


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
            f"{path}: checkpoint format {state['format']}, this babysit reads {FORMAT}; resume with the babysit that "
            "wrote it, or start a new run"
        )
    return state
