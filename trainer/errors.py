"""What the trainer refuses, in one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from probes.errors import BabysitError, UnknownNameError


class RecipeError(BabysitError):
    """A recipe file or an override holds a key or a value that cannot be meant."""


class TaskError(BabysitError):
    """A data set cannot be made: its file is missing, or the options ask for more than it holds."""


class CheckpointError(BabysitError):
    """A checkpoint is missing, damaged, or belongs to another recipe."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """``unknown optimizer 'admw': did you mean 'adamw'? Known: adam, adamw, ...``"""
    return UnknownNameError(f"unknown {what} '{name}': {did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=2, cutoff=0.55)
    hint = f"did you mean {' or '.join(repr(n) for n in nearest)}? " if nearest else ""
    return f"{hint}Allowed: {', '.join(names) or 'none'}"
